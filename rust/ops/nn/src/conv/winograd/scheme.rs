//! The transforms of Winograd's convolution with kernels of three elements along an axis (Lavin and Gray, 2015): `y = A((G g)(B d))`.

use simd::Simd;

/// The most elements that a tile reads along an axis.
pub(super) const MOST: usize = 6;

/// How many results a tile has along each axis, with the transforms that belong to it. Arrays hold as many elements as a tile reads; the
/// rest is not looked at.
pub(super) trait Scheme: Copy + Sync {
    /// Results of a tile along an axis; it reads two elements more.
    const OUT: usize;
    /// What weights are multiplied by: a row for each element that a tile reads.
    const G: &'static [[f64; 3]];

    /// The transform of the input.
    fn input<S: Simd>(s: S, d: [S::F; MOST]) -> [S::F; MOST];

    /// The transform of the products, to results.
    fn output<S: Simd>(s: S, m: [S::F; MOST]) -> [S::F; MOST];
}

/// Tiles of 2 by 2 results: 16 products in place of 36.
#[derive(Clone, Copy)]
pub(super) struct Two;

impl Scheme for Two {
    const OUT: usize = 2;
    const G: &'static [[f64; 3]] = &[[1.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.0, 0.0, 1.0]];

    #[inline(always)]
    fn input<S: Simd>(s: S, d: [S::F; MOST]) -> [S::F; MOST] {
        let z = s.zero();
        [s.sub(d[0], d[2]), s.add(d[1], d[2]), s.sub(d[2], d[1]), s.sub(d[1], d[3]), z, z]
    }

    #[inline(always)]
    fn output<S: Simd>(s: S, m: [S::F; MOST]) -> [S::F; MOST] {
        let z = s.zero();
        [s.add(m[0], s.add(m[1], m[2])), s.sub(s.sub(m[1], m[2]), m[3]), z, z, z, z]
    }
}

/// Tiles of 4 by 4 results: 36 products in place of 144. The points are 0, ±1, ±2.
#[derive(Clone, Copy)]
pub(super) struct Four;

impl Scheme for Four {
    const OUT: usize = 4;
    const G: &'static [[f64; 3]] = &[
        [1.0 / 4.0, 0.0, 0.0],
        [-1.0 / 6.0, -1.0 / 6.0, -1.0 / 6.0],
        [-1.0 / 6.0, 1.0 / 6.0, -1.0 / 6.0],
        [1.0 / 24.0, 1.0 / 12.0, 1.0 / 6.0],
        [1.0 / 24.0, -1.0 / 12.0, 1.0 / 6.0],
        [0.0, 0.0, 1.0],
    ];

    #[inline(always)]
    fn input<S: Simd>(s: S, d: [S::F; MOST]) -> [S::F; MOST] {
        let (two, four, five) = (s.splat(2.0), s.splat(4.0), s.splat(5.0));
        let (even, odd) = (s.fnma(four, d[2], d[4]), s.fnma(four, d[1], d[3]));
        let (outer, inner) = (s.sub(d[4], d[2]), s.sub(d[3], d[1]));
        [
            s.fma(four, d[0], s.fnma(five, d[2], d[4])),
            s.add(even, odd),
            s.sub(even, odd),
            s.fma(two, inner, outer),
            s.fnma(two, inner, outer),
            s.fma(four, d[1], s.fnma(five, d[3], d[5])),
        ]
    }

    #[inline(always)]
    fn output<S: Simd>(s: S, m: [S::F; MOST]) -> [S::F; MOST] {
        let (two, four, eight) = (s.splat(2.0), s.splat(4.0), s.splat(8.0));
        let (near, far) = (s.add(m[1], m[2]), s.add(m[3], m[4]));
        let (near_odd, far_odd) = (s.sub(m[1], m[2]), s.sub(m[3], m[4]));
        [
            s.add(m[0], s.add(near, far)),
            s.fma(two, far_odd, near_odd),
            s.fma(four, far, near),
            s.add(s.fma(eight, far_odd, near_odd), m[5]),
            s.zero(),
            s.zero(),
        ]
    }
}

/// Transforms a kernel of 3 by 3: an element for each point, row by row.
pub(super) fn weights<T: Scheme>(kernel: &[f32], to: &mut [f32]) {
    let read = T::OUT + 2;
    for (i, to) in to.iter_mut().enumerate().take(read * read) {
        let (rows, cols) = (T::G[i / read], T::G[i % read]);
        let terms = (0..9).map(|k| rows[k / 3] * cols[k % 3] * f64::from(kernel[k]));
        *to = terms.sum::<f64>() as f32;
    }
}
