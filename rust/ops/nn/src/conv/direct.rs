//! Direct convolution in `f32`: tiles of positions and output channels, for channels that lie dense or in blocks on either side.

use base::threads::{self, SharedMut, parallel_for};
use base::{Result, ensure};
use gemm::Activation;
use simd::{Isa, Kernel, Simd};

use super::depthwise::clamp;
use super::pack::{ChannelTile, Packing};
use super::problem::{Channels, Problem, SPATIAL};
use super::tile::{self, MAX_BLOCKS, MAX_POSITIONS, Tap, TileArgs, Tiles, Visit};
use crate::window::Axis;

/// Multiply-adds that a chunk has, about: some tenths of a millisecond.
const CHUNK: usize = 8 << 20;
/// Taps that a tile is handed at a time.
const TAPS: usize = 32;

/// A convolution ready to run.
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

/// What the padding reads.
static ZEROS: [f32; 16] = [0.0; 16];

/// How many stored elements `channels` channels of `plane` elements take.
fn stored(layout: Channels, channels: usize, plane: usize, lanes: usize) -> usize {
    match layout {
        Channels::Dense => channels * plane,
        Channels::Blocked => channels.next_multiple_of(lanes) * plane,
    }
}

impl Job<'_> {
    /// Computes the convolution into `y`.
    ///
    /// # Errors
    /// `Fail` when a slice has not the length that the problem says, `NotImplemented` for more than three spatial axes.
    pub(super) fn run(&self, y: &mut [f32]) -> Result<()> {
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
        if y.is_empty() {
            return Ok(());
        }
        let plan = Plan::new(self, p.spatial()?, [input, output]);
        let y = SharedMut::new(y);
        parallel_for(plan.chunks(), &|chunk| tile::visit(self.isa, Chunk { job: self, plan: &plan, chunk, y: &y }));
        threads::check()
    }
}

/// How the work is cut into chunks.
struct Plan {
    axes: [Axis; SPATIAL],
    /// Stored elements of one image of input and output.
    image: [usize; 2],
    /// Output positions of an image, and of a chunk.
    positions: usize,
    grain: usize,
    tiles: usize,
    batch: usize,
    /// Whether all channel tiles are made at some positions before the next positions.
    positions_outside: bool,
    /// Whether each position reads just the element at its place.
    pointwise: bool,
}

impl Plan {
    fn new(job: &Job<'_>, axes: [Axis; SPATIAL], image: [usize; 2]) -> Self {
        let p = job.problem;
        let positions = p.out_plane();
        let per_position = p.ic * p.taps() * job.packing.lanes * MAX_BLOCKS;
        let grain = (CHUNK / per_position.max(1)).next_multiple_of(MAX_POSITIONS).max(4 * MAX_POSITIONS);
        let pieces = positions.div_ceil(grain).max(1);
        // The larger of input and weights is read once, the other again and again.
        let positions_outside = image[0] > job.packing.len();
        let pointwise = axes.iter().all(|a| (a.kernel, a.stride, a.before) == (1, 1, 0) && a.input == a.output);
        let (grain, tiles, batch) = (positions.div_ceil(pieces), job.packing.tiles(), p.batch);
        Self { axes, image, positions, grain, tiles, batch, positions_outside, pointwise }
    }

    fn pieces(&self) -> usize {
        self.positions.div_ceil(self.grain)
    }

    fn chunks(&self) -> usize {
        self.batch * self.tiles * self.pieces()
    }

    /// Image, channel tile and positions of a chunk.
    fn chunk(&self, i: usize) -> (usize, usize, std::ops::Range<usize>) {
        let (image, rest) = (i / (self.tiles * self.pieces()), i % (self.tiles * self.pieces()));
        let (tile, piece) =
            if self.positions_outside { (rest % self.tiles, rest / self.tiles) } else { (rest / self.pieces(), rest % self.pieces()) };
        (image, tile, piece * self.grain..((piece + 1) * self.grain).min(self.positions))
    }
}

