//! The microkernel of direct convolution: a tile of positions and output channels, kept in registers while it walks along taps and
//! input channels.

#[cfg(target_arch = "x86_64")]
use simd::{Avx2Token, Avx512Token};
use simd::{Kernel, PortableToken, Simd};

/// The most positions of any tile.
pub(super) const MAX_POSITIONS: usize = 14;
/// The most blocks of output channels of any tile.
pub(super) const MAX_BLOCKS: usize = 2;

/// Where one tap of the kernel reads: for each position the address of its first channel, and the distance in elements from one run of
/// channels to the next (0 for a position in the padding, whose address is that of zeros).
#[derive(Clone, Copy)]
pub(super) struct Tap {
    pub(super) from: [*const f32; MAX_POSITIONS],
    pub(super) next: [usize; MAX_POSITIONS],
    /// The weights of this tap: for each channel, those of all output channels of the tile.
    pub(super) weights: *const f32,
}

/// Input channels as a tap walks them: `runs` runs of `len` channels that lie `step` apart, the last run of `last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Channels {
    pub(super) runs: usize,
    pub(super) len: usize,
    pub(super) last: usize,
    pub(super) step: usize,
}

/// How a tile begins and ends.
#[derive(Clone, Copy)]
pub(super) struct TileArgs<'a> {
    pub(super) taps: &'a [Tap],
    pub(super) channels: Channels,
    /// What the sums begin with: for each output channel its bias; null if they go on from what `out` holds.
    pub(super) bias: *const f32,
    /// The result: for each block of output channels, `out_block` apart, its vectors position by position.
    pub(super) out: *mut f32,
    pub(super) out_block: usize,
    /// What is added at the end, laid out as the result; null for nothing.
    pub(super) addend: *const f32,
    /// Between what the result is clamped.
    pub(super) clamp: (f32, f32),
}

/// A tile of `P` positions and `B` blocks of output channels.
struct Tile<'a, const P: usize, const B: usize>(TileArgs<'a>);

impl<const P: usize, const B: usize> Kernel for Tile<'_, P, B> {
    type Output = ();

    /// Each element is one chain of multiply-adds in the order of taps and channels: its bits do not depend on the tile.
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let a = self.0;
        let at = |b: usize, p: usize| b * a.out_block + p * S::LANES;
        let mut sums = [[s.zero(); B]; P];
        for (p, sums) in sums.iter_mut().enumerate() {
            for (b, sum) in sums.iter_mut().enumerate() {
                // SAFETY: `bias` holds a vector for each block, or `out` holds the whole tile.
                *sum = unsafe { if a.bias.is_null() { s.load(a.out.add(at(b, p))) } else { s.load(a.bias.add(b * S::LANES)) } };
            }
        }
        for tap in a.taps {
            let (mut weights, mut from) = (tap.weights, tap.from);
            for run in 0..a.channels.runs {
                let len = if run + 1 == a.channels.runs { a.channels.last } else { a.channels.len };
                for channel in 0..len {
                    // SAFETY: the tap's addresses are good for its runs of channels, the weights for all of them.
                    unsafe {
                        let w: [S::F; B] = std::array::from_fn(|b| s.load(weights.add(b * S::LANES)));
                        for (p, sums) in sums.iter_mut().enumerate() {
                            let x = s.splat(*from[p].add(channel * a.channels.step));
                            for (b, sum) in sums.iter_mut().enumerate() {
                                *sum = s.fma(x, w[b], *sum);
                            }
                        }
                        weights = weights.add(B * S::LANES);
                    }
                }
                from.iter_mut().zip(tap.next).take(P).for_each(|(from, next)| *from = from.wrapping_add(next));
            }
        }
        let (low, high) = (s.splat(a.clamp.0), s.splat(a.clamp.1));
        for (p, sums) in sums.iter().enumerate() {
            for (b, &sum) in sums.iter().enumerate() {
                // SAFETY: result and addend hold the whole tile.
                unsafe {
                    let sum = if a.addend.is_null() { sum } else { s.add(sum, s.load(a.addend.add(at(b, p)))) };
                    s.store(a.out.add(at(b, p)), s.min(high, s.max(low, sum)));
                }
            }
        }
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
}

macro_rules! by_positions {
    ($s:ident, $b:literal, $positions:ident, $args:ident, $($p:literal)*) => {
        match $positions {
            $($p => $s.vectorize(Tile::<$p, $b>($args)),)*
            _ => unreachable!("no tile of {} positions", $positions),
        }
    };
}

macro_rules! tiles {
    ($token:ty, $most:literal, $($p:literal)*) => {
        impl Tiles for $token {
            const POSITIONS: usize = $most;

            unsafe fn tile(self, positions: usize, blocks: usize, args: TileArgs<'_>) {
                let s = self;
                if blocks == 1 { by_positions!(s, 1, positions, args, $($p)*) } else { by_positions!(s, 2, positions, args, $($p)*) }
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
