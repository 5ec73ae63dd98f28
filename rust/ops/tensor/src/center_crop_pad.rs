//! CenterCropPad: cuts or pads axes to given sizes, evenly on both sides.

use base::{Result, Shape, axis_index, ensure};
use ir::Dims;
use op::types::{ANY_V13, INDEX};
use op::{Infer, Kernels, Op, OpDef, Run, Stateless, since};
use smallvec::SmallVec;

use crate::movement::write;
use crate::pad::{Mode, Padded, Value, fill};

/// CenterCropPad of `ai.onnx`. What cannot be even is one more element on the right: removed there, or added there.
pub static CENTER_CROP_PAD: OpDef = OpDef {
    name: "CenterCropPad",
    versions: &[since(18, "input_data:T, shape:Tind -> output_data:T", &[("T", ANY_V13), ("Tind", INDEX)])],
    load: |a| Ok(Box::new(CenterCropPad { axes: a.opt_ints("axes")?.map(<[i64]>::to_vec) })),
    kernels: Kernels::NONE.stateless::<CenterCropPad>(),
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct CenterCropPad {
    /// The axes whose sizes are given; all if not.
    axes: Option<Vec<i64>>,
}

impl CenterCropPad {
    fn axes(&self, rank: usize) -> Result<SmallVec<[usize; 8]>> {
        match &self.axes {
            Some(axes) => axes.iter().map(|&a| axis_index(a, rank)).collect(),
            None => Ok((0..rank).collect()),
        }
    }
}

impl Op for CenterCropPad {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dtype = cx.dtype(0)?;
        let Some(dims) = cx.dims(0)? else {
            cx.tensor(0, dtype, None);
            return Ok(());
        };
        let axes = self.axes(dims.len()).map_err(|e| e.with_kind(base::ErrorKind::InvalidGraph))?;
        let sizes = match cx.ints(1) {
            Some(sizes) => sizes.into(),
            None => cx.fresh_dims(axes.len()),
        };
        let negative = sizes.iter().any(|s| s.known().is_some_and(|s| s < 0));
        ensure!(sizes.len() == axes.len() && !negative, InvalidGraph, "{sizes:?} are no sizes for axes {axes:?}");
        let mut out: Dims = dims.into();
        axes.iter().zip(sizes).for_each(|(&axis, size)| out[axis] = size);
        cx.tensor(0, dtype, Some(out));
        Ok(())
    }
}

/// Axis of size `len` as one of size `out`.
fn centered(len: usize, out: usize) -> Padded {
    // Half of the difference, rounded towards zero: cut from the left, or added there.
    Padded { len, before: (out as i64 - len as i64) / 2, out }
}

impl Stateless for CenterCropPad {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let (data, sizes) = (cx.input(0)?, cx.input(1)?.ints()?);
        let axes = self.axes(data.rank())?;
        let fits = sizes.len() == axes.len() && sizes.iter().all(|&s| s >= 0);
        ensure!(fits, InvalidArgument, "{sizes:?} are no sizes for axes {axes:?}");
        let mut shape = Shape::from(data.shape());
        axes.iter().zip(&sizes).for_each(|(&axis, &size)| shape.dims_mut()[axis] = size as usize);
        let axes: SmallVec<[Padded; 6]> = data.shape().iter().zip(&*shape).map(|(&len, &out)| centered(len, out)).collect();
        let dtype = data.dtype();
        write(cx, 0, dtype, shape, |cx, out| fill(out, &cx.input(0)?, &axes, Mode::Constant, Value::Zero))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::single;

    #[test]
    fn crops_and_pads() {
        let case = |sizes: &[i64]| single(&CENTER_CROP_PAD, 18).input([5], &[1i32, 2, 3, 4, 5]).input([1], sizes).tensor().unwrap();
        assert_eq!(case(&[2]).slice::<i32>().unwrap(), [2, 3]);
        assert_eq!(case(&[3]).slice::<i32>().unwrap(), [2, 3, 4]);
        assert_eq!(case(&[8]).slice::<i32>().unwrap(), [0, 1, 2, 3, 4, 5, 0, 0]);
        assert_eq!(case(&[0]).slice::<i32>().unwrap(), []);
    }

    #[test]
    fn on_some_axes() {
        let case = || single(&CENTER_CROP_PAD, 18).attr("axes", vec![-2]).input([1, 1, 2], &[1f32, 2.]);
        let t = case().input([1], &[3i32]).tensor().unwrap();
        assert_eq!((&**t.shape(), t.slice::<f32>().unwrap()), (&[1, 3, 2][..], &[0., 0., 1., 2., 0., 0.][..]));
        assert!(case().input([2], &[3i32, 3]).tensor().is_err() && case().input([1], &[-1i32]).tensor().is_err());
    }
}
