//! OneHot: a new axis of size `depth` that is on where an index says, off elsewhere.

use base::threads::Pace;
use base::{DType, Result, Shape, TensorRef, bail, ensure, error};
use ir::{Dim, Dims, Fact};
use op::types::{ANY_V1, ANY_V13, NUMERIC_V1};
use op::{Infer, Kernels, Op, OpDef, Run, Stateless, since};

use crate::dispatch::with_number;
use crate::movement::write;

const SIGNATURE: &str = "indices:T1, depth:T2, values:T3 -> output:T3";

/// OneHot of `ai.onnx`. An index outside of `[-depth, depth - 1]` is off everywhere.
pub static ONE_HOT: OpDef = OpDef {
    name: "OneHot",
    versions: &[
        since(9, SIGNATURE, &[("T1", NUMERIC_V1), ("T2", NUMERIC_V1), ("T3", ANY_V1)]),
        since(11, SIGNATURE, &[("T1", NUMERIC_V1), ("T2", NUMERIC_V1), ("T3", ANY_V1)]),
        since(28, SIGNATURE, &[("T1", NUMERIC_V1), ("T2", NUMERIC_V1), ("T3", ANY_V13)]),
    ],
    load: |a| Ok(Box::new(OneHot { axis: a.int("axis", -1)? })),
    kernels: Kernels::NONE.stateless::<OneHot>(),
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct OneHot {
    axis: i64,
}

impl OneHot {
    /// Where the new axis goes, for indices of `rank`.
    fn axis(&self, rank: usize) -> Result<usize> {
        base::axis_index(self.axis, rank + 1)
    }
}

impl Op for OneHot {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dtype = cx.dtype(2)?;
        let depth = match (cx.ints(1).and_then(<[Dim]>::first), cx.input(1)?.constant_tensor()) {
            (Some(depth), _) => depth.clone(),
            (None, Some(t)) => Dim::from(depth(&t.as_ref())?),
            _ => cx.fresh(),
        };
        let dims: Option<Dims> = match cx.dims(0)? {
            Some(indices) => {
                let mut dims: Dims = indices.into();
                dims.insert(self.axis(indices.len()).map_err(|e| e.with_kind(base::ErrorKind::InvalidGraph))?, depth);
                Some(dims)
            }
            None => None,
        };
        cx.set(0, Fact { shape: dims, ..Fact::of(base::Type::Tensor(dtype)) });
        Ok(())
    }
}

/// An element as an integer: fractions are dropped, as a cast does it.
fn int(t: &TensorRef<'_>, i: usize) -> Result<i64> {
    match t.dtype() {
        DType::U64 => Ok(i64::try_from(t.slice::<u64>()?[i]).unwrap_or(i64::MAX)),
        other => with_number!(other, T => Ok(small(t.slice::<T>()?[i])), _ => bail!(NotImplemented, "indices of {other}")),
    }
}

/// A number as an integer, towards zero and within bounds.
fn small<T: num_traits::AsPrimitive<i64>>(x: T) -> i64 {
    x.as_()
}

fn depth(t: &TensorRef<'_>) -> Result<usize> {
    ensure!(t.len() == 1, InvalidArgument, "depth must be one number, not of shape {}", Shape::from(t.shape()));
    let depth = int(t, 0)?;
    usize::try_from(depth).map_err(|_| error!(InvalidArgument, "Depth is negative: {depth}"))
}

impl Stateless for OneHot {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let (indices, depth, values) = (cx.input(0)?, depth(&cx.input(1)?)?, cx.input(2)?);
        ensure!(values.len() == 2, InvalidArgument, "values must be two, off and on, not of shape {}", Shape::from(values.shape()));
        let axis = self.axis(indices.rank())?;
        let inner: usize = indices.shape()[axis..].iter().product();
        let mut shape = Shape::from(indices.shape());
        shape.insert(axis, depth);
        let dtype = values.dtype();
        write(cx, 0, dtype, shape, |cx, out| {
            let (indices, values) = (cx.input(0)?, cx.input(2)?);
            out.fill(&values, 0, &out.whole())?;
            let pace = Pace::default();
            for i in 0..indices.len() {
                pace.spend(16);
                if let Some(hot) = crate::indices::wrap(int(&indices, i)?, depth) {
                    out.put(&values, 1, (i / inner * depth + hot) * inner + i % inner)?;
                }
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::single;

    #[test]
    fn on_every_axis() {
        let case = || single(&ONE_HOT, 11).input([2], &[0i64, -1]).input([], &[3i64]).input([2], &[5f32, 7.]);
        let t = case().tensor().unwrap();
        assert_eq!((&**t.shape(), t.slice::<f32>().unwrap()), (&[2, 3][..], &[7., 5., 5., 5., 5., 7.][..]));
        let t = case().attr("axis", 0).tensor().unwrap();
        assert_eq!((&**t.shape(), t.slice::<f32>().unwrap()), (&[3, 2][..], &[7., 5., 5., 5., 5., 7.][..]));
        assert!(case().attr("axis", 2).tensor().is_err());
    }

    #[test]
    fn odd_types_and_indices() {
        let case = |i: f32, depth: f32| single(&ONE_HOT, 9).input([1], &[i]).input([1], &[depth]).strings([2], &["-", "+"]).tensor();
        let text = |t: base::Tensor| t.as_ref().strings().unwrap().iter().collect::<String>();
        assert_eq!(text(case(1.9, 2.0).unwrap()), "-+");
        assert_eq!(text(case(2.0, 2.0).unwrap()), "--");
        assert_eq!(text(case(f32::NAN, 2.5).unwrap()), "+-");
        assert_eq!(text(case(-3.0, 2.0).unwrap()), "--");
        assert!(case(0.0, -1.0).is_err());
        let t = single(&ONE_HOT, 11).input([1], &[u64::MAX]).input([], &[2u8]).input([2], &[0i32, 1]).tensor().unwrap();
        assert_eq!(t.slice::<i32>().unwrap(), [0, 0]);
        assert!(single(&ONE_HOT, 11).input([1], &[0i32]).input([], &[2u8]).input([3], &[0i32, 1, 2]).tensor().is_err());
    }
}
