//! Winograd's convolution in `f32`: kernels of 3 by 3 that move by one, channels in blocks on both sides. Tiles of the input are
//! transformed, multiplied by transformed weights at each of their points by the tiles of direct convolution, and transformed back.

mod scheme;
#[cfg(test)]
mod tests;
mod transform;

use std::marker::PhantomData;
use std::ops::Range;

use base::threads::{self, SharedMut, parallel_for, parallel_with_scratch, slots};
use base::{Result, ensure};
use gemm::Activation;
use simd::{Isa, dispatch_on};

use self::scheme::{Four, Scheme, Two};
use self::transform::{Input, Output};
use super::pack::Packing;
use super::problem::{Channels, Problem};
use super::tile::{self, Channels as Run, End, MAX_BLOCKS, MAX_POSITIONS, Spacing, Tap, TileArgs, Tiles, Visit};
use crate::window::Axis;

/// Elements of transformed tiles that are worked on together, about: half of the second cache.
const TOGETHER: usize = 128 << 10;
/// With fewer groups than this, the work within a group is spread over threads, not the groups.
const FEW_GROUPS: usize = 8;
/// With weights of at most so many elements, they stay in a cache from group to group.
const SMALL_WEIGHTS: usize = 256 << 10;

/// How many results a tile has along each axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outputs {
    Two,
    Four,
}

impl Outputs {
    fn number(self) -> usize {
        match self {
            Self::Two => 2,
            Self::Four => 4,
        }
    }

    /// Products of a tile for each pair of channels.
    fn points(self) -> usize {
        (self.number() + 2) * (self.number() + 2)
    }

    /// What serves a convolution of `problem` best, whose output sizes may not be known yet; `None` where direct convolution does.
    ///
    /// Weights grow with the points: fourfold where they are small, else less than twofold.
    pub(super) fn best(problem: &Problem, sizes: Option<[usize; 2]>) -> Option<Self> {
        let fits = |a: &Axis| (a.kernel, a.stride, a.dilation) == (3, 1, 1);
        if problem.groups != 1 || problem.axes.len() != 2 || !problem.axes.iter().all(fits) || problem.ic.min(problem.oc) < LEAST_CHANNELS {
            return None;
        }
        let pairs = problem.ic * problem.oc;
        let tiles = |outputs: Self| sizes.map_or(usize::MAX, |s| s.iter().map(|n| n.div_ceil(outputs.number())).product());
        let candidates = [(Self::Four, FOUR_PAIRS, FOUR_TILES), (Self::Two, TWO_PAIRS, TWO_TILES)];
        candidates.into_iter().find(|(o, most, least)| pairs <= *most && tiles(*o) >= *least).map(|(o, ..)| o)
    }
}

/// The fewest channels on either side: with fewer, transforms outweigh products.
const LEAST_CHANNELS: usize = 16;
/// The most pairs of channels, and the fewest tiles of an image, for which each number of outputs is taken.
const FOUR_PAIRS: usize = 128 * 256;
const FOUR_TILES: usize = 16;
const TWO_PAIRS: usize = 1024 * 1024;
const TWO_TILES: usize = 24;

/// The order of transformed weights: that of direct convolution, with points in place of taps.
pub(super) fn packing(problem: &Problem, lanes: usize, outputs: Outputs) -> Packing {
    Packing::of_taps(problem, lanes, Channels::Blocked, outputs.points())
}

/// The name of that order.
pub(super) fn format(packing: &Packing, outputs: Outputs) -> String {
    format!("winograd {} {}", outputs.number(), packing.format())
}

/// Transforms and packs weights of shape `[output channels, input channels, 3, 3]`.
pub(super) fn pack(packing: &Packing, outputs: Outputs, weights: &[f32], packed: &mut [f32]) -> Result<()> {
    let points = outputs.points();
    ensure!(weights.len().is_multiple_of(9), Fail, "{} weights make no kernels of 3 by 3", weights.len());
    let mut transformed = vec![0.0; weights.len() / 9 * points];
    for (kernel, to) in weights.chunks_exact(9).zip(transformed.chunks_exact_mut(points)) {
        match outputs {
            Outputs::Two => scheme::weights::<Two>(kernel, to),
            Outputs::Four => scheme::weights::<Four>(kernel, to),
        }
    }
    packing.pack(&transformed, packed)
}

