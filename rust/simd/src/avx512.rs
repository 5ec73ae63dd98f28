//! The vectors of AVX-512 F, BW, DQ and VL.

use std::arch::x86_64::*;

use crate::isa::Isa;
use crate::vector::{Kernel, Simd};

const LANES: usize = 16;

/// Proves that the machine has AVX-512 F, BW, DQ and VL, and what [`Avx2Token`](crate::Avx2Token) proves.
#[derive(Clone, Copy, Debug)]
pub struct Avx512Token(());

impl Avx512Token {
    /// The token, if the machine has the instructions.
    #[inline]
    pub fn new() -> Option<Self> {
        let here = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && crate::Avx2Token::new().is_some();
        here.then_some(Self(()))
    }
}

/// Runs `kernel` in a function of its own, compiled for AVX-512.
#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
fn run<K: Kernel>(s: Avx512Token, kernel: K) -> K::Output {
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

const ROUND: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
const FLOOR: i32 = _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC;
const CEIL: i32 = _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC;
const TRUNC: i32 = _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC;

/// One bit for each of the first `n` lanes.
#[inline(always)]
fn tail_mask(n: usize) -> __mmask16 {
    ((1u32 << n.min(LANES)) - 1) as __mmask16
}

impl Simd for Avx512Token {
    type F = __m512;
    type I = __m512i;
    type D = __m512d;
    type M = __mmask16;
    type Table = __m512;

    const ISA: Isa = Isa::Avx512;
    const LANES: usize = LANES;

    #[inline]
    fn vectorize<K: Kernel>(self, kernel: K) -> K::Output {
        // SAFETY: the token proves that the machine has the instructions.
        unsafe { run(self, kernel) }
    }

    ops! {
        splat(x: f32) -> __m512 = _mm512_set1_ps(x);
        add(a: __m512, b: __m512) -> __m512 = _mm512_add_ps(a, b);
        sub(a: __m512, b: __m512) -> __m512 = _mm512_sub_ps(a, b);
        mul(a: __m512, b: __m512) -> __m512 = _mm512_mul_ps(a, b);
        div(a: __m512, b: __m512) -> __m512 = _mm512_div_ps(a, b);
        fma(a: __m512, b: __m512, c: __m512) -> __m512 = _mm512_fmadd_ps(a, b, c);
        fnma(a: __m512, b: __m512, c: __m512) -> __m512 = _mm512_fnmadd_ps(a, b, c);
        min(a: __m512, b: __m512) -> __m512 = _mm512_min_ps(a, b);
        max(a: __m512, b: __m512) -> __m512 = _mm512_max_ps(a, b);
        sqrt(a: __m512) -> __m512 = _mm512_sqrt_ps(a);
        round(a: __m512) -> __m512 = _mm512_roundscale_ps::<ROUND>(a);
        floor(a: __m512) -> __m512 = _mm512_roundscale_ps::<FLOOR>(a);
        ceil(a: __m512) -> __m512 = _mm512_roundscale_ps::<CEIL>(a);
        trunc(a: __m512) -> __m512 = _mm512_roundscale_ps::<TRUNC>(a);
        lt(a: __m512, b: __m512) -> __mmask16 = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b);
        le(a: __m512, b: __m512) -> __mmask16 = _mm512_cmp_ps_mask::<_CMP_LE_OQ>(a, b);
        eq(a: __m512, b: __m512) -> __mmask16 = _mm512_cmp_ps_mask::<_CMP_EQ_OQ>(a, b);
        is_nan(a: __m512) -> __mmask16 = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(a, a);
        select(m: __mmask16, a: __m512, b: __m512) -> __m512 = _mm512_mask_blend_ps(m, b, a);
        iselect(m: __mmask16, a: __m512i, b: __m512i) -> __m512i = _mm512_mask_blend_epi32(m, b, a);
        bits(a: __m512) -> __m512i = _mm512_castps_si512(a);
        with_bits(a: __m512i) -> __m512 = _mm512_castsi512_ps(a);
        to_int(a: __m512) -> __m512i = _mm512_cvtps_epi32(a);
        to_float(a: __m512i) -> __m512 = _mm512_cvtepi32_ps(a);
        isplat(x: i32) -> __m512i = _mm512_set1_epi32(x);
        iadd(a: __m512i, b: __m512i) -> __m512i = _mm512_add_epi32(a, b);
        isub(a: __m512i, b: __m512i) -> __m512i = _mm512_sub_epi32(a, b);
        imul(a: __m512i, b: __m512i) -> __m512i = _mm512_mullo_epi32(a, b);
        iand(a: __m512i, b: __m512i) -> __m512i = _mm512_and_si512(a, b);
        ior(a: __m512i, b: __m512i) -> __m512i = _mm512_or_si512(a, b);
        ixor(a: __m512i, b: __m512i) -> __m512i = _mm512_xor_si512(a, b);
        shl(a: __m512i, n: u32) -> __m512i = _mm512_sllv_epi32(a, _mm512_set1_epi32(n as i32));
        shr(a: __m512i, n: u32) -> __m512i = _mm512_srav_epi32(a, _mm512_set1_epi32(n as i32));
        shr_logical(a: __m512i, n: u32) -> __m512i = _mm512_srlv_epi32(a, _mm512_set1_epi32(n as i32));
        ieq(a: __m512i, b: __m512i) -> __mmask16 = _mm512_cmpeq_epi32_mask(a, b);
        igt(a: __m512i, b: __m512i) -> __mmask16 = _mm512_cmpgt_epi32_mask(a, b);
        dsplat(x: f64) -> __m512d = _mm512_set1_pd(x);
        dadd(a: __m512d, b: __m512d) -> __m512d = _mm512_add_pd(a, b);
        dmul(a: __m512d, b: __m512d) -> __m512d = _mm512_mul_pd(a, b);
        dfma(a: __m512d, b: __m512d, c: __m512d) -> __m512d = _mm512_fmadd_pd(a, b, c);
        dround(a: __m512d) -> __m512d = _mm512_roundscale_pd::<ROUND>(a);
        widen(a: __m512) -> (__m512d, __m512d) =
            (_mm512_cvtps_pd(_mm512_castps512_ps256(a)), _mm512_cvtps_pd(_mm512_extractf32x8_ps::<1>(a)));
        narrow(low: __m512d, high: __m512d) -> __m512 =
            _mm512_insertf32x8::<1>(_mm512_castps256_ps512(_mm512_cvtpd_ps(low)), _mm512_cvtpd_ps(high));
    }

    #[inline(always)]
    fn mask_and(self, a: __mmask16, b: __mmask16) -> __mmask16 {
        a & b
    }

    #[inline(always)]
    fn mask_or(self, a: __mmask16, b: __mmask16) -> __mmask16 {
        a | b
    }

    #[inline(always)]
    fn mask_not(self, a: __mmask16) -> __mmask16 {
        !a
    }

    #[inline(always)]
    fn any(self, m: __mmask16) -> bool {
        m != 0
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
    unsafe fn load(self, p: *const f32) -> __m512 {
        // SAFETY: the caller's pointer is good for `LANES` values.
        unsafe { _mm512_loadu_ps(p) }
    }

    #[inline(always)]
    unsafe fn load_partial(self, p: *const f32, n: usize) -> __m512 {
        // SAFETY: the mask keeps the load to the `n` values that the caller's pointer is good for.
        unsafe { _mm512_maskz_loadu_ps(tail_mask(n), p) }
    }

    #[inline(always)]
    unsafe fn store(self, p: *mut f32, v: __m512) {
        // SAFETY: the caller's pointer is good for `LANES` values.
        unsafe { _mm512_storeu_ps(p, v) }
    }

    #[inline(always)]
    unsafe fn store_partial(self, p: *mut f32, n: usize, v: __m512) {
        // SAFETY: the mask keeps the store to the `n` values that the caller's pointer is good for.
        unsafe { _mm512_mask_storeu_ps(p, tail_mask(n), v) }
    }

    #[inline(always)]
    unsafe fn iload(self, p: *const i32) -> __m512i {
        // SAFETY: the caller's pointer is good for `LANES` values.
        unsafe { _mm512_loadu_si512(p.cast()) }
    }

    #[inline(always)]
    unsafe fn istore(self, p: *mut i32, v: __m512i) {
        // SAFETY: the caller's pointer is good for `LANES` values.
        unsafe { _mm512_storeu_si512(p.cast(), v) }
    }

    #[inline(always)]
    unsafe fn dload(self, p: *const f64) -> __m512d {
        // SAFETY: the caller's pointer is good for `LANES / 2` values.
        unsafe { _mm512_loadu_pd(p) }
    }

    #[inline(always)]
    unsafe fn dstore(self, p: *mut f64, v: __m512d) {
        // SAFETY: the caller's pointer is good for `LANES / 2` values.
        unsafe { _mm512_storeu_pd(p, v) }
    }

    #[inline(always)]
    unsafe fn load_u8(self, p: *const u8) -> __m512i {
        // SAFETY: the caller's pointer is good for sixteen bytes.
        unsafe { _mm512_cvtepu8_epi32(_mm_loadu_si128(p.cast())) }
    }

    #[inline(always)]
    unsafe fn load_i8(self, p: *const i8) -> __m512i {
        // SAFETY: the caller's pointer is good for sixteen bytes.
        unsafe { _mm512_cvtepi8_epi32(_mm_loadu_si128(p.cast())) }
    }

    #[inline(always)]
    unsafe fn load_u16(self, p: *const u16) -> __m512i {
        // SAFETY: the caller's pointer is good for sixteen values of two bytes.
        unsafe { _mm512_cvtepu16_epi32(_mm256_loadu_si256(p.cast())) }
    }

    #[inline(always)]
    unsafe fn store_u16(self, p: *mut u16, v: __m512i) {
        // SAFETY: the caller's pointer is good for sixteen values of two bytes.
        unsafe { _mm256_storeu_si256(p.cast(), _mm512_cvtepi32_epi16(v)) }
    }

    #[inline(always)]
    unsafe fn load_f16(self, p: *const u16) -> __m512 {
        // SAFETY: the caller's pointer is good for sixteen values of two bytes.
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(p.cast())) }
    }

    #[inline(always)]
    unsafe fn store_f16(self, p: *mut u16, v: __m512) {
        // SAFETY: the caller's pointer is good for sixteen values of two bytes.
        unsafe { _mm256_storeu_si256(p.cast(), _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(v)) }
    }

    #[inline(always)]
    fn table(self, values: &[f32; 16]) -> __m512 {
        // SAFETY: the array holds a vector.
        unsafe { _mm512_loadu_ps(values.as_ptr()) }
    }

    #[inline(always)]
    fn lookup(self, table: __m512, index: __m512i) -> __m512 {
        // SAFETY: the token proves that the machine has the instruction, which takes the low four bits of each lane.
        unsafe { _mm512_permutexvar_ps(index, table) }
    }

    #[inline(always)]
    unsafe fn transpose(self, src: *const f32, stride: usize, rows: usize, dst: *mut f32, dst_stride: usize) {
        let mut v = [self.zero(); LANES];
        for (r, row) in v.iter_mut().enumerate() {
            if r < rows {
                // SAFETY: the caller's source is good for `rows` rows of `LANES` values.
                *row = unsafe { _mm512_loadu_ps(src.add(r * stride)) };
            }
        }
        // SAFETY: the token proves that the machine has the instructions.
        v = unsafe { transpose16(v) };
        let mask = tail_mask(rows);
        for (c, column) in v.into_iter().enumerate() {
            // SAFETY: the caller's destination is good for `LANES` rows of `rows` values, to which the mask keeps the stores.
            unsafe { _mm512_mask_storeu_ps(dst.add(c * dst_stride), mask, column) }
        }
    }
}

