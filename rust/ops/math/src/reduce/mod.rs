//! The reductions: ReduceSum, ReduceMean, ReduceMax, ReduceMin, ReduceProd, ReduceL1, ReduceL2, ReduceLogSum, ReduceLogSumExp,
//! ReduceSumSquare.
//!
//! Sums are kept in `f64`, or in 64-bit integers that wrap around. What is added in which order depends on the shape alone, so that
//! the result is the same for any number of threads.

mod cuda;
mod driver;
mod fold;
mod folds;
mod operator;
mod plan;
mod versions;

use base::DType;
use op::{Kernels, Mask, OpDef};

use crate::elementwise::Convert;
pub(crate) use fold::Row;
use fold::{Halves, Reduce, Typed};
use folds::{ELEMENTS, Exponentials, Product, SIZES, SQUARES, Sum};
pub(crate) use folds::{Extreme, Summand};
use operator::{ReduceOp, load};
use versions::{EXTREMES, LOGARITHMS, OTHERS, SUMS};

/// What a reduction computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Sum,
    Mean,
    Max,
    Min,
    Prod,
    L1,
    L2,
    LogSum,
    LogSumExp,
    SumSquare,
}

const REDUCE: OpDef = OpDef { kernels: Kernels::NONE.cpu::<ReduceOp>().cuda::<ReduceOp>(), host: Mask::of(0b10, 0), ..OpDef::ONNX };

/// ReduceSum of `ai.onnx`; 0 of nothing.
pub static REDUCE_SUM: OpDef = OpDef { name: "ReduceSum", versions: SUMS, load: |a| load(a, Kind::Sum), ..REDUCE };

/// ReduceMean of `ai.onnx`; NaN of nothing, or 0 for integers, whose mean is cut.
pub static REDUCE_MEAN: OpDef = OpDef { name: "ReduceMean", versions: OTHERS, load: |a| load(a, Kind::Mean), ..REDUCE };

/// ReduceMax of `ai.onnx`: NaN where any is; the least number of nothing.
pub static REDUCE_MAX: OpDef = OpDef { name: "ReduceMax", versions: EXTREMES, load: |a| load(a, Kind::Max), ..REDUCE };

/// ReduceMin of `ai.onnx`: NaN where any is; the greatest number of nothing.
pub static REDUCE_MIN: OpDef = OpDef { name: "ReduceMin", versions: EXTREMES, load: |a| load(a, Kind::Min), ..REDUCE };

/// ReduceProd of `ai.onnx`; 1 of nothing.
pub static REDUCE_PROD: OpDef = OpDef { name: "ReduceProd", versions: OTHERS, load: |a| load(a, Kind::Prod), ..REDUCE };

/// ReduceL1 of `ai.onnx`: the sum of the sizes.
pub static REDUCE_L1: OpDef = OpDef { name: "ReduceL1", versions: OTHERS, load: |a| load(a, Kind::L1), ..REDUCE };

/// ReduceL2 of `ai.onnx`: the root of the sum of the squares.
pub static REDUCE_L2: OpDef = OpDef { name: "ReduceL2", versions: OTHERS, load: |a| load(a, Kind::L2), ..REDUCE };

/// ReduceLogSum of `ai.onnx`: the logarithm of the sum.
pub static REDUCE_LOG_SUM: OpDef = OpDef { name: "ReduceLogSum", versions: LOGARITHMS, load: |a| load(a, Kind::LogSum), ..REDUCE };

/// ReduceLogSumExp of `ai.onnx`: the logarithm of the sum of the exponentials, without overflow.
pub static REDUCE_LOG_SUM_EXP: OpDef =
    OpDef { name: "ReduceLogSumExp", versions: LOGARITHMS, load: |a| load(a, Kind::LogSumExp), ..REDUCE };

