//! The vectors of plain Rust: arrays that the compiler turns into whatever vectors the target has.

use std::array::from_fn;

use half::f16;

use crate::isa::Isa;
use crate::vector::{Kernel, Simd};

const LANES: usize = 8;
const HALF: usize = LANES / 2;

/// Proves nothing, for portable code runs everywhere.
#[derive(Clone, Copy, Debug, Default)]
pub struct PortableToken;

/// An array kept on the boundary of a vector.
#[derive(Clone, Copy)]
#[repr(align(32))]
pub struct Lanes<T, const N: usize>([T; N]);

type F = Lanes<f32, LANES>;
type I = Lanes<i32, LANES>;
type D = Lanes<f64, HALF>;
type M = Lanes<bool, LANES>;

/// Whether the target surely multiplies and adds in one instruction; elsewhere the library function would be far slower than two.
const FUSED: bool = cfg!(any(target_arch = "aarch64", target_feature = "fma"));

#[inline(always)]
fn map<T: Copy, R, const N: usize>(a: Lanes<T, N>, f: impl Fn(T) -> R) -> Lanes<R, N> {
    Lanes(from_fn(|i| f(a.0[i])))
}

#[inline(always)]
fn zip<T: Copy, R, const N: usize>(a: Lanes<T, N>, b: Lanes<T, N>, f: impl Fn(T, T) -> R) -> Lanes<R, N> {
    Lanes(from_fn(|i| f(a.0[i], b.0[i])))
}

macro_rules! lanewise {
    ($($name:ident($a:ident: $t:ident $(, $b:ident: $t2:ident)?) -> $r:ident = $body:expr;)*) => { $(
        #[inline(always)]
        fn $name(self, $a: $t $(, $b: $t2)?) -> $r {
            lanewise!(@ $a $(, $b)? => $body)
        }
    )* };
    (@ $a:ident => $body:expr) => { map($a, |$a| $body) };
    (@ $a:ident, $b:ident => $body:expr) => { zip($a, $b, |$a, $b| $body) };
}

impl Simd for PortableToken {
    type F = F;
    type I = I;
    type D = D;
    type M = M;
    type Table = [f32; 16];

    const ISA: Isa = Isa::Portable;
    const LANES: usize = LANES;

    #[inline]
    fn vectorize<K: Kernel>(self, kernel: K) -> K::Output {
        kernel.run(self)
    }

    #[inline(always)]
    fn splat(self, x: f32) -> F {
        Lanes([x; LANES])
    }

    #[inline(always)]
    fn prefetch<T>(self, _: *const T) {}

    #[inline(always)]
    fn prefetch_far<T>(self, _: *const T) {}

    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> F {
        // SAFETY: the caller's pointer is good for `LANES` values; the array read has the alignment of its element.
        Lanes(unsafe { p.cast::<[f32; LANES]>().read_unaligned() })
    }

    #[inline(always)]
    unsafe fn load_partial(self, p: *const f32, n: usize) -> F {
        // SAFETY: the caller's pointer is good for `n` values, and only those are read.
        Lanes(from_fn(|i| if i < n { unsafe { p.add(i).read_unaligned() } } else { 0.0 }))
    }

    #[inline(always)]
    unsafe fn store(self, p: *mut f32, v: F) {
        // SAFETY: the caller's pointer is good for `LANES` values.
        unsafe { p.cast::<[f32; LANES]>().write_unaligned(v.0) }
    }

    #[inline(always)]
    unsafe fn store_partial(self, p: *mut f32, n: usize, v: F) {
        for (i, x) in v.0.into_iter().take(n).enumerate() {
            // SAFETY: the caller's pointer is good for `n` values.
            unsafe { p.add(i).write_unaligned(x) }
        }
    }

