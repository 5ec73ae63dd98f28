//! MatMul: the matrix product as numpy has it, with batch axes that broadcast.

use base::Result;
use op::cuda::{Cuda, CudaClaim, CudaKernel};
use op::types::{FLOATS_V1, HIGH_PRECISION, HIGH_PRECISION_V7};
use op::{CpuKernel, Infer, Kernels, Op, OpDef, Prepare, Prepared, since};

use super::product::Product;
use super::shape::{self, Form};

const SIGNATURE: &str = "A:T, B:T -> Y:T";

/// MatMul of `ai.onnx`.
pub static MAT_MUL: OpDef = OpDef {
    name: "MatMul",
    versions: &[
        since(1, SIGNATURE, &[("T", FLOATS_V1)]),
        since(9, SIGNATURE, &[("T", HIGH_PRECISION_V7)]),
        since(13, SIGNATURE, &[("T", HIGH_PRECISION)]),
    ],
    load: |_| Ok(Box::new(MatMul(Product { a: Form::default(), b: Form::default(), alpha: 1.0, beta: None, activation: None }))),
    kernels: Kernels::NONE.cpu::<MatMul>().cuda::<MatMul>(),
    ..OpDef::ONNX
};

/// MatMul and its relatives that differ in the forms of their operands.
#[derive(Clone, Debug)]
pub(crate) struct MatMul(pub(crate) Product);

impl Op for MatMul {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dtype = cx.dtype(0)?;
        let dims = match (cx.dims(0)?, cx.dims(1)?) {
            (Some(a), Some(b)) => Some(shape::infer(a, self.0.a, b, self.0.b)?),
            _ => None,
        };
        cx.tensor(0, dtype, dims);
        Ok(())
    }
}

impl CudaKernel for MatMul {
    fn claim(&self, cx: &CudaClaim<'_>) -> Result<(), String> {
        self.0.claim(cx)
    }

    fn launch(&self, cx: &mut Cuda<'_, '_>) -> Result<()> {
        self.0.launch(cx)
    }
}

impl CpuKernel for MatMul {
    fn prepare(&self, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        self.0.prepare(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::Element;
    use half::{bf16, f16};
    use testkit::{assert_close, single};

    fn data(len: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 7 + 3) % 11) as f32 - 5.0).collect()
    }

    /// `batch` products; `b` is shared if it has one matrix only.
    fn plain(a: &[f32], b: &[f32], [batch, m, k, n]: [usize; 4]) -> Vec<f64> {
        let mut y = vec![0.0; batch * m * n];
        for (i, y) in y.iter_mut().enumerate() {
            let (p, r, c) = (i / (m * n), i / n % m, i % n);
            let b = &b[if b.len() == k * n { 0 } else { p * k * n }..];
            *y = (0..k).map(|l| f64::from(a[(p * m + r) * k + l]) * f64::from(b[l * n + c])).sum();
        }
        y
    }

    fn check<T: Element>(convert: impl Fn(f32) -> T, opset: u32, compare: impl Fn(&base::Tensor, &[f64])) {
        for [m, k, n] in [[1, 1, 1], [1, 33, 50], [7, 19, 40], [40, 64, 33]] {
            let (a, b) = (data(m * k), data(k * n));
            let c = |x: &[f32]| x.iter().map(|&v| convert(v)).collect::<Vec<_>>();
            let y = single(&MAT_MUL, opset).input([m, k], &c(&a)).input([k, n], &c(&b)).tensor().unwrap();
            assert_eq!(&**y.shape(), [m, n]);
            compare(&y, &plain(&a, &b, [1, m, k, n]));
        }
    }

    #[test]
    fn every_type() {
        let ints = |want: &[f64]| want.iter().map(|v| *v as i64).collect::<Vec<_>>();
        check(|v| v, 1, |y, want| assert_close(y, want, 0.0, 0.0));
        check(f64::from, 9, |y, want| assert_close(y, want, 0.0, 0.0));
        check(f16::from_f32, 13, |y, want| assert_close(y, want, 5e-4, 0.0));
        check(bf16::from_f32, 13, |y, want| assert_close(y, want, 4e-3, 0.0));
        check(|v| v as i32, 9, |y, want| assert!(y.slice::<i32>().unwrap().iter().map(|v| i64::from(*v)).eq(ints(want))));
        check(|v| v as i64, 9, |y, want| assert_eq!(y.slice::<i64>().unwrap(), ints(want)));
        check(|v| v as i32 as u32, 9, |y, want| assert!(y.slice::<u32>().unwrap().iter().map(|v| i64::from(*v as i32)).eq(ints(want))));
        check(|v| v as i64 as u64, 9, |y, want| assert!(y.slice::<u64>().unwrap().iter().map(|v| *v as i64).eq(ints(want))));
    }

    #[test]
    fn batches_broadcast() {
        let (a, b) = (data(2 * 3 * 4 * 5), data(3 * 5 * 6));
        let y = single(&MAT_MUL, 13).input([2, 3, 4, 5], &a).input([3, 5, 6], &b).tensor().unwrap();
        assert_eq!(&**y.shape(), [2, 3, 4, 6]);
        let twice = [&b[..], &b[..]].concat();
        assert_close(&y, &plain(&a, &twice, [6, 4, 5, 6]), 0.0, 0.0);
        let y = single(&MAT_MUL, 13).input([6, 4, 5], &a).input([1, 5, 6], &b[..30]).tensor().unwrap();
        assert_close(&y, &plain(&a, &b[..30], [6, 4, 5, 6]), 0.0, 0.0);
    }

    #[test]
    fn vectors() {
        let (a, b) = (data(5), data(2 * 5 * 3));
        let y = single(&MAT_MUL, 13).input([5], &a).input([5], &b[..5]).tensor().unwrap();
        assert_eq!(&**y.shape(), []);
        assert_close(&y, &plain(&a, &b[..5], [1, 1, 5, 1]), 0.0, 0.0);
        let y = single(&MAT_MUL, 13).input([5], &a).input([2, 5, 3], &b).tensor().unwrap();
        assert_eq!(&**y.shape(), [2, 3]);
        assert_close(&y, &plain(&[&a[..], &a[..]].concat(), &b, [2, 1, 5, 3]), 0.0, 0.0);
        let y = single(&MAT_MUL, 13).input([2, 3, 5], &b).input([5], &a).tensor().unwrap();
        assert_eq!(&**y.shape(), [2, 3]);
        assert_close(&y, &plain(&b, &a, [1, 6, 5, 1]), 0.0, 0.0);
    }

    #[test]
    fn empty_inner_axis_gives_zeros() {
        let y = single(&MAT_MUL, 13).input([2, 0], &[0f32; 0]).input([0, 3], &[0f32; 0]).tensor().unwrap();
        assert_eq!(y.slice::<f32>().unwrap(), [0.0; 6]);
        let y = single(&MAT_MUL, 13).input([0, 2], &[0f32; 0]).input([2, 3], &[0f32; 6]).tensor().unwrap();
        assert_eq!(&**y.shape(), [0, 3]);
    }

    #[test]
    fn sizes_that_disagree_are_refused() {
        let e = single(&MAT_MUL, 13).input([2, 3], &[0f32; 6]).input([2, 3], &[0f32; 6]).tensor().unwrap_err();
        assert_eq!(e.kind(), base::ErrorKind::InvalidGraph);
        assert!(single(&MAT_MUL, 13).input([], &[0f32]).input([1], &[0f32]).tensor().is_err());
    }
}
