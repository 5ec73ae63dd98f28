//! Depthwise convolution in `f32`: each channel by itself, the channels of a block side by side in a vector.

use std::ops::{Range, RangeInclusive};

use base::threads::{self, SharedMut, parallel_for};
use base::{Result, ensure};
use gemm::Activation;
use simd::{Isa, Kernel, Simd, dispatch_on};

use super::problem::{Problem, SPATIAL};
use crate::window::Axis;

/// Positions of a tile.
const POSITIONS: usize = 8;
/// Multiply-adds of vectors that a chunk has at most and at least, about.
const CHUNK: RangeInclusive<usize> = 1 << 14..=1 << 17;
/// Pieces that a plane is cut into at least, if it has the rows.
const PIECES: usize = 8;

/// A depthwise convolution ready to run, channels in blocks on both sides.
pub(super) struct Job<'a> {
    pub(super) problem: &'a Problem,
    pub(super) isa: Isa,
    pub(super) lanes: usize,
    pub(super) x: &'a [f32],
    /// Weights as [`pack`] makes them.
    pub(super) weights: &'a [f32],
    pub(super) bias: Option<&'a [f32]>,
    /// What is added to the result, laid out as it.
    pub(super) addend: Option<&'a [f32]>,
    pub(super) activation: Option<Activation>,
}

/// The number of packed weights of `channels` channels.
pub(super) fn packed_len(channels: usize, taps: usize, lanes: usize) -> usize {
    channels.next_multiple_of(lanes).saturating_mul(taps)
}

/// Packs weights of shape `[channels, taps]`: block by block, tap by tap, those of the block's channels; zeros where there is none.
pub(super) fn pack(weights: &[f32], taps: usize, lanes: usize, packed: &mut [f32]) {
    for (block, packed) in packed.chunks_exact_mut(taps * lanes).enumerate() {
        for (i, w) in packed.iter_mut().enumerate() {
            *w = weights.get((block * lanes + i % lanes) * taps + i / lanes).copied().unwrap_or(0.0);
        }
    }
}

impl Job<'_> {
    /// Computes the convolution into `y`.
    ///
    /// # Errors
    /// `Fail` when a slice has not the length that the problem says, `NotImplemented` for more than three spatial axes.
    pub(super) fn run(&self, y: &mut [f32]) -> Result<()> {
        let p = self.problem;
        let blocks = p.groups.div_ceil(self.lanes);
        let (input, output) = (p.in_plane() * self.lanes, p.out_plane() * self.lanes);
        let lengths = [
            ("input", self.x.len(), p.batch * blocks * input),
            ("output", y.len(), p.batch * blocks * output),
            ("addend", self.addend.map_or(y.len(), <[f32]>::len), y.len()),
            ("bias", self.bias.map_or(p.groups, <[f32]>::len), p.groups),
            ("packed weights", self.weights.len(), packed_len(p.groups, p.taps(), self.lanes)),
        ];
        for (what, have, want) in lengths {
            ensure!(have == want, Fail, "a depthwise convolution with {what} of {have} elements, not {want}");
        }
        let axes = p.spatial()?;
        let rows = axes[0].output * axes[1].output;
        let row = (axes[2].output * p.taps()).max(1);
        // Where channels are few, their neighbours are cut by positions rather than by channels; values stay where they were made.
        let positions_outside = p.out_plane() > p.groups;
        let grain = (CHUNK.end() / row).min(rows.div_ceil(if positions_outside { PIECES } else { 1 })).max(1);
        let (pieces, together) = (rows.div_ceil(grain), (CHUNK.start() / (grain * row)).clamp(1, blocks.max(1)));
        let groups = blocks.div_ceil(together);
        let y = SharedMut::new(y);
        parallel_for(p.batch * pieces * groups, &|chunk| {
            let (image, chunk) = (chunk / (pieces * groups), chunk % (pieces * groups));
            let (piece, group) = if positions_outside { (chunk / groups, chunk % groups) } else { (chunk % pieces, chunk / pieces) };
            let rows = piece * grain..((piece + 1) * grain).min(rows);
            for block in group * together..blocks.min((group + 1) * together) {
                let plane = image * blocks + block;
                dispatch_on(self.isa, Rows { job: self, axes: &axes, plane, block, rows: rows.clone(), y: &y });
            }
        });
        threads::check()
    }
}

/// Output rows of one block of one image.
struct Rows<'a> {
    job: &'a Job<'a>,
    axes: &'a [Axis; SPATIAL],
    /// Counted over images and blocks.
    plane: usize,
    block: usize,
    rows: Range<usize>,
    y: &'a SharedMut<'a, f32>,
}

/// What the neighbouring positions of a tile read.
#[derive(Clone, Copy)]
struct Reach<'a> {
    axes: &'a [Axis; SPATIAL],
    /// The taps along the outer axes that lie in the image: they do for all positions.
    outer: [usize; SPATIAL - 1],
    /// The first element of the line that the first of them reads.
    line: *const f32,
    /// The weights of the first of them.
    weights: *const f32,
    /// Where the first position's first tap reads the line.
    start: isize,
}

/// What taps outside of the image read.
static ZEROS: [f32; simd::MAX_LANES] = [0.0; simd::MAX_LANES];

