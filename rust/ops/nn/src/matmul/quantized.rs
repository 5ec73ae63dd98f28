//! QLinearMatMul: the product of quantized matrices, quantized again.

use base::{DType, Result, TensorRef, bail, ensure};
use gemm::{ByteOutput, MatMut, Scales};
use op::{CpuKernel, Infer, Kernels, Op, OpDef, Prepare, Prepared, Run, Sizes, TypeSet, since};

use super::bytes::{Bytes, Places};
use super::integer::BYTES;
use super::shape::{self, Form, Plan};
use crate::floats::Floats;

const FLOAT8: TypeSet = TypeSet::tensors(&[DType::F8E4M3FN, DType::F8E4M3FNUZ, DType::F8E5M2, DType::F8E5M2FNUZ]);
const SCALES: TypeSet = TypeSet::tensors(&[DType::F32, DType::F16, DType::BF16]);

/// QLinearMatMul of `ai.onnx`.
pub static Q_LINEAR_MAT_MUL: OpDef = OpDef {
    name: "QLinearMatMul",
    versions: &[
        since(
            10,
            "a:T1, a_scale:float, a_zero_point:T1, b:T2, b_scale:float, b_zero_point:T2, y_scale:float, y_zero_point:T3 -> y:T3",
            &[("T1", BYTES), ("T2", BYTES), ("T3", BYTES)],
        ),
        since(
            21,
            "a:T1, a_scale:TS, a_zero_point:T1, b:T2, b_scale:TS, b_zero_point:T2, y_scale:TS, y_zero_point:T3 -> y:T3",
            &[("TS", SCALES), ("T1", BYTES.or(FLOAT8)), ("T2", BYTES.or(FLOAT8)), ("T3", BYTES.or(FLOAT8))],
        ),
    ],
    load: |_| Ok(Box::new(QLinearMatMul)),
    kernels: Kernels::NONE.cpu::<QLinearMatMul>(),
    ..OpDef::ONNX
};

#[derive(Debug)]
struct QLinearMatMul;

const PLACES: Places = Places { a: 0, b: 3, a_zero: 2, b_zero: 5 };

impl Op for QLinearMatMul {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dims = match (cx.dims(0)?, cx.dims(3)?) {
            (Some(a), Some(b)) => Some(shape::infer(a, Form::default(), b, Form::default())?),
            _ => None,
        };
        let dtype = cx.dtype(7)?;
        cx.tensor(0, dtype, dims);
        Ok(())
    }
}

impl CpuKernel for QLinearMatMul {
    fn prepare(&self, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        for i in [0, 3, 7] {
            if !matches!(cx.dtype(i)?, DType::I8 | DType::U8) {
                return Err(cx.no_kernel(cx.dtype(i)?));
            }
        }
        Ok(Box::new(Kernel(Bytes::prepare(cx, PLACES)?)))
    }
}

struct Kernel(Bytes);

/// Factors of rows and columns: `a * b / y`, each one for all or one for each.
fn factors<'a>(cx: &Run<'_>, plan: &Plan, room: &'a mut [f32]) -> Result<Scales<'a>> {
    let scales = |i: usize| cx.input(i).and_then(Floats::of);
    let (a, b, y) = (scales(1)?, scales(4)?, scales(6)?);
    let fits = (a.len() == 1 || a.len() == plan.m) && (b.len() == 1 || b.len() == plan.n) && y.len() == 1;
    ensure!(fits, InvalidArgument, "scales of {}, {} and {} elements for a {}x{} result", a.len(), b.len(), y.len(), plan.m, plan.n);
    ensure!(room.len() >= a.len() + b.len(), Fail, "no room for {} factors", a.len() + b.len());
    let (rows, cols) = room.split_at_mut(a.len());
    let (cols, y) = (&mut cols[..b.len()], y.get::<f32>(0));
    // One factor for all rows goes into the columns first, so that a * b is rounded as the formula has it.
    let all = if a.len() == 1 { a.get::<f32>(0) } else { 1.0 };
    rows.iter_mut().enumerate().for_each(|(i, r)| *r = if a.len() == 1 { 1.0 } else { a.get(i) });
    cols.iter_mut().enumerate().for_each(|(j, c)| *c = all * b.get::<f32>(j) / y);
    Ok(Scales { rows, cols })
}

