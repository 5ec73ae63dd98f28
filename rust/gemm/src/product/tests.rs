//! Products against three plain loops, bit for bit: both are one chain of multiply-adds for each element.

use base::threads::{Cancel, Threads, scope};
use half::{bf16, f16};
use simd::isa;

use super::*;
use crate::blocking::Extents;
use crate::epilogue::{Activation, Operand, Step};
use crate::matrix::batch_offset;

const SIZES: [usize; 14] = [0, 1, 2, 3, 5, 7, 8, 15, 16, 17, 31, 33, 63, 65];

/// A type with values to test with and its plain chain step.
trait Sample: Scalar {
    fn value(i: usize) -> Self;
    fn step(isa: Isa, a: Self::Acc, b: Self::Acc, c: Self::Acc) -> Self::Acc;
}

fn small(i: usize) -> f32 {
    (i.wrapping_mul(2_654_435_761) >> 7 & 0xff) as f32 / 64.0 - 2.0
}

macro_rules! float_sample {
    ($($t:ty => $acc:ty, $value:expr;)*) => { $(
        impl Sample for $t {
            fn value(i: usize) -> Self {
                $value(small(i))
            }
            fn step(isa: Isa, a: $acc, b: $acc, c: $acc) -> $acc {
                let fused = isa != Isa::Portable || cfg!(any(target_arch = "aarch64", target_feature = "fma"));
                if fused { a.mul_add(b, c) } else { a * b + c }
            }
        }
    )* };
}

float_sample! {
    f32 => f32, |x: f32| x * 1.1;
    f64 => f64, |x: f32| f64::from(x) * 1.1;
    f16 => f32, f16::from_f32;
    bf16 => f32, bf16::from_f32;
}

macro_rules! int_sample {
    ($($t:ty),*) => { $(
        impl Sample for $t {
            fn value(i: usize) -> Self {
                (i as $t).wrapping_mul(0x9e37_79b9u32 as $t)
            }
            fn step(_: Isa, a: $t, b: $t, c: $t) -> $t {
                a.wrapping_mul(b).wrapping_add(c)
            }
        }
    )* };
}

int_sample!(i32, u32, i64, u64);

fn values<T: Sample>(len: usize, seed: usize) -> Vec<T> {
    (0..len).map(|i| T::value(i + seed)).collect()
}

fn at<T: Copy>(m: &Mat<'_, T>, i: usize, j: usize) -> T {
    m.data[i * m.row_stride + j * m.col_stride]
}

fn element<T: Sample>(isa: Isa, a: &Mat<'_, T>, b: &Mat<'_, T>, i: usize, j: usize) -> T {
    let chain = (0..a.cols).fold(T::Acc::default(), |c, p| T::step(isa, at(a, i, p).widen(), at(b, p, j).widen(), c));
    T::narrow(chain)
}

/// How an operand lies in memory.
#[derive(Clone, Copy, Debug)]
enum Lie {
    Rows,
    Columns,
    PaddedRows,
    PaddedColumns,
    Sparse,
}

const LIES: [Lie; 5] = [Lie::Rows, Lie::Columns, Lie::PaddedRows, Lie::PaddedColumns, Lie::Sparse];

impl Lie {
    fn strides(self, rows: usize, cols: usize) -> (usize, usize) {
        match self {
            Self::Rows => (cols, 1),
            Self::Columns => (1, rows),
            Self::PaddedRows => (cols + 3, 1),
            Self::PaddedColumns => (1, rows + 5),
            Self::Sparse => (2 * cols + 1, 2),
        }
    }

