//! AffineGrid: the places at which affine maps read images.

use std::marker::PhantomData;

use base::{Result, Shape, bail, ensure};
use ir::{Dim, Dims};
use op::types::FLOATS;
use op::{CpuKernel, Infer, Kernels, Op, OpDef, Prepare, Prepared, Run, TypeSet, since};

use crate::chunks::for_rows;
use crate::floats::{Floats, FloatsMut, is_wide};
use crate::real::Real;

/// AffineGrid of `ai.onnx`.
pub static AFFINE_GRID: OpDef = OpDef {
    name: "AffineGrid",
    versions: &[since(20, "theta:T1, size:T2 -> grid:T1", &[("T1", FLOATS), ("T2", TypeSet::tensors(&[base::DType::I64]))])],
    load: |a| Ok(Box::new(AffineGrid { corners: a.flag("align_corners", false)? })),
    kernels: Kernels::NONE.cpu::<AffineGrid>(),
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct AffineGrid {
    /// Whether -1 and 1 are the centers of the outermost elements, not their borders.
    corners: bool,
}

impl Op for AffineGrid {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dtype = cx.dtype(0)?;
        let theta = cx.dims(0)?;
        let dims: Option<Dims> = match (cx.ints(1), theta) {
            (Some(size), _) => {
                ensure!(matches!(size.len(), 4 | 5), InvalidGraph, "a grid for images of size {size:?}");
                let axes = Dim::from(size.len() - 2);
                Some([size[0].clone()].into_iter().chain(size[2..].iter().cloned()).chain([axes]).collect())
            }
            (None, Some([batch, axes, _])) => {
                let spatial = axes.size().map(|n| cx.ranked(n)).transpose()?;
                spatial.map(|spatial| [batch.clone()].into_iter().chain(spatial).chain([axes.clone()]).collect())
            }
            _ => None,
        };
        cx.tensor(0, dtype, dims);
        Ok(())
    }
}

impl CpuKernel for AffineGrid {
    fn prepare(&self, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        Ok(match is_wide(cx.dtype(0)?) {
            true => Box::new(Kernel::<f64> { op: self.clone(), real: PhantomData }),
            false => Box::new(Kernel::<f32> { op: self.clone(), real: PhantomData }),
        })
    }
}

struct Kernel<A> {
    op: AffineGrid,
    real: PhantomData<A>,
}

impl AffineGrid {
    /// The coordinate of element `i` of `n`.
    fn coordinate(&self, i: usize, n: usize) -> f64 {
        match self.corners {
            true => -1.0 + if n > 1 { 2.0 * i as f64 / (n - 1) as f64 } else { 0.0 },
            false => (2 * i + 1) as f64 / n as f64 - 1.0,
        }
    }
}

impl<A: Real> Prepared for Kernel<A> {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let (dtype, theta_shape) = (cx.input(0)?.dtype(), Shape::from(cx.input(0)?.shape()));
        let size: Option<Shape> = cx.input(1)?.ints()?.iter().map(|d| usize::try_from(*d).ok()).collect();
        let Some(size) = size.filter(|s| matches!(s.len(), 4 | 5)) else {
            bail!(InvalidArgument, "a grid of size {:?}", cx.input(1)?.ints()?)
        };
        let axes = size.len() - 2;
        ensure!(*theta_shape == [size[0], axes, axes + 1], InvalidArgument, "maps of shape {theta_shape} for images of {size}");
        let shape: Shape = [size[0]].into_iter().chain(size[2..].iter().copied()).chain([axes]).collect();
        ensure!(Shape::checked_len(&shape).is_some(), InvalidArgument, "a grid of shape {shape} is too large");
        cx.allocate(0, dtype, shape)?;
        let (theta, y) = (Floats::of(cx.input(0)?)?, FloatsMut::of(cx.output(0)?)?);
        let (spatial, plane) = (&size[2..], size[2..].iter().product::<usize>());
        for_rows::<u8>(&mut [], 0, size[0] * plane, 1024, &|_, range| {
            for i in range {
                let (image, mut rest) = (i / plane, i % plane);
                // The innermost coordinate comes first.
                let mut at = [1.0; 4];
                for (c, n) in spatial.iter().rev().enumerate() {
                    at[c] = self.op.coordinate(rest % n, *n);
                    rest /= n;
                }
                at[axes] = 1.0;
                for row in 0..axes {
                    let first = (image * axes + row) * (axes + 1);
                    let sum: f64 = (0..=axes).map(|c| theta.get::<f64>(first + c) * at[c]).sum();
                    // SAFETY: each place belongs to one chunk.
                    unsafe { y.write(i * axes + row, &[A::of(sum)]) }
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::{assert_close, single};

    #[test]
    fn borders_and_centers() {
        let op = |corners: i64| {
            let op = single(&AFFINE_GRID, 20).attr("align_corners", corners).input([1, 2, 3], &[1f32, 0.0, 0.5, 0.0, 1.0, 0.0]);
            op.input([4], &[1i64, 1, 1, 2]).tensor().unwrap()
        };
        assert_close(&op(0), &[0.0, 0.0, 1.0, 0.0], 1e-6, 1e-6);
        assert_close(&op(1), &[-0.5, -1.0, 1.5, -1.0], 1e-6, 1e-6);
    }

    #[test]
    fn maps_that_do_not_fit_are_refused() {
        assert!(single(&AFFINE_GRID, 20).input([1, 2, 3], &[0f32; 6]).input([5], &[1i64, 1, 1, 2, 2]).tensor().is_err());
    }
}
