//! ArgMax, ArgMin: where along an axis the greatest or least element is. NaN comes before all others.

use base::{DType, Result, Shape, axis_index, ensure};
use ir::{Dim, Dims};
use op::types::INTEGERS;
use op::{Attrs, CpuKernel, Infer, Kernels, Op, OpDef, Prepare, Prepared, Run, Since, since};

use super::search::{Wanted, search};
use super::split::Split;
use crate::elementwise::{Target, check_apart};
use crate::types::{T_NUMERIC, T_NUMERIC_V1};

const SIGNATURE: &str = "data:T -> reduced:int64";
const VERSIONS: &[Since] = &[
    since(1, SIGNATURE, T_NUMERIC_V1),
    since(11, SIGNATURE, T_NUMERIC_V1),
    since(12, SIGNATURE, T_NUMERIC_V1),
    since(13, SIGNATURE, T_NUMERIC),
];

/// ArgMax of `ai.onnx`.
pub static ARG_MAX: OpDef =
    OpDef { name: "ArgMax", versions: VERSIONS, load: |a| load(a, true), kernels: Kernels::NONE.cpu::<Arg>(), ..OpDef::ONNX };

/// ArgMin of `ai.onnx`.
pub static ARG_MIN: OpDef =
    OpDef { name: "ArgMin", versions: VERSIONS, load: |a| load(a, false), kernels: Kernels::NONE.cpu::<Arg>(), ..OpDef::ONNX };

#[derive(Clone, Debug)]
struct Arg {
    axis: i64,
    keepdims: bool,
    wanted: Wanted,
}

fn load(a: &Attrs<'_>, greatest: bool) -> Result<Box<dyn Op>> {
    let last = a.since() >= 12 && a.flag("select_last_index", false)?;
    Ok(Box::new(Arg { axis: a.int("axis", 0)?, keepdims: a.flag("keepdims", true)?, wanted: Wanted { greatest, last } }))
}

impl Op for Arg {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let Some(dims) = cx.dims(0)? else {
            cx.tensor(0, DType::I64, None);
            return Ok(());
        };
        let axis = axis_index(self.axis, dims.len()).map_err(|e| e.with_kind(base::ErrorKind::InvalidGraph))?;
        let mut out: Dims = dims.into();
        out[axis] = Dim::Known(1);
        if !self.keepdims {
            out.remove(axis);
        }
        cx.tensor(0, DType::I64, Some(out));
        Ok(())
    }
}

impl CpuKernel for Arg {
    fn prepare(&self, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        let dtype = cx.dtype(0)?;
        let known = dtype.is_float() || INTEGERS.contains(&base::Type::Tensor(dtype));
        ensure!(known, NotImplemented, "{}", cx.no_kernel(dtype).detail());
        Ok(Box::new(self.clone()))
    }
}

impl Prepared for Arg {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let shape = Shape::from(cx.input(0)?.shape());
        let axis = axis_index(self.axis, shape.len())?;
        let split = Split::at(&shape, axis);
        let mut dims = shape.clone();
        dims.dims_mut()[axis] = 1;
        if !self.keepdims {
            dims.remove(axis);
        }
        cx.allocate(0, DType::I64, dims.clone())?;
        let count = split.outer * split.inner;
        ensure!(count == 0 || split.len > 0, InvalidArgument, "axis {axis} of shape {shape} is empty and has no extreme");
        let (input, output) = (cx.input(0)?, cx.output(0)?);
        let bytes = input.bytes()?;
        check_apart((bytes.as_ptr(), bytes.len()), (output.address(), count * 8), false)?;
        let out = output.slice::<i64>()?;
        ensure!(out.len() == count, Fail, "the output has {} elements, not {count}", out.len());
        let target = Target::new(out.as_mut_ptr().cast(), 8);
        // SAFETY: each index below `count` is found once and written by the one chunk that found it.
        let write =
            |outer: usize, inner: usize, index: usize| unsafe { target.at(outer * split.inner + inner).cast::<i64>().write(index as i64) };
        // SAFETY: `bytes` proves the elements of the shape to be there.
        let done = unsafe { search(input.dtype(), bytes.as_ptr(), split, self.wanted, &write) };
        ensure!(done.is_some(), NotImplemented, "elements of {} have no order", input.dtype());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::single;

    fn places(def: &OpDef, dims: [usize; 2], x: &[f32], axis: i64, last: i64) -> Vec<i64> {
        let t = single(def, 13).attr("axis", axis).attr("keepdims", 0).attr("select_last_index", last).input(dims, x).tensor().unwrap();
        t.slice::<i64>().unwrap().to_vec()
    }

    #[test]
    fn first_and_last_of_equals() {
        let x = [2f32, 5.0, 5.0, 1.0, 1.0, 3.0];
        assert_eq!(places(&ARG_MAX, [2, 3], &x, 1, 0), [1, 2]);
        assert_eq!(places(&ARG_MAX, [2, 3], &x, -1, 1), [2, 2]);
        assert_eq!(places(&ARG_MIN, [2, 3], &x, 1, 1), [0, 1]);
        assert_eq!(places(&ARG_MIN, [2, 3], &x, 0, 0), [1, 1, 1]);
        let t = single(&ARG_MAX, 1).input([2, 3], &x).tensor().unwrap();
        assert_eq!((&**t.shape(), t.slice::<i64>().unwrap()), (&[1, 3][..], &[0, 0, 0][..]));
        assert_eq!(single(&ARG_MAX, 11).attr("axis", -1).input([3], &[-3i8, 2, 2]).tensor().unwrap().slice::<i64>().unwrap(), [1]);
        assert!(single(&ARG_MAX, 11).attr("select_last_index", 1).input([2, 3], &x).tensor().is_err());
    }

    #[test]
    fn nan_comes_first() {
        let nan = f32::NAN;
        let x = [1.0, nan, 3.0, 4.0, 5.0, 6.0, nan, nan, nan];
        assert_eq!(places(&ARG_MAX, [3, 3], &x, 1, 0), [1, 2, 0]);
        assert_eq!(places(&ARG_MIN, [3, 3], &x, 1, 0), [1, 0, 0]);
        assert_eq!(places(&ARG_MAX, [3, 3], &x, 0, 1), [2, 2, 2]);
        assert_eq!(places(&ARG_MIN, [3, 3], &x, 0, 0), [2, 0, 2]);
    }

    #[test]
    fn long_axes_and_many_columns() {
        for at in [0usize, 1023, 1024, 4999] {
            let mut x = vec![half::f16::ZERO; 5000];
            x[at] = half::f16::ONE;
            assert_eq!(single(&ARG_MAX, 13).input([5000], &x).tensor().unwrap().slice::<i64>().unwrap(), [at as i64]);
            let mut y = vec![0i32; 5000 * 300];
            (0..300).for_each(|c| y[(at + c) % 5000 * 300 + c] = -1);
            let t = single(&ARG_MIN, 13).input([5000, 300], &y).tensor().unwrap();
            assert!(t.slice::<i64>().unwrap().iter().enumerate().all(|(c, p)| *p as usize == (at + c) % 5000));
        }
    }

    #[test]
    fn nothing_has_no_extreme() {
        assert!(single(&ARG_MAX, 13).attr("axis", 1).input([2, 0], &[0f32; 0]).tensor().is_err());
        assert_eq!(&**single(&ARG_MAX, 13).attr("axis", 1).input([0, 2], &[0f32; 0]).tensor().unwrap().shape(), [0, 1]);
        assert!(single(&ARG_MAX, 13).attr("axis", 2).input([1, 2], &[0f32; 2]).tensor().is_err());
    }
}