    fn with<T: Sample, R>(self, rows: usize, cols: usize, seed: usize, f: impl FnOnce(Mat<'_, T>) -> R) -> R {
        let (rs, cs) = self.strides(rows, cols);
        let data = values::<T>(extent(rows, cols, rs, cs).unwrap(), seed);
        f(Mat::new(&data, rows, cols, rs, cs).unwrap())
    }
}

const GUARD: usize = 5;

/// Multiplies on `isa` in every combination of packed and plain operands, into rows with a gap, and compares each element.
fn check<T: Sample>(isa: Isa, a: Mat<'_, T>, b: Mat<'_, T>, what: &str) {
    let (m, n, gap) = (a.rows, b.cols, 2);
    let want: Vec<T> = (0..m * n).map(|x| element(isa, &a, &b, x / n, x % n)).collect();
    let (packed_a, packed_b) = (PackedA::on(isa, a).unwrap(), PackedB::on(isa, b).unwrap());
    let filler = T::value(77);
    for (lhs, rhs) in
        [(a.into(), b.into()), (a.into(), (&packed_b).into()), (Lhs::Packed(&packed_a), b.into()), ((&packed_a).into(), (&packed_b).into())]
    {
        let mut c = vec![filler; m * (n + gap) + GUARD];
        gemm_on(isa, &Batch::default(), lhs, rhs, &Epilogue::default(), MatMut::new(&mut c, m, n, n + gap).unwrap(), &mut []).unwrap();
        for (x, &y) in c.iter().enumerate() {
            let (i, j) = (x / (n + gap), x % (n + gap));
            let expected = if i < m && j < n { want[i * n + j] } else { filler };
            assert_eq!(y, expected, "{isa:?} {what} {m}x{}x{n} at ({i}, {j}): {lhs:?} {rhs:?}", a.cols);
        }
    }
}

fn all_sizes<T: Sample>(sizes: &[usize]) {
    for isa in isa::available() {
        for &m in sizes {
            for &n in sizes {
                for &k in sizes {
                    let (a, b) = (LIES[(m + k) % LIES.len()], LIES[(n + 2 * k) % LIES.len()]);
                    a.with::<T, _>(m, k, 1, |ma| b.with::<T, _>(k, n, 9, |mb| check(isa, ma, mb, &format!("{a:?} {b:?}"))));
                }
            }
        }
    }
}

#[test]
fn floats_of_32_bits() {
    all_sizes::<f32>(&SIZES);
}

#[test]
fn floats_of_64_bits() {
    all_sizes::<f64>(&[0, 1, 3, 8, 16, 17, 33]);
}

#[test]
fn floats_of_16_bits() {
    all_sizes::<f16>(&[0, 1, 3, 8, 16, 17, 33]);
    all_sizes::<bf16>(&[0, 1, 3, 8, 16, 17, 33]);
}

#[test]
fn integers_wrap() {
    all_sizes::<i32>(&[0, 1, 3, 8, 17]);
    all_sizes::<u32>(&[0, 1, 3, 8, 17]);
    all_sizes::<i64>(&[0, 1, 3, 8, 17]);
    all_sizes::<u64>(&[0, 1, 3, 8, 17]);
}

#[test]
fn every_layout_of_both_operands() {
    for isa in isa::available() {
        for (m, k, n) in [(19, 23, 37), (1, 40, 70), (2, 17, 64), (50, 16, 1), (45, 50, 96)] {
            for a in LIES {
                for b in LIES {
                    a.with::<f32, _>(m, k, 3, |ma| b.with::<f32, _>(k, n, 4, |mb| check(isa, ma, mb, &format!("{a:?} {b:?}"))));
                }
            }
        }
    }
}

#[test]
fn several_blocks() {
    // More rows than one block of A holds, more columns than one block of B.
    let (m, k, n) = (300, 2100, 600);
    let (a, b) = (values::<f32>(m * k, 0), values::<f32>(k * n, 5));
    let (a, b) = (Mat::row_major(&a, m, k).unwrap(), Mat::row_major(&b, n, k).unwrap().transposed());
    for isa in isa::available().filter(|&i| i != Isa::Portable) {
        let mut c = vec![0.0f32; m * n];
        gemm_on(isa, &Batch::default(), a.into(), b.into(), &Epilogue::default(), MatMut::row_major(&mut c, m, n).unwrap(), &mut [])
            .unwrap();
        for x in (0..m * n).step_by(97) {
            assert_eq!(c[x], element(isa, &a, &b, x / n, x % n), "{isa:?} {x}");
        }
    }
}

#[test]
fn many_steps_of_k() {
    // More steps than are taken together, for enough rows that they are cut; whole tiles and narrow ones.
    for isa in isa::available() {
        for (m, k, n) in [(30, 1030, 35), (45, 1537, 32)] {
            check_operands::<f32>(isa, (m, k, n));
            check_operands::<f64>(isa, (m, k, n));
            check_operands::<f16>(isa, (m, k, n));
            check_operands::<i32>(isa, (m, k, n));
        }
        for activation in ACTIVATIONS {
            check_epilogue::<f32>(isa, (43, 1100, 37), activation, 2e-2);
        }
    }
}

fn check_operands<T: Sample>(isa: Isa, (m, k, n): (usize, usize, usize)) {
    let (a, b) = (values::<T>(m * k, 0), values::<T>(k * n, 5));
    check(isa, Mat::row_major(&a, m, k).unwrap(), Mat::row_major(&b, k, n).unwrap(), "many steps");
}

#[test]
fn bits_do_not_depend_on_threads_rows_or_scratch() {
    let (m, k, n) = (150, 300, 200);
    let (a, b) = (values::<f32>(m * k, 0), values::<f32>(k * n, 5));
    let (a, b) = (Mat::row_major(&a, m, k).unwrap(), Mat::row_major(&b, k, n).unwrap());
    let run = |a: Mat<'_, f32>, threads: usize, scratch: usize| {
        let mut c = vec![0.0f32; a.rows * n];
        let mut scratch = vec![0xffu8; scratch];
        scope(Threads::new(threads), &Cancel::new(), || {
            gemm(a, b, &Epilogue::default(), MatMut::row_major(&mut c, a.rows, n).unwrap(), &mut scratch).unwrap();
        });
        c
    };
    let one = run(a, 1, 0);
    for threads in [2, 3, 8] {
        assert_eq!(one, run(a, threads, 0));
    }
    assert_eq!(one, run(a, 1, scratch_len::<f32>(1, m, n, k, false, false)));
    for rows in [1, 2, 13, 14, 15, 29] {
        assert_eq!(one[..rows * n], run(Mat::row_major(a.data, rows, k).unwrap(), 2, 10));
    }
}