impl Kernel for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (job, [d, h, w], p) = (self.job, self.axes, self.job.problem);
        let mut bias = [0.0f32; simd::MAX_LANES];
        if let Some(b) = job.bias {
            let channels = self.block * S::LANES..(self.block * S::LANES + S::LANES).min(p.groups);
            bias[..channels.len()].copy_from_slice(&b[channels]);
        }
        let x = job.x[self.plane * p.in_plane() * S::LANES..].as_ptr();
        let weights = job.weights[self.block * p.taps() * S::LANES..].as_ptr();
        let inner = w.positions(0).start.max(w.positions(w.kernel - 1).start)..w.positions(w.kernel - 1).end.min(w.positions(0).end);
        for row in self.rows.clone() {
            let (oz, oy) = (row / h.output, row % h.output);
            let (taps_z, taps_y) = (d.taps(oz), h.taps(oy));
            let at = |a: &Axis, o: usize, tap: usize| a.start(o) + (tap * a.dilation) as isize;
            let empty = taps_z.is_empty() || taps_y.is_empty();
            let line = (at(d, oz, taps_z.start) * h.input as isize + at(h, oy, taps_y.start)) * w.input as isize;
            let reach = Reach {
                axes: self.axes,
                outer: if empty { [0, 0] } else { [taps_z.len(), taps_y.len()] },
                line: x.wrapping_offset(if empty { 0 } else { line * S::LANES as isize }),
                weights: weights.wrapping_add((taps_z.start * h.kernel + taps_y.start) * w.kernel * S::LANES),
                start: 0,
            };
            for ox in (0..w.output).step_by(POSITIONS) {
                let count = POSITIONS.min(w.output - ox);
                let reach = Reach { start: w.start(ox), ..reach };
                let place = (self.plane * p.out_plane() + row * w.output + ox) * S::LANES;
                // SAFETY: the taps lie in the image, `Job::run` checked the lengths, and each row belongs to one chunk.
                unsafe {
                    if inner.start <= ox && ox + POSITIONS <= inner.end {
                        self.tile::<S, true>(s, reach, &bias, place, POSITIONS);
                    } else {
                        self.tile::<S, false>(s, reach, &bias, place, count);
                    }
                }
            }
            self.finish::<S>(row);
        }
    }
}

impl Rows<'_> {
    /// Computes the first `count` of neighbouring positions. If they are `INNER`, there are as many as a tile has, and all their taps lie
    /// in the image.
    ///
    /// # Safety
    /// The taps of inner positions and the lines of all lie in the image, and the result at `place` belongs to this chunk.
    #[inline(always)]
    unsafe fn tile<S: Simd, const INNER: bool>(&self, s: S, reach: Reach<'_>, bias: &[f32; simd::MAX_LANES], place: usize, count: usize) {
        let [d, h, w] = reach.axes;
        // SAFETY: the bias is a whole vector.
        let mut sums = [unsafe { s.load(bias.as_ptr()) }; POSITIONS];
        // From one line that is read to the next.
        let next = h.dilation * w.input * S::LANES;
        for z in 0..reach.outer[0] {
            let line = reach.line.wrapping_add(z * d.dilation * h.input * w.input * S::LANES);
            let weights = reach.weights.wrapping_add(z * h.kernel * w.kernel * S::LANES);
            for x in 0..w.kernel {
                let first = reach.start + (x * w.dilation) as isize;
                let at = |p: usize| first + (p * w.stride) as isize;
                let place = |p: usize| line.wrapping_offset(at(p) * S::LANES as isize);
                let inside = |p: usize| INNER || (at(p) as usize) < w.input;
                let from: [*const f32; POSITIONS] = std::array::from_fn(|p| if inside(p) { place(p) } else { ZEROS.as_ptr() });
                let next: [usize; POSITIONS] = std::array::from_fn(|p| if inside(p) { next } else { 0 });
                for y in 0..reach.outer[1] {
                    // SAFETY: the tap lies in the image for each position, or zeros are read.
                    unsafe {
                        let weight = s.load(weights.add((y * w.kernel + x) * S::LANES));
                        for (p, sum) in sums.iter_mut().enumerate() {
                            *sum = s.fma(s.load(from[p].wrapping_add(y * next[p])), weight, *sum);
                        }
                    }
                }
            }
        }
        let (low, high) = clamp(self.job.activation);
        let (low, high) = (s.splat(low), s.splat(high));
        for (p, &sum) in sums.iter().enumerate().take(if INNER { POSITIONS } else { count }) {
            // SAFETY: the result at `place` is ours, and the addend is laid out as it.
            unsafe {
                let sum = match self.job.addend {
                    Some(z) => s.add(sum, s.load(z.as_ptr().add(place + p * S::LANES))),
                    None => sum,
                };
                s.store(self.y.as_ptr().add(place + p * S::LANES), s.min(high, s.max(low, sum)));
            }
        }
    }

    /// Applies what clamping does not, and keeps the lanes of no channel zero.
    #[inline(always)]
    fn finish<S: Simd>(&self, row: usize) {
        let curve = self.job.activation.filter(|a| !matches!(a, Activation::Relu | Activation::Clip { .. }));
        let last = (self.block + 1) * S::LANES > self.job.problem.groups;
        let pads = last && self.job.activation.is_some_and(|a| !matches!(a, Activation::Relu));
        if curve.is_none() && !pads {
            return;
        }
        let w = self.axes[2].output;
        let start = (self.plane * self.job.problem.out_plane() + row * w) * S::LANES;
        // SAFETY: each row belongs to one chunk.
        let out = unsafe { self.y.part(start..start + w * S::LANES) };
        if let Some(curve) = curve {
            simd::map_in_place(curve, out);
        }
        if pads {
            let rest = self.job.problem.groups % S::LANES;
            out.chunks_exact_mut(S::LANES).for_each(|v| v[rest..].fill(0.0));
        }
    }
}

/// What the activation clamps to.
pub(super) fn clamp(activation: Option<Activation>) -> (f32, f32) {
    match activation {
        Some(Activation::Relu) => (0.0, f32::INFINITY),
        Some(Activation::Clip { low, high }) => (low, high),
        _ => (f32::NEG_INFINITY, f32::INFINITY),
    }
}
