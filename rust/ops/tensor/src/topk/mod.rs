//! TopK: the `k` largest or smallest elements along `axis`, and where they are.

mod heap;

use base::{DType, Result, Shape, TensorRef, axis_index, ensure, error};
use ir::Dims;
use op::types::{FLOATS_V1, NUMERIC, NUMERIC_V1};
use op::{Attrs, CpuKernel, Infer, Kernels, Op, OpDef, Prepare, Prepared, Run, TypeSet, since};

use crate::dispatch::with_number;
use crate::facts;
use crate::ints::Ints;

const WITH_ATTRIBUTE: &str = "X:T -> Values:T, Indices:I";
const SIGNATURE: &str = "X:T, K:int64 -> Values:T, Indices:I";
const INT64: TypeSet = TypeSet::tensors(&[DType::I64]);

/// TopK of `ai.onnx`. Of equal elements the first comes first; NaN is larger than any number. The result is sorted in any case.
pub static TOP_K: OpDef = OpDef {
    name: "TopK",
    versions: &[
        since(1, WITH_ATTRIBUTE, &[("T", FLOATS_V1), ("I", INT64)]),
        since(10, SIGNATURE, &[("T", FLOATS_V1), ("I", INT64)]),
        since(11, SIGNATURE, &[("T", NUMERIC_V1), ("I", INT64)]),
        since(24, SIGNATURE, &[("T", NUMERIC), ("I", INT64)]),
    ],
    load: |a| Ok(Box::new(TopK::load(a)?)),
    kernels: Kernels::NONE.cpu::<TopK>(),
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct TopK {
    axis: i64,
    k: Ints,
    largest: bool,
}

impl TopK {
    fn load(a: &Attrs<'_>) -> Result<Self> {
        let k = if a.since() < 10 { Ints::Fixed(vec![a.required_int("k")?]) } else { Ints::Input(1) };
        let largest = a.since() < 11 || a.flag("largest", true)?;
        if a.since() >= 11 {
            // An order that is not asked for does no harm.
            a.ignore("sorted");
        }
        Ok(Self { axis: a.int("axis", -1)?, k, largest })
    }

    /// The shape of the outputs, and which axis is cut.
    fn shape(&self, cx: &Run<'_>) -> Result<(Shape, usize)> {
        let mut shape = Shape::from(cx.input(0)?.shape());
        let axis = axis_index(self.axis, shape.len())?;
        let k = self.k.run(cx)?.unwrap_or_default();
        let [k] = k[..] else { base::bail!(InvalidArgument, "K must be one number, not {k:?}") };
        let fits = usize::try_from(k).ok().filter(|&k| k <= shape[axis]);
        let dim = shape[axis];
        shape.dims_mut()[axis] = fits.ok_or_else(|| {
            error!(InvalidArgument, "k argument [{k}] should not be greater than specified axis dim value [{dim}], nor negative")
        })?;
        Ok((shape, axis))
    }
}

impl Op for TopK {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dtype = cx.dtype(0)?;
        let Some(dims) = cx.dims(0)? else {
            cx.tensor(0, dtype, None);
            cx.tensor(1, DType::I64, None);
            return Ok(());
        };
        let axis = facts::axis(self.axis, dims.len())?;
        let k = match self.k.inferred(cx).as_deref() {
            Some([k]) => k.clone(),
            _ => cx.fresh(),
        };
        let fits = k.known().is_none_or(|k| k >= 0 && dims[axis].known().is_none_or(|d| k <= d));
        ensure!(fits, InvalidGraph, "k argument [{k}] should not be greater than specified axis dim value [{}]", dims[axis]);
        let mut out: Dims = dims.into();
        out[axis] = k;
        facts::state(cx, 0, dtype, out.clone(), None);
        facts::state(cx, 1, DType::I64, out, None);
        Ok(())
    }
}

impl CpuKernel for TopK {
    fn prepare(&self, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        let dtype = cx.dtype(0)?;
        let run: Select = with_number!(dtype, T => heap::select::<T>, _ => return Err(cx.no_kernel(dtype)));
        Ok(Box::new(Kernel { op: self.clone(), run }))
    }
}

