//! The element types of a matrix product, and the vectors that it is computed in.

use base::{Element, Result};
use half::{bf16, f16};
use simd::{Isa, Simd, dispatch_on};

use crate::epilogue::Finish;
use crate::kernel::{TileArgs, Tiles, visit};
use crate::nbits::{BlocksJob, PackedBlocks, RoundRows};
use crate::pack::{PackA, PackB};
use crate::product::Run;

/// An element type of a matrix product. Products accumulate in [`Scalar::Acc`]: `f32` for the 16-bit floats, else the type itself.
/// Integers wrap. Implemented for `f32`, `f64`, `f16`, `bf16` and the integers of 32 and 64 bits.
pub trait Scalar: Element + private::Sealed {
    /// The type that products are accumulated in.
    type Acc: Scalar<Acc = Self::Acc>;
    /// Vectors of `Acc`.
    #[doc(hidden)]
    type V<S: Simd>: Copy;

    /// One, as an accumulator.
    #[doc(hidden)]
    const ONE: Self::Acc;
    /// Whether `Self` is its own accumulator.
    #[doc(hidden)]
    const IS_ACC: bool;
    /// Whether activations are defined.
    #[doc(hidden)]
    const ACTIVATES: bool;

    #[doc(hidden)]
    fn widen(self) -> Self::Acc;
    #[doc(hidden)]
    fn narrow(acc: Self::Acc) -> Self;
    #[doc(hidden)]
    fn mul_acc(a: Self::Acc, b: Self::Acc) -> Self::Acc;
    #[doc(hidden)]
    fn add_acc(a: Self::Acc, b: Self::Acc) -> Self::Acc;

    #[doc(hidden)]
    fn lanes<S: Simd>() -> usize;
    #[doc(hidden)]
    fn splat<S: Simd>(s: S, x: Self::Acc) -> Self::V<S>;
    /// Loads `lanes()` elements, widened.
    #[doc(hidden)]
    unsafe fn load<S: Simd>(s: S, p: *const Self) -> Self::V<S>;
    /// Stores `lanes()` elements, rounded.
    #[doc(hidden)]
    unsafe fn store<S: Simd>(s: S, p: *mut Self, v: Self::V<S>);
    #[doc(hidden)]
    unsafe fn load_acc<S: Simd>(s: S, p: *const Self::Acc) -> Self::V<S>;
    #[doc(hidden)]
    unsafe fn store_acc<S: Simd>(s: S, p: *mut Self::Acc, v: Self::V<S>);
    #[doc(hidden)]
    fn fma<S: Simd>(s: S, a: Self::V<S>, b: Self::V<S>, c: Self::V<S>) -> Self::V<S>;

