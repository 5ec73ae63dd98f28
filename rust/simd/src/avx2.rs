//! The vectors of AVX2 with FMA and F16C.

use std::arch::x86_64::*;

use crate::isa::Isa;
use crate::vector::{Kernel, Simd};

const LANES: usize = 8;

/// Proves that the machine has AVX2, FMA and F16C.
#[derive(Clone, Copy, Debug)]
pub struct Avx2Token(());

impl Avx2Token {
    /// The token, if the machine has the instructions.
    #[inline]
    pub fn new() -> Option<Self> {
        let here = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c");
        here.then_some(Self(()))
    }
}

/// Runs `kernel` in a function of its own, compiled for AVX2.
#[inline(never)]
#[target_feature(enable = "avx2,fma,f16c")]
fn run<K: Kernel>(s: Avx2Token, kernel: K) -> K::Output {
    kernel.run(s)
}

macro_rules! ops {
    ($($name:ident($($a:ident: $t:ty),*) -> $r:ty = $body:expr;)*) => { $(
        #[inline(always)]
        fn $name(self, $($a: $t),*) -> $r {
            // SAFETY: the token proves that the machine has the instructions, which touch no memory.
            unsafe { $body }
        }
    )* };
}

/// All ones in the first `n` lanes.
#[inline(always)]
fn tail_mask(n: usize) -> __m256i {
    const ONES: [i32; 2 * LANES] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
    let start = LANES - n.min(LANES);
    // SAFETY: eight values from `start <= 8` on lie inside the array; only holders of a token call this.
    unsafe { _mm256_loadu_si256(ONES.as_ptr().add(start).cast()) }
}

/// `a` where the mask is zero, else `b`, as integers.
#[inline(always)]
unsafe fn blend(a: __m256i, b: __m256i, m: __m256) -> __m256i {
    // SAFETY: called by holders of a token.
    unsafe { _mm256_blendv_epi8(a, b, _mm256_castps_si256(m)) }
}

impl Simd for Avx2Token {
    type F = __m256;
    type I = __m256i;
    type D = __m256d;
    type M = __m256;
    type Table = [__m256; 2];

    const ISA: Isa = Isa::Avx2;
    const LANES: usize = LANES;

    #[inline]
    fn vectorize<K: Kernel>(self, kernel: K) -> K::Output {
        // SAFETY: the token proves that the machine has the instructions.
        unsafe { run(self, kernel) }
    }

