//! Functions applied to every element of a slice.

use crate::pieces::in_pieces;
use crate::vector::{Kernel, Simd, dispatch};

/// A function of one `f32`, written over vectors. `eval` should be `#[inline(always)]`.
pub trait VecFn: Copy {
    /// The function, lane by lane.
    fn eval<S: Simd>(self, s: S, x: S::F) -> S::F;
}

/// A function of two `f32`, written over vectors. `eval` should be `#[inline(always)]`.
pub trait VecFn2: Copy {
    /// The function, lane by lane.
    fn eval<S: Simd>(self, s: S, a: S::F, b: S::F) -> S::F;
}

/// `dst[i] = f(src[i])`.
///
/// # Panics
/// If the lengths differ.
pub fn map<F: VecFn>(f: F, src: &[f32], dst: &mut [f32]) {
    assert_eq!(src.len(), dst.len(), "source and destination of a map differ in length");
    map_pieces(f, src.as_ptr(), dst.as_mut_ptr(), dst.len());
}

/// `x[i] = f(x[i])`.
pub fn map_in_place<F: VecFn>(f: F, x: &mut [f32]) {
    let dst = x.as_mut_ptr();
    map_pieces(f, dst, dst, x.len());
}

/// `dst[i] = f(a[i], b[i])`.
///
/// # Panics
/// If the lengths differ.
pub fn zip<F: VecFn2>(f: F, a: &[f32], b: &[f32], dst: &mut [f32]) {
    assert!(a.len() == dst.len() && b.len() == dst.len(), "sources and destination of a zip differ in length");
    zip_pieces(f, a.as_ptr(), b.as_ptr(), dst.as_mut_ptr(), dst.len());
}

/// `a[i] = f(a[i], b[i])`.
///
/// # Panics
/// If the lengths differ.
pub fn zip_in_place<F: VecFn2>(f: F, a: &mut [f32], b: &[f32]) {
    assert_eq!(a.len(), b.len(), "both sides of a zip differ in length");
    let dst = a.as_mut_ptr();
    zip_pieces(f, dst, b.as_ptr(), dst, a.len());
}

/// The pointers are those of [`Map`].
fn map_pieces<F: VecFn>(f: F, src: *const f32, dst: *mut f32, len: usize) {
    in_pieces(len, |at, len| dispatch(Map { f, src: src.wrapping_add(at), dst: dst.wrapping_add(at), len }));
}

/// The pointers are those of [`Zip`].
fn zip_pieces<F: VecFn2>(f: F, a: *const f32, b: *const f32, dst: *mut f32, len: usize) {
    in_pieces(len, |at, len| {
        dispatch(Zip { f, a: a.wrapping_add(at), b: b.wrapping_add(at), dst: dst.wrapping_add(at), len });
    });
}

/// The pointers of a map; they come from slices of `len` values, equal or apart.
pub(crate) struct Map<F> {
    pub(crate) f: F,
    pub(crate) src: *const f32,
    pub(crate) dst: *mut f32,
    pub(crate) len: usize,
}

impl<F: VecFn> Kernel for Map<F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let whole = self.len - self.len % S::LANES;
        for i in (0..whole).step_by(S::LANES) {
            // SAFETY: both slices hold `LANES` values from `i` on.
            unsafe { s.store(self.dst.add(i), self.f.eval(s, s.load(self.src.add(i)))) }
        }
        let rest = self.len - whole;
        if rest > 0 {
            // SAFETY: both slices hold `rest` values from `whole` on.
            unsafe { s.store_partial(self.dst.add(whole), rest, self.f.eval(s, s.load_partial(self.src.add(whole), rest))) }
        }
    }
}

/// The pointers of a zip; they come from slices of `len` values, equal or apart.
struct Zip<F> {
    f: F,
    a: *const f32,
    b: *const f32,
    dst: *mut f32,
    len: usize,
}

impl<F: VecFn2> Kernel for Zip<F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let whole = self.len - self.len % S::LANES;
        for i in (0..whole).step_by(S::LANES) {
            // SAFETY: all slices hold `LANES` values from `i` on.
            unsafe { s.store(self.dst.add(i), self.f.eval(s, s.load(self.a.add(i)), s.load(self.b.add(i)))) }
        }
        let rest = self.len - whole;
        if rest > 0 {
            // SAFETY: all slices hold `rest` values from `whole` on.
            unsafe {
                let (a, b) = (s.load_partial(self.a.add(whole), rest), s.load_partial(self.b.add(whole), rest));
                s.store_partial(self.dst.add(whole), rest, self.f.eval(s, a, b));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::{Max, Relu};

    #[test]
    fn every_length_up_to_a_few_vectors() {
        for len in 0..70usize {
            let x: Vec<f32> = (0..len).map(|i| if i % 3 == 0 { -(i as f32) } else { i as f32 }).collect();
            let want: Vec<f32> = x.iter().map(|v| v.max(0.0)).collect();
            let mut y = vec![f32::NAN; len];
            map(Relu, &x, &mut y);
            assert_eq!(y, want);
            let mut z = x.clone();
            map_in_place(Relu, &mut z);
            assert_eq!(z, want);
            let ones = vec![1.0f32; len];
            let want: Vec<f32> = x.iter().map(|v| v.max(1.0)).collect();
            zip(Max, &x, &ones, &mut y);
            assert_eq!(y, want);
            let mut z = x.clone();
            zip_in_place(Max, &mut z, &ones);
            assert_eq!(z, want);
        }
    }

    #[test]
    #[should_panic(expected = "differ in length")]
    fn lengths_must_agree() {
        map(Relu, &[1.0], &mut []);
    }
}