    /// The greatest tile: rows, and vectors across.
    #[doc(hidden)]
    fn tile_shape<S: Tiles>() -> (usize, usize);
    /// Computes one tile.
    #[doc(hidden)]
    unsafe fn tile<S: Tiles>(s: S, rows: usize, vectors: usize, args: TileArgs<Self>);
    /// Transposes `rows` rows of `k` elements, `stride` apart, into `k` rows of `rows` accumulators, `dst_stride` apart.
    #[doc(hidden)]
    unsafe fn transpose<S: Simd>(s: S, src: *const Self, stride: usize, rows: usize, k: usize, dst: *mut Self::Acc, dst_stride: usize);
    /// Applies the epilogue to one tile and stores it.
    #[doc(hidden)]
    unsafe fn finish<S: Simd>(s: S, args: Finish<'_, Self>);

    // The kernels are called through what follows, so that they are compiled in this crate, once.
    #[doc(hidden)]
    fn run(isa: Isa, run: Run<'_, '_, Self>) -> Result<()>;
    #[doc(hidden)]
    fn pack_a(isa: Isa, pack: PackA<'_, Self>);
    #[doc(hidden)]
    fn pack_b(isa: Isa, pack: PackB<'_, Self>);
}

macro_rules! compiled_here {
    () => {
        fn run(isa: Isa, run: Run<'_, '_, Self>) -> Result<()> {
            visit(isa, run)
        }
        fn pack_a(isa: Isa, pack: PackA<'_, Self>) {
            dispatch_on(isa, pack);
        }
        fn pack_b(isa: Isa, pack: PackB<'_, Self>) {
            dispatch_on(isa, pack);
        }
    };
}

/// The floats of up to 32 bits, which are computed with as `f32`.
pub trait Float: Scalar<Acc = f32> {
    /// Loads a vector, widened.
    #[doc(hidden)]
    unsafe fn load_float<S: Simd>(s: S, p: *const Self) -> S::F;
    /// Stores a vector, rounded.
    #[doc(hidden)]
    unsafe fn store_float<S: Simd>(s: S, p: *mut Self, v: S::F);

    // Compiled in this crate, once, as above.
    #[doc(hidden)]
    fn run_blocks(job: &BlocksJob<'_, Self>);
    #[doc(hidden)]
    fn round_rows(isa: Isa, rows: RoundRows<'_, Self>);
    #[doc(hidden)]
    fn widen_panel(b: &PackedBlocks<Self>, index: usize, panel: &mut [Self]);
}

mod private {
    pub trait Sealed {}
}

/// The plain transpose, for what has no vector one.
///
/// # Safety
/// As [`Scalar::transpose`].
unsafe fn transpose_plain<T: Scalar>(src: *const T, stride: usize, rows: usize, k: usize, dst: *mut T::Acc, dst_stride: usize) {
    for p in 0..k {
        for r in 0..rows {
            // SAFETY: the caller's pointers are good for the matrix and its transpose.
            unsafe { dst.add(p * dst_stride + r).write(src.add(r * stride + p).read().widen()) }
        }
    }
}

macro_rules! float32 {
    ($t:ty, $widen:expr, $narrow:expr, $load:ident, $store:ident, $cast:ident, $own:literal) => {
        impl private::Sealed for $t {}

        impl Float for $t {
            #[inline(always)]
            unsafe fn load_float<S: Simd>(s: S, p: *const Self) -> S::F {
                // SAFETY: the caller's pointer is good for a vector; the 16-bit floats are their bits.
                unsafe { s.$load(p.cast::<$cast>()) }
            }
            #[inline(always)]
            unsafe fn store_float<S: Simd>(s: S, p: *mut Self, v: S::F) {
                // SAFETY: the caller's pointer is good for a vector; the 16-bit floats are their bits.
                unsafe { s.$store(p.cast::<$cast>(), v) }
            }

            fn run_blocks(job: &BlocksJob<'_, Self>) {
                job.run();
            }
            fn round_rows(isa: Isa, rows: RoundRows<'_, Self>) {
                dispatch_on(isa, rows);
            }
            fn widen_panel(b: &PackedBlocks<Self>, index: usize, panel: &mut [Self]) {
                crate::nbits::widen_panel(b, index, panel);
            }
        }

        impl Scalar for $t {
            type Acc = f32;
            type V<S: Simd> = S::F;

            const ONE: f32 = 1.0;
            const IS_ACC: bool = $own;
            const ACTIVATES: bool = true;

            #[inline(always)]
            fn widen(self) -> f32 {
                $widen(self)
            }
            #[inline(always)]
            fn narrow(acc: f32) -> Self {
                $narrow(acc)
            }
            #[inline(always)]
            fn mul_acc(a: f32, b: f32) -> f32 {
                a * b
            }
            #[inline(always)]
            fn add_acc(a: f32, b: f32) -> f32 {
                a + b
            }
            #[inline(always)]
            fn lanes<S: Simd>() -> usize {
                S::LANES
            }
            #[inline(always)]
            fn splat<S: Simd>(s: S, x: f32) -> S::F {
                s.splat(x)
            }
            #[inline(always)]
            unsafe fn load<S: Simd>(s: S, p: *const Self) -> S::F {
                // SAFETY: the caller's pointer is good for a vector.
                unsafe { Self::load_float(s, p) }
            }
            #[inline(always)]
            unsafe fn store<S: Simd>(s: S, p: *mut Self, v: S::F) {
                // SAFETY: the caller's pointer is good for a vector.
                unsafe { Self::store_float(s, p, v) }
            }
            #[inline(always)]
            unsafe fn load_acc<S: Simd>(s: S, p: *const f32) -> S::F {
                // SAFETY: the caller's pointer is good for a vector.
                unsafe { s.load(p) }
            }
            #[inline(always)]
            unsafe fn store_acc<S: Simd>(s: S, p: *mut f32, v: S::F) {
                // SAFETY: the caller's pointer is good for a vector.
                unsafe { s.store(p, v) }
            }
            #[inline(always)]
            fn fma<S: Simd>(s: S, a: S::F, b: S::F, c: S::F) -> S::F {
                s.fma(a, b, c)
            }
            #[inline(always)]
            fn tile_shape<S: Tiles>() -> (usize, usize) {
                (S::ROWS, S::VECTORS)
            }
            #[inline(always)]
            unsafe fn tile<S: Tiles>(s: S, rows: usize, vectors: usize, args: TileArgs<Self>) {
                // SAFETY: the caller's arguments hold.
                unsafe { s.float_tile(rows, vectors, args) }
            }
            #[inline(always)]
            unsafe fn transpose<S: Simd>(s: S, src: *const Self, stride: usize, rows: usize, k: usize, dst: *mut f32, dst_stride: usize) {
                // SAFETY: the caller's arguments hold.
                unsafe { crate::pack::transpose_f32(s, src, stride, rows, k, dst, dst_stride) }
            }
            #[inline(always)]
            unsafe fn finish<S: Simd>(s: S, args: Finish<'_, Self>) {
                // SAFETY: the caller's arguments hold.
                unsafe { crate::epilogue::finish_f32(s, args) }
            }

            compiled_here!();
        }
    };
}

float32!(f32, |x: f32| x, |x: f32| x, load, store, f32, true);
float32!(f16, f16::to_f32, f16::from_f32, load_f16, store_f16, u16, false);
float32!(bf16, bf16::to_f32, bf16::from_f32, load_bf16, store_bf16, u16, false);

macro_rules! own_accumulator {
    ($t:ty, $activates:literal) => {
        type Acc = $t;
        const ONE: $t = 1 as $t;
        const IS_ACC: bool = true;
        const ACTIVATES: bool = $activates;

        #[inline(always)]
        fn widen(self) -> $t {
            self
        }
        #[inline(always)]
        fn narrow(acc: $t) -> $t {
            acc
        }
        #[inline(always)]
        unsafe fn store<S: Simd>(s: S, p: *mut $t, v: Self::V<S>) {
            // SAFETY: the caller's pointer is good for a vector.
            unsafe { Self::store_acc(s, p, v) }
        }
        #[inline(always)]
        unsafe fn transpose<S: Simd>(_: S, src: *const $t, stride: usize, rows: usize, k: usize, dst: *mut $t, dst_stride: usize) {
            // SAFETY: the caller's arguments hold.
            unsafe { transpose_plain(src, stride, rows, k, dst, dst_stride) }
        }
        #[inline(always)]
        unsafe fn finish<S: Simd>(_: S, args: Finish<'_, $t>) {
            // SAFETY: the caller's arguments hold.
            unsafe { crate::epilogue::finish_plain(args) }
        }

        compiled_here!();
    };
}

impl private::Sealed for f64 {}

impl Scalar for f64 {
    type V<S: Simd> = S::D;

    own_accumulator!(f64, false);

    #[inline(always)]
    fn mul_acc(a: f64, b: f64) -> f64 {
        a * b
    }
    #[inline(always)]
    fn add_acc(a: f64, b: f64) -> f64 {
        a + b
    }
    #[inline(always)]
    fn lanes<S: Simd>() -> usize {
        S::LANES / 2
    }
    #[inline(always)]
    fn splat<S: Simd>(s: S, x: f64) -> S::D {
        s.dsplat(x)
    }
    #[inline(always)]
    unsafe fn load<S: Simd>(s: S, p: *const f64) -> S::D {
        // SAFETY: the caller's pointer is good for a vector.
        unsafe { s.dload(p) }
    }
    #[inline(always)]
    unsafe fn load_acc<S: Simd>(s: S, p: *const f64) -> S::D {
        // SAFETY: the caller's pointer is good for a vector.
        unsafe { s.dload(p) }
    }
    #[inline(always)]
    unsafe fn store_acc<S: Simd>(s: S, p: *mut f64, v: S::D) {
        // SAFETY: the caller's pointer is good for a vector.
        unsafe { s.dstore(p, v) }
    }
    #[inline(always)]
    fn fma<S: Simd>(s: S, a: S::D, b: S::D, c: S::D) -> S::D {
        s.dfma(a, b, c)
    }
    #[inline(always)]
    fn tile_shape<S: Tiles>() -> (usize, usize) {
        (S::ROWS, S::VECTORS)
    }
    #[inline(always)]
    unsafe fn tile<S: Tiles>(s: S, rows: usize, vectors: usize, args: TileArgs<f64>) {
        // SAFETY: the caller's arguments hold.
        unsafe { s.float_tile(rows, vectors, args) }
    }
}

/// Lanes of an integer vector: plain arrays, which the compiler maps to the registers at hand.
const INT_LANES: usize = 8;

macro_rules! integer {
    ($($t:ty),*) => { $(
        impl private::Sealed for $t {}

        impl Scalar for $t {
            type V<S: Simd> = [$t; INT_LANES];

            own_accumulator!($t, false);

            #[inline(always)]
            fn mul_acc(a: $t, b: $t) -> $t {
                a.wrapping_mul(b)
            }
            #[inline(always)]
            fn add_acc(a: $t, b: $t) -> $t {
                a.wrapping_add(b)
            }
            #[inline(always)]
            fn lanes<S: Simd>() -> usize {
                INT_LANES
            }
            #[inline(always)]
            fn splat<S: Simd>(_: S, x: $t) -> [$t; INT_LANES] {
                [x; INT_LANES]
            }
            #[inline(always)]
            unsafe fn load<S: Simd>(_: S, p: *const $t) -> [$t; INT_LANES] {
                // SAFETY: the caller's pointer is good for a vector.
                unsafe { p.cast::<[$t; INT_LANES]>().read() }
            }
            #[inline(always)]
            unsafe fn load_acc<S: Simd>(_: S, p: *const $t) -> [$t; INT_LANES] {
                // SAFETY: the caller's pointer is good for a vector.
                unsafe { p.cast::<[$t; INT_LANES]>().read() }
            }
            #[inline(always)]
            unsafe fn store_acc<S: Simd>(_: S, p: *mut $t, v: [$t; INT_LANES]) {
                // SAFETY: the caller's pointer is good for a vector.
                unsafe { p.cast::<[$t; INT_LANES]>().write(v) }
            }
            #[inline(always)]
            fn fma<S: Simd>(_: S, a: [$t; INT_LANES], b: [$t; INT_LANES], c: [$t; INT_LANES]) -> [$t; INT_LANES] {
                std::array::from_fn(|i| a[i].wrapping_mul(b[i]).wrapping_add(c[i]))
            }
            #[inline(always)]
            fn tile_shape<S: Tiles>() -> (usize, usize) {
                crate::kernel::INTEGER_TILE
            }
            #[inline(always)]
            unsafe fn tile<S: Tiles>(s: S, rows: usize, vectors: usize, args: TileArgs<$t>) {
                // SAFETY: the caller's arguments hold.
                unsafe { crate::kernel::integer_tile(s, rows, vectors, args) }
            }
        }
    )* };
}

integer!(i32, u32, i64, u64);
