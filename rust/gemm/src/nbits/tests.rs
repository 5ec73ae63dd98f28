//! Products with block-wise weights against plain loops in `f64`.

use base::threads::{Cancel, Threads, scope};
use half::{bf16, f16};
use simd::isa;

use super::*;
use crate::epilogue::{Activation, Epilogue, Operand, Step};
use crate::matrix::{Mat, MatMut};

/// Weights with all that belongs to them.
struct Case<T> {
    bits: usize,
    block: usize,
    k: usize,
    n: usize,
    weights: Vec<u8>,
    scales: Vec<T>,
    packed_zeros: Vec<u8>,
    float_zeros: Vec<T>,
}

fn noise(i: usize) -> usize {
    i.wrapping_mul(2_654_435_761) >> 9 & 0xffff
}

impl<T: Float> Case<T> {
    fn new(bits: usize, block: usize, k: usize, n: usize, float: impl Fn(f32) -> T) -> Self {
        let blocks = k.div_ceil(block);
        let bytes = |len: usize, seed: usize| (0..len).map(|i| noise(i + seed) as u8).collect();
        let floats = |len: usize, low: f32, step: f32| (0..len).map(|i| float(low + step * (noise(i) & 63) as f32)).collect();
        Self {
            bits,
            block,
            k,
            n,
            weights: bytes(n * blocks * block * bits / 8, 3),
            scales: floats(n * blocks, 0.01, 0.001),
            packed_zeros: bytes(n * (blocks * bits).div_ceil(8), 8),
            float_zeros: floats(n * blocks, -1.0, 0.25),
        }
    }

    fn zeros(&self, kind: usize) -> BlockZeros<'_, T> {
        match kind {
            0 => BlockZeros::Middle,
            1 => BlockZeros::Packed(&self.packed_zeros),
            _ => BlockZeros::Floats(&self.float_zeros),
        }
    }

    fn weights(&self, kind: usize) -> Blockwise<'_, T> {
        let Self { bits, block, k, n, ref weights, ref scales, .. } = *self;
        Blockwise { bits, block, k, n, weights, scales, zeros: self.zeros(kind) }
    }

    fn value(&self, kind: usize, p: usize, j: usize) -> f64 {
        let blocks = self.k.div_ceil(self.block);
        let bit = (j * blocks * self.block + p) * self.bits;
        let mask = (1u32 << self.bits) - 1;
        let q = u32::from(self.weights[bit / 8]) >> (bit % 8) & mask;
        let block = p / self.block;
        let zero = match kind {
            0 => f64::from(1u32 << (self.bits - 1)),
            1 => {
                let bit = j * (blocks * self.bits).div_ceil(8) * 8 + block * self.bits;
                f64::from(u32::from(self.packed_zeros[bit / 8]) >> (bit % 8) & mask)
            }
            _ => f64::from(self.float_zeros[j * blocks + block].widen()),
        };
        (f64::from(q) - zero) * f64::from(self.scales[j * blocks + block].widen())
    }
}

fn check<T: Float>(case: &Case<T>, kind: usize, m: usize, float: impl Fn(f32) -> T, tolerance: f64) {
    let Case { k, n, .. } = *case;
    let a: Vec<T> = (0..m * k).map(|i| float((noise(i + 5) & 255) as f32 / 128.0 - 1.0)).collect();
    let bias: Vec<T> = (0..n).map(|j| float(j as f32 * 0.125 - 1.0)).collect();
    let steps = [Step::add(Operand::per_column(&bias)), Step::Activate(Activation::LeakyRelu(0.5))];
    let a = Mat::row_major(&a, m, k).unwrap();
    let want: Vec<(f64, f64)> = (0..m * n)
        .map(|x| {
            let terms = (0..k).map(|p| f64::from(a.data[x / n * k + p].widen()) * case.value(kind, p, x % n));
            let (sum, size) = terms.fold((0.0, 0.0), |(sum, size), t| (sum + t, size + t.abs()));
            let sum = sum + f64::from(bias[x % n].widen());
            (if sum < 0.0 { 0.5 * sum } else { sum }, size)
        })
        .collect();
    for isa in isa::available() {
        let b = PackedBlocks::on(isa, &case.weights(kind)).unwrap();
        for precision in [Precision::Floats, Precision::Bytes] {
            // A rounded value is off by half a step of 127.
            let tolerance = if precision == Precision::Bytes { tolerance.max(1.0 / 127.0) } else { tolerance };
            let mut c = vec![T::default(); m * n];
            blocks_gemm(a, &b, precision, &Epilogue::new(&steps), MatMut::row_major(&mut c, m, n).unwrap(), &mut []).unwrap();
            for (x, (&y, &(want, size))) in c.iter().zip(&want).enumerate() {
                let off = (f64::from(y.widen()) - want).abs();
                assert!(off <= tolerance * (size + want.abs() + 1.0), "{isa:?} {b:?} zeros {kind}, {m} rows at {x}: {y:?} is not {want}");
            }
        }
    }
}

