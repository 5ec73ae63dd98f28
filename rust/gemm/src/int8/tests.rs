//! Products of bytes against three plain loops, exactly.

use base::threads::{Cancel, Threads, scope};
use simd::isa;

use super::*;
use crate::epilogue::{Activation, Operand, Step};
use crate::matrix::{Batch, batch_offset};

fn bytes(len: usize, seed: usize) -> Vec<u8> {
    (0..len).map(|i| ((i + seed).wrapping_mul(2_654_435_761) >> 11) as u8).collect()
}

fn value(m: &ByteMat<'_>, i: usize, j: usize) -> i32 {
    let x = m.mat.data[i * m.mat.row_stride + j * m.mat.col_stride];
    if m.signed { i32::from(x as i8) } else { i32::from(x) }
}

fn pick(list: &[i32], i: usize) -> i32 {
    if list.len() > 1 { list[i] } else { list.first().copied().unwrap_or(0) }
}

fn element(a: &ByteMat<'_>, b: &ByteMat<'_>, t: &ByteTerms<'_>, i: usize, j: usize) -> i32 {
    let product = |p| (value(a, i, p) - pick(t.a, i)).wrapping_mul(value(b, p, j) - pick(t.b, j));
    let sum = (0..a.mat.cols).fold(0i32, |sum, p| sum.wrapping_add(product(p)));
    sum.wrapping_add(pick(t.row_bias, i)).wrapping_add(pick(t.col_bias, j))
}

fn as_signed(m: Mat<'_, u8>, signed: bool) -> ByteMat<'_> {
    ByteMat { mat: m, signed }
}

fn strides(lie: usize, rows: usize, cols: usize) -> (usize, usize) {
    [(cols, 1), (1, rows), (cols + 3, 1), (1, rows + 5), (2 * cols + 1, 2)][lie % 5]
}

fn matrix(data: &[u8], lie: usize, rows: usize, cols: usize) -> Mat<'_, u8> {
    let (rs, cs) = strides(lie, rows, cols);
    Mat::new(data, rows, cols, rs, cs).unwrap()
}

fn check(isa: Isa, a: ByteMat<'_>, b: ByteMat<'_>, terms: &ByteTerms<'_>) {
    let (m, n) = (a.mat.rows, b.mat.cols);
    let packed = PackedBytes::on(isa, b).unwrap();
    for rhs in [ByteRhs::Plain(b), ByteRhs::Packed(&packed)] {
        let mut c = vec![i32::MAX; m * n + 3];
        let out = ByteOutput::I32(MatMut::row_major(&mut c, m, n).unwrap());
        byte_gemm_on(isa, &Batch::default(), a, rhs, terms, out, &mut []).unwrap();
        for (x, &y) in c[..m * n].iter().enumerate() {
            assert_eq!(y, element(&a, &b, terms, x / n, x % n), "{isa:?} {m}x{}x{n} at {x}", a.mat.cols);
        }
        assert_eq!(c[m * n..], [i32::MAX; 3]);
    }
}

#[test]
fn every_sign_size_and_layout() {
    let sizes = [0, 1, 2, 3, 5, 8, 15, 17, 33, 70];
    for isa in isa::available() {
        for (x, &m) in sizes.iter().enumerate() {
            for (y, &n) in sizes.iter().enumerate() {
                for (z, &k) in [0, 1, 2, 3, 4, 5, 7, 16, 31, 64, 130].iter().enumerate() {
                    let (da, db) = (bytes(3 * (m + 6) * (k + 6), x), bytes(3 * (k + 6) * (n + 6), y));
                    let signs = x + 2 * y + z;
                    let a = as_signed(matrix(&da, x + z, m, k), signs & 1 == 1);
                    let b = as_signed(matrix(&db, y + z, k, n), signs & 2 == 2);
                    let (za, zb): (Vec<i32>, Vec<i32>) =
                        ((0..m as i32).map(|i| i - 3).collect(), (0..n as i32).map(|j| 7 - 5 * j).collect());
                    check(isa, a, b, &ByteTerms::default());
                    check(isa, a, b, &ByteTerms { a: &[113], b: &[-77], row_bias: &za, col_bias: &zb });
                    check(isa, a, b, &ByteTerms { a: &za, b: &zb, row_bias: &[], col_bias: &[5] });
                }
            }
        }
    }
}

