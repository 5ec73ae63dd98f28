//! Where the results of a tile go, and what is done to them on the way.

use base::{Result, ensure};
use gemm::Activation;
use simd::{Isa, Kernel, Simd};

use super::depthwise::clamp;
use super::pack::{ChannelTile, Packing};
use super::problem::{Channels, Problem};
use super::tile::{self, End, MAX_BLOCKS, MAX_POSITIONS, Tiles};

/// A convolution ready to run, by tiles of positions and output channels.
pub(super) struct Job<'a> {
    pub(super) problem: &'a Problem,
    pub(super) packing: &'a Packing,
    pub(super) isa: Isa,
    pub(super) x: &'a [f32],
    /// Packed weights.
    pub(super) weights: &'a [f32],
    pub(super) bias: Option<&'a [f32]>,
    /// What is added to the result, laid out as it.
    pub(super) addend: Option<&'a [f32]>,
    pub(super) activation: Option<Activation>,
    pub(super) output: Channels,
}

/// How many stored elements `channels` channels of `plane` elements take.
fn stored(layout: Channels, channels: usize, plane: usize, lanes: usize) -> usize {
    match layout {
        Channels::Dense => channels * plane,
        Channels::Blocked => channels.next_multiple_of(lanes) * plane,
    }
}

impl Job<'_> {
    /// Checks that every slice has the length that the problem says; gives the stored elements of one image of input and output.
    ///
    /// # Errors
    /// `Fail` when one has not.
    pub(super) fn check(&self, y: &[f32]) -> Result<[usize; 2]> {
        let (p, lanes) = (self.problem, self.packing.lanes);
        let (ic, oc) = (p.groups * p.ic, p.groups * p.oc);
        let (input, output) = (stored(self.packing.layout, ic, p.in_plane(), lanes), stored(self.output, oc, p.out_plane(), lanes));
        let lengths = [
            ("input", self.x.len(), p.batch * input),
            ("output", y.len(), p.batch * output),
            ("addend", self.addend.map_or(p.batch * output, <[f32]>::len), p.batch * output),
            ("bias", self.bias.map_or(oc, <[f32]>::len), oc),
            ("packed weights", self.weights.len().min(self.packing.len()), self.packing.len()),
        ];
        for (what, have, want) in lengths {
            ensure!(have == want, Fail, "a convolution with {what} of {have} elements, not {want}");
        }
        ensure!(lanes == tile::lanes(self.isa), Fail, "weights packed for {lanes} lanes");
        Ok([input, output])
    }
}

/// The bias of the channels of a tile.
pub(super) type Bias = [f32; MAX_BLOCKS * simd::MAX_LANES];

/// Memory for a tile that is not written where it belongs at once.
pub(super) type Room = [f32; MAX_BLOCKS * MAX_POSITIONS * simd::MAX_LANES];

/// The results of one channel tile in one image.
pub(super) struct Target<'a> {
    job: &'a Job<'a>,
    tile: ChannelTile,
    /// Output positions of an image.
    positions: usize,
    /// The image's output and addend; the latter may be null.
    y: *mut f32,
    addend: *const f32,
}

impl<'a> Target<'a> {
    /// The results of channel tile `tile` in image number `image`, whose output has `size` stored elements from `y` on.
    pub(super) fn new(job: &'a Job<'a>, tile: ChannelTile, image: usize, size: usize, y: *mut f32) -> Self {
        let addend = job.addend.map_or(std::ptr::null(), |z| z[image * size..].as_ptr());
        Self { job, tile, positions: job.problem.out_plane(), y: y.wrapping_add(image * size), addend }
    }

    /// The channel tile.
    pub(super) fn tile(&self) -> ChannelTile {
        self.tile
    }

    /// The bias of the tile's channels, zero where there is none.
    pub(super) fn bias(&self) -> Bias {
        let mut bias = [0.0; MAX_BLOCKS * simd::MAX_LANES];
        if let Some(b) = self.job.bias {
            bias[..self.tile.count].copy_from_slice(&b[self.channel()..self.channel() + self.tile.count]);
        }
        bias
    }

    /// Whether the tile's vectors are blocks of the output: groups that do not begin with a block share some with others.
    fn is_whole(&self) -> bool {
        let (p, lanes) = (self.job.problem, self.job.packing.lanes);
        let end = self.channel() + self.tile.count;
        self.job.output == Channels::Blocked
            && self.channel().is_multiple_of(lanes)
            && (end.is_multiple_of(lanes) || end == p.groups * p.oc)
    }

    /// The first output channel of the tile.
    fn channel(&self) -> usize {
        self.tile.group * self.job.problem.oc + self.tile.first
    }

    /// How a tile of the positions from `start` on ends: in the output, or in `room`.
    pub(super) fn end<S: Tiles>(&self, _: S, start: usize, room: &mut Room) -> End {
        if !self.is_whole() {
            let clamp = if self.addend.is_null() { self.clamp() } else { (f32::NEG_INFINITY, f32::INFINITY) };
            return End { out: room.as_mut_ptr(), out_block: MAX_POSITIONS * S::LANES, addend: std::ptr::null(), clamp };
        }
        let first = (self.channel() / S::LANES * self.positions + start) * S::LANES;
        let addend = if self.addend.is_null() { self.addend } else { self.addend.wrapping_add(first) };
        End { out: self.y.wrapping_add(first), out_block: self.positions * S::LANES, addend, clamp: self.clamp() }
    }

