//! MaxPool with the places of the greatest elements.

use base::threads::{Pace, SharedMut};
use base::{DType, Result, Shape, ensure};
use op::{Prepare, Prepared, Run};

use super::rows::{Source, Target};
use super::side_by_side;
use super::window::Pool;
use crate::chunks::for_rows;
use crate::floats::is_wide;
use crate::real::Real;
use crate::window::{Axes, Axis, output_shape};

/// The kernel for the type at hand.
pub(super) fn prepare(op: &Pool, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
    Ok(Box::new(PlacesKernel { op: op.clone(), wide: is_wide(cx.dtype(0)?) }))
}

struct PlacesKernel {
    op: Pool,
    wide: bool,
}

/// One channel of one image.
struct Channel<'a, 'b> {
    axes: &'a Axes,
    x: Source<'b>,
    /// Where its elements lie among the stored ones: the first, and the distance of neighbours.
    start: usize,
    step: usize,
}

impl Channel<'_, '_> {
    /// The greatest element of the window at `position`, and where it lies in the channel. The first of equal ones is taken; a window
    /// of nothing but padding gives minus infinity at 0.
    fn greatest<A: Real>(&self, position: usize) -> (A, usize) {
        let mut best = (A::neg_infinity(), 0);
        let mut found = false;
        self.walk(self.axes, position, self.axes.iter().map(|a| a.output).product(), 0, &mut |place| {
            let x = self.x.get::<A>(self.start + place * self.step);
            if !found || x > best.0 || (x.is_nan() && !best.0.is_nan()) {
                (best, found) = ((x, place), true);
            }
        });
        best
    }

    fn walk(&self, axes: &[Axis], position: usize, below: usize, base: usize, f: &mut dyn FnMut(usize)) {
        let Some((axis, rest)) = axes.split_first() else { return f(base) };
        let below = below / axis.output;
        let at = axis.start(position / below);
        for tap in axis.taps(position / below) {
            let place = (at + (tap * axis.dilation) as isize) as usize;
            self.walk(rest, position % below, below, base * axis.input + place, f);
        }
    }
}

/// The place in a channel counted along columns first.
fn turned(axes: &Axes, mut place: usize) -> usize {
    let mut coordinates: Shape = axes.iter().map(|_| 0).collect();
    for (i, a) in axes.iter().enumerate().rev() {
        coordinates.dims_mut()[i] = place % a.input;
        place /= a.input;
    }
    axes.iter().zip(coordinates.iter()).rev().fold(0, |sum, (a, c)| sum * a.input + c)
}

impl PlacesKernel {
    fn pool<A: Real>(&self, cx: &Run<'_>, shape: &[usize], axes: &Axes) -> Result<()> {
        let dtype = cx.input(0)?.dtype();
        let lanes = side_by_side(cx.input(0)?.layout(), dtype)?;
        let (x, y, places) = (cx.input(0)?, cx.output(0)?, cx.output(1)?);
        ensure!(side_by_side(y.layout(), dtype)? == lanes || y.is_empty(), Fail, "input {:?}, output {:?}", x.layout(), y.layout());
        let (x, y) = (Source::of(x)?, Target::of(y)?);
        let places = SharedMut::new(places.slice::<i64>()?);
        let (input, output): (usize, usize) = (axes.iter().map(|a| a.input).product(), axes.iter().map(|a| a.output).product());
        let (channels, blocks) = (shape[1], shape[1].div_ceil(lanes));
        let want = (shape[0] * blocks * lanes * input, shape[0] * blocks * lanes * output, shape[0] * channels * output);
        ensure!((x.len(), y.len(), places.len()) == want, Fail, "a pooling of {} elements, not {want:?}", x.len());
        let taps: usize = axes.iter().map(|a| a.kernel).product();
        for_rows::<f32>(&mut [], 0, shape[0] * blocks * lanes, 1, &|_, range| {
            let pace = Pace::default();
            for row in range {
                // Lanes of one block follow each other: a row is a channel, or padding.
                let (image, c) = (row / (blocks * lanes), row % (blocks * lanes));
                let first = (image * blocks + c / lanes) * lanes;
                let channel = Channel { axes, x, start: first * input + c % lanes, step: lanes };
                for o in 0..output {
                    pace.spend(8 * taps + 16);
                    let (value, place) = if c < channels { channel.greatest::<A>(o) } else { (A::zero(), 0) };
                    // SAFETY: each channel belongs to one chunk, and so do the places of its results.
                    unsafe {
                        y.write(first * output + c % lanes + o * lanes, &[value]);
                        if c < channels {
                            let place = if self.op.column_major { turned(axes, place) } else { place };
                            let at = (image * channels + c) * output + o;
                            places.part(at..at + 1)[0] = ((image * channels + c) * input + place) as i64;
                        }
                    }
                }
            }
        })
    }
}

impl Prepared for PlacesKernel {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let (dtype, shape) = (cx.input(0)?.dtype(), Shape::from(cx.input(0)?.shape()));
        ensure!(shape.len() == self.op.kernel.len() + 2, InvalidArgument, "a window over shape {shape}");
        let axes = self.op.window.axes(&shape[2..], &self.op.kernel)?;
        let output: Shape = shape[..2].iter().copied().chain(output_shape(&axes).iter().copied()).collect();
        cx.allocate(0, dtype, output.clone())?;
        cx.allocate(1, DType::I64, output)?;
        if self.wide { self.pool::<f64>(cx, &shape, &axes) } else { self.pool::<f32>(cx, &shape, &axes) }
    }
}