struct Chunk<'a> {
    job: &'a Job<'a>,
    plan: &'a Plan,
    chunk: usize,
    y: &'a SharedMut<'a, f32>,
}

impl Visit for Chunk<'_> {
    type Output = ();

    fn visit<S: Tiles>(self, s: S) {
        let (image, tile, positions) = self.plan.chunk(self.chunk);
        let work = Work {
            job: self.job,
            plan: self.plan,
            tile: self.job.packing.tile(tile),
            x: self.job.x[image * self.plan.image[0]..].as_ptr(),
            y: self.y.as_ptr().wrapping_add(image * self.plan.image[1]),
            addend: self.job.addend.map_or(std::ptr::null(), |z| z[image * self.plan.image[1]..].as_ptr()),
        };
        let mut bias = [0.0; MAX_BLOCKS * simd::MAX_LANES];
        if let Some(b) = self.job.bias {
            let first = work.channel();
            bias[..work.tile.count].copy_from_slice(&b[first..first + work.tile.count]);
        }
        let mut room = Room {
            taps: [Tap { from: [ZEROS.as_ptr(); MAX_POSITIONS], next: [0; MAX_POSITIONS], weights: std::ptr::null() }; TAPS],
            tile: [0.0; MAX_BLOCKS * MAX_POSITIONS * simd::MAX_LANES],
        };
        // Tiles as even as can be, so that none is a thin rest.
        let (len, count) = (positions.len(), positions.len().div_ceil(S::POSITIONS));
        for i in 0..count {
            let (start, end) = (positions.start + i * len / count, positions.start + (i + 1) * len / count);
            work.tile(s, start, end - start, &bias, &mut room);
        }
    }
}

/// Memory that the tiles of a chunk use one after the other.
struct Room {
    taps: [Tap; TAPS],
    tile: [f32; MAX_BLOCKS * MAX_POSITIONS * simd::MAX_LANES],
}

/// One channel tile of one image.
struct Work<'a> {
    job: &'a Job<'a>,
    plan: &'a Plan,
    tile: ChannelTile,
    x: *const f32,
    y: *mut f32,
    addend: *const f32,
}

