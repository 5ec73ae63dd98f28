//! CropAndResize: regions of images, stretched to one size.

use base::{DType, Result, Shape, bail, ensure};
use ir::Dim;
use op::types::FLOATS_V1;
use op::{Infer, Kernels, Op, OpDef, Run, Stateless, TypeSet, since};

use crate::chunks::for_rows;
use crate::floats::{Floats, FloatsMut};

const INTS: TypeSet = TypeSet::tensors(&[DType::I32]);

/// CropAndResize of `com.microsoft`.
pub static CROP_AND_RESIZE: OpDef = OpDef {
    name: "CropAndResize",
    versions: &[since(1, "X:T1, rois:T1, batch_indices:T2, crop_size:T2 -> Y:T1", &[("T1", FLOATS_V1), ("T2", INTS)])],
    load: |a| {
        let nearest = a.choice("mode", &["bilinear", "nearest"], "bilinear")? == 1;
        Ok(Box::new(CropAndResize { nearest, outside: a.float("extrapolation_value", 0.0)? }))
    },
    kernels: Kernels::NONE.stateless::<CropAndResize>(),
    ..OpDef::MICROSOFT
};

#[derive(Clone, Debug)]
struct CropAndResize {
    nearest: bool,
    /// What crops have outside of the image.
    outside: f32,
}

impl Op for CropAndResize {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dtype = cx.dtype(0)?;
        let size = cx.ints(3).filter(|size| size.len() == 2);
        let (Some(x), Some(rois)) = (cx.dims(0)?, cx.dims(1)?) else {
            let dims = cx.fresh_dims(4);
            cx.tensor(0, dtype, Some(dims));
            return Ok(());
        };
        let fits = x.len() == 4 && rois.len() == 2 && rois[1].known().is_none_or(|n| n == 4);
        ensure!(fits, InvalidGraph, "regions of shape {rois:?} for images of shape {x:?}");
        let mut side = |i: usize| size.as_ref().map_or_else(|| cx.fresh(), |size| size[i].clone());
        let dims: [Dim; 4] = [rois[0].clone(), x[1].clone(), side(0), side(1)];
        cx.tensor(0, dtype, Some(dims.into_iter().collect()));
        Ok(())
    }
}

/// One axis of an image, `len` long, of which `count` positions are taken between two coordinates, which are 0 and 1 at its ends.
#[derive(Clone, Copy)]
struct Axis {
    from: f64,
    to: f64,
    len: usize,
    count: usize,
}

impl Axis {
    /// Where position `i` lies, if that is inside.
    fn at(&self, i: usize) -> Option<f64> {
        let last = self.len as f64 - 1.0;
        let at = match self.count {
            1 => 0.5 * (self.from + self.to) * last,
            count => self.from * last + i as f64 * ((self.to - self.from) * last / (count as f64 - 1.0)),
        };
        (at >= 0.0 && at <= last).then_some(at)
    }
}

impl CropAndResize {
    /// The value of `image`, `width` wide, at a row and a column.
    fn value(&self, image: &Floats<'_>, start: usize, width: usize, row: f64, col: f64) -> f64 {
        let get = |row: f64, col: f64| image.get::<f64>(start + row as usize * width + col as usize);
        if self.nearest {
            return get(row.round(), col.round());
        }
        let (top, bottom, left, right) = (row.floor(), row.ceil(), col.floor(), col.ceil());
        let between = |a: f64, b: f64, part: f64| a + (b - a) * part;
        let upper = between(get(top, left), get(top, right), col - left);
        let lower = between(get(bottom, left), get(bottom, right), col - left);
        between(upper, lower, row - top)
    }
}

impl Stateless for CropAndResize {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let (x, rois) = (cx.input(0)?, cx.input(1)?);
        let (&[images, channels, height, width], &[count, 4]) = (x.shape(), rois.shape()) else {
            bail!(InvalidArgument, "regions of shape {} for images of shape {}", Shape::from(rois.shape()), Shape::from(x.shape()));
        };
        let (owners, size) = (cx.input(2)?.slice::<i32>()?, cx.input(3)?.slice::<i32>()?);
        ensure!(owners.len() == count, InvalidArgument, "{} batch_indices for {count} regions", owners.len());
        let side = |i: usize| usize::try_from(*size.get(i)?).ok().filter(|n| *n > 0);
        let (Some(rows), Some(cols), 2) = (side(0), side(1), size.len()) else { bail!(InvalidArgument, "crop_size is {size:?}") };
        let owner = |i: &i32| usize::try_from(*i).ok().filter(|i| *i < images);
        let owners = owners.iter().map(|i| owner(i).ok_or_else(|| base::error!(InvalidArgument, "batch index {i} of {images} images")));
        let owners: Vec<usize> = owners.collect::<Result<_>>()?;
        let dtype = x.dtype();
        cx.allocate(0, dtype, [count, channels, rows, cols])?;
        let (x, rois, y) = (Floats::of(cx.input(0)?)?, Floats::of(cx.input(1)?)?, FloatsMut::of(cx.output(0)?)?);
        for_rows::<f32>(&mut [], 0, count * channels * rows, 1 + 4096 / cols, &|_, range| {
            let mut line = vec![0f64; cols];
            for i in range {
                let (region, channel, row) = (i / (channels * rows), i / rows % channels, i % rows);
                let roi = |k: usize| rois.get::<f64>(region * 4 + k);
                let down = Axis { from: roi(0), to: roi(2), len: height, count: rows }.at(row);
                let along = Axis { from: roi(1), to: roi(3), len: width, count: cols };
                let start = (owners[region] * channels + channel) * height * width;
                for (col, out) in line.iter_mut().enumerate() {
                    *out = match (down, along.at(col)) {
                        (Some(row), Some(col)) => self.value(&x, start, width, row, col),
                        _ => self.outside.into(),
                    };
                }
                // SAFETY: each row is written by one chunk only.
                unsafe { y.write(i * cols, &line) }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::{Single, assert_close, single};

    fn op(roi: [f32; 4], owner: i32, size: [i32; 2]) -> Single {
        let x: Vec<f32> = (0..9).map(|i| i as f32).collect();
        single(&CROP_AND_RESIZE, 1).input([1, 1, 3, 3], &x).input([1, 4], &roi).input([1], &[owner]).input([2], &size)
    }

    #[test]
    fn corners_are_aligned_and_what_is_outside_has_its_value() {
        let y = op([0.0, 0.25, 1.0, 1.5], 0, [2, 2]).attr("extrapolation_value", -1f32).tensor().unwrap();
        assert_close(&y, &[0.5, -1., 6.5, -1.], 1e-6, 0.);
        assert_close(&op([0.0, 0.0, 1.0, 1.0], 0, [1, 1]).tensor().unwrap(), &[4.], 1e-6, 0.);
        assert_close(&op([0.0, 0.3, 0.0, 0.3], 0, [1, 1]).attr("mode", "nearest").tensor().unwrap(), &[1.], 0., 0.);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        assert!(op([0.; 4], 1, [1, 1]).tensor().unwrap_err().detail().contains("batch index 1"));
        assert!(op([0.; 4], 0, [0, 1]).tensor().unwrap_err().detail().contains("crop_size"));
        assert_close(&op([f32::NAN; 4], 0, [1, 1]).tensor().unwrap(), &[0.], 0., 0.);
    }
}