/// Transposes sixteen rows of sixteen values: pairs and quadruples are interleaved, then quarters are exchanged twice.
#[inline(always)]
unsafe fn transpose16(r: [__m512; 16]) -> [__m512; 16] {
    // Loops, not closures: the intrinsics are inlined into a function of the instruction set only.
    // SAFETY: called by holders of a token.
    unsafe {
        let mut pairs = r;
        for i in (0..16).step_by(2) {
            pairs[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
            pairs[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
        }
        // quads[4q + j] holds columns j, j + 4, j + 8, j + 12 (one in each quarter) of rows 4q..4q+4.
        let mut quads = r;
        for i in (0..16).step_by(4) {
            for j in 0..2 {
                let (a, b) = (_mm512_castps_pd(pairs[i + j]), _mm512_castps_pd(pairs[i + 2 + j]));
                quads[i + 2 * j] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
                quads[i + 2 * j + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
            }
        }
        // halves[8h + 4e + j]: rows 8h..8h+8 of columns j and j + 8 (e = 0) or of j + 4 and j + 12 (e = 1).
        let mut halves = r;
        for h in [0, 8] {
            for j in 0..4 {
                let (a, b) = (quads[h + j], quads[h + 4 + j]);
                halves[h + j] = _mm512_shuffle_f32x4::<0x88>(a, b);
                halves[h + 4 + j] = _mm512_shuffle_f32x4::<0xdd>(a, b);
            }
        }
        let mut columns = r;
        for c in 0..8 {
            let (a, b) = (halves[c], halves[8 + c]);
            columns[c] = _mm512_shuffle_f32x4::<0x88>(a, b);
            columns[8 + c] = _mm512_shuffle_f32x4::<0xdd>(a, b);
        }
        columns
    }
}