/// A convolution ready to run.
pub(super) struct Job<'a> {
    pub(super) problem: &'a Problem,
    pub(super) packing: &'a Packing,
    pub(super) outputs: Outputs,
    pub(super) isa: Isa,
    pub(super) x: &'a [f32],
    /// Transformed weights, packed.
    pub(super) weights: &'a [f32],
    /// The weights as they are.
    pub(super) kernels: &'a [f32],
    pub(super) bias: Option<&'a [f32]>,
    /// What is added to the result, laid out as it.
    pub(super) addend: Option<&'a [f32]>,
    pub(super) activation: Option<Activation>,
}

/// The sizes that the work is cut by.
struct Sizes {
    /// Rows and columns.
    axes: [Axis; 2],
    in_blocks: usize,
    out_blocks: usize,
    /// Tiles of an image across and in all, of a group, and groups of an image.
    across: usize,
    tiles: usize,
    per_group: usize,
    pieces: usize,
    /// Distances from one point to the next, in transformed inputs and in products. A line of a cache more than the values need, so that
    /// the points of one tile do not fall on one place of the cache.
    in_point: usize,
    out_point: usize,
    points: usize,
}

/// Tiles of one image that are worked on together.
struct Group {
    image: usize,
    tiles: Range<usize>,
}

impl Sizes {
    fn new(p: &Problem, lanes: usize, outputs: Outputs) -> Self {
        let axes = [p.axes[0], p.axes[1]];
        let [down, across] = axes.map(|a| a.output.div_ceil(outputs.number()));
        let (in_blocks, out_blocks, points) = (p.ic.div_ceil(lanes), p.oc.div_ceil(lanes), outputs.points());
        let tiles = down * across;
        let most = (TOGETHER / (points * (in_blocks + out_blocks) * lanes)).max(MAX_POSITIONS);
        let mut pieces = tiles.div_ceil(most).max(1);
        let small = p.ic * p.oc * points <= SMALL_WEIGHTS;
        if pieces * p.batch < FEW_GROUPS && !small {
            pieces = 1;
        }
        let per_group = tiles.div_ceil(pieces);
        let (in_point, out_point) = ((per_group * in_blocks + 1) * lanes, (per_group * out_blocks + 1) * lanes);
        Self { axes, in_blocks, out_blocks, across, tiles, per_group, pieces, in_point, out_point, points }
    }

    /// The first result of a tile: its row and column.
    #[inline(always)]
    fn origin<T: Scheme>(&self, tile: usize) -> (usize, usize) {
        (tile / self.across * T::OUT, tile % self.across * T::OUT)
    }

    fn group(&self, i: usize) -> Group {
        let (image, piece) = (i / self.pieces, i % self.pieces);
        let start = (piece * self.per_group).min(self.tiles);
        Group { image, tiles: start..(start + self.per_group).min(self.tiles) }
    }

    /// Elements of scratch memory for a group.
    fn scratch(&self) -> usize {
        self.points * (self.in_point + self.out_point)
    }

    /// Whether the groups are spread over threads.
    fn by_groups(&self, batch: usize) -> bool {
        self.pieces > 1 || batch >= FEW_GROUPS
    }
}

/// Elements of scratch memory that a convolution takes.
pub(super) fn scratch_len(p: &Problem, lanes: usize, outputs: Outputs) -> usize {
    let sizes = Sizes::new(p, lanes, outputs);
    sizes.scratch().saturating_mul(if sizes.by_groups(p.batch) { slots() } else { 1 })
}

