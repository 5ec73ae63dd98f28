//! GridSample: images read at the places of a grid.

use std::marker::PhantomData;

use base::threads::Pace;
use base::{DType, Result, Shape, bail, ensure};
use ir::Dims;
use op::types::{ANY_V1, ANY_V13, FLOATS, FLOATS_V1};
use op::{Attrs, CpuKernel, Infer, Kernels, Op, OpDef, Prepare, Prepared, Run, since};

use crate::chunks::for_rows;
use crate::floats::{Floats, FloatsMut, is_wide};
use crate::real::Real;

const SIGNATURE: &str = "X:T1, grid:T2 -> Y:T1";

/// GridSample of `ai.onnx`.
pub static GRID_SAMPLE: OpDef = OpDef {
    name: "GridSample",
    versions: &[
        since(16, SIGNATURE, &[("T1", ANY_V1), ("T2", FLOATS_V1)]),
        since(20, SIGNATURE, &[("T1", ANY_V1), ("T2", FLOATS_V1)]),
        since(22, SIGNATURE, &[("T1", ANY_V13), ("T2", FLOATS)]),
    ],
    load: |a| Ok(Box::new(load(a)?)),
    kernels: Kernels::NONE.cpu::<GridSample>(),
    ..OpDef::ONNX
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Nearest,
    Linear,
    Cubic,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Padding {
    Zeros,
    Border,
    Reflection,
}

#[derive(Clone, Debug)]
struct GridSample {
    mode: Mode,
    padding: Padding,
    corners: bool,
}

fn load(a: &Attrs<'_>) -> Result<GridSample> {
    let mode = match a.string("mode", if a.since() < 20 { "bilinear" } else { "linear" })? {
        "nearest" => Mode::Nearest,
        "linear" | "bilinear" => Mode::Linear,
        "cubic" | "bicubic" => Mode::Cubic,
        other => bail!(InvalidGraph, "attribute 'mode' is '{other}'"),
    };
    let padding = match a.string("padding_mode", "zeros")? {
        "zeros" => Padding::Zeros,
        "border" => Padding::Border,
        "reflection" => Padding::Reflection,
        other => bail!(InvalidGraph, "attribute 'padding_mode' is '{other}'"),
    };
    Ok(GridSample { mode, padding, corners: a.flag("align_corners", false)? })
}

impl Op for GridSample {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dtype = cx.dtype(0)?;
        let dims: Option<Dims> = match (cx.dims(0)?, cx.dims(1)?) {
            (Some(x), Some(grid)) => {
                let fits = x.len() > 2 && grid.len() == x.len() && grid[grid.len() - 1].size().is_none_or(|n| n + 2 == x.len());
                ensure!(fits, InvalidGraph, "a grid of shape {grid:?} for images of shape {x:?}");
                Some(x[..2].iter().cloned().chain(grid[1..grid.len() - 1].iter().cloned()).collect())
            }
            _ => None,
        };
        cx.tensor(0, dtype, dims);
        Ok(())
    }
}

impl CpuKernel for GridSample {
    fn prepare(&self, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        Ok(match cx.dtype(0)? {
            dtype if is_wide(dtype) => Box::new(Kernel::<f64> { op: self.clone(), real: PhantomData }),
            DType::F32 | DType::F16 | DType::BF16 => Box::new(Kernel::<f32> { op: self.clone(), real: PhantomData }),
            other => return Err(cx.no_kernel(other)),
        })
    }
}

struct Kernel<A> {
    op: GridSample,
    real: PhantomData<A>,
}

impl GridSample {
    /// Elements along one axis that a place is made of.
    fn taps(&self) -> usize {
        match self.mode {
            Mode::Nearest => 1,
            Mode::Linear => 2,
            Mode::Cubic => 4,
        }
    }

