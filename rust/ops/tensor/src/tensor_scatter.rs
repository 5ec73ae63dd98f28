//! TensorScatter: writes an update into a cache, for each sequence of the batch at its own place.

use base::{Result, Shape, axis_index, bail, ensure};
use op::types::ANY_V24;
use op::{Infer, Kernels, Op, OpDef, Run, Stateless, since};

use crate::facts;
use crate::movement::{Region, write};

/// TensorScatter of `ai.onnx`.
pub static TENSOR_SCATTER: OpDef = OpDef {
    name: "TensorScatter",
    versions: &[since(24, "past_cache:T, update:T, write_indices:int64? -> present_cache:T", &[("T", ANY_V24)])],
    load: |a| {
        let circular = a.choice("mode", &["linear", "circular"], "linear")? == 1;
        Ok(Box::new(TensorScatter { axis: a.int("axis", -2)?, circular }))
    },
    kernels: Kernels::NONE.stateless::<TensorScatter>(),
    in_place: &[(0, 0)],
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct TensorScatter {
    /// The axis of time.
    axis: i64,
    /// Whether what goes beyond the end goes on at the beginning.
    circular: bool,
}

impl Op for TensorScatter {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dtype = cx.dtype(0)?;
        let (Some(past), Some(update)) = (cx.dims(0)?, cx.dims(1)?) else {
            let dims = cx.dims(0)?.map(Into::into);
            cx.tensor(0, dtype, dims);
            return Ok(());
        };
        let axis = facts::axis(self.axis, past.len())?;
        let differs = |(i, (p, u)): (usize, (&ir::Dim, &ir::Dim))| {
            p.known().zip(u.known()).is_some_and(|(p, u)| if i == axis { u > p } else { u != p })
        };
        let fits = axis > 0 && past.len() == update.len() && !past.iter().zip(update).enumerate().any(differs);
        ensure!(fits, InvalidGraph, "an update of shape {update:?} does not fit a cache of shape {past:?} along axis {axis}");
        facts::state(cx, 0, dtype, past.into(), None);
        Ok(())
    }
}

impl TensorScatter {
    /// Where the update of one sequence begins in a cache of `room` steps.
    fn start(&self, index: i64, steps: usize, room: usize) -> Result<usize> {
        if self.circular {
            return Ok(index.rem_euclid(room.max(1) as i64) as usize);
        }
        let start = usize::try_from(index).ok().filter(|s| s.checked_add(steps).is_some_and(|end| end <= room));
        match start {
            Some(start) => Ok(start),
            None => bail!(InvalidArgument, "{steps} steps from {index} on do not fit a cache of {room}"),
        }
    }
}

impl Stateless for TensorScatter {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let (past, update) = (cx.input(0)?, cx.input(1)?);
        let (dtype, shape) = (past.dtype(), Shape::from(past.shape()));
        let axis = axis_index(self.axis, shape.len())?;
        let mut expected = shape.clone();
        let steps = update.shape().get(axis).copied().unwrap_or(0);
        expected.dims_mut()[axis] = steps;
        let fits = axis > 0 && *expected == *update.shape() && steps <= shape[axis];
        ensure!(fits, InvalidArgument, "an update of shape {} does not fit a cache of shape {shape}", Shape::from(update.shape()));
        let (batch, room) = (shape[0], shape[axis]);
        let indices = cx.optional(2)?.map(|t| t.slice::<i64>()).transpose()?;
        ensure!(indices.is_none_or(|i| i.len() == batch), InvalidArgument, "write_indices are not one for each of a batch of {batch}");
        write(cx, 0, dtype, shape, |cx, out| {
            let update = cx.input(1)?;
            let indices = cx.optional(2)?.map(|t| t.slice::<i64>()).transpose()?;
            out.start_from(&cx.input(0)?)?;
            for b in 0..batch {
                let start = self.start(indices.map_or(0, |i| i[b]), steps, room)?;
                let (from, to) = (Region::of(&update)?.slice(0, b, 1, 1)?, out.whole().slice(0, b, 1, 1)?);
                let first = steps.min(room - start);
                for (begin, at, count) in [(0, start, first), (first, 0, steps - first)] {
                    out.copy(&update, &from.clone().slice(axis, begin, 1, count)?, &to.clone().slice(axis, at, 1, count)?)?;
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
    fn both_modes() {
        let case = |mode: &str, places: &[i64]| {
            let case = single(&TENSOR_SCATTER, 24).attr("mode", mode).input([2, 3, 1], &[0u8; 6]).input([2, 2, 1], &[1u8, 2, 3, 4]);
            case.input([places.len()], places).tensor()
        };
        assert_eq!(case("linear", &[0, 1]).unwrap().slice::<u8>().unwrap(), [1, 2, 0, 0, 3, 4]);
        assert_eq!(case("circular", &[2, 3]).unwrap().slice::<u8>().unwrap(), [2, 0, 1, 3, 4, 0]);
        assert!(case("linear", &[2, 0]).is_err() && case("linear", &[-1, 0]).is_err() && case("linear", &[0]).is_err());
        let all = single(&TENSOR_SCATTER, 24).attr("axis", 1).input([1, 2], &[7f32, 8.]).input([1, 1], &[1f32]).tensor().unwrap();
        assert_eq!(all.slice::<f32>().unwrap(), [1., 8.]);
        assert!(single(&TENSOR_SCATTER, 24).attr("axis", 0).input([1, 2], &[7f32, 8.]).input([1, 2], &[1f32, 2.]).tensor().is_err());
    }
}
