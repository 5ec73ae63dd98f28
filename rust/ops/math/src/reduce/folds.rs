//! The folds: sums, products, extremes, exponentials.

use std::marker::PhantomData;

use simd::math::Exp;
use simd::{Simd, VecFn};

use super::fold::{Fold, Row};
use crate::cast::To;
use crate::elementwise::vectorize;

/// Elements whose exponentials are summed up at once.
const PART: usize = 1024;

/// Rows shorter than this are not worth a call.
const SHORT: usize = 16;

/// An element type that is summed up: floats in `f64`, integers in 64 bits that wrap around.
pub(crate) trait Summand: Copy + Send + Sync + PartialOrd + 'static {
    /// What sums are kept in.
    type Acc: Copy + Send + Sync;
    /// Zero.
    const ZERO: Self::Acc;
    /// One.
    const ONE: Self::Acc;
    /// No element is greater.
    const GREATEST: Self;
    /// No element is less.
    const LEAST: Self;
    /// Whether loops are compiled for wide vectors too.
    const WIDE: bool;
    /// The element as a sum.
    fn widen(self) -> Self::Acc;
    /// The element without its sign.
    fn size(self) -> Self::Acc;
    /// The element as a double.
    fn double(self) -> f64;
    /// Whether it is no number.
    fn is_nan(self) -> bool;
    /// `a + b`.
    fn add(a: Self::Acc, b: Self::Acc) -> Self::Acc;
    /// `a * b`.
    fn mul(a: Self::Acc, b: Self::Acc) -> Self::Acc;
    /// The sum as a double.
    fn sum_double(a: Self::Acc) -> f64;
    /// The sum as an element.
    fn narrow(a: Self::Acc) -> Self;
    /// The sum divided by a number of elements: nothing divided by zero is NaN, or 0 where there is none.
    fn mean(a: Self::Acc, count: usize) -> Self;
    /// A double as an element.
    fn cut(x: f64) -> Self;

    /// The greater, or lesser, of each pair, in place of the first; NaN where either is.
    #[inline(always)]
    fn extremes(best: &mut [Self], x: &[Self], greatest: bool) {
        let better = |x: Self, best: Self| if greatest { x > best } else { x < best };
        best.iter_mut().zip(x).for_each(|(best, x)| *best = if better(*x, *best) | x.is_nan() { *x } else { *best });
    }

    /// The sum of `e^(x - pivot)`.
    fn exponentials(x: &[Self], pivot: f64) -> f64 {
        x.iter().map(|x| (x.double() - pivot).exp()).sum()
    }
}

macro_rules! float {
    ($($t:ident { $($more:tt)* })*) => { $(
        impl Summand for $t {
            type Acc = f64;
            const ZERO: f64 = 0.0;
            const ONE: f64 = 1.0;
            const GREATEST: $t = $t::INFINITY;
            const LEAST: $t = $t::NEG_INFINITY;
            const WIDE: bool = true;

            #[inline(always)]
            fn widen(self) -> f64 {
                self.into()
            }

            #[inline(always)]
            fn size(self) -> f64 {
                self.abs().into()
            }

            #[inline(always)]
            fn double(self) -> f64 {
                self.into()
            }

            #[inline(always)]
            fn is_nan(self) -> bool {
                $t::is_nan(self)
            }

            #[inline(always)]
            fn add(a: f64, b: f64) -> f64 {
                a + b
            }

            #[inline(always)]
            fn mul(a: f64, b: f64) -> f64 {
                a * b
            }

            fn sum_double(a: f64) -> f64 {
                a
            }

            fn narrow(a: f64) -> Self {
                a as $t
            }

            fn mean(a: f64, count: usize) -> Self {
                (a / count as f64) as $t
            }

            fn cut(x: f64) -> Self {
                x as $t
            }

            $($more)*
        }
    )* };
}

