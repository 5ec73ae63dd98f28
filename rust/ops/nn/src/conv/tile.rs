//! The microkernel of direct convolution: a tile of positions and output channels, kept in registers while it walks along taps and
//! input channels.

use std::marker::PhantomData;

#[cfg(target_arch = "x86_64")]
use simd::{Avx2Token, Avx512Token};
use simd::{Kernel, PortableToken, Simd};

/// The most positions of any tile.
pub(super) const MAX_POSITIONS: usize = 14;
/// The most blocks of output channels of any tile.
pub(super) const MAX_BLOCKS: usize = 2;

/// Steps along the channels that weights are asked for before they are read.
const AHEAD: usize = 8;

/// Where one tap of the kernel reads: for each position the address of its first channel, and the distance in elements from one run of
/// channels to the next (0 for a position in the padding, whose address is that of zeros).
#[derive(Clone, Copy)]
pub(super) struct Tap {
    pub(super) from: [*const f32; MAX_POSITIONS],
    pub(super) next: [usize; MAX_POSITIONS],
    /// The weights of this tap: for each channel, those of all output channels of the tile.
    pub(super) weights: *const f32,
}

/// Input channels as a tap walks them: `runs` runs of `len` neighbouring channels, the last run of `last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Channels {
    pub(super) runs: usize,
    pub(super) len: usize,
    pub(super) last: usize,
}

/// How far apart the positions of a tile read, for all its taps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spacing {
    /// Anyhow: each position has an address of its own.
    Any,
    /// Neighbouring vectors: the address of the first serves all.
    Vectors,
}

/// Where the results of a tile go.
#[derive(Clone, Copy)]
pub(super) struct End {
    /// The result: for each block of output channels, `out_block` apart, its vectors position by position.
    pub(super) out: *mut f32,
    pub(super) out_block: usize,
    /// What is added at the end, laid out as the result; null for nothing.
    pub(super) addend: *const f32,
    /// Between what the result is clamped.
    pub(super) clamp: (f32, f32),
}

impl End {
    /// The same place for sums that are not complete.
    pub(super) fn open(self) -> Self {
        Self { addend: std::ptr::null(), clamp: (f32::NEG_INFINITY, f32::INFINITY), ..self }
    }

    #[inline(always)]
    fn at<S: Simd>(&self, block: usize, position: usize) -> usize {
        block * self.out_block + position * S::LANES
    }

    /// The sums that a tile begins with: the bias of each output channel, or, if `bias` is null, what the result holds. What the tile will
    /// write or read at its end is asked for.
    ///
    /// # Safety
    /// `bias` holds a vector for each block, or the result holds the tile.
    #[inline(always)]
    unsafe fn begin<S: Simd, const P: usize, const B: usize>(&self, s: S, bias: *const f32) -> [[S::F; B]; P] {
        let mut sums = [[s.zero(); B]; P];
        for (p, sums) in sums.iter_mut().enumerate() {
            for (b, sum) in sums.iter_mut().enumerate() {
                let at = self.at::<S>(b, p);
                s.prefetch(self.out.wrapping_add(at).cast_const());
                if !self.addend.is_null() {
                    s.prefetch(self.addend.wrapping_add(at));
                }
                // SAFETY: as the caller says.
                *sum = unsafe { if bias.is_null() { s.load(self.out.add(at)) } else { s.load(bias.add(b * S::LANES)) } };
            }
        }
        sums
    }

    /// Writes the sums of a tile.
    ///
    /// # Safety
    /// Result and addend hold the tile, and nobody else uses its results.
    #[inline(always)]
    unsafe fn write<S: Simd, const P: usize, const B: usize>(&self, s: S, sums: &[[S::F; B]; P]) {
        let (low, high) = (s.splat(self.clamp.0), s.splat(self.clamp.1));
        for (p, sums) in sums.iter().enumerate() {
            for (b, &sum) in sums.iter().enumerate() {
                let at = self.at::<S>(b, p);
                // SAFETY: as the caller says.
                unsafe {
                    let sum = if self.addend.is_null() { sum } else { s.add(sum, s.load(self.addend.add(at))) };
                    s.store(self.out.add(at), s.min(high, s.max(low, sum)));
                }
            }
        }
    }
}

/// A tile whose positions read anywhere.
#[derive(Clone, Copy)]
pub(super) struct TileArgs<'a> {
    pub(super) taps: &'a [Tap],
    pub(super) spacing: Spacing,
    pub(super) channels: Channels,
    /// What the sums begin with: for each output channel its bias; null if they go on from what the result holds.
    pub(super) bias: *const f32,
    pub(super) end: End,
}

/// A [`Spacing`] that a tile is compiled for.
trait Spaced {
    /// Where position `p` reads, given the addresses of all positions.
    fn at<S: Simd>(from: &[*const f32; MAX_POSITIONS], p: usize) -> *const f32;
    /// How far position `p` goes on from one run to the next, given the same of all positions.
    fn next(next: &[usize; MAX_POSITIONS], p: usize) -> usize;
}