#[test]
fn nan_and_infinity_follow_arithmetic() {
    for isa in isa::available() {
        for (m, k, n) in [(1, 20, 40), (17, 33, 35)] {
            let (mut a, b) = (values::<f32>(m * k, 0), values::<f32>(k * n, 5));
            a[k - 1] = f32::NAN;
            if m > 1 {
                a[k] = f32::INFINITY;
                a[k + 1] = f32::NEG_INFINITY;
            }
            let (a, b) = (Mat::row_major(&a, m, k).unwrap(), Mat::row_major(&b, k, n).unwrap());
            let mut c = vec![0.0f32; m * n];
            gemm_on(isa, &Batch::default(), a.into(), b.into(), &Epilogue::default(), MatMut::row_major(&mut c, m, n).unwrap(), &mut [])
                .unwrap();
            for (x, &y) in c.iter().enumerate() {
                let want = element(isa, &a, &b, x / n, x % n);
                assert!(y == want || (y.is_nan() && want.is_nan()), "{isa:?} {x}: {y} is not {want}");
            }
        }
    }
}

/// The epilogue of the test, on one element in `f64`.
fn finished(x: f64, bias: f32, row: f32, residual: f32, activation: Activation) -> f64 {
    let x = (0.5 * x + f64::from(bias)) * f64::from(row) + 2.0 * f64::from(residual);
    match activation {
        Activation::Relu => x.max(0.0),
        Activation::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        Activation::Tanh => x.tanh(),
        Activation::LeakyRelu(a) => {
            if x < 0.0 {
                f64::from(a) * x
            } else {
                x
            }
        }
        Activation::Clip { low, high } => x.clamp(f64::from(low), f64::from(high)),
        Activation::Silu => x / (1.0 + (-x).exp()),
        Activation::HardSwish => x * (x / 6.0 + 0.5).clamp(0.0, 1.0),
        Activation::HardSigmoid { alpha, beta } => (f64::from(alpha) * x + f64::from(beta)).clamp(0.0, 1.0),
        Activation::Softplus => x.max(0.0) + (-x.abs()).exp().ln_1p(),
        Activation::Softsign => x / (1.0 + x.abs()),
        Activation::Elu(a) => {
            if x > 0.0 {
                x
            } else {
                f64::from(a) * x.exp_m1()
            }
        }
        Activation::QuickGelu(a) => x / (1.0 + (-f64::from(a) * x).exp()),
        Activation::Gelu { .. } => 0.5 * x * (1.0 + (0.797_884_560_802_865_4 * (x + 0.044_715 * x * x * x)).tanh()),
    }
}

const ACTIVATIONS: [Activation; 14] = [
    Activation::Relu,
    Activation::Clip { low: -0.5, high: 1.0 },
    Activation::LeakyRelu(0.1),
    Activation::Elu(1.5),
    Activation::Sigmoid,
    Activation::HardSigmoid { alpha: 0.2, beta: 0.5 },
    Activation::Tanh,
    Activation::Gelu { approximate: true },
    Activation::Gelu { approximate: false },
    Activation::QuickGelu(1.702),
    Activation::Silu,
    Activation::HardSwish,
    Activation::Softplus,
    Activation::Softsign,
];

