//! MatMulIntegerToFloat: the product of matrices of bytes less their zero points, times their scales, plus a bias.

use base::{DType, Result, TensorRef, ensure};
use gemm::{ByteOutput, Epilogue, MatMut, Operand, Scales, Step};
use op::{CpuKernel, Infer, Kernels, Op, OpDef, Prepare, Prepared, Run, Sizes, TypeSet, since};

use super::bytes::{Bytes, Places};
use super::integer::BYTES;
use super::shape::{self, Form, Plan};

/// MatMulIntegerToFloat of `com.microsoft`.
pub static MAT_MUL_INTEGER_TO_FLOAT: OpDef = OpDef {
    name: "MatMulIntegerToFloat",
    versions: &[since(
        1,
        "A:T1, B:T2, a_scale:T3, b_scale:T3, a_zero_point:T1?, b_zero_point:T2?, bias:T3? -> Y:T3",
        &[("T1", BYTES), ("T2", BYTES), ("T3", TypeSet::tensors(&[DType::F32]))],
    )],
    load: |_| Ok(Box::new(MatMulIntegerToFloat)),
    kernels: Kernels::NONE.cpu::<MatMulIntegerToFloat>(),
    ..OpDef::MICROSOFT
};

#[derive(Debug)]
struct MatMulIntegerToFloat;

impl Op for MatMulIntegerToFloat {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dims = match (cx.dims(0)?, cx.dims(1)?) {
            (Some(a), Some(b)) => Some(shape::infer(a, Form::default(), b, Form::default())?),
            _ => None,
        };
        cx.tensor(0, DType::F32, dims);
        Ok(())
    }
}

impl CpuKernel for MatMulIntegerToFloat {
    fn prepare(&self, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        Ok(Box::new(Kernel(Bytes::prepare(cx, Places { a: 0, b: 1, a_zero: 4, b_zero: 5 })?)))
    }
}

struct Kernel(Bytes);

/// The elements of a scale or bias: one for all, or one for each of `n` columns.
fn row<'a>(t: TensorRef<'a>, n: usize, what: &str) -> Result<&'a [f32]> {
    ensure!(t.len() == 1 || t.len() == n, InvalidArgument, "{what} has {} elements for {n} columns", t.len());
    t.slice()
}

impl Kernel {
    /// Bytes of scratch memory for the factors.
    fn room(plan: &Plan) -> usize {
        (plan.n.max(1) * size_of::<f32>()).next_multiple_of(64)
    }
}

impl Prepared for Kernel {
    fn scratch(&self, sizes: &Sizes<'_>) -> usize {
        let plan = sizes.input(0).and_then(|a| Bytes::plan(a, sizes.input(1)?));
        plan.map_or(0, |plan| Self::room(&plan) + self.0.scratch(&plan))
    }

    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let plan = Bytes::plan(cx.input(0)?.shape(), cx.input(1)?.shape())?;
        cx.allocate(0, DType::F32, plan.shape.clone())?;
        let scratch = cx.scratch::<u8>()?;
        ensure!(scratch.len() >= Self::room(&plan), Fail, "the scratch memory is too small");
        let (room, scratch) = scratch.split_at_mut(Self::room(&plan));
        // SAFETY: scratch memory lies on a cache line; floats of any content are valid, and `align_to_mut` keeps inside of it.
        let (_, room, _) = unsafe { room.align_to_mut::<f32>() };
        let (a, b) = (cx.input(2)?.scalar::<f32>()?, row(cx.input(3)?, plan.n, "b_scale")?);
        let cols = &mut room[..b.len()];
        cols.iter_mut().zip(b).for_each(|(c, b)| *c = a * b);
        let bias = cx.optional(6)?.map(|t| row(t, plan.n, "bias")).transpose()?;
        let steps = bias.map(|bias| {
            let operand = if bias.len() == 1 { Operand::scalar(bias) } else { Operand::per_column(bias) };
            [Step::Add { operand, factor: 1.0 }]
        });
        let y = cx.output(0)?;
        ensure!(y.shape() == &*plan.shape, Fail, "the output has shape {:?}, not {}", y.shape(), plan.shape);
        let output = ByteOutput::F32 {
            c: MatMut::row_major(y.slice()?, plan.m, plan.n)?,
            scales: Scales { rows: &[1.0], cols },
            epilogue: Epilogue::new(steps.as_ref().map_or(&[], |s| &s[..])),
        };
        self.0.multiply(cx, &plan, scratch, output)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::{assert_close, single};

    #[test]
    fn scales_and_a_bias_for_each_column() {
        let (m, k, n) = (3, 17, 5);
        let a: Vec<u8> = (0..2 * m * k).map(|i| (i * 37 % 256) as u8).collect();
        let b: Vec<i8> = (0..k * n).map(|i| (i * 91 % 256) as u8 as i8).collect();
        let (scales, bias) = ([0.1f32, 0.2, 0.05, 0.07, 0.01], [1f32, -2., 3., 0., 5.]);
        let op = single(&MAT_MUL_INTEGER_TO_FLOAT, 1).input([2, m, k], &a).input([k, n], &b).input([], &[0.5f32]).input([n], &scales);
        let y = op.input([], &[100u8]).input([n], &[2i8; 5]).input([n], &bias).tensor().unwrap();
        let want = (0..2 * m * n).map(|i| {
            let (r, c) = (i / n, i % n);
            let sum: i32 = (0..k).map(|l| (i32::from(a[r * k + l]) - 100) * (i32::from(b[l * n + c]) - 2)).sum();
            f64::from(sum) * 0.5 * f64::from(scales[c]) + f64::from(bias[c])
        });
        assert_close(&y, &want.collect::<Vec<_>>(), 1e-5, 1e-6);
        let op = single(&MAT_MUL_INTEGER_TO_FLOAT, 1).input([1, 2], &[3i8, -4]).input([2, 1], &[1u8, 2]).input([1], &[2f32]);
        assert_close(&op.input([], &[0.5f32]).tensor().unwrap(), &[-5.0], 0.0, 0.0);
    }

    #[test]
    fn scales_that_do_not_fit_are_refused() {
        let op = single(&MAT_MUL_INTEGER_TO_FLOAT, 1).input([2, 2], &[1u8; 4]).input([2, 2], &[1u8; 4]);
        assert!(op.input([], &[1f32]).input([3], &[1f32; 3]).tensor().is_err());
    }
}