    /// Between which coordinates an axis of `n` elements lies.
    fn borders(&self, n: usize) -> (f64, f64) {
        if self.corners { (0.0, n as f64 - 1.0) } else { (-0.5, n as f64 - 0.5) }
    }

    /// The element that stands at coordinate `i`, if any does.
    fn element(&self, i: f64, n: usize) -> Option<usize> {
        let last = n as f64 - 1.0;
        if (0.0..=last).contains(&i) {
            return Some(i as usize);
        }
        let (low, high) = self.borders(n);
        match self.padding {
            Padding::Zeros => None,
            Padding::Border => Some(i.clamp(0.0, last) as usize),
            Padding::Reflection => Some(reflect(i, low, high).clamp(0.0, last) as usize),
        }
    }

    /// The elements and weights that grid coordinate `g` of an axis of `n` elements is made of.
    fn weigh(&self, g: f64, n: usize, to: &mut [(Option<usize>, f64)]) {
        let size = n as f64;
        let mut x = if self.corners { (g + 1.0) / 2.0 * (size - 1.0) } else { ((g + 1.0) * size - 1.0) / 2.0 };
        let (low, high) = self.borders(n);
        if self.mode == Mode::Nearest {
            x = x.round_ties_even();
        }
        if x < low || x > high {
            x = match self.padding {
                Padding::Zeros => x,
                Padding::Border => x.clamp(0.0, size - 1.0),
                Padding::Reflection => reflect(x, low, high),
            };
        }
        let (base, ratio) = (x.floor(), x - x.floor());
        match self.mode {
            Mode::Nearest => to[0] = (self.element(x.round_ties_even(), n), 1.0),
            Mode::Linear => {
                to[0] = (self.element(base, n), 1.0 - ratio);
                to[1] = (self.element(base + 1.0, n), ratio);
            }
            Mode::Cubic => {
                for (i, to) in to.iter_mut().enumerate() {
                    let distance = (i as f64 - 1.0 - ratio).abs();
                    *to = (self.element(base + i as f64 - 1.0, n), cubic(distance));
                }
            }
        }
    }
}

/// `x` reflected by the borders until it lies between them.
fn reflect(x: f64, low: f64, high: f64) -> f64 {
    let range = high - low;
    let (distance, from_low) = if x < low {
        (low - x, true)
    } else if x > high {
        (x - high, false)
    } else {
        return x;
    };
    if range <= 0.0 {
        return low;
    }
    let turns = (distance / range).floor();
    let rest = distance - turns * range;
    // An even number of turns ends at the border where they began.
    if (turns % 2.0 == 0.0) == from_low { low + rest } else { high - rest }
}

/// The cubic kernel with coefficient -0.75 at distance `d`.
fn cubic(d: f64) -> f64 {
    const A: f64 = -0.75;
    if d <= 1.0 {
        ((A + 2.0) * d - (A + 3.0)) * d * d + 1.0
    } else if d < 2.0 {
        ((A * d - 5.0 * A) * d + 8.0 * A) * d - 4.0 * A
    } else {
        0.0
    }
}

/// The most axes that a grid may have.
const AXES: usize = 6;

impl<A: Real> Kernel<A> {
    /// The elements and weights that place `place` of an image is made of: offsets in a channel.
    fn gather(&self, grid: Floats<'_>, place: usize, spatial: &[usize], to: &mut [(usize, A)]) -> usize {
        let axes = spatial.len();
        to[0] = (0, A::one());
        let mut count = 1;
        for (axis, &n) in spatial.iter().enumerate() {
            // The grid names the innermost axis first.
            let mut taps = [(None, 0.0); 4];
            let taps = &mut taps[..self.op.taps()];
            self.op.weigh(grid.get(place * axes + axes - 1 - axis), n, taps);
            let inside: smallvec::SmallVec<[(usize, f64); 4]> = taps.iter().filter_map(|(e, w)| e.map(|e| (e, *w))).collect();
            // From the last on, so that what is read is not yet overwritten.
            for t in (0..inside.len()).rev() {
                for i in (0..count).rev() {
                    let (offset, weight) = to[i];
                    to[t * count + i] = (offset * n + inside[t].0, weight * A::of(inside[t].1));
                }
            }
            count *= inside.len();
        }
        count
    }
}

