//! Tile: repeats the whole tensor along each axis.

use base::{DType, Result, Shape, ensure, error};
use half::f16;
use ir::{Dim, Dims};
use op::types::{ANY_V1, ANY_V13, FLOATS_V1};
use op::{Infer, Kernels, Mask, Op, OpDef, Run, Stateless, TypeSet, since};

use crate::facts::{self, known, pick};
use crate::ints::List;
use crate::movement::{Region, write};

const SIGNATURE: &str = "input:T, repeats:T1 -> output:T";
const INT64: TypeSet = TypeSet::tensors(&[DType::I64]);

/// Tile of `ai.onnx`.
pub static TILE: OpDef = OpDef {
    name: "Tile",
    versions: &[
        since(1, "input:T, tiles:T, axis:T -> output:T", &[("T", FLOATS_V1), ("T1", INT64)]),
        since(6, SIGNATURE, &[("T", ANY_V1), ("T1", INT64)]),
        since(13, SIGNATURE, &[("T", ANY_V13), ("T1", INT64)]),
    ],
    load: |a| Ok(Box::new(Tile { one_axis: a.since() < 6 })),
    kernels: Kernels::NONE.stateless::<Tile>(),
    strided: Mask::of(1, 1),
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct Tile {
    /// Whether the inputs are a count and an axis, both of the type of the data (before opset 6), not a count for each axis.
    one_axis: bool,
}

impl Op for Tile {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dtype = cx.dtype(0)?;
        let Some(dims) = cx.dims(0)? else {
            cx.tensor(0, dtype, None);
            return Ok(());
        };
        let repeats: Option<Dims> = if self.one_axis { self.constant_repeats(cx, dims.len())? } else { cx.ints(1).map(Into::into) };
        let Some(repeats) = repeats else {
            let dims = cx.fresh_dims(dims.len());
            cx.tensor(0, dtype, Some(dims));
            return Ok(());
        };
        let negative = repeats.iter().any(|r| r.known().is_some_and(|r| r < 0));
        ensure!(repeats.len() == dims.len() && !negative, InvalidGraph, "repeats {repeats:?} do not suit the shape {dims:?}");
        let out: Dims = dims.iter().zip(&repeats).map(|(d, r)| d.mul(r)).collect();
        let value = match (facts::value(cx, 0), known(&out), known(&repeats)) {
            (Some((elements, shape)), Some(_), Some(repeats)) => pick(elements, &repeated(Region::dense(&shape), &repeats)),
            _ => None,
        };
        facts::state(cx, 0, dtype, out, value);
        Ok(())
    }
}

/// `region` with an axis before each of its own that repeats it.
fn repeated(region: Region, repeats: &[usize]) -> Region {
    repeats.iter().enumerate().fold(region, |r, (i, &times)| r.repeat(2 * i, times))
}

impl Tile {
    fn constant_repeats(&self, cx: &Infer<'_>, rank: usize) -> Result<Option<Dims>> {
        let constant = |i| cx.optional(i).and_then(ir::Fact::constant_tensor);
        let (Some(tiles), Some(axis)) = (constant(1), constant(2)) else { return Ok(None) };
        let repeats = along_one_axis(whole(&tiles.as_ref())?, whole(&axis.as_ref())?, rank)?;
        Ok(Some(repeats.iter().map(|&r| Dim::Known(r)).collect()))
    }

    fn repeats(&self, cx: &Run<'_>) -> Result<Shape> {
        let rank = cx.input(0)?.rank();
        let list = if self.one_axis { along_one_axis(whole(&cx.input(1)?)?, whole(&cx.input(2)?)?, rank)? } else { cx.input(1)?.ints()? };
        ensure!(list.len() == rank, InvalidArgument, "repeats {list:?} do not suit a tensor of rank {rank}");
        let sizes = list.iter().map(|&r| usize::try_from(r).ok()).collect::<Option<Shape>>();
        sizes.ok_or_else(|| error!(InvalidArgument, "repeats {list:?} are negative"))
    }
}

/// The repeats of all axes when only `axis` is repeated.
fn along_one_axis(tiles: i64, axis: i64, rank: usize) -> Result<List> {
    let axis = base::axis_index(axis, rank)?;
    Ok((0..rank).map(|i| if i == axis { tiles } else { 1 }).collect())
}

/// The number in a float tensor of one element, which must be a whole one.
fn whole(t: &base::TensorRef<'_>) -> Result<i64> {
    let x = match t.dtype() {
        DType::F64 => t.scalar::<f64>()?,
        DType::F16 => t.scalar::<f16>()?.to_f64(),
        _ => t.scalar::<f32>()?.into(),
    };
    ensure!(x.fract() == 0.0 && x.abs() < 1e15, InvalidArgument, "tiles or axis is {x}, which is no whole number");
    Ok(x as i64)
}

impl Stateless for Tile {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let repeats = self.repeats(cx)?;
        let data = cx.input(0)?;
        let sizes = data.shape().iter().zip(&*repeats).map(|(&d, &r)| d.checked_mul(r)).collect::<Option<Shape>>();
        let dims = Shape::from(data.shape());
        let shape = sizes.ok_or_else(|| error!(InvalidArgument, "shape {dims} repeated {repeats:?} times is too large"))?;
        let dtype = data.dtype();
        if shape.contains(&0) {
            return write(cx, 0, dtype, shape, |_, _| Ok(()));
        }
        write(cx, 0, dtype, shape, |cx, out| {
            let data = cx.input(0)?;
            let mut target = out.whole();
            for (i, &d) in dims.iter().enumerate() {
                target = target.split(2 * i, d)?;
            }
            out.copy(&data, &repeated(Region::of(&data)?, &repeats), &target)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::single;

    #[test]
    fn repeats_each_axis() {
        let case = |repeats: &[i64]| single(&TILE, 13).input([2, 2], &[1i8, 2, 3, 4]).input([repeats.len()], repeats).tensor();
        let t = case(&[2, 2]).unwrap();
        assert_eq!(t.slice::<i8>().unwrap(), [1, 2, 1, 2, 3, 4, 3, 4, 1, 2, 1, 2, 3, 4, 3, 4]);
        assert_eq!(&**case(&[3, 0]).unwrap().shape(), [6, 0]);
        assert!(case(&[1]).is_err() && case(&[1, -1]).is_err());
        assert!(case(&[i64::MAX, i64::MAX]).is_err());
    }

    #[test]
    fn opset_1_names_one_axis() {
        let case = |axis: f32| single(&TILE, 1).input([1, 2], &[1f32, 2.]).input([1], &[2f32]).input([], &[axis]).tensor();
        assert_eq!(case(1.0).unwrap().slice::<f32>().unwrap(), [1., 2., 1., 2.]);
        assert_eq!(&**case(0.0).unwrap().shape(), [2, 2]);
        assert!(case(2.0).is_err() && case(0.5).is_err());
    }
}
