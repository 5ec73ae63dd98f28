//! Inner loops: a function applied to neighbouring elements.
//!
//! They take addresses, not slices, since an output may lie where an input lies. Where the two are the same, a loop that the compiler is
//! to vectorise reads a part into a buffer first: it could not prove the reordering of reads and writes otherwise.

use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::slice::{from_raw_parts, from_raw_parts_mut};

use simd::{Isa, Kernel, PortableToken, Simd, VecFn, VecFn2, dispatch, isa};

/// Elements that are read ahead of writing when an input is overwritten.
const PART: usize = 128;

/// A function of one element, applied to neighbours.
pub(crate) trait Map: Send + Sync {
    /// `out[i] = f(x[i])` for `i < n`.
    ///
    /// # Safety
    /// `x` holds `n` elements of the type that the function takes, `out` has room for `n` of the type that it gives; both are aligned.
    /// They do not overlap, unless they are the same and the types have the same size.
    unsafe fn run(&self, x: *const u8, out: *mut u8, n: usize);
}

/// A function of two elements, applied to neighbours.
pub(crate) trait Zip: Send + Sync {
    /// `out[i] = f(a[i], b[i])` for `i < n`.
    ///
    /// # Safety
    /// As for [`Map::run`], for each of `a` and `b`.
    unsafe fn run(&self, a: Source, b: Source, out: *mut u8, n: usize);
}

/// Where a loop reads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source {
    /// The first element.
    pub(crate) address: *const u8,
    /// Whether it stands for all others.
    pub(crate) single: bool,
}

impl Source {
    /// Neighbours from `address` on.
    pub(crate) fn many(address: *const u8) -> Self {
        Self { address, single: false }
    }

    /// The source without its first `i` elements of `size` bytes.
    pub(crate) fn skip(self, i: usize, size: usize) -> Self {
        let address = if self.single { self.address } else { self.address.wrapping_add(i * size) };
        Self { address, ..self }
    }

    /// Whether writing to `out` changes what is read later.
    fn is_overwritten_by(self, out: *const u8) -> bool {
        !self.single && self.address == out
    }
}

/// The loop of `f`, for whatever the compiler makes of it.
pub(crate) fn each<A: Plain, O: Plain>(f: impl Fn(A) -> O + Copy + Send + Sync + 'static) -> Box<dyn Map> {
    Box::new(each_here(f))
}

/// The loop of `f`, for callers that keep it on the stack.
pub(crate) fn each_here<A: Plain, O: Plain>(f: impl Fn(A) -> O + Copy + Send + Sync) -> impl Map {
    Each::<_, _, _, false> { f, types: PhantomData }
}

/// The loop of `f`, compiled for wide vectors too: for functions of a few instructions on types that large tensors have.
pub(crate) fn each_wide<A: Plain, O: Plain>(f: impl Fn(A) -> O + Copy + Send + Sync + 'static) -> Box<dyn Map> {
    Box::new(Each::<_, _, _, true> { f, types: PhantomData })
}

/// The loop of `f`, for whatever the compiler makes of it.
pub(crate) fn pairs<A: Plain, B: Plain, O: Plain>(f: impl Fn(A, B) -> O + Copy + Send + Sync + 'static) -> Box<dyn Zip> {
    Box::new(Pairs::<_, _, _, _, false> { f, types: PhantomData })
}

/// The loop of `f`, compiled for wide vectors too: for functions of a few instructions on types that large tensors have.
pub(crate) fn pairs_wide<A: Plain, B: Plain, O: Plain>(f: impl Fn(A, B) -> O + Copy + Send + Sync + 'static) -> Box<dyn Zip> {
    Box::new(Pairs::<_, _, _, _, true> { f, types: PhantomData })
}

/// `f` with its arguments exchanged.
pub(crate) fn swapped(f: Box<dyn Zip>) -> Box<dyn Zip> {
    Box::new(Swapped(f))
}

struct Swapped(Box<dyn Zip>);

impl Zip for Swapped {
    unsafe fn run(&self, a: Source, b: Source, out: *mut u8, n: usize) {
        // SAFETY: the caller vouches for both sides alike.
        unsafe { self.0.run(b, a, out, n) };
    }
}