/// Writes the best elements into the output and their indices into the last argument.
type Select = fn(TensorRef<'_>, &Lines, base::TensorMut<'_>, &mut [i64]) -> Result<()>;

/// How lines of elements lie in input and outputs: `[outer, n, inner]`, of which `k` are chosen.
#[derive(Clone, Copy, Debug)]
struct Lines {
    outer: usize,
    n: usize,
    inner: usize,
    k: usize,
    largest: bool,
}

struct Kernel {
    op: TopK,
    run: Select,
}

impl Prepared for Kernel {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let (shape, axis) = self.op.shape(cx)?;
        let x = cx.input(0)?;
        let dims = x.shape();
        let (outer, inner) = (dims[..axis].iter().product(), dims[axis + 1..].iter().product());
        let lines = Lines { outer, n: dims[axis], inner, k: shape[axis], largest: self.op.largest };
        let dtype = x.dtype();
        cx.allocate(0, dtype, shape.clone())?;
        cx.allocate(1, DType::I64, shape)?;
        (self.run)(cx.input(0)?, &lines, cx.output(0)?, cx.output(1)?.slice()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::bf16;
    use testkit::single;

    #[test]
    fn largest_and_smallest() {
        let data = [3f32, 1., f32::NAN, 3., -f32::INFINITY, 2.];
        let case = |largest: i64| {
            let out = single(&TOP_K, 11).attr("largest", largest).input([6], &data).input([1], &[3i64]).run(2).unwrap();
            (out[0].tensor().unwrap().slice::<f32>().unwrap().to_vec(), out[1].tensor().unwrap().slice::<i64>().unwrap().to_vec())
        };
        let (values, indices) = case(1);
        assert!(values[0].is_nan() && values[1..] == [3., 3.]);
        assert_eq!(indices, [2, 0, 3]);
        assert_eq!(case(0), (vec![-f32::INFINITY, 1., 2.], vec![4, 1, 5]));
    }

    #[test]
    fn every_axis_and_size() {
        let (a, n, b) = (3usize, 57usize, 5usize);
        let data: Vec<i32> = (0..a * n * b).map(|i| ((i * 7919) % 101) as i32).collect();
        for k in [0, 1, 2, 10, 56, 57] {
            let out = single(&TOP_K, 11).attr("axis", 1).input([a, n, b], &data).input([1], &[k as i64]).run(2).unwrap();
            let (values, indices) = (out[0].tensor().unwrap().slice::<i32>().unwrap(), out[1].tensor().unwrap().slice::<i64>().unwrap());
            for (o, i) in (0..a).flat_map(|o| (0..b).map(move |i| (o, i))) {
                let mut line: Vec<(i32, i64)> = (0..n).map(|j| (-data[(o * n + j) * b + i], j as i64)).collect();
                line.sort();
                for (r, (value, index)) in line[..k].iter().enumerate() {
                    let at = (o * k + r) * b + i;
                    assert_eq!((-values[at], indices[at]), (*value, *index));
                }
            }
        }
    }

    #[test]
    fn older_forms_and_types() {
        let t = single(&TOP_K, 1).attr("k", 1).attr("axis", 0).input([2, 1], &[1f64, 2.]).run(2).unwrap();
        assert_eq!(t[0].tensor().unwrap().slice::<f64>().unwrap(), [2.]);
        let half = [1., 3., 2.].map(bf16::from_f32);
        let t = single(&TOP_K, 24).input([3], &half).input([1], &[2i64]).run(2).unwrap();
        assert_eq!(t[0].tensor().unwrap().slice::<bf16>().unwrap(), [3., 2.].map(bf16::from_f32));
    }

    #[test]
    fn impossible_k() {
        for k in [&[4i64][..], &[-1], &[1, 1]] {
            assert!(single(&TOP_K, 11).input([3], &[1u8, 2, 3]).input([k.len()], k).run(2).is_err(), "{k:?}");
        }
        assert!(single(&TOP_K, 11).input([], &[1u8]).input([1], &[0i64]).run(2).is_err());
    }
}