    lanewise! {
        add(a: F, b: F) -> F = a + b;
        sub(a: F, b: F) -> F = a - b;
        mul(a: F, b: F) -> F = a * b;
        div(a: F, b: F) -> F = a / b;
        min(a: F, b: F) -> F = if a < b { a } else { b };
        max(a: F, b: F) -> F = if a > b { a } else { b };
        sqrt(a: F) -> F = a.sqrt();
        round(a: F) -> F = round_even(a);
        floor(a: F) -> F = a.floor();
        ceil(a: F) -> F = a.ceil();
        trunc(a: F) -> F = a.trunc();
        lt(a: F, b: F) -> M = a < b;
        le(a: F, b: F) -> M = a <= b;
        eq(a: F, b: F) -> M = a == b;
        is_nan(a: F) -> M = a.is_nan();
        mask_and(a: M, b: M) -> M = a & b;
        mask_or(a: M, b: M) -> M = a | b;
        mask_not(a: M) -> M = !a;
        bits(a: F) -> I = a.to_bits() as i32;
        with_bits(a: I) -> F = f32::from_bits(a as u32);
        to_int(a: F) -> I = round_even(a) as i32;
        to_float(a: I) -> F = a as f32;
        iadd(a: I, b: I) -> I = a.wrapping_add(b);
        isub(a: I, b: I) -> I = a.wrapping_sub(b);
        imul(a: I, b: I) -> I = a.wrapping_mul(b);
        iand(a: I, b: I) -> I = a & b;
        ior(a: I, b: I) -> I = a | b;
        ixor(a: I, b: I) -> I = a ^ b;
        ieq(a: I, b: I) -> M = a == b;
        igt(a: I, b: I) -> M = a > b;
        dadd(a: D, b: D) -> D = a + b;
        dmul(a: D, b: D) -> D = a * b;
        dround(a: D) -> D = a.round_ties_even();
    }

    #[inline(always)]
    fn fma(self, a: F, b: F, c: F) -> F {
        Lanes(from_fn(|i| if FUSED { a.0[i].mul_add(b.0[i], c.0[i]) } else { a.0[i] * b.0[i] + c.0[i] }))
    }

    #[inline(always)]
    fn fnma(self, a: F, b: F, c: F) -> F {
        Lanes(from_fn(|i| if FUSED { (-a.0[i]).mul_add(b.0[i], c.0[i]) } else { c.0[i] - a.0[i] * b.0[i] }))
    }

    #[inline(always)]
    fn dfma(self, a: D, b: D, c: D) -> D {
        Lanes(from_fn(|i| if FUSED { a.0[i].mul_add(b.0[i], c.0[i]) } else { a.0[i] * b.0[i] + c.0[i] }))
    }

    #[inline(always)]
    fn select(self, m: M, a: F, b: F) -> F {
        Lanes(from_fn(|i| if m.0[i] { a.0[i] } else { b.0[i] }))
    }

    #[inline(always)]
    fn iselect(self, m: M, a: I, b: I) -> I {
        Lanes(from_fn(|i| if m.0[i] { a.0[i] } else { b.0[i] }))
    }

    #[inline(always)]
    fn any(self, m: M) -> bool {
        m.0.iter().fold(false, |a, &b| a | b)
    }

    #[inline(always)]
    fn isplat(self, x: i32) -> I {
        Lanes([x; LANES])
    }

    #[inline(always)]
    unsafe fn iload(self, p: *const i32) -> I {
        // SAFETY: the caller's pointer is good for `LANES` values.
        Lanes(unsafe { p.cast::<[i32; LANES]>().read_unaligned() })
    }

    #[inline(always)]
    unsafe fn istore(self, p: *mut i32, v: I) {
        // SAFETY: the caller's pointer is good for `LANES` values.
        unsafe { p.cast::<[i32; LANES]>().write_unaligned(v.0) }
    }

    #[inline(always)]
    fn shl(self, a: I, n: u32) -> I {
        map(a, |a| a << n)
    }

    #[inline(always)]
    fn shr(self, a: I, n: u32) -> I {
        map(a, |a| a >> n)
    }

    #[inline(always)]
    fn shr_logical(self, a: I, n: u32) -> I {
        map(a, |a| ((a as u32) >> n) as i32)
    }

