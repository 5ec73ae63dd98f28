//! Direct convolution in `f32` of channels that lie in blocks: tiles of positions and output channels.

use base::Result;
use base::threads::{self, SharedMut, parallel_for};
use simd::{Kernel, Simd};

use super::pack::ChannelTile;
use super::problem::SPATIAL;
use super::target::{Job, Room, Target};
use super::tile::{self, End, MAX_BLOCKS, MAX_POSITIONS, Spacing, Tap, TileArgs, Tiles, Visit};
use crate::window::Axis;

/// Multiply-adds that a chunk has, about: some hundredths of a millisecond.
const CHUNK: usize = 1 << 20;
/// Taps that a tile is handed at a time.
const TAPS: usize = 32;

/// What the padding reads.
static ZEROS: [f32; 16] = [0.0; 16];

/// Computes a convolution of channels in blocks into `y`.
///
/// # Errors
/// `Fail` when a slice has not the length that the problem says, `NotImplemented` for more than three spatial axes.
pub(super) fn run(job: &Job<'_>, y: &mut [f32]) -> Result<()> {
    let image = job.check(y)?;
    if y.is_empty() {
        return Ok(());
    }
    let plan = Plan::new(job, job.problem.spatial()?, image);
    let y = SharedMut::new(y);
    parallel_for(plan.chunks(), &|chunk| tile::visit(job.isa, Chunk { job, plan: &plan, chunk, y: &y }));
    threads::check()
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
        let tile = self.job.packing.tile(tile);
        let x = self.job.x[image * self.plan.image[0]..].as_ptr();
        let target = Target::new(self.job, tile, image, self.plan.image[1], self.y.as_ptr());
        let (work, bias) = (Work { job: self.job, plan: self.plan, tile, x }, target.bias());
        let mut list = [Tap { from: [ZEROS.as_ptr(); MAX_POSITIONS], next: [0; MAX_POSITIONS], weights: std::ptr::null() }; TAPS];
        let mut room: Room = [0.0; MAX_BLOCKS * MAX_POSITIONS * simd::MAX_LANES];
        let point = self.plan.pointwise.then(|| work.point()).flatten();
        // Tiles as even as can be, so that none is a thin rest.
        let (len, count) = (positions.len(), positions.len().div_ceil(S::POSITIONS));
        for i in 0..count {
            let (start, end) = (positions.start + i * len / count, positions.start + (i + 1) * len / count);
            let end_of_tile = target.end(s, start, &mut room);
            if let Some((mut tap, channels)) = point {
                tap.from[0] = tap.from[0].wrapping_add(start * S::LANES);
                let args = TileArgs { taps: &[tap], spacing: Spacing::Vectors, channels, bias: bias.as_ptr(), end: end_of_tile };
                // SAFETY: the lengths were checked; the tap lies in the image, and the weights hold the whole tile.
                unsafe { s.tile(end - start, tile.blocks, args) };
            } else {
                let place = s.vectorize(Locate { axes: &self.plan.axes, start, count: end - start, step: S::LANES });
                work.passes(s, &place, &mut list, bias.as_ptr(), end_of_tile);
            }
            // SAFETY: nobody else uses these places of `y`.
            unsafe { target.finish(s, start, end - start, &room) };
        }
    }
}

/// One channel tile of one image.
struct Work<'a> {
    job: &'a Job<'a>,
    plan: &'a Plan,
    tile: ChannelTile,
    x: *const f32,
}

impl Work<'_> {
    /// Hands the tile its taps, as many as fit at a time.
    fn passes<S: Tiles>(&self, s: S, place: &Place, list: &mut [Tap; TAPS], bias: *const f32, end: End) {
        let p = self.job.problem;
        let (width, taps) = (self.tile.blocks * S::LANES, p.taps());
        let spacing = if place.even { Spacing::Vectors } else { Spacing::Any };
        let mut weights = self.job.weights[self.tile.weights..].as_ptr();
        let mut begun = bias;
        let passes = self.job.packing.passes(self.tile.group);
        for (i, pass) in passes.iter().enumerate() {
            let (channels, from) = self.run(pass);
            let next = p.in_plane() * S::LANES;
            let more_passes = passes[i + 1..].iter().any(|p| !p.is_empty());
            let mut tap = 0;
            while tap < taps && !pass.is_empty() {
                if tap > 0 {
                    // A window of many taps.
                    threads::checkpoint();
                }
                let fill = Fill { axes: &self.plan.axes, place, from, next, weights, per_tap: pass.len() * width, step: S::LANES };
                let (filled, done) = s.vectorize(FillTaps { fill, first: tap, list: &mut *list });
                tap = done;
                let ends = tap == taps && !more_passes;
                let end = if ends { end } else { end.open() };
                let args = TileArgs { taps: &list[..filled], spacing, channels, bias: begun, end };
                // SAFETY: the lengths were checked; the taps lie in the image or in zeros, and the weights hold the whole tile.
                unsafe { s.tile(place.count, self.tile.blocks, args) };
                begun = std::ptr::null();
            }
            weights = weights.wrapping_add(pass.len() * taps * width);
        }
        if !begun.is_null() {
            // No channels or no taps: nothing but bias and addend.
            let args = TileArgs { taps: &[], spacing, channels: Run { runs: 0, len: 0, last: 0 }, bias: begun, end };
            // SAFETY: as above.
            unsafe { s.tile(place.count, self.tile.blocks, args) };
        }
    }

    /// The only tap of a kernel of one element that reads each position at its place, for the first position, and the channels that it
    /// walks; `None` if the channels take two passes.
    fn point(&self) -> Option<(Tap, Run)> {
        let [pass, second] = self.job.packing.passes(self.tile.group);
        let (channels, from) = self.run(&pass);
        let weights = self.job.weights[self.tile.weights..].as_ptr();
        let next = self.job.problem.in_plane() * self.job.packing.lanes;
        let tap = Tap { from: [from; MAX_POSITIONS], next: [next; MAX_POSITIONS], weights };
        (second.is_empty() && !pass.is_empty()).then_some((tap, channels))
    }

    /// How a tap walks the channels of a pass, and where the first channel begins.
    fn run(&self, pass: &std::ops::Range<usize>) -> (Run, *const f32) {
        let (p, lanes) = (self.job.problem, self.job.packing.lanes);
        let first = self.tile.group * p.ic + pass.start;
        let runs = pass.len().div_ceil(lanes);
        let last = pass.len() - runs.saturating_sub(1) * lanes;
        let from = self.x.wrapping_add(first / lanes * lanes * p.in_plane() + first % lanes);
        (Run { runs, len: lanes, last }, from)
    }
}

type Run = tile::Channels;

/// Where the positions of a tile read the input.
struct Place {
    count: usize,
    /// The first coordinate of each position's window along each axis.
    start: [[i32; SIMD_POSITIONS]; SPATIAL],
    /// The same as an offset in the input.
    offset: [isize; SIMD_POSITIONS],
    /// Whether no window reaches into the padding.
    interior: bool,
    /// Whether it is so, and the windows begin at neighbouring places.
    even: bool,
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
        let mut place =
            Place { count: self.count, start: [[0; SIMD_POSITIONS]; SPATIAL], offset: [0; SIMD_POSITIONS], interior: true, even: false };
        let (mut z, mut y, mut x) = (self.start / (w.output * h.output), self.start / w.output % h.output, self.start % w.output);
        let inside = |a: &Axis, first: isize, last: isize| first >= 0 && last + (((a.kernel - 1) * a.dilation) as isize) < a.input as isize;
        let one_row = x + self.count <= w.output;
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
        place.even = place.interior && one_row && w.stride == 1;
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
