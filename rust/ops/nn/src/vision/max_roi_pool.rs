//! MaxRoiPool: the greatest elements in the cells of regions of images.

use std::marker::PhantomData;

use base::threads::Pace;
use base::{Result, Shape, bail, ensure};
use ir::{Dim, Dims};
use op::types::{FLOATS, FLOATS_V1};
use op::{CpuKernel, Infer, Kernels, Op, OpDef, Prepare, Prepared, Run, since};

use crate::chunks::for_rows;
use crate::floats::{Floats, FloatsMut, is_wide};
use crate::real::Real;

/// MaxRoiPool of `ai.onnx`.
pub static MAX_ROI_POOL: OpDef = OpDef {
    name: "MaxRoiPool",
    versions: &[since(1, "X:T, rois:T -> Y:T", &[("T", FLOATS_V1)]), since(22, "X:T, rois:T -> Y:T", &[("T", FLOATS)])],
    load: |a| match crate::window::sizes(a, "pooled_shape", 1)?.as_deref() {
        Some([height, width]) => Ok(Box::new(MaxRoiPool { pooled: [*height, *width], scale: a.float("spatial_scale", 1.0)? })),
        other => bail!(InvalidGraph, "attribute 'pooled_shape' is {other:?}"),
    },
    kernels: Kernels::NONE.cpu::<MaxRoiPool>(),
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct MaxRoiPool {
    pooled: [usize; 2],
    scale: f32,
}

impl Op for MaxRoiPool {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dtype = cx.dtype(0)?;
        let dims: Option<Dims> = match (cx.dims(0)?, cx.dims(1)?) {
            (Some(x), Some(rois)) => {
                let fits = x.len() == 4 && rois.len() == 2 && rois[1].known().is_none_or(|n| n == 5);
                ensure!(fits, InvalidGraph, "regions of shape {rois:?} for images of shape {x:?}");
                Some([rois[0].clone(), x[1].clone(), Dim::from(self.pooled[0]), Dim::from(self.pooled[1])].into_iter().collect())
            }
            _ => None,
        };
        cx.tensor(0, dtype, dims);
        Ok(())
    }
}

impl CpuKernel for MaxRoiPool {
    fn prepare(&self, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        Ok(match is_wide(cx.dtype(0)?) {
            true => Box::new(Kernel::<f64> { op: self.clone(), real: PhantomData }),
            false => Box::new(Kernel::<f32> { op: self.clone(), real: PhantomData }),
        })
    }
}

struct Kernel<A> {
    op: MaxRoiPool,
    real: PhantomData<A>,
}

/// The elements of cell `i` of `cells` along an axis of `n` elements, of a region from `start` to `end`.
fn cell<A: Real>(start: A, end: A, i: usize, cells: usize, n: usize) -> std::ops::Range<usize> {
    let size = (end - start + A::one()).max(A::one()) / A::of(cells as f64);
    let clamp = |v: A| (v + start).f64().clamp(0.0, n as f64) as usize;
    clamp((A::of(i as f64) * size).floor())..clamp((A::of((i + 1) as f64) * size).ceil())
}

impl<A: Real> Prepared for Kernel<A> {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let (dtype, x_shape, rois_shape) = (cx.input(0)?.dtype(), Shape::from(cx.input(0)?.shape()), Shape::from(cx.input(1)?.shape()));
        let fits = x_shape.len() == 4 && rois_shape.len() == 2 && rois_shape[1] == 5;
        ensure!(fits, InvalidArgument, "regions of shape {rois_shape} for images of shape {x_shape}");
        let [rows, cols] = self.op.pooled;
        let (regions, channels, height, width) = (rois_shape[0], x_shape[1], x_shape[2], x_shape[3]);
        cx.allocate(0, dtype, [regions, channels, rows, cols])?;
        let (x, rois, y) = (Floats::of(cx.input(0)?)?, Floats::of(cx.input(1)?)?, FloatsMut::of(cx.output(0)?)?);
        for r in 0..regions {
            let image = rois.get::<f64>(r * 5);
            ensure!(image >= 0.0 && image < x_shape[0] as f64, InvalidArgument, "region {r} is of image {image} of {}", x_shape[0]);
        }
        for_rows::<u8>(&mut [], 0, regions * channels, 1, &|_, range| {
            for i in range {
                let (r, c) = (i / channels, i % channels);
                let corner = |k: usize| (rois.get::<A>(r * 5 + k) * A::of(self.op.scale.into())).round();
                let pace = Pace::default();
                let plane = (rois.get::<f64>(r * 5) as usize * channels + c) * height * width;
                for (py, px) in (0..rows).flat_map(|py| (0..cols).map(move |px| (py, px))) {
                    let (ys, xs) = (cell(corner(2), corner(4), py, rows, height), cell(corner(1), corner(3), px, cols, width));
                    // A cell of no element is 0.
                    let mut best = if ys.is_empty() || xs.is_empty() { A::zero() } else { A::neg_infinity() };
                    for at in ys.flat_map(|y| xs.clone().map(move |x| y * width + x)) {
                        pace.spend(2);
                        let v = x.get::<A>(plane + at);
                        best = if v > best || v.is_nan() { v } else { best };
                    }
                    // SAFETY: each region's channel belongs to one chunk.
                    unsafe { y.write((i * rows + py) * cols + px, &[best]) }
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::single;

    #[test]
    fn cells_of_a_region() {
        let x: Vec<f32> = (0..16).map(|i| i as f32).collect();
        let op = single(&MAX_ROI_POOL, 1).attr("pooled_shape", vec![2i64, 2]).input([1, 1, 4, 4], &x);
        let y = op.input([2, 5], &[0f32, 0.0, 0.0, 3.0, 3.0, 0.0, 1.0, 1.0, 2.0, 2.0]).tensor().unwrap();
        assert_eq!(y.slice::<f32>().unwrap(), [5.0, 7.0, 13.0, 15.0, 5.0, 6.0, 9.0, 10.0]);
    }

    #[test]
    fn an_image_that_is_none_is_refused() {
        let op = single(&MAX_ROI_POOL, 1).attr("pooled_shape", vec![1i64, 1]).input([1, 1, 1, 1], &[0f32]);
        assert!(op.input([1, 5], &[1f32, 0.0, 0.0, 1.0, 1.0]).tensor().is_err());
    }
}