/// Runs a loop that the compiler vectorises. Memory is slower than even the narrower of the wide vectors, so one set of them is enough,
/// and most loops do without: each more is compiled once more.
#[inline]
pub(crate) fn vectorize<K: Kernel>(wide: bool, kernel: K) -> K::Output {
    #[cfg(target_arch = "x86_64")]
    if wide
        && isa::best() >= Isa::Avx2
        && let Some(s) = simd::Avx2Token::new()
    {
        return s.vectorize(kernel);
    }
    PortableToken.vectorize(kernel)
}

/// The loop of a function of `f32` that is written over vectors.
pub(crate) fn vector(f: impl VecFn + Send + Sync + 'static) -> Box<dyn Map> {
    Box::new(Vector(f))
}

/// The loop of a function of two `f32` that is written over vectors.
pub(crate) fn vectors(f: impl VecFn2 + Send + Sync + 'static) -> Box<dyn Zip> {
    Box::new(Vectors(f))
}

/// What loops move: numbers, which any bytes are, and booleans, which tensors hold as 0 and 1.
pub(crate) trait Plain: Copy + Send + Sync + 'static {}

impl<T: Copy + Send + Sync + 'static> Plain for T {}

struct Each<A, O, F, const WIDE: bool> {
    f: F,
    types: PhantomData<fn(A) -> O>,
}

impl<A: Plain, O: Plain, F: Fn(A) -> O + Copy + Send + Sync, const WIDE: bool> Map for Each<A, O, F, WIDE> {
    unsafe fn run(&self, x: *const u8, out: *mut u8, n: usize) {
        vectorize(WIDE, EachRun { f: self.f, x: x.cast::<A>(), out: out.cast::<O>(), n });
    }
}

struct EachRun<A, O, F> {
    f: F,
    x: *const A,
    out: *mut O,
    n: usize,
}

impl<A: Plain, O: Plain, F: Fn(A) -> O + Copy> Kernel for EachRun<A, O, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Self { f, x, out, n } = self;
        let moves = Source::many(x.cast()).is_overwritten_by(out.cast());
        let part = if moves { PART } else { n.max(1) };
        let mut buffer = [const { MaybeUninit::<A>::uninit() }; PART];
        for start in (0..n).step_by(part) {
            let len = part.min(n - start);
            // SAFETY: these are `len` of the `n` elements that `Map::run` vouches for, read ahead where they are overwritten.
            unsafe {
                let mut x = Source::many(x.add(start).cast());
                if moves {
                    x = read_ahead(x, &mut buffer, len);
                }
                let (x, out) = (from_raw_parts(x.address.cast::<A>(), len), from_raw_parts_mut(out.add(start), len));
                out.iter_mut().zip(x).for_each(|(o, x)| *o = f(*x));
            }
        }
    }
}

/// The loop of a function of `f32` that is written over vectors, for callers that keep it on the stack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Vector<F>(
    /// The function.
    pub(crate) F,
);

impl<F: VecFn + Send + Sync> Map for Vector<F> {
    unsafe fn run(&self, x: *const u8, out: *mut u8, n: usize) {
        // SAFETY: the caller vouches for `n` values on both sides, which are the same or apart.
        unsafe {
            if x == out.cast_const() {
                simd::map_in_place(self.0, from_raw_parts_mut(out.cast(), n));
            } else {
                simd::map(self.0, from_raw_parts(x.cast(), n), from_raw_parts_mut(out.cast(), n));
            }
        }
    }
}

struct Pairs<A, B, O, F, const WIDE: bool> {
    f: F,
    types: PhantomData<fn(A, B) -> O>,
}

impl<A: Plain, B: Plain, O: Plain, F: Fn(A, B) -> O + Copy + Send + Sync, const WIDE: bool> Zip for Pairs<A, B, O, F, WIDE> {
    unsafe fn run(&self, a: Source, b: Source, out: *mut u8, n: usize) {
        vectorize(WIDE, PairsRun { f: self.f, a, b, out: out.cast::<O>(), n, types: PhantomData });
    }
}