fn check_epilogue<T: Sample<Acc = f32>>(isa: Isa, (m, k, n): (usize, usize, usize), activation: Activation, tolerance: f64) {
    let (a, b) = (values::<T>(m * k, 0), values::<T>(k * n, 5));
    let (bias, row, residual) = (values::<T>(n, 11), values::<T>(m, 12), values::<T>(m * n, 13));
    let (a, b) = (Mat::row_major(&a, m, k).unwrap(), Mat::row_major(&b, k, n).unwrap());
    // The residual lies transposed, to meet strides other than 0 and 1.
    let transposed = Mat::row_major(&residual, n, m).unwrap().transposed();
    let steps = [
        Step::add(Operand::per_column(&bias)),
        Step::Mul(Operand::per_row(&row)),
        Step::Add { operand: Operand::matrix(transposed), factor: 2.0 },
        Step::Activate(activation),
    ];
    let mut c = vec![T::default(); m * n];
    let epilogue = Epilogue { alpha: 0.5, steps: &steps };
    gemm_on(isa, &Batch::default(), a.into(), b.into(), &epilogue, MatMut::row_major(&mut c, m, n).unwrap(), &mut []).unwrap();
    for (x, &y) in c.iter().enumerate() {
        let (i, j) = (x / n, x % n);
        let sum: f64 = (0..k).map(|p| f64::from(at(&a, i, p).widen()) * f64::from(at(&b, p, j).widen())).sum();
        let want = finished(sum, bias[j].widen(), row[i].widen(), residual[j * m + i].widen(), activation);
        let off = (f64::from(y.widen()) - want).abs();
        assert!(off <= tolerance * want.abs().max(1.0), "{isa:?} {activation:?} ({i}, {j}): {y:?} is not {want}");
    }
}

#[test]
fn epilogues() {
    for isa in isa::available() {
        for activation in ACTIVATIONS {
            check_epilogue::<f32>(isa, (17, 5, 37), activation, 2e-3);
            check_epilogue::<f16>(isa, (3, 5, 16), activation, 1e-2);
            check_epilogue::<bf16>(isa, (1, 5, 9), activation, 3e-2);
        }
    }
}

#[test]
fn epilogue_of_other_types() {
    let (a, b, bias) = ([2i64, 3], [5i64, 7], [100i64]);
    let steps = [Step::Add { operand: Operand::scalar(&bias), factor: 2 }, Step::Mul(Operand::scalar(&a))];
    let mut c = [0i64];
    let epilogue = Epilogue { alpha: 10, steps: &steps };
    let (ma, mb) = (Mat::row_major(&a, 1, 2).unwrap(), Mat::row_major(&b, 2, 1).unwrap());
    gemm(ma, mb, &epilogue, MatMut::row_major(&mut c, 1, 1).unwrap(), &mut []).unwrap();
    assert_eq!(c, [(310 + 200) * 2]);
    let steps = [Step::Activate(Activation::Relu)];
    let e = gemm(ma, mb, &Epilogue::new(&steps), MatMut::row_major(&mut c, 1, 1).unwrap(), &mut []).unwrap_err();
    assert!(e.detail().contains("Relu"), "{e}");
}

#[test]
fn no_steps_of_k_leave_the_epilogue() {
    let bias = [1.0f32, 2.0, 3.0];
    let steps = [Step::add(Operand::per_column(&bias))];
    let mut c = [f32::NAN; 6];
    let (a, b) = (Mat::row_major(&[], 2, 0).unwrap(), Mat::row_major(&[], 0, 3).unwrap());
    gemm(a, b, &Epilogue::new(&steps), MatMut::row_major(&mut c, 2, 3).unwrap(), &mut []).unwrap();
    assert_eq!(c, [1.0, 2.0, 3.0, 1.0, 2.0, 3.0]);
}

/// The strides of a batch: dims, then A, B, C.
type Strides<'a> = (&'a [usize], &'a [usize], &'a [usize], &'a [usize]);