impl Work<'_> {
    /// The first output channel of the tile.
    fn channel(&self) -> usize {
        self.tile.group * self.job.problem.oc + self.tile.first
    }

    /// Whether the tile's vectors are blocks of the output: groups that do not begin with a block share some with others.
    fn is_whole(&self) -> bool {
        let (p, lanes) = (self.job.problem, self.job.packing.lanes);
        let end = self.channel() + self.tile.count;
        self.job.output == Channels::Blocked
            && self.channel().is_multiple_of(lanes)
            && (end.is_multiple_of(lanes) || end == p.groups * p.oc)
    }

    fn tile<S: Tiles>(&self, s: S, start: usize, count: usize, bias: &[f32], room: &mut Room) {
        let place = match self.plan.pointwise {
            true => Place::of_points(start, count, self.step()),
            false => s.vectorize(Locate { axes: &self.plan.axes, start, count, step: self.step() }),
        };
        let whole = self.is_whole();
        let (out, out_block) = match whole {
            true => {
                let first = (self.channel() / S::LANES * self.plan.positions + start) * S::LANES;
                (self.y.wrapping_add(first), self.plan.positions * S::LANES)
            }
            false => (room.tile.as_mut_ptr(), MAX_POSITIONS * S::LANES),
        };
        let addend = if whole && !self.addend.is_null() {
            self.addend.wrapping_add((self.channel() / S::LANES * self.plan.positions + start) * S::LANES)
        } else {
            std::ptr::null()
        };
        let clamp = if whole || self.addend.is_null() { self.clamp() } else { (f32::NEG_INFINITY, f32::INFINITY) };
        let args = TileArgs { taps: &[], channels: Run::NONE, bias: bias.as_ptr(), out, out_block, addend, clamp };
        self.passes(s, &place, &mut room.taps, args);
        // SAFETY: the tile's results lie where it put them; nobody else uses these places of `y`.
        unsafe {
            match (whole, self.job.output) {
                (true, _) => self.finish_whole(s, out, count),
                (false, Channels::Dense) => s.vectorize(Untangle { work: self, buffer: &room.tile, start, count }),
                (false, Channels::Blocked) => self.scatter(s, &room.tile, start, count),
            }
        }
    }

    /// Distance of neighbouring positions in the input.
    fn step(&self) -> usize {
        if self.job.packing.layout == Channels::Blocked { self.job.packing.lanes } else { 1 }
    }

    fn clamp(&self) -> (f32, f32) {
        clamp(self.job.activation)
    }

    /// The activation, if clamping is not all of it.
    fn curve(&self) -> Option<Activation> {
        self.job.activation.filter(|a| !matches!(a, Activation::Relu | Activation::Clip { .. }))
    }

    /// Hands the tile its taps, as many as fit at a time.
    fn passes<S: Tiles>(&self, s: S, place: &Place, list: &mut [Tap; TAPS], last: TileArgs<'_>) {
        let p = self.job.problem;
        let (width, taps) = (self.tile.blocks * S::LANES, p.taps());
        let mut weights = self.job.weights[self.tile.weights..].as_ptr();
        let mut begun = last.bias;
        let passes = self.job.packing.passes(self.tile.group);
        for (i, pass) in passes.iter().enumerate() {
            let (channels, next, from) = self.run(pass, place.interior);
            let more_passes = passes[i + 1..].iter().any(|p| !p.is_empty());
            let mut tap = 0;
            while tap < taps && !pass.is_empty() {
                let fill = Fill { axes: &self.plan.axes, place, from, next, weights, per_tap: pass.len() * width, step: self.step() };
                let (filled, done) = match self.plan.pointwise {
                    true => fill.point(list),
                    false => s.vectorize(FillTaps { fill, first: tap, list: &mut *list }),
                };
                tap = done;
                let ends = tap == taps && !more_passes;
                let args = TileArgs { taps: &list[..filled], channels, bias: begun, ..last };
                let open = TileArgs { addend: std::ptr::null(), clamp: (f32::NEG_INFINITY, f32::INFINITY), ..args };
                // SAFETY: `Job::run` checked the lengths; the taps lie in the image or in zeros, and the weights hold the whole tile.
                unsafe { s.tile(place.count, self.tile.blocks, if ends { args } else { open }) };
                begun = std::ptr::null();
            }
            weights = weights.wrapping_add(pass.len() * taps * width);
        }
        if !begun.is_null() {
            // No channels or no taps: nothing but bias and addend.
            // SAFETY: as above.
            unsafe { s.tile(place.count, self.tile.blocks, TileArgs { taps: &[], channels: Run::NONE, ..last }) };
        }
    }

    /// How a tap walks the channels of a pass, the distance between its runs, and where the first channel begins.
    fn run(&self, pass: &std::ops::Range<usize>, interior: bool) -> (Run, usize, *const f32) {
        let (p, lanes) = (self.job.problem, self.job.packing.lanes);
        let (first, plane) = (self.tile.group * p.ic + pass.start, p.in_plane());
        match self.job.packing.layout {
            Channels::Blocked => {
                let runs = pass.len().div_ceil(lanes);
                let last = pass.len() - runs.saturating_sub(1) * lanes;
                let from = self.x.wrapping_add(first / lanes * lanes * plane + first % lanes);
                (Run { runs, len: lanes, last, step: 1 }, plane * lanes, from)
            }
            // Zeros are no plane: where some positions lie in the padding, each channel is a run.
            Channels::Dense if interior => {
                (Run { runs: 1, len: pass.len(), last: pass.len(), step: plane }, 0, self.x.wrapping_add(first * plane))
            }
            Channels::Dense => (Run { runs: pass.len(), len: 1, last: 1, step: 0 }, plane, self.x.wrapping_add(first * plane)),
        }
    }

    /// Applies what clamping does not, and keeps the lanes of no channel zero.
    ///
    /// # Safety
    /// `out` is the tile's place in the output.
    unsafe fn finish_whole<S: Tiles>(&self, _: S, out: *mut f32, count: usize) {
        let curve = self.curve();
        let rest = self.tile.count % S::LANES;
        let pads = rest != 0 && self.job.activation.is_some_and(|a| !matches!(a, Activation::Relu));
        if curve.is_none() && !pads {
            return;
        }
        for block in 0..self.tile.blocks {
            // SAFETY: as the caller says.
            let out = unsafe { std::slice::from_raw_parts_mut(out.add(block * self.plan.positions * S::LANES), count * S::LANES) };
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
                let at = (c / S::LANES * self.plan.positions + start + p) * S::LANES + c % S::LANES;
                // SAFETY: as the caller says.
                unsafe { self.y.add(at).write(0.0) };
            }
        }
        for c in 0..self.tile.count {
            let to = self.channel() + c;
            let at = (to / S::LANES * self.plan.positions + start) * S::LANES + to % S::LANES;
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

type Run = tile::Channels;

impl Run {
    const NONE: Run = Run { runs: 0, len: 0, last: 0, step: 0 };
}

/// Turns a tile into rows of the dense output.
struct Untangle<'a> {
    work: &'a Work<'a>,
    buffer: &'a [f32],
    start: usize,
    count: usize,
}