#[test]
fn all_widths_blocks_and_zero_points() {
    for bits in [2, 4, 8] {
        for (block, k, n) in [(16, 16, 1), (16, 40, 33), (32, 96, 35), (32, 70, 64), (64, 64, 17), (128, 300, 7), (16, 1, 5)] {
            let case = Case::<f32>::new(bits, block, k, n, |x| x);
            for kind in 0..3 {
                for m in [1, 2, 3, 4, 5, 17] {
                    check(&case, kind, m, |x| x, 2e-6);
                }
            }
        }
    }
}

#[test]
fn floats_of_16_bits() {
    for bits in [2, 4, 8] {
        for kind in 0..3 {
            for m in [1, 4, 6] {
                check(&Case::<f16>::new(bits, 32, 70, 40, f16::from_f32), kind, m, f16::from_f32, 1e-3);
                check(&Case::<bf16>::new(bits, 32, 70, 40, bf16::from_f32), kind, m, bf16::from_f32, 1e-2);
            }
        }
    }
}

#[test]
fn bits_do_not_depend_on_threads() {
    let (k, n) = (512, 3000);
    let case = Case::<f32>::new(4, 32, k, n, |x| x);
    let b = PackedBlocks::new(&case.weights(1)).unwrap();
    for m in [1, 3, 20] {
        let a: Vec<f32> = (0..m * k).map(|i| (noise(i) & 255) as f32 / 128.0 - 1.0).collect();
        let a = Mat::row_major(&a, m, k).unwrap();
        let run = |precision: Precision, threads: usize, scratch: usize| {
            let (mut c, mut scratch) = (vec![0.0f32; m * n], vec![0xffu8; scratch]);
            scope(Threads::new(threads), &Cancel::new(), || {
                blocks_gemm(a, &b, precision, &Epilogue::default(), MatMut::row_major(&mut c, m, n).unwrap(), &mut scratch).unwrap();
            });
            c
        };
        for precision in [Precision::Floats, Precision::Bytes] {
            let one = run(precision, 1, 0);
            assert_eq!(one, run(precision, 2, 0));
            assert_eq!(one, run(precision, 4, blocks_scratch_len::<f32>(m, n, k, 32, precision)));
        }
    }
}

#[test]
fn bytes_are_exact_where_rounding_is() {
    // Whole numbers up to 127, one of which is 127 in each block, are rounded to themselves.
    let (m, k, n) = (13, 160, 40);
    for (bits, block) in [(2, 16), (4, 32), (8, 64), (4, 512)] {
        let mut case = Case::<f32>::new(bits, block, k, n, |x| x);
        case.scales.fill(0.5);
        case.float_zeros.iter_mut().for_each(|z| *z = z.round());
        let a: Vec<f32> = (0..m * k).map(|i| if i % 16 == 3 { 127.0 } else { (noise(i) % 255) as f32 - 127.0 }).collect();
        let a = Mat::row_major(&a, m, k).unwrap();
        for kind in 0..3 {
            for isa in isa::available() {
                let b = PackedBlocks::on(isa, &case.weights(kind)).unwrap();
                let mut c = vec![0.0f32; m * n];
                blocks_gemm(a, &b, Precision::Bytes, &Epilogue::default(), MatMut::row_major(&mut c, m, n).unwrap(), &mut []).unwrap();
                for (x, &y) in c.iter().enumerate() {
                    let want: f64 = (0..k).map(|p| f64::from(a.data[x / n * k + p]) * case.value(kind, p, x % n)).sum();
                    assert!(
                        (f64::from(y) - want).abs() <= 1e-6 * want.abs().max(1e4),
                        "{isa:?} {bits} bits, zeros {kind} at {x}: {y} is not {want}"
                    );
                }
            }
        }
    }
}