/// Checks a batch whose first products are `m x k` (rows `lda` apart) and `k x n`, with a residual laid out like the result.
fn check_batch((m, k, n): (usize, usize, usize), (lda, ldb, ldc): (usize, usize, usize), (dims, sa, sb, sc): Strides<'_>) {
    let reach = |e: usize, s: &[usize]| e + batch_reach(dims, s).unwrap();
    let a = values::<f32>(reach(extent(m, k, lda, 1).unwrap(), sa), 0);
    let b = values::<f32>(reach(extent(k, n, ldb, 1).unwrap(), sb), 5);
    let c_len = reach(extent(m, n, ldc, 1).unwrap(), sc);
    let residual = values::<f32>(c_len, 13);
    let steps = [Step::add(Operand::strided(&residual, ldc, 1, sc))];
    let batch = Batch { dims, a: sa, b: sb, c: sc };
    for isa in isa::available() {
        let mut c = vec![f32::NAN; c_len];
        let (ma, mb) = (Mat::new(&a, m, k, lda, 1).unwrap(), Mat::new(&b, k, n, ldb, 1).unwrap());
        let mc = MatMut::new(&mut c, m, n, ldc).unwrap();
        gemm_on(isa, &batch, ma.into(), mb.into(), &Epilogue::new(&steps), mc, &mut []).unwrap();
        for item in 0..dims.iter().product() {
            let offset = |s| batch_offset(item, dims, s);
            let ma = Mat::new(&a[offset(sa)..], m, k, lda, 1).unwrap();
            let mb = Mat::new(&b[offset(sb)..], k, n, ldb, 1).unwrap();
            for x in 0..m * n {
                let (i, j) = (x / n, x % n);
                let place = offset(sc) + i * ldc + j;
                assert_eq!(c[place], element(isa, &ma, &mb, i, j) + residual[place], "{isa:?} {item} ({i}, {j})");
            }
        }
    }
}

#[test]
fn batches() {
    // One after the other; B shared (folds into one product); A shared; both axes broadcast against each other.
    check_batch((5, 7, 9), (7, 9, 9), (&[4], &[35], &[63], &[45]));
    check_batch((5, 7, 9), (7, 9, 9), (&[4], &[35], &[0], &[45]));
    check_batch((5, 7, 9), (7, 9, 9), (&[4], &[0], &[63], &[45]));
    check_batch((3, 4, 20), (4, 20, 20), (&[2, 3], &[12, 0], &[0, 80], &[180, 60]));
    // Heads interleaved in rows.
    check_batch((6, 8, 33), (16, 99, 66), (&[2, 2], &[96, 8], &[0, 33], &[396, 33]));
    // Many rows and many columns, so that several products share a block and both operands are packed.
    check_batch((60, 40, 70), (40, 70, 70), (&[6], &[2400], &[2800], &[4200]));
    check_batch((60, 1, 70), (1, 70, 70), (&[1, 2], &[9, 60], &[0, 0], &[0, 4200]));
}

#[test]
fn folded_products_are_the_same() {
    // Eight single rows against one packed B: a product of eight rows.
    let (a, b) = (values::<f32>(8 * 30, 0), values::<f32>(30 * 50, 5));
    let (ma, mb) = (Mat::row_major(&a, 1, 30).unwrap(), Mat::row_major(&b, 30, 50).unwrap());
    let packed = PackedB::new(mb).unwrap();
    let (mut c, mut whole) = (vec![0.0f32; 400], vec![0.0f32; 400]);
    let batch = Batch { dims: &[2, 4], a: &[120, 30], b: &[0, 0], c: &[200, 50] };
    gemm_batched(&batch, ma, &packed, &Epilogue::default(), MatMut::row_major(&mut c, 1, 50).unwrap(), &mut []).unwrap();
    let ma = Mat::row_major(&a, 8, 30).unwrap();
    gemm(ma, mb, &Epilogue::default(), MatMut::row_major(&mut whole, 8, 50).unwrap(), &mut []).unwrap();
    assert_eq!(c, whole);
}