impl Kernel for Untangle<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (work, count) = (self.work, self.count);
        let mut turned = [0.0f32; simd::MAX_LANES * simd::MAX_LANES];
        for c in 0..work.tile.count {
            if c % S::LANES == 0 {
                // SAFETY: the buffer holds a tile, whose rows are vectors; the turned one has as many values.
                unsafe {
                    let from = self.buffer.as_ptr().add(c * MAX_POSITIONS);
                    s.transpose(from, S::LANES, count, turned.as_mut_ptr(), S::LANES);
                }
            }
            let at = (work.channel() + c) * work.plan.positions + self.start;
            let row = &mut turned[c % S::LANES * S::LANES..][..count];
            if !work.addend.is_null() {
                // SAFETY: the addend is laid out as the output.
                let more = unsafe { std::slice::from_raw_parts(work.addend.add(at), count) };
                row.iter_mut().zip(more).for_each(|(v, z)| *v += z);
            }
            if work.curve().is_some() || !work.addend.is_null() {
                work.activate(row);
            }
            // SAFETY: the places belong to this tile alone.
            unsafe { std::ptr::copy_nonoverlapping(row.as_ptr(), work.y.add(at), count) };
        }
    }
}

/// Where the positions of a tile read the input.
struct Place {
    count: usize,
    /// The first coordinate of each position's window along each axis.
    start: [[i32; SIMD_POSITIONS]; SPATIAL],
    /// The same as an offset in the input.
    offset: [isize; SIMD_POSITIONS],
    /// Whether no window reaches into the padding.
    interior: bool,
}

impl Place {
    /// Neighbouring positions that read just the elements at their places.
    #[inline(always)]
    fn of_points(start: usize, count: usize, step: usize) -> Self {
        let offset = std::array::from_fn(|p| ((start + p) * step) as isize);
        Self { count, start: [[0; SIMD_POSITIONS]; SPATIAL], offset, interior: true }
    }
}

/// Positions, padded so that loops over them are whole vectors.
const SIMD_POSITIONS: usize = 16;

struct Locate<'a> {
    axes: &'a [Axis; SPATIAL],
    start: usize,
    count: usize,
    step: usize,
}