#[test]
fn extremes_do_not_saturate() {
    for isa in isa::available() {
        for (x, y) in [(255u8, 255u8), (255, 128), (128, 128), (0, 255), (127, 127)] {
            for signs in 0..4 {
                let (a, b) = (vec![x; 3 * 500], vec![y; 500 * 40]);
                let a = as_signed(Mat::row_major(&a, 3, 500).unwrap(), signs & 1 == 1);
                let b = as_signed(Mat::row_major(&b, 500, 40).unwrap(), signs & 2 == 2);
                check(isa, a, b, &ByteTerms::default());
            }
        }
    }
}

#[test]
fn results_as_floats_and_bytes() {
    let (m, k, n) = (19, 40, 45);
    let (da, db) = (bytes(m * k, 1), bytes(k * n, 2));
    let (a, b) = (as_signed(Mat::row_major(&da, m, k).unwrap(), false), as_signed(Mat::row_major(&db, k, n).unwrap(), true));
    let terms = ByteTerms { a: &[120], ..ByteTerms::default() };
    let cols: Vec<f32> = (0..n).map(|j| 1e-3 + 1e-5 * j as f32).collect();
    let rows: Vec<f32> = (0..m).map(|i| 1.0 + i as f32 * 0.1).collect();
    let bias: Vec<f32> = (0..n).map(|j| j as f32 - 20.0).collect();
    let scales = Scales { rows: &rows, cols: &cols };
    let steps = [Step::add(Operand::per_column(&bias)), Step::Activate(Activation::Relu)];
    for isa in isa::available() {
        let one = Batch::default();
        let (mut f, mut u, mut s) = (vec![0f32; m * n], vec![0u8; m * n], vec![0i8; m * n]);
        let out = ByteOutput::F32 { c: MatMut::row_major(&mut f, m, n).unwrap(), scales, epilogue: Epilogue::new(&steps) };
        byte_gemm_on(isa, &one, a, b.into(), &terms, out, &mut []).unwrap();
        let out = ByteOutput::U8 { c: MatMut::row_major(&mut u, m, n).unwrap(), scales, zero_point: 130 };
        byte_gemm_on(isa, &one, a, b.into(), &terms, out, &mut []).unwrap();
        let out = ByteOutput::I8 { c: MatMut::row_major(&mut s, m, n).unwrap(), scales, zero_point: -3 };
        byte_gemm_on(isa, &one, a, b.into(), &terms, out, &mut []).unwrap();
        for x in 0..m * n {
            let (i, j) = (x / n, x % n);
            let scaled = element(&a, &b, &terms, i, j) as f32 * (rows[i] * cols[j]);
            assert_eq!(f[x], (scaled + bias[j]).max(0.0), "{isa:?} {x}");
            let rounded = f64::from(scaled).round_ties_even();
            assert_eq!(f64::from(u[x]), (rounded + 130.0).clamp(0.0, 255.0), "{isa:?} {x}");
            assert_eq!(f64::from(s[x]), (rounded - 3.0).clamp(-128.0, 127.0), "{isa:?} {x}");
        }
    }
}