#[test]
fn bad_arguments_are_refused() {
    let (x, mut y) = ([0.0f32; 64], [0.0f32; 64]);
    let m = |rows, cols| Mat::row_major(&x, rows, cols).unwrap();
    let none = Epilogue::default();
    let mut fails = |a: Mat<'_, f32>, b: Mat<'_, f32>, rows, cols, batch: Batch<'_>, epilogue: &Epilogue<'_, f32>, text: &str| {
        let c = MatMut::row_major(&mut y, rows, cols).unwrap();
        let e = gemm_batched(&batch, a, b, epilogue, c, &mut []).unwrap_err();
        assert!(e.detail().contains(text), "{e}");
    };
    fails(m(2, 3), m(4, 5), 2, 5, Batch::default(), &none, "2x3 matrix cannot be multiplied by a 4x5");
    fails(m(2, 3), m(3, 5), 2, 4, Batch::default(), &none, "2x5 product does not fit a 2x4");
    let batch = |dims, a, b, c| Batch { dims, a, b, c };
    fails(m(2, 3), m(3, 5), 2, 5, batch(&[2], &[6], &[15], &[]), &none, "0 strides for C");
    fails(m(2, 3), m(3, 5), 2, 5, batch(&[2], &[60], &[0], &[10]), &none, "A of 64 elements");
    fails(m(2, 3), m(3, 5), 2, 5, batch(&[2], &[0], &[50], &[10]), &none, "B of 64 elements");
    fails(m(2, 3), m(3, 5), 2, 5, batch(&[2], &[0], &[0], &[60]), &none, "result of 64 elements");
    fails(m(2, 3), m(3, 5), 2, 5, batch(&[2], &[0], &[0], &[9]), &none, "overlap");
    fails(m(2, 3), m(3, 5), 2, 5, batch(&[usize::MAX, 2], &[0, 0], &[0, 0], &[0, 0]), &none, "overflows");
    let short = [0.0f32; 4];
    let steps = [Step::add(Operand::per_column(&short))];
    fails(m(2, 3), m(3, 5), 2, 5, Batch::default(), &Epilogue::new(&steps), "does not cover a 2x5");
    let packed = PackedB::new(m(3, 5)).unwrap();
    let e = gemm_batched(&batch(&[2], &[6], &[15], &[10]), m(2, 3), &packed, &none, MatMut::row_major(&mut y, 2, 5).unwrap(), &mut [])
        .unwrap_err();
    assert!(e.detail().contains("strides must be 0"), "{e}");
    if simd::isa::best() != Isa::Portable {
        let packed = PackedB::on(Isa::Portable, m(3, 5)).unwrap();
        let c = MatMut::row_major(&mut y, 2, 5).unwrap();
        let e = gemm_on(simd::isa::best(), &Batch::default(), m(2, 3).into(), (&packed).into(), &none, c, &mut []).unwrap_err();
        assert!(e.detail().contains("packed for portable"), "{e}");
    }
}

#[test]
fn given_scratch_is_enough() {
    for (batch, m, n, k) in
        [(1, 5, 40, 30), (3, 70, 1, 200), (7, 1, 300, 9), (2, 400, 700, 800), (5, 33, 65, 1), (1, 3000, 64, 700), (4, 20, 20, 0)]
    {
        let tile = TileShape::on::<f32>(simd::isa::best());
        let e = Extents {
            batch,
            m,
            n,
            k,
            acc: 4,
            element: 4,
            sums: true,
            shared_a: false,
            shared_b: false,
            form_a: Form::Pack,
            form_b: Form::Pack,
        };
        let folded = Extents { batch: 1, m: m * batch, shared_b: true, ..e };
        let shared = Extents { shared_a: true, ..e };
        let direct = Extents { form_b: Form::Direct, ..e };
        for e in [e, folded, shared, direct] {
            let needed = Blocking::new(&e, tile).scratch::<f32>(k);
            assert!(needed <= scratch_len::<f32>(batch, m, n, k, false, false), "{e:?}");
        }
    }
}

#[test]
fn products_onto_what_is_there() {
    for isa in isa::available() {
        for (m, k, n) in [(1, 7, 130), (2, 9, 33), (4, 3, 17), (30, 1030, 35), (3, 0, 5)] {
            let (a, b, begun) = (values::<f32>(m * k, 0), values::<f32>(k * n, 5), values::<f32>(m * n, 9));
            let (a, b) = (Mat::row_major(&a, m, k).unwrap(), Mat::row_major(&b, k, n).unwrap());
            let mut c = begun.clone();
            gemm_onto(a, &PackedB::on(isa, b).unwrap(), MatMut::row_major(&mut c, m, n).unwrap(), &mut []).unwrap();
            for (x, &y) in c.iter().enumerate() {
                let want = (0..k).fold(begun[x], |c, p| f32::step(isa, at(&a, x / n, p), at(&b, p, x % n), c));
                assert_eq!(y, want, "{isa:?} {m}x{k}x{n} {x}");
            }
        }
    }
    let half = [f16::ZERO];
    let (a, b) = (Mat::row_major(&half, 1, 1).unwrap(), PackedB::new(Mat::row_major(&half, 1, 1).unwrap()).unwrap());
    assert!(gemm_onto(a, &b, MatMut::row_major(&mut [f16::ZERO], 1, 1).unwrap(), &mut []).is_err());
}