impl Job<'_> {
    /// Computes the convolution into `y`.
    ///
    /// # Errors
    /// `Fail` when a slice has not the length that the problem says.
    pub(super) fn run(&self, y: &mut [f32], scratch: &mut [f32]) -> Result<()> {
        let (p, lanes) = (self.problem, self.packing.lanes);
        ensure!(p.axes.len() == 2 && lanes == tile::lanes(self.isa), Fail, "weights packed for {lanes} lanes and two axes");
        let sizes = Sizes::new(p, lanes, self.outputs);
        let (input, output) = (sizes.in_blocks * lanes * p.in_plane(), sizes.out_blocks * lanes * p.out_plane());
        let lengths = [
            ("input", self.x.len(), p.batch * input),
            ("output", y.len(), p.batch * output),
            ("addend", self.addend.map_or(y.len(), <[f32]>::len), y.len()),
            ("bias", self.bias.map_or(p.oc, <[f32]>::len), p.oc),
            ("packed weights", self.weights.len(), self.packing.len()),
            ("kernels", self.kernels.len(), p.weights()),
            ("scratch", scratch.len().min(sizes.scratch()), sizes.scratch()),
        ];
        for (what, have, want) in lengths {
            ensure!(have == want, Fail, "a convolution with {what} of {have} elements, not {want}");
        }
        if y.is_empty() {
            return Ok(());
        }
        let y = SharedMut::new(y);
        match self.outputs {
            Outputs::Two => self.groups::<Two>(&sizes, &y, scratch),
            Outputs::Four => self.groups::<Four>(&sizes, &y, scratch),
        }
        threads::check()
    }

    fn groups<T: Scheme>(&self, sizes: &Sizes, y: &SharedMut<'_, f32>, scratch: &mut [f32]) {
        let work = |i: usize, scratch: &mut [f32]| {
            let group = sizes.group(i);
            let (inputs, products) = scratch.split_at_mut(sizes.points * sizes.in_point);
            let (inputs, products) = (SharedMut::new(inputs), SharedMut::new(products));
            Work::<T> { job: self, scheme: PhantomData, sizes, group: &group, inputs: &inputs, products: &products, y }.run();
        };
        let count = self.problem.batch * sizes.pieces;
        if sizes.by_groups(self.problem.batch) {
            parallel_with_scratch(scratch, sizes.scratch(), count, &|scratch, i| work(i, scratch));
        } else {
            (0..count).for_each(|i| work(i, &mut scratch[..sizes.scratch()]));
        }
    }
}

/// One group of tiles.
struct Work<'a, T> {
    job: &'a Job<'a>,
    scheme: PhantomData<T>,
    sizes: &'a Sizes,
    group: &'a Group,
    inputs: &'a SharedMut<'a, f32>,
    products: &'a SharedMut<'a, f32>,
    y: &'a SharedMut<'a, f32>,
}

impl<T: Scheme> Work<'_, T> {
    /// Three regions, which run inline where the groups are spread over threads.
    fn run(&self) {
        let Self { job, scheme, sizes, group, .. } = *self;
        parallel_for(sizes.in_blocks, &|block| {
            dispatch_on(job.isa, Input { scheme, job, sizes, group, blocks: block..block + 1, to: self.inputs.as_ptr() });
        });
        let tiles = job.packing.tiles();
        parallel_for(sizes.points * tiles, &|i| {
            tile::visit(job.isa, Products { work: self, point: i / tiles, tile: i % tiles });
        });
        parallel_for(sizes.out_blocks, &|block| {
            let (from, y) = (self.products.as_ptr(), self.y.as_ptr());
            dispatch_on(job.isa, Output { scheme, job, sizes, group, blocks: block..block + 1, from, y });
        });
    }
}

/// The products of one point and one tile of output channels, for all tiles of a group.
struct Products<'a, T> {
    work: &'a Work<'a, T>,
    point: usize,
    tile: usize,
}

impl<T: Scheme> Visit for Products<'_, T> {
    type Output = ();

    fn visit<S: Tiles>(self, s: S) {
        let Work { job, sizes, group, inputs, products, .. } = *self.work;
        let (tile, ic) = (job.packing.tile(self.tile), job.problem.ic);
        let (count, row) = (group.tiles.len(), sizes.in_blocks * S::LANES);
        let weights = job.weights[tile.weights + self.point * ic * tile.blocks * S::LANES..].as_ptr();
        let input = inputs.as_ptr().wrapping_add(self.point * sizes.in_point);
        let out = products.as_ptr().wrapping_add(self.point * sizes.out_point + tile.first / S::LANES * count * S::LANES);
        let zeros = [0.0f32; MAX_BLOCKS * simd::MAX_LANES];
        let channels = Run { runs: 1, len: ic, last: ic };
        // Tiles as even as can be, so that none is a thin rest.
        let parts = count.div_ceil(S::POSITIONS);
        for (start, end) in (0..parts).map(|i| (i * count / parts, (i + 1) * count / parts)) {
            let from = std::array::from_fn(|p| input.wrapping_add((start + p) * row).cast_const());
            let taps = [Tap { from, next: [0; MAX_POSITIONS], weights }];
            let args = TileArgs {
                taps: &taps,
                spacing: Spacing::Any,
                channels,
                bias: zeros.as_ptr(),
                end: End {
                    out: out.wrapping_add(start * S::LANES),
                    out_block: count * S::LANES,
                    addend: std::ptr::null(),
                    clamp: (f32::NEG_INFINITY, f32::INFINITY),
                },
            };
            // SAFETY: the scratch holds inputs and products of the whole group; these products are written here only.
            unsafe { s.tile(end - start, tile.blocks, args) };
        }
    }
}