macro_rules! integer {
    ($($t:ident $acc:ident $size:expr;)*) => { $(
        impl Summand for $t {
            type Acc = $acc;
            const ZERO: $acc = 0;
            const ONE: $acc = 1;
            const GREATEST: $t = $t::MAX;
            const LEAST: $t = $t::MIN;
            const WIDE: bool = false;

            #[inline(always)]
            fn widen(self) -> $acc {
                self.into()
            }

            #[inline(always)]
            fn size(self) -> $acc {
                let size: fn($acc) -> $acc = $size;
                size(self.into())
            }

            #[inline(always)]
            fn double(self) -> f64 {
                self as f64
            }

            #[inline(always)]
            fn is_nan(self) -> bool {
                false
            }

            #[inline(always)]
            fn add(a: $acc, b: $acc) -> $acc {
                a.wrapping_add(b)
            }

            #[inline(always)]
            fn mul(a: $acc, b: $acc) -> $acc {
                a.wrapping_mul(b)
            }

            fn sum_double(a: $acc) -> f64 {
                a as f64
            }

            fn narrow(a: $acc) -> Self {
                a as $t
            }

            fn mean(a: $acc, count: usize) -> Self {
                a.checked_div(count as $acc).unwrap_or(0) as $t
            }

            fn cut(x: f64) -> Self {
                x.to()
            }
        }
    )* };
}

float! {
    f32 {
        fn extremes(best: &mut [f32], x: &[f32], greatest: bool) {
            let n = best.len().min(x.len());
            if greatest {
                simd::zip_in_place(simd::math::Max, &mut best[..n], &x[..n]);
            } else {
                simd::zip_in_place(simd::math::Min, &mut best[..n], &x[..n]);
            }
        }

        fn exponentials(x: &[f32], pivot: f64) -> f64 {
            if x.len() < SHORT {
                return x.iter().map(|x| f64::from((x - pivot as f32).exp())).sum();
            }
            let mut powers = [0f32; PART];
            let sum = |x: &[f32]| {
                let powers = &mut powers[..x.len()];
                simd::map(Relative(pivot as f32), x, powers);
                vectorize(true, Row { fold: Sum::<f32, ELEMENTS>::default(), x: powers })
            };
            x.chunks(PART).map(sum).sum()
        }
    }
    f64 {}
}

integer! {
    i8 i64 i64::wrapping_abs;
    i16 i64 i64::wrapping_abs;
    i32 i64 i64::wrapping_abs;
    i64 i64 i64::wrapping_abs;
    u8 u64 |x| x;
    u16 u64 |x| x;
    u32 u64 |x| x;
    u64 u64 |x| x;
}

/// The sum of a function of the elements.
#[derive(Clone, Copy)]
pub(crate) struct Sum<T, const OF: u8>(PhantomData<T>);

/// The elements themselves.
pub(crate) const ELEMENTS: u8 = 0;
/// Their squares.
pub(crate) const SQUARES: u8 = 1;
/// Their sizes without sign.
pub(crate) const SIZES: u8 = 2;

impl<T, const OF: u8> Default for Sum<T, OF> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T: Summand, const OF: u8> Fold for Sum<T, OF> {
    type Item = T;
    type Acc = T::Acc;
    const WIDE: bool = T::WIDE;

    #[inline(always)]
    fn start(self) -> T::Acc {
        T::ZERO
    }

    #[inline(always)]
    fn step(self, acc: T::Acc, x: T) -> T::Acc {
        let term = match OF {
            SQUARES => T::mul(x.widen(), x.widen()),
            SIZES => x.size(),
            _ => x.widen(),
        };
        T::add(acc, term)
    }

    #[inline(always)]
    fn join(self, a: T::Acc, b: T::Acc) -> T::Acc {
        T::add(a, b)
    }
}

/// The product of the elements.
#[derive(Clone, Copy)]
pub(crate) struct Product<T>(PhantomData<T>);

impl<T> Default for Product<T> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T: Summand> Fold for Product<T> {
    type Item = T;
    type Acc = T::Acc;
    const WIDE: bool = T::WIDE;

    #[inline(always)]
    fn start(self) -> T::Acc {
        T::ONE
    }