    ops! {
        splat(x: f32) -> __m256 = _mm256_set1_ps(x);
        add(a: __m256, b: __m256) -> __m256 = _mm256_add_ps(a, b);
        sub(a: __m256, b: __m256) -> __m256 = _mm256_sub_ps(a, b);
        mul(a: __m256, b: __m256) -> __m256 = _mm256_mul_ps(a, b);
        div(a: __m256, b: __m256) -> __m256 = _mm256_div_ps(a, b);
        fma(a: __m256, b: __m256, c: __m256) -> __m256 = _mm256_fmadd_ps(a, b, c);
        fnma(a: __m256, b: __m256, c: __m256) -> __m256 = _mm256_fnmadd_ps(a, b, c);
        min(a: __m256, b: __m256) -> __m256 = _mm256_min_ps(a, b);
        max(a: __m256, b: __m256) -> __m256 = _mm256_max_ps(a, b);
        sqrt(a: __m256) -> __m256 = _mm256_sqrt_ps(a);
        round(a: __m256) -> __m256 = _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a);
        floor(a: __m256) -> __m256 = _mm256_floor_ps(a);
        ceil(a: __m256) -> __m256 = _mm256_ceil_ps(a);
        trunc(a: __m256) -> __m256 = _mm256_round_ps::<{ _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC }>(a);
        lt(a: __m256, b: __m256) -> __m256 = _mm256_cmp_ps::<_CMP_LT_OQ>(a, b);
        le(a: __m256, b: __m256) -> __m256 = _mm256_cmp_ps::<_CMP_LE_OQ>(a, b);
        eq(a: __m256, b: __m256) -> __m256 = _mm256_cmp_ps::<_CMP_EQ_OQ>(a, b);
        is_nan(a: __m256) -> __m256 = _mm256_cmp_ps::<_CMP_UNORD_Q>(a, a);
        select(m: __m256, a: __m256, b: __m256) -> __m256 = _mm256_blendv_ps(b, a, m);
        iselect(m: __m256, a: __m256i, b: __m256i) -> __m256i = blend(b, a, m);
        mask_and(a: __m256, b: __m256) -> __m256 = _mm256_and_ps(a, b);
        mask_or(a: __m256, b: __m256) -> __m256 = _mm256_or_ps(a, b);
        mask_not(a: __m256) -> __m256 = _mm256_xor_ps(a, _mm256_castsi256_ps(_mm256_set1_epi32(-1)));
        any(m: __m256) -> bool = _mm256_movemask_ps(m) != 0;
        bits(a: __m256) -> __m256i = _mm256_castps_si256(a);
        with_bits(a: __m256i) -> __m256 = _mm256_castsi256_ps(a);
        to_int(a: __m256) -> __m256i = _mm256_cvtps_epi32(a);
        to_float(a: __m256i) -> __m256 = _mm256_cvtepi32_ps(a);
        isplat(x: i32) -> __m256i = _mm256_set1_epi32(x);
        iadd(a: __m256i, b: __m256i) -> __m256i = _mm256_add_epi32(a, b);
        isub(a: __m256i, b: __m256i) -> __m256i = _mm256_sub_epi32(a, b);
        imul(a: __m256i, b: __m256i) -> __m256i = _mm256_mullo_epi32(a, b);
        iand(a: __m256i, b: __m256i) -> __m256i = _mm256_and_si256(a, b);
        ior(a: __m256i, b: __m256i) -> __m256i = _mm256_or_si256(a, b);
        ixor(a: __m256i, b: __m256i) -> __m256i = _mm256_xor_si256(a, b);
        shl(a: __m256i, n: u32) -> __m256i = _mm256_sllv_epi32(a, _mm256_set1_epi32(n as i32));
        shr(a: __m256i, n: u32) -> __m256i = _mm256_srav_epi32(a, _mm256_set1_epi32(n as i32));
        shr_logical(a: __m256i, n: u32) -> __m256i = _mm256_srlv_epi32(a, _mm256_set1_epi32(n as i32));
        ieq(a: __m256i, b: __m256i) -> __m256 = _mm256_castsi256_ps(_mm256_cmpeq_epi32(a, b));
        igt(a: __m256i, b: __m256i) -> __m256 = _mm256_castsi256_ps(_mm256_cmpgt_epi32(a, b));
        dsplat(x: f64) -> __m256d = _mm256_set1_pd(x);
        dadd(a: __m256d, b: __m256d) -> __m256d = _mm256_add_pd(a, b);
        dmul(a: __m256d, b: __m256d) -> __m256d = _mm256_mul_pd(a, b);
        dfma(a: __m256d, b: __m256d, c: __m256d) -> __m256d = _mm256_fmadd_pd(a, b, c);
        dround(a: __m256d) -> __m256d = _mm256_round_pd::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a);
        widen(a: __m256) -> (__m256d, __m256d) =
            (_mm256_cvtps_pd(_mm256_castps256_ps128(a)), _mm256_cvtps_pd(_mm256_extractf128_ps::<1>(a)));
        narrow(low: __m256d, high: __m256d) -> __m256 =
            _mm256_insertf128_ps::<1>(_mm256_castps128_ps256(_mm256_cvtpd_ps(low)), _mm256_cvtpd_ps(high));
    }

    #[inline(always)]
    fn prefetch<T>(self, p: *const T) {
        // SAFETY: a hint, which faults for no address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(p.cast()) }
    }

    #[inline(always)]
    fn prefetch_far<T>(self, p: *const T) {
        // SAFETY: a hint, which faults for no address.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(p.cast()) }
    }

    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> __m256 {
        // SAFETY: the caller's pointer is good for `LANES` values.
        unsafe { _mm256_loadu_ps(p) }
    }

    #[inline(always)]
    unsafe fn load_partial(self, p: *const f32, n: usize) -> __m256 {
        // SAFETY: the mask keeps the load to the `n` values that the caller's pointer is good for.
        unsafe { _mm256_maskload_ps(p, tail_mask(n)) }
    }

    #[inline(always)]
    unsafe fn store(self, p: *mut f32, v: __m256) {
        // SAFETY: the caller's pointer is good for `LANES` values.
        unsafe { _mm256_storeu_ps(p, v) }
    }

    #[inline(always)]
    unsafe fn store_partial(self, p: *mut f32, n: usize, v: __m256) {
        // SAFETY: the mask keeps the store to the `n` values that the caller's pointer is good for.
        unsafe { _mm256_maskstore_ps(p, tail_mask(n), v) }
    }

    #[inline(always)]
    unsafe fn iload(self, p: *const i32) -> __m256i {
        // SAFETY: the caller's pointer is good for `LANES` values.
        unsafe { _mm256_loadu_si256(p.cast()) }
    }

    #[inline(always)]
    unsafe fn istore(self, p: *mut i32, v: __m256i) {
        // SAFETY: the caller's pointer is good for `LANES` values.
        unsafe { _mm256_storeu_si256(p.cast(), v) }
    }

    #[inline(always)]
    unsafe fn dload(self, p: *const f64) -> __m256d {
        // SAFETY: the caller's pointer is good for `LANES / 2` values.
        unsafe { _mm256_loadu_pd(p) }
    }

    #[inline(always)]
    unsafe fn dstore(self, p: *mut f64, v: __m256d) {
        // SAFETY: the caller's pointer is good for `LANES / 2` values.
        unsafe { _mm256_storeu_pd(p, v) }
    }

    #[inline(always)]
    unsafe fn load_u8(self, p: *const u8) -> __m256i {
        // SAFETY: the caller's pointer is good for eight bytes.
        unsafe { _mm256_cvtepu8_epi32(_mm_loadl_epi64(p.cast())) }
    }

    #[inline(always)]
    unsafe fn load_i8(self, p: *const i8) -> __m256i {
        // SAFETY: the caller's pointer is good for eight bytes.
        unsafe { _mm256_cvtepi8_epi32(_mm_loadl_epi64(p.cast())) }
    }

    #[inline(always)]
    unsafe fn load_u16(self, p: *const u16) -> __m256i {
        // SAFETY: the caller's pointer is good for eight values of two bytes.
        unsafe { _mm256_cvtepu16_epi32(_mm_loadu_si128(p.cast())) }
    }

    #[inline(always)]
    unsafe fn store_u16(self, p: *mut u16, v: __m256i) {
        // SAFETY: the caller's pointer is good for eight values of two bytes. The pack saturates, so the upper halves are cleared first.
        unsafe {
            let low = _mm256_and_si256(v, _mm256_set1_epi32(0xffff));
            let packed = _mm_packus_epi32(_mm256_castsi256_si128(low), _mm256_extracti128_si256::<1>(low));
            _mm_storeu_si128(p.cast(), packed);
        }
    }

    #[inline(always)]
    unsafe fn load_f16(self, p: *const u16) -> __m256 {
        // SAFETY: the caller's pointer is good for eight values of two bytes.
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(p.cast())) }
    }

    #[inline(always)]
    unsafe fn store_f16(self, p: *mut u16, v: __m256) {
        // SAFETY: the caller's pointer is good for eight values of two bytes.
        unsafe { _mm_storeu_si128(p.cast(), _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(v)) }
    }

    #[inline(always)]
    fn table(self, values: &[f32; 16]) -> [__m256; 2] {
        // SAFETY: the array holds two vectors.
        unsafe { [_mm256_loadu_ps(values.as_ptr()), _mm256_loadu_ps(values.as_ptr().add(LANES))] }
    }

    #[inline(always)]
    fn lookup(self, table: [__m256; 2], index: __m256i) -> __m256 {
        // SAFETY: the token proves that the machine has the instructions. Bit 3 chooses the half: as a sign, it steers the blend.
        unsafe {
            let (low, high) = (_mm256_permutevar8x32_ps(table[0], index), _mm256_permutevar8x32_ps(table[1], index));
            _mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_slli_epi32::<28>(index)))
        }
    }

    #[inline(always)]
    unsafe fn transpose(self, src: *const f32, stride: usize, rows: usize, dst: *mut f32, dst_stride: usize) {
        let mut v = [self.zero(); LANES];
        for (r, row) in v.iter_mut().enumerate() {
            if r < rows {
                // SAFETY: the caller's source is good for `rows` rows of `LANES` values.
                *row = unsafe { _mm256_loadu_ps(src.add(r * stride)) };
            }
        }
        // SAFETY: the token proves that the machine has the instructions.
        v = unsafe { transpose8(v) };
        for (c, column) in v.into_iter().enumerate() {
            // SAFETY: the caller's destination is good for `LANES` rows of `rows` values.
            unsafe {
                if rows == LANES {
                    _mm256_storeu_ps(dst.add(c * dst_stride), column);
                } else {
                    self.store_partial(dst.add(c * dst_stride), rows, column);
                }
            }
        }
    }
}

/// Transposes eight rows of eight values: pairs, then quadruples, then halves are interleaved.
#[inline(always)]
unsafe fn transpose8(r: [__m256; 8]) -> [__m256; 8] {
    // Loops, not closures: the intrinsics are inlined into a function of the instruction set only.
    // SAFETY: called by holders of a token.
    unsafe {
        let mut pairs = r;
        for i in (0..8).step_by(2) {
            pairs[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
            pairs[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
        }
        // quads[q * 4 + j] holds column `j` (low half) and `j + 4` (high half) of rows 4q..4q+4.
        let mut quads = r;
        for i in [0, 4] {
            for j in 0..2 {
                let (a, b) = (_mm256_castps_pd(pairs[i + j]), _mm256_castps_pd(pairs[i + 2 + j]));
                quads[i + 2 * j] = _mm256_castpd_ps(_mm256_unpacklo_pd(a, b));
                quads[i + 2 * j + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(a, b));
            }
        }
        let mut columns = r;
        for c in 0..4 {
            let (a, b) = (quads[c], quads[4 + c]);
            columns[c] = _mm256_permute2f128_ps::<0x20>(a, b);
            columns[4 + c] = _mm256_permute2f128_ps::<0x31>(a, b);
        }
        columns
    }
}
