//! Every operation of every instruction set against its definition, on values that meet its corners.

use crate::isa;
use crate::vector::{Kernel, MAX_LANES, Simd, dispatch_on};

const FLOATS: [f32; MAX_LANES] = [
    0.0,
    -0.0,
    1.5,
    -2.5,
    0.5,
    3.49,
    -3.5,
    1e9,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::NAN,
    f32::MIN_POSITIVE,
    1e-42,
    -7.0,
    8_388_609.0,
    -1e-3,
];
const INTS: [i32; MAX_LANES] = [0, 1, -1, 2, i32::MAX, i32::MIN, 255, -256, 65_536, -65_537, 7, 12, 1 << 30, 0x7fff, -3, 77];

struct All;

/// The lanes of both, where they are the same number or both NaN.
fn same(what: &str, got: &[f32], want: impl Fn(usize) -> f32) {
    for (i, &x) in got.iter().enumerate() {
        let y = want(i);
        assert!(x == y || (x.is_nan() && y.is_nan()), "{what} of lane {i}: {x} is not {y}");
    }
}

impl All {
    fn floats<S: Simd>(s: S, v: S::F) -> Vec<f32> {
        let mut lanes = [0.0; MAX_LANES];
        // SAFETY: the array holds a vector.
        unsafe { s.store(lanes.as_mut_ptr(), v) }
        lanes[..S::LANES].to_vec()
    }

    fn ints<S: Simd>(s: S, v: S::I) -> Vec<i32> {
        let mut lanes = [0; MAX_LANES];
        // SAFETY: the array holds a vector.
        unsafe { s.istore(lanes.as_mut_ptr(), v) }
        lanes[..S::LANES].to_vec()
    }

    fn truths<S: Simd>(s: S, m: S::M) -> Vec<bool> {
        Self::ints(s, s.iselect(m, s.isplat(1), s.isplat(0))).into_iter().map(|x| x == 1).collect()
    }

    fn float_operations<S: Simd>(s: S, start: usize) {
        let x = &FLOATS[start..];
        let y: Vec<f32> = FLOATS.iter().rev().skip(start / 2).copied().chain([1.0; MAX_LANES]).collect();
        // SAFETY: both hold a vector.
        let (a, b) = unsafe { (s.load(x.as_ptr()), s.load(y.as_ptr())) };
        let f = |v| Self::floats(s, v);
        same("add", &f(s.add(a, b)), |i| x[i] + y[i]);
        same("sub", &f(s.sub(a, b)), |i| x[i] - y[i]);
        same("mul", &f(s.mul(a, b)), |i| x[i] * y[i]);
        same("div", &f(s.div(a, b)), |i| x[i] / y[i]);
        same("min", &f(s.min(a, b)), |i| if x[i] < y[i] { x[i] } else { y[i] });
        same("max", &f(s.max(a, b)), |i| if x[i] > y[i] { x[i] } else { y[i] });
        same("sqrt", &f(s.sqrt(a)), |i| x[i].sqrt());
        same("round", &f(s.round(a)), |i| x[i].round_ties_even());
        same("floor", &f(s.floor(a)), |i| x[i].floor());
        same("ceil", &f(s.ceil(a)), |i| x[i].ceil());
        same("trunc", &f(s.trunc(a)), |i| x[i].trunc());
        same("abs", &f(s.abs(a)), |i| x[i].abs());
        same("copysign", &f(s.copysign(a, b)), |i| x[i].copysign(y[i]));
        same("fma", &f(s.fma(a, s.splat(2.0), b)), |i| 2.0 * x[i] + y[i]);
        same("fnma", &f(s.fnma(a, s.splat(2.0), b)), |i| y[i] - 2.0 * x[i]);
        let t = |m| Self::truths(s, m);
        for i in 0..S::LANES {
            assert_eq!(t(s.lt(a, b))[i], x[i] < y[i]);
            assert_eq!(t(s.le(a, b))[i], x[i] <= y[i]);
            assert_eq!(t(s.eq(a, b))[i], x[i] == y[i]);
            assert_eq!(t(s.gt(a, b))[i], x[i] > y[i]);
            assert_eq!(t(s.ge(a, b))[i], x[i] >= y[i]);
            assert_eq!(t(s.is_nan(a))[i], x[i].is_nan());
            assert_eq!(t(s.mask_not(s.mask_or(s.lt(a, b), s.is_nan(a))))[i], !(x[i] < y[i] || x[i].is_nan()));
            assert_eq!(t(s.mask_and(s.lt(a, b), s.le(a, b)))[i], x[i] < y[i]);
        }
        assert_eq!(s.any(s.is_nan(a)), x[..S::LANES].iter().any(|v| v.is_nan()));
        assert!(!s.any(s.lt(a, a)));
        let (low, high) = s.widen(a);
        same("widen and narrow", &f(s.narrow(low, high)), |i| x[i]);
        let doubled = s.narrow(s.dadd(low, s.dmul(low, s.dsplat(2.0))), s.dround(s.dfma(high, s.dsplat(1.5), s.dsplat(0.25))));
        same("doubles", &f(doubled), |i| {
            let d = f64::from(x[i]);
            (if i < S::LANES / 2 { d + 2.0 * d } else { (1.5 * d + 0.25).round_ties_even() }) as f32
        });
    }