struct Any;
struct Vectors;

impl Spaced for Any {
    #[inline(always)]
    fn at<S: Simd>(from: &[*const f32; MAX_POSITIONS], p: usize) -> *const f32 {
        from[p]
    }

    #[inline(always)]
    fn next(next: &[usize; MAX_POSITIONS], p: usize) -> usize {
        next[p]
    }
}

impl Spaced for Vectors {
    #[inline(always)]
    fn at<S: Simd>(from: &[*const f32; MAX_POSITIONS], p: usize) -> *const f32 {
        from[0].wrapping_add(p * S::LANES)
    }

    #[inline(always)]
    fn next(next: &[usize; MAX_POSITIONS], _: usize) -> usize {
        next[0]
    }
}

/// The weights of one step, for `B` blocks of output channels; those of later steps are asked for.
///
/// # Safety
/// `from` holds a vector for each block.
#[inline(always)]
unsafe fn weights<S: Simd, const B: usize>(s: S, from: *const f32) -> [S::F; B] {
    let mut row = [s.zero(); B];
    for (b, w) in row.iter_mut().enumerate() {
        s.prefetch(from.wrapping_add((AHEAD * B + b) * S::LANES));
        // SAFETY: as the caller says.
        *w = unsafe { s.load(from.add(b * S::LANES)) };
    }
    row
}

/// A tile of `P` positions, which read as `E` says, and `B` blocks of output channels.
struct Tile<'a, E, const P: usize, const B: usize>(TileArgs<'a>, PhantomData<E>);

impl<E: Spaced, const P: usize, const B: usize> Kernel for Tile<'_, E, P, B> {
    type Output = ();

    /// Each element is one chain of multiply-adds in the order of taps and channels: its bits do not depend on the tile.
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let a = self.0;
        // SAFETY: the caller's arguments hold.
        let mut sums: [[S::F; B]; P] = unsafe { a.end.begin(s, a.bias) };
        for tap in a.taps {
            let (mut from, mut row) = (tap.from, tap.weights);
            for run in 0..a.channels.runs {
                let len = if run + 1 == a.channels.runs { a.channels.last } else { a.channels.len };
                for p in 0..P {
                    s.prefetch(E::at::<S>(&from, p).wrapping_add(E::next(&tap.next, p)));
                }
                for channel in 0..len {
                    // SAFETY: the tap's addresses are good for its runs of channels, the weights for all of them.
                    unsafe {
                        let w = weights::<S, B>(s, row);
                        for (p, sums) in sums.iter_mut().enumerate() {
                            let x = s.splat(*E::at::<S>(&from, p).add(channel));
                            for (sum, w) in sums.iter_mut().zip(w) {
                                *sum = s.fma(x, w, *sum);
                            }
                        }
                        row = row.add(B * S::LANES);
                    }
                }
                from.iter_mut().zip(tap.next).take(P).for_each(|(from, next)| *from = from.wrapping_add(next));
            }
        }
        // SAFETY: the caller's arguments hold.
        unsafe { a.end.write(s, &sums) };
    }
}

/// What the positions of one row read: for each tap, in order, its channels. Distances are in elements.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) channels: usize,
    /// From one channel to the next.
    pub(super) channel: usize,
    /// The taps of the outer two axes, and how far apart they read.
    pub(super) outer: [(usize, usize); 2],
    /// The taps along the row, and how many elements of the input lie between them.
    pub(super) taps: usize,
    pub(super) dilation: usize,
    /// The phases that a row is cut into, and the distance between them.
    pub(super) phases: usize,
    pub(super) phase: usize,
}

/// A tile of neighbouring positions of one row.
#[derive(Clone, Copy)]
pub(super) struct RowArgs<'a> {
    pub(super) window: &'a Window,
    /// What the first position reads first.
    pub(super) from: *const f32,
    pub(super) weights: *const f32,
    pub(super) bias: *const f32,
    pub(super) end: End,
}

/// A tile of `P` neighbouring positions and `B` blocks of output channels.
struct RowTile<'a, const P: usize, const B: usize>(RowArgs<'a>);

