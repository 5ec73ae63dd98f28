//! SwiGLU: `a sigmoid(alpha a) b`.

use std::marker::PhantomData;

use base::{DType, Result, ensure};
use op::types::FLOATS;
use op::{CpuKernel, Infer, Kernels, Op, OpDef, Prepare, Prepared, Run, since};
use simd::math::QuickGelu;

use crate::chunks::for_rows;
use crate::floats::{Floats, FloatsMut, cast_mut, is_wide};
use crate::real::Real;

/// SwiGLU of `ai.onnx`.
pub static SWI_GLU: OpDef = OpDef {
    name: "SwiGLU",
    versions: &[since(28, "A:T, B:T -> Y:T", &[("T", FLOATS)])],
    load: |a| Ok(Box::new(SwiGlu { alpha: a.float("alpha", 1.0)? })),
    kernels: Kernels::NONE.cpu::<SwiGlu>(),
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct SwiGlu {
    alpha: f32,
}

impl Op for SwiGlu {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        if let (Some(a), Some(b)) = (cx.dims(0)?, cx.dims(1)?) {
            let same = a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.known().zip(b.known()).is_none_or(|(a, b)| a == b));
            ensure!(same, InvalidGraph, "inputs of shapes {a:?} and {b:?} must have one shape");
        }
        crate::infer::same(cx, 0, 0)
    }
}

impl CpuKernel for SwiGlu {
    fn prepare(&self, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        let alpha = self.alpha;
        let dtype: DType = cx.dtype(0)?;
        Ok(if is_wide(dtype) {
            Box::new(Kernel::<f64> { alpha, real: PhantomData })
        } else {
            Box::new(Kernel::<f32> { alpha, real: PhantomData })
        })
    }
}

struct Kernel<A> {
    alpha: f32,
    real: PhantomData<A>,
}

/// Elements that one chunk computes.
const CHUNK: usize = 8 * 1024;

/// `x = x sigmoid(alpha x)`
fn swish<A: Real>(alpha: f32, x: &mut [A]) {
    if let Some(x) = cast_mut::<A, f32>(x) {
        return simd::map_in_place(QuickGelu(alpha), x);
    }
    let alpha = A::of(alpha.into());
    for x in x {
        let gate = A::one() / (A::one() + (-(alpha * *x)).exp());
        // Where the gate is closed, it is closed to infinity too.
        *x = if gate == A::zero() { A::zero() } else { *x * gate };
    }
}

impl<A: Real> Prepared for Kernel<A> {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let (shape, dtype) = (cx.input(0)?.shape().to_vec(), cx.input(0)?.dtype());
        ensure!(
            *cx.input(1)?.shape() == *shape,
            InvalidArgument,
            "inputs of shapes {shape:?} and {:?} must have one shape",
            cx.input(1)?.shape()
        );
        cx.allocate(0, dtype, &*shape)?;
        let (a, b, y) = (Floats::of(cx.input(0)?)?, Floats::of(cx.input(1)?)?, FloatsMut::of(cx.output(0)?)?);
        for_rows::<A>(&mut [], 0, a.len(), CHUNK, &|_, range| {
            let mut gate = vec![A::zero(); range.len()];
            let mut value = vec![A::zero(); range.len()];
            a.read(range.start, &mut gate);
            b.read(range.start, &mut value);
            swish(self.alpha, &mut gate);
            value.iter_mut().zip(&gate).for_each(|(v, g)| *v *= *g);
            // SAFETY: the ranges of different chunks do not overlap.
            unsafe { y.write(range.start, &value) };
        })
    }
}

#[cfg(test)]
mod tests {
    use half::{bf16, f16};
    use testkit::{assert_close, single};

    use super::*;

    #[test]
    fn every_type() {
        let (a, b) = ([f64::NEG_INFINITY, -2., 0., 3., 100.], [1., 2., 3., -4., 0.5]);
        let want: Vec<f64> = a.iter().zip(b).map(|(&a, b)| if a < -9e9 { 0. } else { a / (1. + (-1.5 * a).exp()) * b }).collect();
        let op = || single(&SWI_GLU, 28).attr("alpha", 1.5f32);
        assert_close(&op().input([5], &a).input([5], &b).tensor().unwrap(), &want, 1e-12, 1e-12);
        let (a32, b32) = (a.map(|x| x as f32), b.map(|x| x as f32));
        assert_close(&op().input([5, 1], &a32).input([5, 1], &b32).tensor().unwrap(), &want, 1e-6, 1e-6);
        assert_close(&op().input([5], &a32.map(f16::from_f32)).input([5], &b32.map(f16::from_f32)).tensor().unwrap(), &want, 1e-3, 1e-3);
        assert_close(&op().input([5], &a32.map(bf16::from_f32)).input([5], &b32.map(bf16::from_f32)).tensor().unwrap(), &want, 1e-2, 1e-2);
    }

    #[test]
    fn sizes_around_a_chunk_and_none() {
        for n in [0, 1, CHUNK - 1, CHUNK + 1] {
            let x: Vec<f32> = (0..n).map(|i| (i % 7) as f32 - 3.0).collect();
            let want: Vec<f64> = x.iter().map(|&x| f64::from(x)).map(|x| x / (1. + (-x).exp()) * x).collect();
            assert_close(&single(&SWI_GLU, 28).input([n], &x).input([n], &x).tensor().unwrap(), &want, 1e-6, 1e-6);
        }
        assert!(single(&SWI_GLU, 28).input([2], &[0f32; 2]).input([1], &[0f32]).tensor().is_err());
    }
}