#[test]
fn what_is_no_number_stays_none() {
    let case = Case::<f32>::new(4, 32, 64, 20, |x| x);
    let mut a = vec![1.0f32; 3 * 64];
    (a[5], a[64]) = (f32::NAN, f32::INFINITY);
    for isa in isa::available() {
        let b = PackedBlocks::on(isa, &case.weights(1)).unwrap();
        for precision in [Precision::Floats, Precision::Bytes] {
            let mut c = vec![0.0f32; 60];
            let (a, out) = (Mat::row_major(&a, 3, 64).unwrap(), MatMut::row_major(&mut c, 3, 20).unwrap());
            blocks_gemm(a, &b, precision, &Epilogue::default(), out, &mut []).unwrap();
            assert!(c[..20].iter().all(|x| x.is_nan()) && c[20..40].iter().all(|x| !x.is_finite()));
            assert!(c[40..].iter().all(|x| x.is_finite()));
        }
    }
}

#[test]
fn nothing_to_do() {
    let case = Case::<f32>::new(4, 32, 0, 3, |x| x);
    let b = PackedBlocks::new(&case.weights(0)).unwrap();
    let mut c = [7.0f32; 3];
    blocks_gemm(
        Mat::row_major(&[], 1, 0).unwrap(),
        &b,
        Precision::Floats,
        &Epilogue::default(),
        MatMut::row_major(&mut c, 1, 3).unwrap(),
        &mut [],
    )
    .unwrap();
    assert_eq!(c, [0.0; 3]);
    let case = Case::<f32>::new(4, 32, 5, 0, |x| x);
    let b = PackedBlocks::new(&case.weights(0)).unwrap();
    blocks_gemm(
        Mat::row_major(&[0.0; 5], 1, 5).unwrap(),
        &b,
        Precision::Floats,
        &Epilogue::default(),
        MatMut::row_major(&mut c, 1, 0).unwrap(),
        &mut [],
    )
    .unwrap();
}

#[test]
fn bad_weights_are_refused() {
    let case = Case::<f32>::new(4, 32, 70, 5, |x| x);
    let good = case.weights(1);
    let fails = |w: Blockwise<'_, f32>, text: &str| {
        let e = PackedBlocks::new(&w).unwrap_err();
        assert!(e.detail().contains(text), "{e}");
    };
    fails(Blockwise { bits: 3, ..good }, "weights of 3 bits");
    fails(Blockwise { block: 8, ..good }, "a block of 8 weights");
    fails(Blockwise { block: 48, ..good }, "a block of 48 weights");
    fails(Blockwise { k: 100, ..good }, "bytes of weights do not fit");
    fails(Blockwise { n: usize::MAX, ..good }, "bytes of weights do not fit");
    fails(Blockwise { scales: &case.scales[1..], ..good }, "14 scales do not fit");
    fails(Blockwise { zeros: BlockZeros::Packed(&[0; 9]), ..good }, "9 bytes of zero points do not fit");
    fails(Blockwise { zeros: BlockZeros::Floats(&[0.0]), ..good }, "1 zero points do not fit");
    let b = PackedBlocks::new(&good).unwrap();
    let mut c = [0.0f32; 5];
    let e = blocks_gemm(
        Mat::row_major(&[0.0; 71], 1, 71).unwrap(),
        &b,
        Precision::Floats,
        &Epilogue::default(),
        MatMut::row_major(&mut c, 1, 5).unwrap(),
        &mut [],
    );
    assert!(e.unwrap_err().detail().contains("1x71 matrix cannot be multiplied by a 70x5"));
}
