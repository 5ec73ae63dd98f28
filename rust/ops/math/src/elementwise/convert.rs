//! Functions computed in another type than the tensors have: 16-bit floats in `f32`, rounded once.

use std::slice::{from_raw_parts, from_raw_parts_mut};

use base::DType;
use half::{bf16, f16};

use super::loops::{Map, Source, Zip};
use super::operand::{BLOCK, Buffer};

/// A conversion of elements to another type.
pub(crate) struct Convert(
    /// The loop.
    pub(crate) Box<dyn Map>,
);

/// A 16-bit float type.
trait Half: Copy + Send + Sync + 'static {
    fn widen(from: &[Self], to: &mut [f32]);
    fn narrow(from: &[f32], to: &mut [Self]);
}

impl Half for f16 {
    fn widen(from: &[Self], to: &mut [f32]) {
        simd::f16_to_f32(from, to);
    }

    fn narrow(from: &[f32], to: &mut [Self]) {
        simd::f32_to_f16(from, to);
    }
}

impl Half for bf16 {
    fn widen(from: &[Self], to: &mut [f32]) {
        simd::bf16_to_f32(from, to);
    }

    fn narrow(from: &[f32], to: &mut [Self]) {
        simd::f32_to_bf16(from, to);
    }
}

struct Widen<T>(std::marker::PhantomData<T>);

impl<T: Half> Map for Widen<T> {
    unsafe fn run(&self, x: *const u8, out: *mut u8, n: usize) {
        // SAFETY: the caller vouches for `n` elements on both sides; their sizes differ, so they are apart.
        unsafe { T::widen(from_raw_parts(x.cast(), n), from_raw_parts_mut(out.cast(), n)) };
    }
}

struct Narrow<T>(std::marker::PhantomData<T>);

impl<T: Half> Map for Narrow<T> {
    unsafe fn run(&self, x: *const u8, out: *mut u8, n: usize) {
        // SAFETY: as for `Widen`.
        unsafe { T::narrow(from_raw_parts(x.cast(), n), from_raw_parts_mut(out.cast(), n)) };
    }
}

impl Convert {
    /// A 16-bit float type to `f32`; `None` for other types.
    pub(crate) fn widen(dtype: DType) -> Option<Self> {
        let map: Box<dyn Map> = match dtype {
            DType::F16 => Box::new(Widen::<f16>(Default::default())),
            DType::BF16 => Box::new(Widen::<bf16>(Default::default())),
            _ => return None,
        };
        Some(Self(map))
    }

    /// `f32` to a 16-bit float type; `None` for other types.
    pub(crate) fn narrow(dtype: DType) -> Option<Self> {
        let map: Box<dyn Map> = match dtype {
            DType::F16 => Box::new(Narrow::<f16>(Default::default())),
            DType::BF16 => Box::new(Narrow::<bf16>(Default::default())),
            _ => return None,
        };
        Some(Self(map))
    }

    /// Converts what `source` has; a single element stays single.
    ///
    /// # Safety
    /// As for [`Map::run`], with `n` at most [`BLOCK`].
    pub(super) unsafe fn source(&self, source: Source, n: usize, buffer: &mut Buffer) -> Source {
        // SAFETY: the buffer has room for a block.
        unsafe { self.0.run(source.address, buffer.address(), if source.single { 1 } else { n }) };
        Source { address: buffer.address(), single: source.single }
    }
}

/// A function of one element with conversions before and after.
pub(crate) struct MapThrough {
    /// The conversion of what is read.
    pub(crate) load: Option<Convert>,
    /// The function.
    pub(crate) inner: Box<dyn Map>,
    /// The conversion of what is written.
    pub(crate) store: Option<Convert>,
    /// Bytes of an element read and of one written.
    pub(crate) sizes: (usize, usize),
}

impl Map for MapThrough {
    unsafe fn run(&self, x: *const u8, out: *mut u8, n: usize) {
        // SAFETY: the caller vouches for the elements.
        unsafe { through(self.load.as_ref(), &*self.inner, self.store.as_ref(), self.sizes, (x, out), n) };
    }
}

