//! What the multiply-add units can do, measured by a loop on registers alone.

use std::hint::black_box;
use std::time::Instant;

use base::threads::parallel_for;
use simd::{Isa, Kernel, Simd, dispatch_on};

/// Chains for units of few and of many registers.
const FEW: usize = 5;
const MANY: usize = 12;

/// Multiply-adds on `CHAINS` independent registers: enough to hide their latency, few enough to stay in registers.
struct Peak<const CHAINS: usize>(usize);

impl<const CHAINS: usize> Kernel for Peak<CHAINS> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        let (x, y) = (s.splat(black_box(0.999)), s.splat(black_box(0.001)));
        let mut acc = [s.splat(black_box(1.0)); CHAINS];
        for _ in 0..self.0 {
            for a in &mut acc {
                *a = s.fma(*a, x, y);
            }
        }
        acc.iter().fold(0.0, |sum, &a| sum + s.reduce_add(a))
    }
}

fn lanes(isa: Isa) -> usize {
    struct Lanes;
    impl Kernel for Lanes {
        type Output = usize;
        fn run<S: Simd>(self, _: S) -> usize {
            S::LANES
        }
    }
    dispatch_on(isa, Lanes)
}

/// The best of several runs, in seconds.
pub(crate) fn best(mut f: impl FnMut()) -> f64 {
    let (mut best, mut spent) = (f64::INFINITY, 0.0);
    let mut runs = 0;
    while runs < 10 || (spent < 0.5 && runs < 5000) {
        let start = Instant::now();
        f();
        let took = start.elapsed().as_secs_f64();
        best = best.min(took);
        spent += took;
        runs += 1;
    }
    best
}

/// Billions of floating-point operations a second, on registers alone, of as many threads as the scope has.
pub(crate) fn peak(isa: Isa, threads: usize) -> f64 {
    let rounds = 200_000;
    let run = |chains: usize| {
        let took = best(|| {
            parallel_for(threads, &|_| {
                _ = black_box(match chains {
                    FEW => dispatch_on(isa, Peak::<FEW>(rounds)),
                    _ => dispatch_on(isa, Peak::<MANY>(rounds)),
                });
            });
        });
        (2 * rounds * chains * lanes(isa) * threads) as f64 / took / 1e9
    };
    run(FEW).max(run(MANY))
}