struct PairsRun<A, B, O, F> {
    f: F,
    a: Source,
    b: Source,
    out: *mut O,
    n: usize,
    types: PhantomData<fn(A, B)>,
}

impl<A: Plain, B: Plain, O: Plain, F: Fn(A, B) -> O + Copy> Kernel for PairsRun<A, B, O, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Self { a, b, out, n, .. } = self;
        let (a_moves, b_moves) = (a.is_overwritten_by(out.cast()), b.is_overwritten_by(out.cast()));
        let part = if a_moves || b_moves { PART } else { n.max(1) };
        let mut buffers = ([const { MaybeUninit::<A>::uninit() }; PART], [const { MaybeUninit::<B>::uninit() }; PART]);
        for start in (0..n).step_by(part) {
            let len = part.min(n - start);
            let (mut a, mut b) = (a.skip(start, size_of::<A>()), b.skip(start, size_of::<B>()));
            // SAFETY: these are `len` of the `n` elements that `Zip::run` vouches for, read ahead where they are overwritten.
            unsafe {
                if a_moves {
                    a = read_ahead(a, &mut buffers.0, len);
                }
                if b_moves {
                    b = read_ahead(b, &mut buffers.1, len);
                }
                self.sweep(a, b, out.add(start), len);
            }
        }
    }
}

impl<A: Plain, B: Plain, O: Plain, F: Fn(A, B) -> O + Copy> PairsRun<A, B, O, F> {
    /// The loop, by which sides are single.
    ///
    /// # Safety
    /// As for [`Zip::run`] with `n > 0`, and `out` overlaps no side that has `n` elements.
    #[inline(always)]
    unsafe fn sweep(&self, a: Source, b: Source, out: *mut O, n: usize) {
        let f = self.f;
        let (a_at, b_at) = (a.address.cast::<A>(), b.address.cast::<B>());
        // SAFETY: each side has an element, and `n` of them unless it is single. Single elements are read before anything is written.
        unsafe {
            let (x, y) = (a_at.read(), b_at.read());
            let out = from_raw_parts_mut(out, n);
            match (a.single, b.single) {
                (false, false) => {
                    let sides = from_raw_parts(a_at, n).iter().zip(from_raw_parts(b_at, n));
                    out.iter_mut().zip(sides).for_each(|(o, (x, y))| *o = f(*x, *y));
                }
                (false, true) => out.iter_mut().zip(from_raw_parts(a_at, n)).for_each(|(o, x)| *o = f(*x, y)),
                (true, false) => out.iter_mut().zip(from_raw_parts(b_at, n)).for_each(|(o, y)| *o = f(x, *y)),
                (true, true) => out.fill(f(x, y)),
            }
        }
    }
}

/// A copy of `len` elements of `source`.
///
/// # Safety
/// `source` has as many, and not more than the buffer has room for.
#[inline(always)]
unsafe fn read_ahead<T>(source: Source, buffer: &mut [MaybeUninit<T>; PART], len: usize) -> Source {
    // SAFETY: the caller vouches for the source; the buffer is our own.
    unsafe { std::ptr::copy_nonoverlapping(source.address.cast::<T>(), buffer.as_mut_ptr().cast(), len) };
    Source::many(buffer.as_ptr().cast())
}

struct Vectors<F>(F);

impl<F: VecFn2 + Send + Sync> Zip for Vectors<F> {
    unsafe fn run(&self, a: Source, b: Source, out: *mut u8, n: usize) {
        if n > 0 {
            dispatch(VectorsRun { f: self.0, a, b, out: out.cast(), n });
        }
    }
}

struct VectorsRun<F> {
    f: F,
    a: Source,
    b: Source,
    out: *mut f32,
    n: usize,
}

impl<F: VecFn2> Kernel for VectorsRun<F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (a, b) = (self.a.address.cast::<f32>(), self.b.address.cast::<f32>());
        // SAFETY: each side has an element, and as many as are loaded unless it is single.
        unsafe {
            let (x, y) = (s.splat(a.read()), s.splat(b.read()));
            let load = |p: *const f32, i: usize, len: Option<usize>| match len {
                None => s.load(p.add(i)),
                Some(len) => s.load_partial(p.add(i), len),
            };
            match (self.a.single, self.b.single) {
                (false, false) => self.sweep(s, |i, len| (load(a, i, len), load(b, i, len))),
                (false, true) => self.sweep(s, |i, len| (load(a, i, len), y)),
                (true, false) => self.sweep(s, |i, len| (x, load(b, i, len))),
                (true, true) => self.sweep(s, |_, _| (x, y)),
            }
        }
    }
}