    /// Does what is left to do for `count` positions from `start` on, whose tile ended as [`Self::end`] said.
    ///
    /// # Safety
    /// Nobody else uses the tile's places of the output.
    pub(super) unsafe fn finish<S: Tiles>(&self, s: S, start: usize, count: usize, room: &Room) {
        // SAFETY: as the caller says.
        unsafe {
            match (self.is_whole(), self.job.output) {
                (true, _) => self.finish_whole(s, start, count),
                (false, Channels::Dense) => s.vectorize(Untangle { target: self, buffer: room, start, count }),
                (false, Channels::Blocked) => self.scatter(s, room, start, count),
            }
        }
    }

    fn clamp(&self) -> (f32, f32) {
        clamp(self.job.activation)
    }

    /// The activation, if clamping is not all of it.
    fn curve(&self) -> Option<Activation> {
        self.job.activation.filter(|a| !matches!(a, Activation::Relu | Activation::Clip { .. }))
    }

    /// Applies what clamping does not, and keeps the lanes of no channel zero.
    ///
    /// # Safety
    /// Nobody else uses the tile's places of the output.
    unsafe fn finish_whole<S: Tiles>(&self, _: S, start: usize, count: usize) {
        let curve = self.curve();
        let rest = self.tile.count % S::LANES;
        let pads = rest != 0 && self.job.activation.is_some_and(|a| !matches!(a, Activation::Relu));
        if curve.is_none() && !pads {
            return;
        }
        for block in 0..self.tile.blocks {
            let first = ((self.channel() / S::LANES + block) * self.positions + start) * S::LANES;
            // SAFETY: as the caller says.
            let out = unsafe { std::slice::from_raw_parts_mut(self.y.add(first), count * S::LANES) };
            if let Some(curve) = curve {
                simd::map_in_place(curve, out);
            }
            if pads && block + 1 == self.tile.blocks {
                out.chunks_exact_mut(S::LANES).for_each(|v| v[rest..].fill(0.0));
            }
        }
    }

    /// Puts the tile's channels among those of other groups.
    ///
    /// # Safety
    /// Nobody else uses the tile's places of the output.
    unsafe fn scatter<S: Tiles>(&self, _: S, buffer: &[f32], start: usize, count: usize) {
        let channels = self.job.problem.groups * self.job.problem.oc;
        if self.channel() + self.tile.count == channels {
            // The last tile keeps the lanes of no channel zero.
            for (c, p) in (channels..channels.next_multiple_of(S::LANES)).flat_map(|c| (0..count).map(move |p| (c, p))) {
                let at = (c / S::LANES * self.positions + start + p) * S::LANES + c % S::LANES;
                // SAFETY: as the caller says.
                unsafe { self.y.add(at).write(0.0) };
            }
        }
        for c in 0..self.tile.count {
            let to = self.channel() + c;
            let at = (to / S::LANES * self.positions + start) * S::LANES + to % S::LANES;
            let from = c / S::LANES * MAX_POSITIONS * S::LANES + c % S::LANES;
            let mut row = [0.0; MAX_POSITIONS];
            for (p, value) in row[..count].iter_mut().enumerate() {
                // SAFETY: the addend is laid out as the output.
                let more = if self.addend.is_null() { 0.0 } else { unsafe { *self.addend.add(at + p * S::LANES) } };
                *value = buffer[from + p * S::LANES] + more;
            }
            self.activate(&mut row[..count]);
            for (p, value) in row[..count].iter().enumerate() {
                // SAFETY: as the caller says.
                unsafe { self.y.add(at + p * S::LANES).write(*value) };
            }
        }
    }

    /// The whole activation, where none was applied in registers.
    fn activate(&self, row: &mut [f32]) {
        match self.curve() {
            Some(curve) => simd::map_in_place(curve, row),
            None if !self.addend.is_null() => {
                let (low, high) = self.clamp();
                row.iter_mut().for_each(|v| {
                    *v = if *v < low {
                        low
                    } else if *v > high {
                        high
                    } else {
                        *v
                    }
                });
            }
            None => {}
        }
    }
}

/// Turns a tile into rows of the dense output.
struct Untangle<'a> {
    target: &'a Target<'a>,
    buffer: &'a [f32],
    start: usize,
    count: usize,
}

impl Kernel for Untangle<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (target, count) = (self.target, self.count);
        let mut turned = [0.0f32; simd::MAX_LANES * simd::MAX_LANES];
        for c in 0..target.tile.count {
            if c % S::LANES == 0 {
                // SAFETY: the buffer holds a tile, whose rows are vectors; the turned one has as many values.
                unsafe {
                    let from = self.buffer.as_ptr().add(c * MAX_POSITIONS);
                    s.transpose(from, S::LANES, count, turned.as_mut_ptr(), S::LANES);
                }
            }
            let at = (target.channel() + c) * target.positions + self.start;
            let row = &mut turned[c % S::LANES * S::LANES..][..count];
            if !target.addend.is_null() {
                // SAFETY: the addend is laid out as the output.
                let more = unsafe { std::slice::from_raw_parts(target.addend.add(at), count) };
                row.iter_mut().zip(more).for_each(|(v, z)| *v += z);
            }
            if target.curve().is_some() || !target.addend.is_null() {
                target.activate(row);
            }
            // SAFETY: the places belong to this tile alone.
            unsafe { std::ptr::copy_nonoverlapping(row.as_ptr(), target.y.add(at), count) };
        }
    }
}