impl<A: Real> Prepared for Kernel<A> {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let (dtype, x_shape) = (cx.input(0)?.dtype(), Shape::from(cx.input(0)?.shape()));
        let grid_shape = Shape::from(cx.input(1)?.shape());
        let axes = x_shape.len().saturating_sub(2);
        let fits = (1..=AXES).contains(&axes) && grid_shape.len() == x_shape.len() && grid_shape[axes + 1] == axes;
        ensure!(fits && grid_shape[0] == x_shape[0], InvalidArgument, "a grid of shape {grid_shape} for images of shape {x_shape}");
        let output: Shape = x_shape[..2].iter().copied().chain(grid_shape[1..=axes].iter().copied()).collect();
        cx.allocate(0, dtype, output)?;
        let (x, grid, y) = (Floats::of(cx.input(0)?)?, Floats::of(cx.input(1)?)?, FloatsMut::of(cx.output(0)?)?);
        let (channels, spatial) = (x_shape[1], &x_shape[2..]);
        let (plane, places): (usize, usize) = (spatial.iter().product(), grid_shape[1..=axes].iter().product());
        ensure!(y.len() == x_shape[0] * channels * places, Fail, "the output has {} elements", y.len());
        let most = self.op.taps().pow(axes as u32);
        for_rows::<u8>(&mut [], 0, x_shape[0] * places, 256, &|_, range| {
            // Up to three axes of cubic taps need no memory of their own.
            let mut list: smallvec::SmallVec<[(usize, A); 64]> = smallvec::SmallVec::from_elem((0, A::zero()), most);
            let pace = Pace::default();
            for i in range {
                let (image, place) = (i / places, i % places);
                let count = if plane == 0 { 0 } else { self.gather(grid, i, spatial, &mut list) };
                for c in 0..channels {
                    pace.spend(4 * count + 4);
                    let start = (image * channels + c) * plane;
                    let sum: A = list[..count].iter().map(|(offset, weight)| x.get::<A>(start + offset) * *weight).sum();
                    // SAFETY: each place belongs to one chunk.
                    unsafe { y.write((image * channels + c) * places + place, &[sum]) }
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
    fn reflection_turns_back() {
        for (x, want) in [(-1.0, 1.0), (5.0, 3.0), (8.0, 0.0), (9.0, 1.0), (-5.0, 3.0), (2.5, 2.5)] {
            assert_eq!(reflect(x, 0.0, 4.0), want, "{x}");
        }
    }

    #[test]
    fn between_and_beyond() {
        let x = [0f32, 1.0, 2.0, 3.0];
        let op = |padding: &str, grid: &[f32]| {
            let op = single(&GRID_SAMPLE, 20).attr("align_corners", 1i64).attr("padding_mode", padding).input([1, 1, 2, 2], &x);
            op.input([1, 1, grid.len() / 2, 2], grid).tensor().unwrap()
        };
        assert_close(&op("zeros", &[0.0, 0.0, -1.0, -1.0, 3.0, 0.0]), &[1.5, 0.0, 0.0], 1e-6, 0.0);
        assert_close(&op("border", &[3.0, -1.0, -9.0, 9.0]), &[1.0, 2.0], 1e-6, 0.0);
        assert_close(&op("reflection", &[3.0, -1.0]), &[0.0], 1e-6, 0.0);
    }

    #[test]
    fn a_grid_that_does_not_fit_is_refused() {
        assert!(single(&GRID_SAMPLE, 20).input([1, 1, 2, 2], &[0f32; 4]).input([1, 1, 1, 3], &[0f32; 3]).tensor().is_err());
    }
}
