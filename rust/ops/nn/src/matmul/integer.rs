//! MatMulInteger: the product of matrices of bytes less their zero points, in 32 bits.

use base::{DType, Result, ensure};
use gemm::{ByteOutput, MatMut};
use op::{CpuKernel, Infer, Kernels, Op, OpDef, Prepare, Prepared, Run, Sizes, TypeSet, since};

use super::bytes::{Bytes, Places};
use super::shape::{self, Form};

/// `int8` and `uint8`.
pub(super) const BYTES: TypeSet = TypeSet::tensors(&[DType::I8, DType::U8]);

/// MatMulInteger of `ai.onnx`.
pub static MAT_MUL_INTEGER: OpDef = OpDef {
    name: "MatMulInteger",
    versions: &[since(
        10,
        "A:T1, B:T2, a_zero_point:T1?, b_zero_point:T2? -> Y:T3",
        &[("T1", BYTES), ("T2", BYTES), ("T3", TypeSet::tensors(&[DType::I32]))],
    )],
    load: |_| Ok(Box::new(MatMulInteger)),
    kernels: Kernels::NONE.cpu::<MatMulInteger>(),
    ..OpDef::ONNX
};

#[derive(Debug)]
struct MatMulInteger;

impl Op for MatMulInteger {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dims = match (cx.dims(0)?, cx.dims(1)?) {
            (Some(a), Some(b)) => Some(shape::infer(a, Form::default(), b, Form::default())?),
            _ => None,
        };
        cx.tensor(0, DType::I32, dims);
        Ok(())
    }
}

impl CpuKernel for MatMulInteger {
    fn prepare(&self, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        Ok(Box::new(Kernel(Bytes::prepare(cx, Places { a: 0, b: 1, a_zero: 2, b_zero: 3 })?)))
    }
}

struct Kernel(Bytes);

impl Prepared for Kernel {
    fn scratch(&self, sizes: &Sizes<'_>) -> usize {
        let plan = sizes.input(0).and_then(|a| Bytes::plan(a, sizes.input(1)?));
        plan.map_or(0, |plan| self.0.scratch(&plan))
    }

    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let plan = Bytes::plan(cx.input(0)?.shape(), cx.input(1)?.shape())?;
        cx.allocate(0, DType::I32, plan.shape.clone())?;
        let y = cx.output(0)?;
        ensure!(y.shape() == &*plan.shape, Fail, "the output has shape {:?}, not {}", y.shape(), plan.shape);
        let output = ByteOutput::I32(MatMut::row_major(y.slice()?, plan.m, plan.n)?);
        self.0.multiply(cx, &plan, cx.scratch::<u8>()?, output)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::single;

    fn plain([batch, m, k, n]: [usize; 4], a: impl Fn(usize) -> i32, b: impl Fn(usize) -> i32) -> Vec<i32> {
        let cell = |i: usize| {
            let (p, r, c) = (i / (m * n), i / n % m, i % n);
            (0..k).map(|l| a((p * m + r) * k + l) * b(l * n + c)).sum()
        };
        (0..batch * m * n).map(cell).collect()
    }

    #[test]
    fn every_sign_and_zero_point() {
        let (m, k, n) = (5, 33, 19);
        let a: Vec<u8> = (0..m * k).map(|i| (i * 37 % 256) as u8).collect();
        let b: Vec<i8> = (0..k * n).map(|i| (i * 91 % 256) as u8 as i8).collect();
        let want = plain([1, m, k, n], |i| i32::from(a[i]) - 12, |i| i32::from(b[i]) + 3);
        let y = single(&MAT_MUL_INTEGER, 10).input([m, k], &a).input([k, n], &b).input([], &[12u8]).input([], &[-3i8]).tensor().unwrap();
        assert_eq!(y.slice::<i32>().unwrap(), want);
        let rows: Vec<u8> = (0..m as u8).collect();
        let cols: Vec<i8> = (0..n as i8).collect();
        let want = plain([1, m, k, n], |i| i32::from(a[i]) - (i / k) as i32, |i| i32::from(b[i]) - (i % n) as i32);
        let y = single(&MAT_MUL_INTEGER, 10).input([m, k], &a).input([k, n], &b).input([m], &rows).input([n], &cols).tensor().unwrap();
        assert_eq!(y.slice::<i32>().unwrap(), want);
    }

    #[test]
    fn batches_without_zero_points() {
        let a: Vec<i8> = (0..3 * 2 * 7).map(|i| (i * 53 % 256) as u8 as i8).collect();
        let b: Vec<u8> = (0..7 * 4).map(|i| (i * 29 % 256) as u8).collect();
        let want = plain([3, 2, 7, 4], |i| a[i].into(), |i| b[i].into());
        let y = single(&MAT_MUL_INTEGER, 10).input([3, 2, 7], &a).input([7, 4], &b).tensor().unwrap();
        assert_eq!(y.slice::<i32>().unwrap(), want);
    }

    #[test]
    fn zero_points_that_do_not_fit_are_refused() {
        let op = single(&MAT_MUL_INTEGER, 10).input([2, 2], &[1u8; 4]).input([2, 2], &[1u8; 4]).input([3], &[1u8; 3]);
        assert!(op.tensor().is_err());
    }
}