impl<const P: usize, const B: usize> Kernel for RowTile<'_, P, B> {
    type Output = ();

    /// Sums as those of [`Tile`].
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (a, w) = (self.0, self.0.window);
        // SAFETY: the caller's arguments hold.
        let mut sums: [[S::F; B]; P] = unsafe { a.end.begin(s, a.bias) };
        let mut row = a.weights;
        let [(planes, plane), (lines, line)] = w.outer;
        for outer in 0..planes * lines {
            let mut along = a.from.wrapping_add(outer / lines * plane + outer % lines * line);
            let mut phase = 0;
            for _ in 0..w.taps {
                let mut from = along.wrapping_add(phase * w.phase);
                for _ in 0..w.channels {
                    // SAFETY: the window's places are good for all positions, the weights for all steps.
                    unsafe {
                        let w = weights::<S, B>(s, row);
                        for (p, sums) in sums.iter_mut().enumerate() {
                            let x = s.splat(*from.add(p));
                            for (sum, w) in sums.iter_mut().zip(w) {
                                *sum = s.fma(x, w, *sum);
                            }
                        }
                        row = row.add(B * S::LANES);
                    }
                    from = from.wrapping_add(w.channel);
                }
                phase += w.dilation;
                while phase >= w.phases {
                    (phase, along) = (phase - w.phases, along.wrapping_add(1));
                }
            }
        }
        // SAFETY: the caller's arguments hold.
        unsafe { a.end.write(s, &sums) };
    }
}

/// An instruction set with the tiles that its registers hold.
pub(super) trait Tiles: Simd {
    /// The most positions of a tile.
    const POSITIONS: usize;

    /// Computes a tile of `positions` in `1..=POSITIONS` and `blocks` in `1..=MAX_BLOCKS`.
    ///
    /// # Safety
    /// The addresses of `args` are good for a tile of that shape.
    unsafe fn tile(self, positions: usize, blocks: usize, args: TileArgs<'_>);

    /// The same for neighbouring positions of a row.
    ///
    /// # Safety
    /// As for [`Tiles::tile`].
    unsafe fn row_tile(self, positions: usize, blocks: usize, args: RowArgs<'_>);
}

macro_rules! by_positions {
    ($positions:ident, $($p:literal)* => $tile:expr) => {
        match $positions {
            $($p => { const P: usize = $p; $tile })*
            _ => unreachable!("no tile of {} positions", $positions),
        }
    };
}

macro_rules! tiles {
    ($token:ty, $most:literal, $($p:literal)*) => {
        impl Tiles for $token {
            const POSITIONS: usize = $most;

            unsafe fn tile(self, positions: usize, blocks: usize, args: TileArgs<'_>) {
                match (args.spacing, blocks) {
                    (Spacing::Any, 1) => by_positions!(positions, $($p)* => self.vectorize(Tile::<Any, P, 1>(args, PhantomData))),
                    (Spacing::Any, _) => by_positions!(positions, $($p)* => self.vectorize(Tile::<Any, P, 2>(args, PhantomData))),
                    (Spacing::Vectors, 1) => by_positions!(positions, $($p)* => self.vectorize(Tile::<Vectors, P, 1>(args, PhantomData))),
                    (Spacing::Vectors, _) => by_positions!(positions, $($p)* => self.vectorize(Tile::<Vectors, P, 2>(args, PhantomData))),
                }
            }

            unsafe fn row_tile(self, positions: usize, blocks: usize, args: RowArgs<'_>) {
                if blocks == 1 {
                    by_positions!(positions, $($p)* => self.vectorize(RowTile::<P, 1>(args)))
                } else {
                    by_positions!(positions, $($p)* => self.vectorize(RowTile::<P, 2>(args)))
                }
            }
        }
    };
}

// 28 sums, two vectors of weights and one of the input fill 31 of 32 registers.
#[cfg(target_arch = "x86_64")]
tiles!(Avx512Token, 14, 1 2 3 4 5 6 7 8 9 10 11 12 13 14);
// Twelve sums, two vectors of weights and one of the input fill 15 of 16 registers.
#[cfg(target_arch = "x86_64")]
tiles!(Avx2Token, 6, 1 2 3 4 5 6);
tiles!(PortableToken, 4, 1 2 3 4);

/// Work that needs the tiles of an instruction set.
pub(super) trait Visit {
    /// What the work gives back.
    type Output;
    fn visit<S: Tiles>(self, s: S) -> Self::Output;
}

/// Does the work with the tiles of `isa`, or with portable ones where the machine lacks it.
pub(super) fn visit<W: Visit>(isa: simd::Isa, work: W) -> W::Output {
    #[cfg(target_arch = "x86_64")]
    match isa {
        simd::Isa::Avx512 => {
            if let Some(s) = Avx512Token::new() {
                return work.visit(s);
            }
        }
        simd::Isa::Avx2 => {
            if let Some(s) = Avx2Token::new() {
                return work.visit(s);
            }
        }
        simd::Isa::Portable => {}
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = isa;
    work.visit(PortableToken)
}

/// The lanes of a vector of `isa`: the block of channels in the layout that its kernels take.
pub(crate) fn lanes(isa: simd::Isa) -> usize {
    struct Lanes;
    impl Visit for Lanes {
        type Output = usize;
        fn visit<S: Tiles>(self, _: S) -> usize {
            S::LANES
        }
    }
    visit(isa, Lanes)
}