/// Applies `inner` to elements of `sizes.0` bytes that `load` converts; `store` converts the results to elements of `sizes.1` bytes.
///
/// # Safety
/// As for [`Map::run`].
pub(crate) unsafe fn through(
    load: Option<&Convert>,
    inner: &dyn Map,
    store: Option<&Convert>,
    sizes: (usize, usize),
    (x, out): (*const u8, *mut u8),
    n: usize,
) {
    let mut buffers = (Buffer::default(), Buffer::default());
    for start in (0..n).step_by(BLOCK) {
        let len = BLOCK.min(n - start);
        let (x, out) = (Source::many(x.wrapping_add(start * sizes.0)), out.wrapping_add(start * sizes.1));
        // SAFETY: these are `len` of the `n` elements that the caller vouches for; the buffers have room for a block.
        unsafe {
            let x = load.map_or(x, |load| load.source(x, len, &mut buffers.0));
            let to = if store.is_some() { buffers.1.address() } else { out };
            inner.run(x.address, to, len);
            if let Some(store) = store {
                store.0.run(to, out, len);
            }
        }
    }
}

/// A function of two elements with conversions before and after.
pub(crate) struct ZipThrough {
    /// The conversions of what is read.
    pub(crate) load: [Option<Convert>; 2],
    /// The function.
    pub(crate) inner: Box<dyn Zip>,
    /// The conversion of what is written.
    pub(crate) store: Option<Convert>,
    /// Bytes of an element on either side, and of one written.
    pub(crate) sizes: ([usize; 2], usize),
}

impl Zip for ZipThrough {
    unsafe fn run(&self, a: Source, b: Source, out: *mut u8, n: usize) {
        let mut buffers = (Buffer::default(), Buffer::default(), Buffer::default());
        let ([load_a, load_b], ([size_a, size_b], size)) = (&self.load, self.sizes);
        for start in (0..n).step_by(BLOCK) {
            let len = BLOCK.min(n - start);
            let (a, b, out) = (a.skip(start, size_a), b.skip(start, size_b), out.wrapping_add(start * size));
            // SAFETY: these are `len` of the `n` elements that the caller vouches for; the buffers have room for a block.
            unsafe {
                let a = load_a.as_ref().map_or(a, |load| load.source(a, len, &mut buffers.0));
                let b = load_b.as_ref().map_or(b, |load| load.source(b, len, &mut buffers.1));
                let to = if self.store.is_some() { buffers.2.address() } else { out };
                self.inner.run(a, b, to, len);
                if let Some(store) = &self.store {
                    store.0.run(to, out, len);
                }
            }
        }
    }
}

/// A float function of a tensor of `dtype`: `single` for `f32` and, through it, the 16-bit floats, `double` for `f64`.
/// With `test`, the function gives booleans.
pub(crate) fn float_map(dtype: DType, test: bool, single: Box<dyn Map>, double: Box<dyn Map>) -> Option<Box<dyn Map>> {
    match dtype {
        DType::F32 => Some(single),
        DType::F64 => Some(double),
        _ => {
            let load = Some(Convert::widen(dtype)?);
            let store = if test { None } else { Convert::narrow(dtype) };
            let sizes = (2, if test { 1 } else { 2 });
            Some(Box::new(MapThrough { load, inner: single, store, sizes }))
        }
    }
}

/// A float function of two tensors of `dtype`, as [`float_map`].
pub(crate) fn float_zip(dtype: DType, test: bool, single: Box<dyn Zip>, double: Box<dyn Zip>) -> Option<Box<dyn Zip>> {
    match dtype {
        DType::F32 => Some(single),
        DType::F64 => Some(double),
        _ => {
            let load = [Some(Convert::widen(dtype)?), Convert::widen(dtype)];
            let store = if test { None } else { Convert::narrow(dtype) };
            let sizes = ([2, 2], if test { 1 } else { 2 });
            Some(Box::new(ZipThrough { load, inner: single, store, sizes }))
        }
    }
}

/// `Some` of an expression in which a type stands for the Rust type of an integer `DType`; `None` for all other types.
macro_rules! for_integers {
    ($dtype:expr, $t:ident => $body:expr) => {
        $crate::elementwise::for_integers!(@ $dtype, $t, $body, I8 i8, I16 i16, I32 i32, I64 i64, U8 u8, U16 u16, U32 u32, U64 u64)
    };
    (@ $dtype:expr, $t:ident, $body:expr, $($d:ident $r:ty),*) => {
        match $dtype {
            $(base::DType::$d => {
                type $t = $r;
                Some($body)
            })*
            _ => None,
        }
    };
}
pub(crate) use for_integers;