    #[inline(always)]
    fn step(self, acc: T::Acc, x: T) -> T::Acc {
        T::mul(acc, x.widen())
    }

    #[inline(always)]
    fn join(self, a: T::Acc, b: T::Acc) -> T::Acc {
        T::mul(a, b)
    }
}

/// The greatest element, or the least; NaN where any is.
#[derive(Clone, Copy)]
pub(crate) struct Extreme<T, const GREATEST: bool>(PhantomData<T>);

impl<T, const GREATEST: bool> Default for Extreme<T, GREATEST> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T: Summand, const GREATEST: bool> Fold for Extreme<T, GREATEST> {
    type Item = T;
    type Acc = T;
    const WIDE: bool = T::WIDE;

    #[inline(always)]
    fn start(self) -> T {
        if GREATEST { T::LEAST } else { T::GREATEST }
    }

    #[inline(always)]
    fn step(self, acc: T, x: T) -> T {
        let better = if GREATEST { x > acc } else { x < acc };
        // Both are computed: a choice without a branch is one that vectors make.
        if better | x.is_nan() { x } else { acc }
    }

    #[inline(always)]
    fn join(self, a: T, b: T) -> T {
        self.step(a, b)
    }

    #[inline(always)]
    fn column(self, accs: &mut [T], row: &[T]) {
        T::extremes(accs, row, GREATEST);
    }
}

/// The sum of `e^x`, kept as the greatest `x` and the sum relative to it, so that nothing overflows.
#[derive(Clone, Copy)]
pub(crate) struct Exponentials<T>(PhantomData<T>);

impl<T> Default for Exponentials<T> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

/// `e^(x - pivot)`.
#[derive(Clone, Copy)]
struct Relative(f32);

impl VecFn for Relative {
    #[inline(always)]
    fn eval<S: Simd>(self, s: S, x: S::F) -> S::F {
        Exp.eval(s, s.sub(x, s.splat(self.0)))
    }
}

/// The greatest exponent, and the sum of `e^(x - pivot)`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scaled {
    pub(crate) max: f64,
    pub(crate) sum: f64,
}

impl Scaled {
    /// What exponents are relative to: the greatest, unless it is infinite.
    fn pivot(max: f64) -> f64 {
        if max.is_infinite() { 0.0 } else { max }
    }

    /// The sum relative to another greatest exponent.
    fn relative_to(self, max: f64) -> f64 {
        if self.sum == 0.0 { 0.0 } else { self.sum * (Self::pivot(self.max) - Self::pivot(max)).exp() }
    }

    /// The logarithm of the sum.
    pub(crate) fn logarithm(self) -> f64 {
        Self::pivot(self.max) + self.sum.ln()
    }
}

impl<T: Summand> Fold for Exponentials<T> {
    type Item = T;
    type Acc = Scaled;
    const WIDE: bool = false;

    fn start(self) -> Scaled {
        Scaled { max: f64::NEG_INFINITY, sum: 0.0 }
    }

    fn step(self, acc: Scaled, x: T) -> Scaled {
        let x = x.double();
        if x <= acc.max {
            return Scaled { sum: acc.sum + (x - Scaled::pivot(acc.max)).exp(), ..acc };
        }
        Scaled { max: x, sum: acc.relative_to(x) + (x - Scaled::pivot(x)).exp() }
    }

    fn row(self, acc: Scaled, x: &[T]) -> Scaled {
        x.chunks(PART).fold(acc, |acc, x| {
            let greatest = Extreme::<T, true>::default();
            let max = vectorize(T::WIDE, Row { fold: greatest, x }).double();
            let max = if acc.max > max { acc.max } else { max };
            let sum = T::exponentials(x, Scaled::pivot(max));
            if acc.sum == 0.0 { Scaled { max, sum } } else { self.join(acc, Scaled { max, sum }) }
        })
    }

    fn join(self, a: Scaled, b: Scaled) -> Scaled {
        let max = if a.max > b.max || a.max.is_nan() { a.max } else { b.max };
        Scaled { max, sum: a.relative_to(max) + b.relative_to(max) }
    }
}