/// The zero point of the result.
fn zero_point(t: TensorRef<'_>) -> Result<(u8, i8)> {
    match t.dtype() {
        DType::U8 => Ok((t.scalar::<u8>()?, 0)),
        DType::I8 => Ok((0, t.scalar::<i8>()?)),
        other => bail!(NotImplemented, "a quantized result of {other}"),
    }
}

impl Kernel {
    /// Bytes of scratch memory for the factors.
    fn room(plan: &Plan) -> usize {
        ((plan.m + plan.n + 2) * size_of::<f32>()).next_multiple_of(64)
    }
}

impl Prepared for Kernel {
    fn scratch(&self, sizes: &Sizes<'_>) -> usize {
        let plan = sizes.input(0).and_then(|a| Bytes::plan(a, sizes.input(3)?));
        plan.map_or(0, |plan| Self::room(&plan) + self.0.scratch(&plan))
    }

    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let plan = Bytes::plan(cx.input(0)?.shape(), cx.input(3)?.shape())?;
        cx.allocate(0, cx.input(7)?.dtype(), plan.shape.clone())?;
        let scratch = cx.scratch::<u8>()?;
        ensure!(scratch.len() >= Self::room(&plan), Fail, "the scratch memory is too small");
        let (room, scratch) = scratch.split_at_mut(Self::room(&plan));
        // SAFETY: scratch memory lies on a cache line; floats of any content are valid, and `align_to_mut` keeps inside of it.
        let (_, room, _) = unsafe { room.align_to_mut::<f32>() };
        let scales = factors(cx, &plan, room)?;
        let (unsigned, signed) = zero_point(cx.input(7)?)?;
        let y = cx.output(0)?;
        ensure!(y.shape() == &*plan.shape, Fail, "the output has shape {:?}, not {}", y.shape(), plan.shape);
        let output = match y.dtype() {
            DType::U8 => ByteOutput::U8 { c: MatMut::row_major(y.slice()?, plan.m, plan.n)?, scales, zero_point: unsigned },
            _ => ByteOutput::I8 { c: MatMut::row_major(y.slice()?, plan.m, plan.n)?, scales, zero_point: signed },
        };
        self.0.multiply(cx, &plan, scratch, output)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::single;

    #[test]
    fn scales_of_rows_and_columns() {
        let (m, k, n) = (3, 17, 5);
        let a: Vec<u8> = (0..m * k).map(|i| (i * 37 % 256) as u8).collect();
        let b: Vec<i8> = (0..k * n).map(|i| (i * 91 % 256) as u8 as i8).collect();
        let (sa, sb) = ([0.01f32, 0.02, 0.03], [0.1f32, 0.2, 0.05, 0.07, 0.01]);
        let op = single(&Q_LINEAR_MAT_MUL, 10).input([m, k], &a).input([m], &sa).input([m], &[100u8; 3]);
        let op = op.input([k, n], &b).input([n], &sb).input([n], &[2i8; 5]).input([], &[0.5f32]).input([], &[-7i8]);
        let y = op.tensor().unwrap();
        for (i, y) in y.slice::<i8>().unwrap().iter().enumerate() {
            let (r, c) = (i / n, i % n);
            let sum: i32 = (0..k).map(|l| (i32::from(a[r * k + l]) - 100) * (i32::from(b[l * n + c]) - 2)).sum();
            let exact = f64::from(sum) * f64::from(sa[r]) * f64::from(sb[c]) / 0.5 - 7.0;
            assert!((f64::from(*y) - exact.clamp(-128.0, 127.0)).abs() <= 0.501, "{i}: {y} and {exact}");
        }
    }

    #[test]
    fn saturates() {
        let op = single(&Q_LINEAR_MAT_MUL, 10).input([1, 1], &[255u8]).input([], &[1f32]).input([], &[0u8]);
        let op = op.input([1, 1], &[255u8]).input([], &[1f32]).input([], &[0u8]).input([], &[1f32]).input([], &[9u8]);
        assert_eq!(op.tensor().unwrap().slice::<u8>().unwrap(), [255]);
    }
}