impl<F: VecFn2> VectorsRun<F> {
    /// Stores the function of what `load` gives for each vector, and for the part of one at the end.
    ///
    /// # Safety
    /// `out` has room for `n` values; `load` may be called for all that lie below `n`.
    #[inline(always)]
    unsafe fn sweep<S: Simd>(&self, s: S, load: impl Fn(usize, Option<usize>) -> (S::F, S::F)) {
        let whole = self.n - self.n % S::LANES;
        for i in (0..whole).step_by(S::LANES) {
            let (a, b) = load(i, None);
            // SAFETY: `out` has room for a vector from `i` on.
            unsafe { s.store(self.out.add(i), self.f.eval(s, a, b)) };
        }
        let rest = self.n - whole;
        if rest > 0 {
            let (a, b) = load(whole, Some(rest));
            // SAFETY: `out` has room for `rest` values from `whole` on.
            unsafe { s.store_partial(self.out.add(whole), rest, self.f.eval(s, a, b)) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(f: &dyn Zip, a: &[f32], b: &[f32], out: &mut [f32]) {
        let source = |x: &[f32]| Source { address: x.as_ptr().cast(), single: x.len() == 1 };
        // SAFETY: all sides have the elements of `out`, or one.
        unsafe { f.run(source(a), source(b), out.as_mut_ptr().cast(), out.len()) };
    }

    #[test]
    fn every_way_to_pair_and_every_length() {
        for n in 0..300usize {
            let a: Vec<f32> = (0..n).map(|i| i as f32).collect();
            let b: Vec<f32> = (0..n).map(|i| (i * i) as f32).collect();
            for f in [pairs(|x: f32, y: f32| x - y), vectors(simd::math::Sub)] {
                let mut out = vec![f32::NAN; n];
                run(&*f, &a, &b, &mut out);
                assert!(out.iter().zip(a.iter().zip(&b)).all(|(o, (a, b))| *o == a - b));
                if n != 1 {
                    run(&*f, &a, &[3.0], &mut out);
                    assert!(out.iter().zip(&a).all(|(o, a)| *o == a - 3.0));
                    run(&*f, &[3.0], &b, &mut out);
                    assert!(out.iter().zip(&b).all(|(o, b)| *o == 3.0 - b));
                    run(&*f, &[3.0], &[1.0], &mut out);
                    assert!(out.iter().all(|o| *o == 2.0));
                }
            }
        }
    }

    #[test]
    fn an_output_may_be_an_input() {
        for n in [0, 1, 5, 127, 128, 129, 1000] {
            let start: Vec<f32> = (0..n).map(|i| i as f32).collect();
            let other = vec![7.0f32; n];
            for f in [pairs(|x: f32, y: f32| x - y), vectors(simd::math::Sub)] {
                let mut x = start.clone();
                let p = x.as_mut_ptr().cast::<u8>();
                // SAFETY: every side has `n` elements, equal or apart.
                unsafe {
                    f.run(Source::many(p), Source::many(other.as_ptr().cast()), p, n);
                    f.run(Source::many(other.as_ptr().cast()), Source::many(p), p, n);
                }
                assert!(x.iter().zip(&start).all(|(x, s)| *x == 7.0 - (s - 7.0)));
                // SAFETY: as above.
                unsafe { f.run(Source::many(p), Source::many(p), p, n) };
                assert!(x.iter().all(|x| *x == 0.0));
            }
            let f = each(|x: f32| x as i32);
            let mut x = start.clone();
            // SAFETY: the types have the same size.
            unsafe { f.run(x.as_ptr().cast(), x.as_mut_ptr().cast(), n) };
            assert!(x.iter().enumerate().all(|(i, x)| x.to_bits() == i as u32));
        }
    }
}