/// ReduceSumSquare of `ai.onnx`: the sum of the squares.
pub static REDUCE_SUM_SQUARE: OpDef = OpDef { name: "ReduceSumSquare", versions: OTHERS, load: |a| load(a, Kind::SumSquare), ..REDUCE };

/// The fold of a kind for a type; `None` for types without one.
fn fold_of(kind: Kind, dtype: DType) -> Option<Box<dyn Reduce>> {
    match dtype {
        DType::F32 => Some(of::<f32>(kind)),
        DType::F64 => Some(of::<f64>(kind)),
        DType::I32 => Some(of::<i32>(kind)),
        DType::I64 => Some(of::<i64>(kind)),
        DType::U32 => Some(of::<u32>(kind)),
        DType::U64 => Some(of::<u64>(kind)),
        DType::I8 => extreme::<i8>(kind),
        // Booleans are bytes of 0 and 1.
        DType::U8 | DType::Bool => extreme::<u8>(kind).map(|fold| if dtype == DType::Bool { truth(kind) } else { fold }),
        _ => {
            let (load, store) = Convert::widen(dtype).zip(Convert::narrow(dtype))?;
            Some(Box::new(Halves { inner: of::<f32>(kind), load, store }))
        }
    }
}

fn of<T: Summand>(kind: Kind) -> Box<dyn Reduce> {
    let sum = Sum::<T, ELEMENTS>::default();
    let squares = Sum::<T, SQUARES>::default();
    match kind {
        Kind::Sum => Box::new(Typed { fold: sum, finish: |acc, _| T::narrow(acc) }),
        Kind::Mean => Box::new(Typed { fold: sum, finish: T::mean }),
        Kind::LogSum => Box::new(Typed { fold: sum, finish: |acc, _| T::cut(T::sum_double(acc).ln()) }),
        Kind::SumSquare => Box::new(Typed { fold: squares, finish: |acc, _| T::narrow(acc) }),
        Kind::L2 => Box::new(Typed { fold: squares, finish: |acc, _| T::cut(T::sum_double(acc).sqrt()) }),
        Kind::L1 => Box::new(Typed { fold: Sum::<T, SIZES>::default(), finish: |acc, _| T::narrow(acc) }),
        Kind::Prod => Box::new(Typed { fold: Product::<T>::default(), finish: |acc, _| T::narrow(acc) }),
        Kind::LogSumExp => Box::new(Typed { fold: Exponentials::<T>::default(), finish: |acc, _| T::cut(acc.logarithm()) }),
        Kind::Max => Box::new(Typed { fold: Extreme::<T, true>::default(), finish: |acc, _| acc }),
        Kind::Min => Box::new(Typed { fold: Extreme::<T, false>::default(), finish: |acc, _| acc }),
    }
}

fn extreme<T: Summand>(kind: Kind) -> Option<Box<dyn Reduce>> {
    match kind {
        Kind::Max => Some(Box::new(Typed { fold: Extreme::<T, true>::default(), finish: |acc, _| acc })),
        Kind::Min => Some(Box::new(Typed { fold: Extreme::<T, false>::default(), finish: |acc, _| acc })),
        _ => None,
    }
}

