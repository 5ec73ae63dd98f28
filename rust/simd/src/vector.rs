//! The vectors of an instruction set, as one trait.

use crate::isa::{self, Isa};
use crate::portable::PortableToken;

/// The most lanes that any instruction set has.
pub const MAX_LANES: usize = 16;

/// Work written over [`Simd`], to be run for the instruction set at hand. `run` should be `#[inline(always)]`, and so should whatever it
/// calls in its inner loops: only code inlined into the dispatching function is compiled for the instruction set.
pub trait Kernel {
    /// What the work gives back.
    type Output;

    /// Does the work with the vectors of `S`.
    fn run<S: Simd>(self, s: S) -> Self::Output;
}

/// Runs `kernel` with the widest instruction set allowed.
#[inline]
pub fn dispatch<K: Kernel>(kernel: K) -> K::Output {
    dispatch_on(isa::best(), kernel)
}

/// Runs `kernel` with `isa`, or with portable code where the machine lacks it.
#[inline]
pub fn dispatch_on<K: Kernel>(isa: Isa, kernel: K) -> K::Output {
    #[cfg(target_arch = "x86_64")]
    match isa {
        Isa::Avx512 => {
            if let Some(s) = crate::Avx512Token::new() {
                return s.vectorize(kernel);
            }
        }
        Isa::Avx2 => {
            if let Some(s) = crate::Avx2Token::new() {
                return s.vectorize(kernel);
            }
        }
        Isa::Portable => {}
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = isa;
    PortableToken.vectorize(kernel)
}

/// The token of an instruction set and its vectors: `LANES` of `f32` or `i32`, half as many `f64`.
///
/// Functions named `*_partial` touch the first `n` lanes only, `n <= LANES`; lanes not loaded are zero.
/// All others act lane by lane on whole vectors.
#[allow(clippy::missing_safety_doc)] // One contract for all: the pointer is good for the lanes that the function touches, at any alignment.
pub trait Simd: Copy + Send + Sync + 'static {
    /// `LANES` values of `f32`.
    type F: Copy;
    /// `LANES` values of `i32`.
    type I: Copy;
    /// `LANES / 2` values of `f64`.
    type D: Copy;
    /// One truth value for each lane of `F`.
    type M: Copy;
    /// A table of sixteen `f32`.
    type Table: Copy;

    /// The instruction set.
    const ISA: Isa;
    /// Lanes of `F` and of `I`.
    const LANES: usize;

    /// Runs `kernel` compiled for this instruction set.
    fn vectorize<K: Kernel>(self, kernel: K) -> K::Output;

    /// Asks for the cache line at `p`, which may be any address, to be near when it is read.
    fn prefetch<T>(self, p: *const T);

    /// Asks for the cache line at `p`, which may be any address, to be in the second-level cache some time later.
    fn prefetch_far<T>(self, p: *const T);

    /// `x` in every lane.
    fn splat(self, x: f32) -> Self::F;
    /// Loads `LANES` values.
    unsafe fn load(self, p: *const f32) -> Self::F;
    /// Loads `n` values.
    unsafe fn load_partial(self, p: *const f32, n: usize) -> Self::F;
    /// Stores `LANES` values.
    unsafe fn store(self, p: *mut f32, v: Self::F);
    /// Stores `n` values.
    unsafe fn store_partial(self, p: *mut f32, n: usize, v: Self::F);

    /// `a + b`.
    fn add(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a - b`.
    fn sub(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a * b`.
    fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a / b`.
    fn div(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a * b + c`, rounded once where the instruction set can.
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// `c - a * b`, rounded once where the instruction set can.
    fn fnma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// `if a < b { a } else { b }`: `b` where either is NaN.
    fn min(self, a: Self::F, b: Self::F) -> Self::F;
    /// `if a > b { a } else { b }`: `b` where either is NaN.
    fn max(self, a: Self::F, b: Self::F) -> Self::F;
    /// The square root.
    fn sqrt(self, a: Self::F) -> Self::F;
    /// The nearest whole number, ties to even.
    fn round(self, a: Self::F) -> Self::F;
    /// The next whole number at or below.
    fn floor(self, a: Self::F) -> Self::F;
    /// The next whole number at or above.
    fn ceil(self, a: Self::F) -> Self::F;
    /// The whole part.
    fn trunc(self, a: Self::F) -> Self::F;

    /// `a < b`; false where either is NaN.
    fn lt(self, a: Self::F, b: Self::F) -> Self::M;
    /// `a <= b`; false where either is NaN.
    fn le(self, a: Self::F, b: Self::F) -> Self::M;
    /// `a == b`; false where either is NaN.
    fn eq(self, a: Self::F, b: Self::F) -> Self::M;
    /// Whether the lane is NaN.
    fn is_nan(self, a: Self::F) -> Self::M;
    /// `if m { a } else { b }`.
    fn select(self, m: Self::M, a: Self::F, b: Self::F) -> Self::F;
    /// `if m { a } else { b }` on integers.
    fn iselect(self, m: Self::M, a: Self::I, b: Self::I) -> Self::I;
    /// Both.
    fn mask_and(self, a: Self::M, b: Self::M) -> Self::M;
    /// Either.
    fn mask_or(self, a: Self::M, b: Self::M) -> Self::M;
    /// Neither.
    fn mask_not(self, a: Self::M) -> Self::M;
    /// Whether any lane is true.
    fn any(self, m: Self::M) -> bool;

    /// The bits of the values.
    fn bits(self, a: Self::F) -> Self::I;
    /// The values of the bits.
    fn with_bits(self, a: Self::I) -> Self::F;
    /// The nearest integer, ties to even; anything at all where that is no `i32`.
    fn to_int(self, a: Self::F) -> Self::I;
    /// The integer as a float, rounded to nearest.
    fn to_float(self, a: Self::I) -> Self::F;

    /// `x` in every lane.
    fn isplat(self, x: i32) -> Self::I;
    /// Loads `LANES` integers.
    unsafe fn iload(self, p: *const i32) -> Self::I;
    /// Stores `LANES` integers.
    unsafe fn istore(self, p: *mut i32, v: Self::I);
    /// `a + b`, wrapping.
    fn iadd(self, a: Self::I, b: Self::I) -> Self::I;
    /// `a - b`, wrapping.
    fn isub(self, a: Self::I, b: Self::I) -> Self::I;
    /// `a * b`, wrapping.
    fn imul(self, a: Self::I, b: Self::I) -> Self::I;
    /// `a & b`.
    fn iand(self, a: Self::I, b: Self::I) -> Self::I;
    /// `a | b`.
    fn ior(self, a: Self::I, b: Self::I) -> Self::I;
    /// `a ^ b`.
    fn ixor(self, a: Self::I, b: Self::I) -> Self::I;
    /// `a << n`, `n < 32`.
    fn shl(self, a: Self::I, n: u32) -> Self::I;
    /// `a >> n` with the sign kept, `n < 32`.
    fn shr(self, a: Self::I, n: u32) -> Self::I;
    /// `a >> n` with zeros shifted in, `n < 32`.
    fn shr_logical(self, a: Self::I, n: u32) -> Self::I;
    /// `a == b`.
    fn ieq(self, a: Self::I, b: Self::I) -> Self::M;
    /// `a > b`.
    fn igt(self, a: Self::I, b: Self::I) -> Self::M;

    /// `x` in every lane.
    fn dsplat(self, x: f64) -> Self::D;
    /// Loads `LANES / 2` values.
    unsafe fn dload(self, p: *const f64) -> Self::D;
    /// Stores `LANES / 2` values.
    unsafe fn dstore(self, p: *mut f64, v: Self::D);
    /// `a + b`.
    fn dadd(self, a: Self::D, b: Self::D) -> Self::D;
    /// `a * b`.
    fn dmul(self, a: Self::D, b: Self::D) -> Self::D;
    /// `a * b + c`, rounded once where the instruction set can.
    fn dfma(self, a: Self::D, b: Self::D, c: Self::D) -> Self::D;
    /// The nearest whole number, ties to even.
    fn dround(self, a: Self::D) -> Self::D;
    /// The lower and the upper half of the lanes, as `f64`.
    fn widen(self, a: Self::F) -> (Self::D, Self::D);
    /// The values of both halves, rounded to `f32`.
    fn narrow(self, low: Self::D, high: Self::D) -> Self::F;

    /// Loads `LANES` values of 8 bits, sign not extended.
    unsafe fn load_u8(self, p: *const u8) -> Self::I;
    /// Loads `LANES` values of 8 bits, sign extended.
    unsafe fn load_i8(self, p: *const i8) -> Self::I;
    /// Loads `LANES` values of 16 bits, sign not extended.
    unsafe fn load_u16(self, p: *const u16) -> Self::I;
    /// Stores the low 16 bits of `LANES` integers.
    unsafe fn store_u16(self, p: *mut u16, v: Self::I);
    /// Loads `LANES` half-precision values (their bits).
    unsafe fn load_f16(self, p: *const u16) -> Self::F;
    /// Stores `LANES` values as half precision, rounded to nearest even.
    unsafe fn store_f16(self, p: *mut u16, v: Self::F);

    /// The table of `values`.
    fn table(self, values: &[f32; 16]) -> Self::Table;
    /// The entry of the table that the low four bits of each lane name.
    fn lookup(self, table: Self::Table, index: Self::I) -> Self::F;

    /// Loads `rows <= LANES` rows of `LANES` values, `stride` apart, and stores their transpose: `LANES` rows of `rows` values,
    /// `dst_stride` apart.
    unsafe fn transpose(self, src: *const f32, stride: usize, rows: usize, dst: *mut f32, dst_stride: usize);

    /// `a > b`; false where either is NaN.
    #[inline(always)]
    fn gt(self, a: Self::F, b: Self::F) -> Self::M {
        self.lt(b, a)
    }

    /// `a >= b`; false where either is NaN.
    #[inline(always)]
    fn ge(self, a: Self::F, b: Self::F) -> Self::M {
        self.le(b, a)
    }

    /// Zero in every lane.
    #[inline(always)]
    fn zero(self) -> Self::F {
        self.splat(0.0)
    }

    /// The value without its sign.
    #[inline(always)]
    fn abs(self, a: Self::F) -> Self::F {
        self.with_bits(self.iand(self.bits(a), self.isplat(i32::MAX)))
    }

    /// The value with the other sign.
    #[inline(always)]
    fn neg(self, a: Self::F) -> Self::F {
        self.with_bits(self.ixor(self.bits(a), self.isplat(i32::MIN)))
    }

    /// The size of `a` with the sign of `b`.
    #[inline(always)]
    fn copysign(self, a: Self::F, b: Self::F) -> Self::F {
        let sign = self.isplat(i32::MIN);
        self.with_bits(self.ior(self.bits(self.abs(a)), self.iand(self.bits(b), sign)))
    }

    /// The lesser of both; NaN where either is.
    #[inline(always)]
    fn min_nan(self, a: Self::F, b: Self::F) -> Self::F {
        self.select(self.is_nan(a), a, self.min(a, b))
    }

    /// The greater of both; NaN where either is.
    #[inline(always)]
    fn max_nan(self, a: Self::F, b: Self::F) -> Self::F {
        self.select(self.is_nan(a), a, self.max(a, b))
    }

    /// The sum of all lanes, added in halves: lane `i` to lane `i + n / 2`, and so on.
    #[inline(always)]
    fn reduce_add(self, v: Self::F) -> f32 {
        fold(self, v, |a, b| a + b)
    }

    /// The greatest lane, NaN if any is.
    #[inline(always)]
    fn reduce_max(self, v: Self::F) -> f32 {
        fold(self, v, |a, b| if a > b || a.is_nan() { a } else { b })
    }

    /// The least lane, NaN if any is.
    #[inline(always)]
    fn reduce_min(self, v: Self::F) -> f32 {
        fold(self, v, |a, b| if a < b || a.is_nan() { a } else { b })
    }

    /// Loads `LANES` bfloat16 values (their bits).
    #[inline(always)]
    unsafe fn load_bf16(self, p: *const u16) -> Self::F {
        // SAFETY: the caller's pointer is good for `LANES` values.
        self.with_bits(self.shl(unsafe { self.load_u16(p) }, 16))
    }

    /// Stores `LANES` values as bfloat16, rounded to nearest even; NaN stays NaN.
    #[inline(always)]
    unsafe fn store_bf16(self, p: *mut u16, v: Self::F) {
        let bits = self.bits(v);
        let odd = self.iand(self.shr_logical(bits, 16), self.isplat(1));
        let rounded = self.iadd(bits, self.iadd(odd, self.isplat(0x7fff)));
        let quiet = self.ior(bits, self.isplat(0x0040_0000));
        let kept = self.shr_logical(self.iselect(self.is_nan(v), quiet, rounded), 16);
        // SAFETY: the caller's pointer is good for `LANES` values.
        unsafe { self.store_u16(p, kept) }
    }
}

/// Folds the lanes of `v` in halves.
#[inline(always)]
fn fold<S: Simd>(s: S, v: S::F, f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [0.0f32; MAX_LANES];
    // SAFETY: the array holds `LANES` values or more.
    unsafe { s.store(lanes.as_mut_ptr(), v) };
    let mut n = S::LANES;
    while n > 1 {
        n /= 2;
        for i in 0..n {
            lanes[i] = f(lanes[i], lanes[i + n]);
        }
    }
    lanes[0]
}