impl Kernel for Locate<'_> {
    type Output = Place;

    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> Place {
        let [d, h, w] = self.axes;
        let mut place = Place { count: self.count, start: [[0; SIMD_POSITIONS]; SPATIAL], offset: [0; SIMD_POSITIONS], interior: true };
        let (mut z, mut y, mut x) = (self.start / (w.output * h.output), self.start / w.output % h.output, self.start % w.output);
        let inside = |a: &Axis, first: isize, last: isize| first >= 0 && last + (((a.kernel - 1) * a.dilation) as isize) < a.input as isize;
        let mut p = 0;
        while p < self.count {
            // A run of positions in one row.
            let end = self.count.min(p + w.output - x);
            let (sz, sy, sx) = (d.start(z), h.start(y), w.start(x));
            let row = (sz * h.input as isize + sy) * w.input as isize;
            for (i, at) in (p..end).enumerate() {
                let sx = sx + (i * w.stride) as isize;
                place.start[0][at] = sz as i32;
                place.start[1][at] = sy as i32;
                place.start[2][at] = sx as i32;
                place.offset[at] = (row + sx) * self.step as isize;
            }
            place.interior &= inside(d, sz, sz) && inside(h, sy, sy) && inside(w, sx, sx + ((end - p - 1) * w.stride) as isize);
            (x, p) = (0, end);
            y += 1;
            if y == h.output {
                (y, z) = (0, z + 1);
            }
        }
        place
    }
}

/// What the taps of one pass have in common.
struct Fill<'a> {
    axes: &'a [Axis; SPATIAL],
    place: &'a Place,
    /// The first element of the pass's first channel.
    from: *const f32,
    /// The distance between runs of channels.
    next: usize,
    weights: *const f32,
    per_tap: usize,
    step: usize,
}

impl Fill<'_> {
    /// The only tap of a kernel of one element; gives as [`FillTaps`] how many taps were filled, and the one to go on with.
    #[inline(always)]
    fn point(&self, list: &mut [Tap; TAPS]) -> (usize, usize) {
        let from = std::array::from_fn(|p| self.from.wrapping_offset(self.place.offset[p]));
        list[0] = Tap { from, next: [self.next; MAX_POSITIONS], weights: self.weights };
        (1, 1)
    }
}

/// Fills the list with taps from `first` on, but for those that read nothing but padding; gives how many were filled, and the tap to go
/// on with.
struct FillTaps<'a> {
    fill: Fill<'a>,
    first: usize,
    list: &'a mut [Tap; TAPS],
}

impl Kernel for FillTaps<'_> {
    type Output = (usize, usize);

    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> (usize, usize) {
        let Fill { axes, place, from, next, weights, per_tap, step } = self.fill;
        let [d, h, w] = axes;
        let taps = d.kernel * h.kernel * w.kernel;
        let (mut filled, mut tap) = (0, self.first);
        while tap < taps && filled < TAPS {
            let at = [tap / (h.kernel * w.kernel) * d.dilation, tap / w.kernel % h.kernel * h.dilation, tap % w.kernel * w.dilation];
            let delta = (((at[0] * h.input + at[1]) * w.input + at[2]) * step) as isize;
            let entry = &mut self.list[filled];
            entry.weights = weights.wrapping_add(tap * per_tap);
            tap += 1;
            if place.interior {
                for p in 0..MAX_POSITIONS {
                    entry.from[p] = from.wrapping_offset(place.offset[p] + delta);
                    entry.next[p] = next;
                }
                filled += 1;
                continue;
            }
            let mut any = false;
            for p in 0..MAX_POSITIONS {
                let inside = |axis: usize| ((place.start[axis][p] + at[axis] as i32) as u32) < axes[axis].input as u32;
                let inside = inside(0) & inside(1) & inside(2) & (p < place.count);
                entry.from[p] = if inside { from.wrapping_offset(place.offset[p] + delta) } else { ZEROS.as_ptr() };
                entry.next[p] = if inside { next } else { 0 };
                any |= inside;
            }
            filled += usize::from(any);
        }
        (filled, tap)
    }
}