/// As [`extreme`] of bytes, whose greatest is 1.
fn truth(kind: Kind) -> Box<dyn Reduce> {
    if kind == Kind::Max {
        Box::new(Typed { fold: Extreme::<u8, true>::default(), finish: |acc: u8, _| acc })
    } else {
        Box::new(Typed { fold: Extreme::<u8, false>::default(), finish: |acc: u8, _| acc.min(1) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::{bf16, f16};
    use testkit::{assert_close, single};

    /// Reduces the axes whose bit is set, one element after another.
    fn plainly(x: &[f64], dims: &[usize], axes: u32, start: f64, f: fn(f64, f64) -> f64) -> Vec<f64> {
        let kept = |i: usize| axes >> i & 1 == 0;
        let mut out = vec![start; (0..dims.len()).filter(|i| kept(*i)).map(|i| dims[i]).product()];
        for (flat, x) in x.iter().enumerate() {
            let (mut rest, mut place, mut stride) = (flat, 0, 1);
            for i in (0..dims.len()).rev() {
                let index = rest % dims[i];
                rest /= dims[i];
                if kept(i) {
                    place += index * stride;
                    stride *= dims[i];
                }
            }
            out[place] = f(out[place], *x);
        }
        out
    }

    fn sample(n: usize) -> Vec<f64> {
        (0..n).map(|i| ((i * 7919 + 13) % 257) as f64 / 64.0 - 2.0).collect()
    }

    fn axes_of(bits: u32, rank: usize) -> Vec<i64> {
        (0..rank).filter(|i| bits >> i & 1 == 1).map(|i| i as i64).collect()
    }

    #[test]
    fn every_choice_of_axes() {
        for dims in [vec![3, 1, 4, 5], vec![2, 3, 2, 3], vec![1, 7], vec![20, 17, 3]] {
            let x = sample(dims.iter().product());
            for bits in 1..1 << dims.len() {
                let axes = axes_of(bits, dims.len());
                let run =
                    |def: &OpDef| single(def, 18).attr("keepdims", 0).input(dims.clone(), &x).input([axes.len()], &axes).tensor().unwrap();
                let want = |start: f64, f: fn(f64, f64) -> f64| plainly(&x, &dims, bits, start, f);
                assert_close(&run(&REDUCE_SUM), &want(0.0, |a, x| a + x), 1e-13, 1e-13);
                assert_close(&run(&REDUCE_MAX), &want(f64::NEG_INFINITY, f64::max), 0.0, 0.0);
                assert_close(&run(&REDUCE_MIN), &want(f64::INFINITY, f64::min), 0.0, 0.0);
                assert_close(&run(&REDUCE_L1), &want(0.0, |a, x| a + x.abs()), 1e-13, 0.0);
                let squares = want(0.0, |a, x| a + x * x);
                assert_close(&run(&REDUCE_SUM_SQUARE), &squares, 1e-13, 0.0);
                assert_close(&run(&REDUCE_L2), &squares.iter().map(|x| x.sqrt()).collect::<Vec<_>>(), 1e-13, 0.0);
                let powers: Vec<f64> = want(0.0, |a, x| a + x.exp()).iter().map(|x| x.ln()).collect();
                assert_close(&run(&REDUCE_LOG_SUM_EXP), &powers, 1e-13, 0.0);
            }
        }
    }

    #[test]
    fn sizes_that_are_split_and_tiled() {
        let cases: [(&[usize], u32); 9] = [
            (&[300_000], 1),
            (&[3, 100_001], 2),
            (&[100_001, 3], 1),
            (&[2, 40_000, 4], 5),
            (&[7000, 300], 1),
            (&[2000, 33], 2),
            (&[33, 3000], 1),
            (&[3, 2, 50_000], 5),
            (&[600, 10, 7, 9], 10),
        ];
        for (dims, bits) in cases {
            let x = sample(dims.iter().product());
            let want = plainly(&x, dims, bits, 0.0, |a, x| a + x);
            let axes = axes_of(bits, dims.len());
            let single_precision: Vec<f32> = x.iter().map(|x| *x as f32).collect();
            let t = single(&REDUCE_SUM, 13).attr("keepdims", 0).input(dims, &single_precision).input([axes.len()], &axes).tensor().unwrap();
            assert_close(&t, &want, 1e-6, 1e-6);
            let halves: Vec<bf16> = x.iter().map(|x| bf16::from_f64(*x)).collect();
            let exact: Vec<f64> = halves.iter().map(|x| x.to_f64()).collect();
            let most = plainly(&exact, dims, bits, f64::NEG_INFINITY, f64::max);
            let t = single(&REDUCE_MAX, 13).attr("keepdims", 0).attr("axes", axes.clone()).input(dims, &halves).tensor().unwrap();
            assert_close(&t, &most, 0.0, 0.0);
            let integers: Vec<i32> = x.iter().map(|x| (x * 64.0) as i32).collect();
            let sums = plainly(&integers.iter().map(|x| f64::from(*x)).collect::<Vec<_>>(), dims, bits, 0.0, |a, x| a + x);
            let t = single(&REDUCE_SUM, 13).attr("keepdims", 0).input(dims, &integers).input([axes.len()], &axes).tensor().unwrap();
            assert!(t.slice::<i32>().unwrap().iter().zip(&sums).all(|(a, b)| f64::from(*a) == *b));
        }
    }

    #[test]
    fn the_same_bits_for_any_number_of_threads() {
        let x: Vec<f32> = sample(400_000).iter().map(|x| *x as f32 * 1.1).collect();
        for dims in [[1, 400_000], [400_000, 1], [400, 1000], [50_000, 8]] {
            let results = [1, 2, 5].map(|n| {
                base::threads::scope(base::threads::Threads::new(n), &base::threads::Cancel::new(), || {
                    let run = |axis: i64| single(&REDUCE_LOG_SUM_EXP, 18).input(dims, &x).input([1], &[axis]).tensor().unwrap();
                    [0, 1].map(|axis| run(axis).slice::<f32>().unwrap().iter().map(|x| x.to_bits()).collect::<Vec<_>>())
                })
            });
            assert!(results[0] == results[1] && results[1] == results[2], "{dims:?}");
        }
    }

    #[test]
    fn nothing_and_no_axes() {
        let run = |def: &OpDef| single(def, 20).input([2, 0], &[0f32; 0]).input([1], &[1i64]).tensor().unwrap();
        let inf = f64::INFINITY;
        let cases = [
            (&REDUCE_SUM, 0.0),
            (&REDUCE_MEAN, f64::NAN),
            (&REDUCE_MAX, -inf),
            (&REDUCE_MIN, inf),
            (&REDUCE_PROD, 1.0),
            (&REDUCE_L1, 0.0),
            (&REDUCE_L2, 0.0),
            (&REDUCE_LOG_SUM, -inf),
            (&REDUCE_LOG_SUM_EXP, -inf),
            (&REDUCE_SUM_SQUARE, 0.0),
        ];
        for (def, x) in cases {
            assert_close(&run(def), &[x, x], 0.0, 0.0);
        }
        assert_eq!(&**single(&REDUCE_SUM, 13).input([0, 2], &[0f32; 0]).input([1], &[1i64]).tensor().unwrap().shape(), [0, 1]);
        let x = [4f32, -5.0];
        let noop = |def: &OpDef| single(def, 18).attr("noop_with_empty_axes", 1).input([1, 2], &x).input([0], &[0i64; 0]).tensor().unwrap();
        assert_close(&noop(&REDUCE_SUM_SQUARE), &[16.0, 25.0], 0.0, 0.0);
        assert_close(&noop(&REDUCE_MEAN), &[4.0, -5.0], 0.0, 0.0);
        let all = single(&REDUCE_L1, 18).attr("keepdims", 0).input([1, 2], &x).input([0], &[0i64; 0]).tensor().unwrap();
        assert_eq!((&**all.shape(), all.slice::<f32>().unwrap()), (&[][..], &[9.0f32][..]));
        assert_close(&single(&REDUCE_PROD, 1).input([], &[3f32]).tensor().unwrap(), &[3.0], 0.0, 0.0);
    }

    #[test]
    fn integers_and_truth() {
        let x = [1i32, 2, 4, -7, 0, 2];
        let run = |def: &OpDef| single(def, 18).input([2, 3], &x).input([1], &[-1i64]).tensor().unwrap().slice::<i32>().unwrap().to_vec();
        assert_eq!(run(&REDUCE_MEAN), [2, -1]);
        assert_eq!(run(&REDUCE_L1), [7, 9]);
        assert_eq!(run(&REDUCE_L2), [4, 7]);
        assert_eq!(run(&REDUCE_LOG_SUM), [1, i32::MIN]);
        assert_eq!(run(&REDUCE_LOG_SUM_EXP), [4, 2]);
        assert_eq!(run(&REDUCE_PROD), [8, 0]);
        let t = single(&REDUCE_SUM, 13).input([2], &[u64::MAX, 2]).tensor().unwrap();
        assert_eq!(t.slice::<u64>().unwrap(), [1]);
        let t = single(&REDUCE_MIN, 12).input([3], &[-1i8, 5, -128]).tensor().unwrap();
        assert_eq!(t.slice::<i8>().unwrap(), [-128]);
        let truth = |def: &OpDef, n: usize| {
            let t = single(def, 20).attr("keepdims", 0).input([2, n], &[true, false, false, false][..2 * n]).input([1], &[1i64]).tensor();
            t.unwrap().slice::<bool>().unwrap().to_vec()
        };
        assert_eq!((truth(&REDUCE_MAX, 2), truth(&REDUCE_MIN, 2)), (vec![true, false], vec![false, false]));
        assert_eq!((truth(&REDUCE_MAX, 0), truth(&REDUCE_MIN, 0)), (vec![false; 2], vec![true; 2]));
        assert!(single(&REDUCE_LOG_SUM, 28).input([3], &[1i32, 2, 3]).tensor().is_err());
    }

    #[test]
    fn special_values() {
        let (nan, inf) = (f64::NAN, f64::INFINITY);
        let x = [nan, 1.0, inf, -inf, -inf, -inf, 1000.0, 1000.0, inf, inf, -inf, 0.0];
        let run = |def: &OpDef| single(def, 18).input([6, 2], &x).input([1], &[1i64]).tensor().unwrap();
        assert_close(&run(&REDUCE_LOG_SUM_EXP), &[nan, inf, -inf, 1000.0 + 2f64.ln(), inf, 0.0], 1e-15, 0.0);
        assert_close(&run(&REDUCE_MAX), &[nan, inf, -inf, 1000.0, inf, 0.0], 0.0, 0.0);
        assert_close(&run(&REDUCE_MIN), &[nan, -inf, -inf, 1000.0, inf, -inf], 0.0, 0.0);
        let columns = single(&REDUCE_LOG_SUM_EXP, 18).input([2, 6], &x).input([1], &[0i64]).tensor().unwrap();
        assert_close(&columns, &[nan, 1000.0, inf, inf, -inf, 2f64.ln() * 0.0], 1e-15, 0.0);
        let large = single(&REDUCE_L2, 13).input([2], &[f16::from_f32(3e4), f16::from_f32(4e4)]).tensor().unwrap();
        assert_close(&large, &[5e4], 1e-3, 0.0);
        for at in 0..40 {
            let mut x = sample(40);
            x[at] = nan;
            assert!(single(&REDUCE_MAX, 13).input([40], &x).tensor().unwrap().slice::<f64>().unwrap()[0].is_nan());
        }
    }

    #[test]
    fn what_cannot_be() {
        let e = single(&REDUCE_SUM, 13).input([2], &[1f32, 2.0]).input([1], &[1i64]).tensor().unwrap_err();
        assert!(e.detail().contains("axis 1 is outside"), "{e}");
        assert!(single(&REDUCE_MAX, 11).attr("axes", vec![-2i64]).input([2], &[1f32, 2.0]).tensor().is_err());
        assert!(single(&REDUCE_MAX, 18).attr("axes", vec![0i64]).input([2], &[1f32, 2.0]).tensor().is_err());
        assert!(single(&REDUCE_MAX, 11).input([2], &[1u8, 2]).tensor().is_err());
    }
}