#[test]
fn batches_and_threads() {
    let (m, k, n) = (9, 30, 50);
    for (sa, sb) in [([600, 300], [0, 0]), ([270, 0], [0, 1500]), ([810, 270], [0, 0])] {
        let (da, db) = (bytes(3000, 1), bytes(9000, 2));
        let (a, b) = (as_signed(Mat::row_major(&da, m, k).unwrap(), true), as_signed(Mat::row_major(&db, k, n).unwrap(), false));
        let (dims, sc) = ([2, 3], [3 * m * n, m * n]);
        let batch = Batch { dims: &dims, a: &sa, b: &sb, c: &sc };
        let terms = ByteTerms { a: &[3], b: &[100], ..ByteTerms::default() };
        for isa in isa::available() {
            for threads in [1, 2, 5] {
                let mut c = vec![0i32; 6 * m * n];
                scope(Threads::new(threads), &Cancel::new(), || {
                    let out = ByteOutput::I32(MatMut::row_major(&mut c, m, n).unwrap());
                    byte_gemm_on(isa, &batch, a, b.into(), &terms, out, &mut [0; 100]).unwrap();
                });
                for item in 0..6 {
                    let part = |m: ByteMat<'_>, at: usize, data: &[u8]| {
                        let rows: Vec<u8> = data[at..].to_vec();
                        (m.mat.rows, m.mat.cols, m.signed, rows)
                    };
                    let (ra, ca, sa_, da) = part(a, batch_offset(item, &dims, &sa), &da);
                    let (rb, cb, sb_, db) = part(b, batch_offset(item, &dims, &sb), &db);
                    let (a, b) =
                        (as_signed(Mat::row_major(&da, ra, ca).unwrap(), sa_), as_signed(Mat::row_major(&db, rb, cb).unwrap(), sb_));
                    for x in 0..m * n {
                        assert_eq!(c[item * m * n + x], element(&a, &b, &terms, x / n, x % n), "{isa:?} {item} {x}");
                    }
                }
            }
        }
    }
}

#[test]
fn scratch_and_blocks() {
    // More than one block of A and of B.
    let (m, k, n) = (900, 1300, 3400);
    let (da, db) = (bytes(m * k, 1), bytes(k * n, 2));
    let (a, b) = (as_signed(Mat::row_major(&da, m, k).unwrap(), true), as_signed(Mat::row_major(&db, n, k).unwrap().transposed(), true));
    let mut c = vec![0i32; m * n];
    let mut scratch = vec![0xffu8; byte_scratch_len(1, m, n, k, false)];
    byte_gemm(a, b, &ByteTerms::default(), ByteOutput::I32(MatMut::row_major(&mut c, m, n).unwrap()), &mut scratch).unwrap();
    for x in (0..m * n).step_by(997) {
        assert_eq!(c[x], element(&a, &b, &ByteTerms::default(), x / n, x % n));
    }
}

#[test]
fn bad_arguments_are_refused() {
    let x = [0u8; 64];
    let m = |rows, cols| ByteMat::from(Mat::row_major(&x, rows, cols).unwrap());
    let fails = |a: ByteMat<'_>, b: ByteMat<'_>, terms: ByteTerms<'_>, text: &str| {
        let mut y = [0i32; 64];
        let out = ByteOutput::I32(MatMut::row_major(&mut y, 2, 5).unwrap());
        let e = byte_gemm(a, b, &terms, out, &mut []).unwrap_err();
        assert!(e.detail().contains(text), "{e}");
    };
    fails(m(2, 3), m(4, 5), ByteTerms::default(), "2x3 matrix cannot be multiplied by a 4x5");
    fails(m(3, 3), m(3, 5), ByteTerms::default(), "3x5 product does not fit a 2x5");
    fails(m(2, 3), m(3, 5), ByteTerms { a: &[1, 2, 3], ..ByteTerms::default() }, "3 zero points of A, where 1 or 2 are needed");
    fails(m(2, 3), m(3, 5), ByteTerms { b: &[1, 2], ..ByteTerms::default() }, "2 zero points of B, where 1 or 5 are needed");
    let mut y = [0f32; 10];
    let scales = Scales { rows: &[], cols: &[1.0] };
    let out = ByteOutput::F32 { c: MatMut::row_major(&mut y, 2, 5).unwrap(), scales, epilogue: Epilogue::default() };
    let e = byte_gemm(m(2, 3), m(3, 5), &ByteTerms::default(), out, &mut []).unwrap_err();
    assert!(e.detail().contains("0 scales of rows"), "{e}");
}
