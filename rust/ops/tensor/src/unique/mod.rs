//! Unique: the different elements, or the different slices along `axis`; where they are, and how often.

mod group;

use base::{DType, Result, Shape, TensorRef, axis_index, bail};
use ir::{Dims, Fact};
use op::types::{ANY_V1, ANY_V13};
use op::{Infer, Kernels, Op, OpDef, Run, Stateless, since};

use crate::dispatch::with_type;
use crate::facts::{self, product};
use crate::movement::write;
use group::{Groups, group};

const SIGNATURE: &str = "X:T -> Y:T, indices:int64?, inverse_indices:int64?, counts:int64?";

/// Unique of `ai.onnx`. NaN equals NaN and comes last; zeros are equal.
pub static UNIQUE: OpDef = OpDef {
    name: "Unique",
    versions: &[since(11, SIGNATURE, &[("T", ANY_V1)]), since(28, SIGNATURE, &[("T", ANY_V13)])],
    load: |a| Ok(Box::new(Unique { axis: a.opt_int("axis")?, sorted: a.flag("sorted", true)? })),
    kernels: Kernels::NONE.stateless::<Unique>(),
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct Unique {
    /// The axis of the slices; single elements of the flat input if not given.
    axis: Option<i64>,
    /// Whether the result ascends, or keeps the order of the first occurrences.
    sorted: bool,
}

impl Op for Unique {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dtype = cx.dtype(0)?;
        let found = cx.fresh();
        let (dims, len): (Option<Dims>, _) = match (self.axis, cx.dims(0)?) {
            (None, dims) => (Some([found.clone()].into_iter().collect()), dims.map(product)),
            (Some(axis), Some(dims)) => {
                let axis = facts::axis(axis, dims.len())?;
                let mut out: Dims = dims.into();
                out[axis] = found.clone();
                (Some(out), Some(dims[axis].clone()))
            }
            (Some(_), None) => (None, None),
        };
        cx.tensor(0, dtype, dims);
        let len = len.unwrap_or_else(|| cx.fresh());
        for (i, size) in [(1, &found), (2, &len), (3, &found)] {
            cx.set(i, Fact::tensor(DType::I64, [size.clone()]));
        }
        Ok(())
    }
}

/// The slices of a tensor seen as `[outer, len, inner]`.
#[derive(Clone, Copy, Debug)]
struct Slices {
    outer: usize,
    len: usize,
    inner: usize,
}

fn groups_of(x: &TensorRef<'_>, slices: Slices, sorted: bool) -> Result<Groups> {
    if let Ok(strings) = x.strings() {
        return group(slices, sorted, |a, b| strings.get(a).cmp(strings.get(b)));
    }
    with_type!(x.dtype(), T => {
        use crate::order::Ordered;
        let x = x.slice::<T>()?;
        group(slices, sorted, |a, b| x[a].order(&x[b]))
    }, _ => bail!(NotImplemented, "Unique has no kernel for {}", x.dtype()),
        F32: f32, F64: f64, F16: half::f16, BF16: half::bf16, I8: i8, I16: i16, I32: i32, I64: i64, U8: u8, U16: u16, U32: u32, U64: u64,
        Bool: bool, C64: num_complex::Complex<f32>, C128: num_complex::Complex<f64>)
}

impl Stateless for Unique {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let x = cx.input(0)?;
        let flat = [x.len()];
        let dims = if self.axis.is_some() { x.shape() } else { &flat };
        let axis = axis_index(self.axis.unwrap_or(0), dims.len())?;
        let (len, inner) = (dims[axis], dims[axis + 1..].iter().product());
        let slices = Slices { outer: dims[..axis].iter().product(), len, inner };
        let groups = groups_of(&x, slices, self.sorted)?;
        let count = groups.first.len();
        let mut shape = Shape::from(dims);
        shape.dims_mut()[axis] = count;
        let dtype = x.dtype();
        write(cx, 0, dtype, shape, |cx, out| {
            let each = count.max(1);
            out.rows(&cx.input(0)?, inner, |range| range.map(|i| Ok(i / each * len + groups.first[i % each] as usize)))
        })?;
        for (i, list) in [(1, &groups.first), (2, &groups.inverse), (3, &groups.counts)] {
            cx.allocate(i, DType::I64, [list.len()])?;
            if cx.has_output(i) {
                cx.output(i)?.slice::<i64>()?.copy_from_slice(list);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::{Single, single};

    fn lists(case: Single) -> (base::Tensor, [Vec<i64>; 3]) {
        let out = case.run(4).unwrap();
        let list = |i: usize| out[i].tensor().unwrap().slice::<i64>().unwrap().to_vec();
        (out[0].tensor().unwrap().clone(), [list(1), list(2), list(3)])
    }

    #[test]
    fn elements_in_both_orders() {
        let case = |sorted: i64| single(&UNIQUE, 11).attr("sorted", sorted).input([6], &[2f32, 1., 1., 3., 4., 3.]);
        let (y, rest) = lists(case(0));
        assert_eq!(y.slice::<f32>().unwrap(), [2., 1., 3., 4.]);
        assert_eq!(rest, [vec![0, 1, 3, 4], vec![0, 1, 1, 2, 3, 2], vec![1, 2, 2, 1]]);
        let (y, rest) = lists(case(1));
        assert_eq!(y.slice::<f32>().unwrap(), [1., 2., 3., 4.]);
        assert_eq!(rest, [vec![1, 0, 3, 4], vec![1, 0, 0, 2, 3, 2], vec![2, 1, 2, 1]]);
    }

    #[test]
    fn slices_of_the_specification() {
        let (y, rest) = lists(single(&UNIQUE, 11).attr("axis", 0).input([3, 3], &[1i64, 0, 0, 1, 0, 0, 2, 3, 4]));
        assert_eq!((&**y.shape(), y.slice::<i64>().unwrap()), (&[2, 3][..], &[1, 0, 0, 2, 3, 4][..]));
        assert_eq!(rest, [vec![0, 2], vec![0, 0, 1], vec![2, 1]]);
        let x = [1f32, 1., 0., 1., 2., 1., 0., 1.].repeat(2);
        let (y, rest) = lists(single(&UNIQUE, 11).attr("axis", -2).input([2, 4, 2], &x));
        assert_eq!((&**y.shape(), y.slice::<f32>().unwrap()), (&[2, 3, 2][..], &[0f32, 1., 1., 1., 2., 1.].repeat(2)[..]));
        assert_eq!(rest, [vec![1, 0, 2], vec![1, 0, 2, 0], vec![2, 1, 1]]);
    }

    #[test]
    fn nan_strings_and_nothing() {
        let (y, rest) = lists(single(&UNIQUE, 11).input([2, 2], &[f64::NAN, -0.0, 0.0, f64::NAN]));
        assert!(y.slice::<f64>().unwrap()[1].is_nan() && y.len() == 2);
        assert_eq!(rest, [vec![1, 0], vec![1, 0, 0, 1], vec![2, 2]]);
        let (y, _) = lists(single(&UNIQUE, 11).strings([3], &["b", "a", "b"]));
        assert_eq!(y.as_ref().strings().unwrap().iter().collect::<String>(), "ab");
        let (y, rest) = lists(single(&UNIQUE, 11).input([0], &[0u8; 0]));
        assert_eq!((y.len(), rest[1].len()), (0, 0));
        assert!(single(&UNIQUE, 11).attr("axis", 1).input([1], &[0u8]).run(1).is_err());
    }
}