    fn int_operations<S: Simd>(s: S, start: usize) {
        let x = &INTS[start..];
        let y: Vec<i32> = INTS.iter().rev().copied().collect();
        // SAFETY: both hold a vector.
        let (a, b) = unsafe { (s.iload(x.as_ptr()), s.iload(y.as_ptr())) };
        let i = |v| Self::ints(s, v);
        let t = |m| Self::truths(s, m);
        for l in 0..S::LANES {
            let (p, q) = (x[l], y[l]);
            assert_eq!(i(s.iadd(a, b))[l], p.wrapping_add(q));
            assert_eq!(i(s.isub(a, b))[l], p.wrapping_sub(q));
            assert_eq!(i(s.imul(a, b))[l], p.wrapping_mul(q));
            assert_eq!(i(s.iand(a, b))[l], p & q);
            assert_eq!(i(s.ior(a, b))[l], p | q);
            assert_eq!(i(s.ixor(a, b))[l], p ^ q);
            assert_eq!(i(s.shl(a, 5))[l], p << 5);
            assert_eq!(i(s.shr(a, 5))[l], p >> 5);
            assert_eq!(i(s.shr_logical(a, 5))[l], (p as u32 >> 5) as i32);
            assert_eq!(t(s.ieq(a, b))[l], p == q);
            assert_eq!(t(s.igt(a, b))[l], p > q);
            assert_eq!(Self::floats(s, s.to_float(a))[l], p as f32);
        }
        let table: [f32; 16] = std::array::from_fn(|i| i as f32 * 1.5 - 3.0);
        same("lookup", &Self::floats(s, s.lookup(s.table(&table), a)), |l| table[(x[l] & 15) as usize]);
        // SAFETY: eight floats are a vector of integers, rounded.
        let rounded =
            i(s.to_int(unsafe {
                s.load([0.5f32, 1.5, 2.5, -0.5, -1.5, 1e6, -7.0, 0.49, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0].as_ptr())
            }));
        assert_eq!(rounded[..8], [0, 2, 2, 0, -2, 1_000_000, -7, 0]);
    }

    fn memory<S: Simd>(s: S) {
        let bytes: [u8; 2 * MAX_LANES] = std::array::from_fn(|i| (i * 37) as u8);
        let mut halves = [0u16; MAX_LANES];
        // SAFETY: the arrays hold a vector each.
        unsafe {
            let p = bytes.as_ptr();
            for l in 0..S::LANES {
                assert_eq!(Self::ints(s, s.load_u8(p))[l], i32::from(bytes[l]));
                assert_eq!(Self::ints(s, s.load_i8(p.cast()))[l], i32::from(bytes[l] as i8));
                let pair = u16::from_le_bytes([bytes[2 * l], bytes[2 * l + 1]]);
                assert_eq!(Self::ints(s, s.load_u16(p.cast()))[l], i32::from(pair.to_le()));
            }
            s.store_u16(halves.as_mut_ptr(), s.iload(INTS.as_ptr()));
        }
        assert!((0..S::LANES).all(|l| halves[l] == INTS[l] as u16));
        for n in 0..=S::LANES {
            let mut lanes = [9.0f32; MAX_LANES];
            // SAFETY: only the first `n` lanes are touched.
            unsafe {
                let v = s.load_partial(FLOATS[..n].as_ptr(), n);
                same("partial load", &Self::floats(s, v), |i| if i < n { FLOATS[i] } else { 0.0 });
                s.store_partial(lanes.as_mut_ptr(), n, v);
            }
            same("partial store", &lanes, |i| if i < n { FLOATS[i] } else { 9.0 });
        }
    }

    fn transpose<S: Simd>(s: S) {
        let src: Vec<f32> = (0..S::LANES * 20).map(|i| i as f32).collect();
        for rows in 0..=S::LANES {
            let mut dst = vec![-1.0f32; S::LANES * 18];
            // SAFETY: both hold the matrix.
            unsafe { s.transpose(src.as_ptr(), 20, rows, dst.as_mut_ptr(), 18) }
            for (x, &y) in dst.iter().enumerate() {
                let (c, r) = (x / 18, x % 18);
                assert_eq!(y, if r < rows { src[r * 20 + c] } else { -1.0 });
            }
        }
    }
}

impl Kernel for All {
    type Output = ();

    fn run<S: Simd>(self, s: S) {
        for start in 0..=MAX_LANES - S::LANES {
            Self::float_operations(s, start);
            Self::int_operations(s, start);
        }
        Self::memory(s);
        Self::transpose(s);
    }
}

#[test]
fn every_operation() {
    for isa in isa::available() {
        dispatch_on(isa, All);
    }
}