    #[inline(always)]
    fn dsplat(self, x: f64) -> D {
        Lanes([x; HALF])
    }

    #[inline(always)]
    unsafe fn dload(self, p: *const f64) -> D {
        // SAFETY: the caller's pointer is good for `LANES / 2` values.
        Lanes(unsafe { p.cast::<[f64; HALF]>().read_unaligned() })
    }

    #[inline(always)]
    unsafe fn dstore(self, p: *mut f64, v: D) {
        // SAFETY: the caller's pointer is good for `LANES / 2` values.
        unsafe { p.cast::<[f64; HALF]>().write_unaligned(v.0) }
    }

    #[inline(always)]
    fn widen(self, a: F) -> (D, D) {
        (Lanes(from_fn(|i| f64::from(a.0[i]))), Lanes(from_fn(|i| f64::from(a.0[i + HALF]))))
    }

    #[inline(always)]
    fn narrow(self, low: D, high: D) -> F {
        Lanes(from_fn(|i| if i < HALF { low.0[i] as f32 } else { high.0[i - HALF] as f32 }))
    }

    #[inline(always)]
    unsafe fn load_u8(self, p: *const u8) -> I {
        // SAFETY: the caller's pointer is good for `LANES` bytes.
        let bytes = unsafe { p.cast::<[u8; LANES]>().read() };
        Lanes(bytes.map(i32::from))
    }

    #[inline(always)]
    unsafe fn load_i8(self, p: *const i8) -> I {
        // SAFETY: the caller's pointer is good for `LANES` bytes.
        let bytes = unsafe { p.cast::<[i8; LANES]>().read() };
        Lanes(bytes.map(i32::from))
    }

    #[inline(always)]
    unsafe fn load_u16(self, p: *const u16) -> I {
        // SAFETY: the caller's pointer is good for `LANES` values.
        let values = unsafe { p.cast::<[u16; LANES]>().read_unaligned() };
        Lanes(values.map(i32::from))
    }

    #[inline(always)]
    unsafe fn store_u16(self, p: *mut u16, v: I) {
        // SAFETY: the caller's pointer is good for `LANES` values.
        unsafe { p.cast::<[u16; LANES]>().write_unaligned(v.0.map(|x| x as u16)) }
    }

    #[inline(always)]
    unsafe fn load_f16(self, p: *const u16) -> F {
        // SAFETY: the caller's pointer is good for `LANES` values.
        let values = unsafe { p.cast::<[u16; LANES]>().read_unaligned() };
        Lanes(values.map(|b| f16::from_bits(b).to_f32()))
    }

    #[inline(always)]
    unsafe fn store_f16(self, p: *mut u16, v: F) {
        // SAFETY: the caller's pointer is good for `LANES` values.
        unsafe { p.cast::<[u16; LANES]>().write_unaligned(v.0.map(|x| f16::from_f32(x).to_bits())) }
    }

    #[inline(always)]
    fn table(self, values: &[f32; 16]) -> [f32; 16] {
        *values
    }

    #[inline(always)]
    fn lookup(self, table: [f32; 16], index: I) -> F {
        map(index, |i| table[(i & 15) as usize])
    }

    #[inline(always)]
    unsafe fn transpose(self, src: *const f32, stride: usize, rows: usize, dst: *mut f32, dst_stride: usize) {
        for r in 0..rows {
            for c in 0..LANES {
                // SAFETY: the caller's pointers are good for `rows` rows of `LANES` values and the transpose of that.
                unsafe { dst.add(c * dst_stride + r).write(src.add(r * stride + c).read()) }
            }
        }
    }
}

/// The nearest whole number, ties to even, without a call into the library: adding 2^23 pushes the fraction out.
#[inline(always)]
fn round_even(x: f32) -> f32 {
    const SHIFT: f32 = 8_388_608.0;
    let rounded = (x.abs() + SHIFT) - SHIFT;
    if x.abs() < SHIFT { rounded.copysign(x) } else { x }
}
