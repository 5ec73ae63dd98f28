//! MoE of `com.microsoft`: experts with weights of floats.

use std::sync::Arc;

use base::{DType, Result, TensorRef, ensure};
use gemm::{Epilogue, Mat, MatMut, Operand, PackedB, Step, gemm};
use op::{CpuKernel, Infer, Kernels, Op, OpDef, Prepare, Prepared, Run, TypeSet, since};

use super::route::Route;
use crate::floats::{Floats, FloatsMut};

const SIGNATURE: &str = "input:T, router_probs:T, fc1_experts_weights:T, fc1_experts_bias:T?, fc2_experts_weights:T, fc2_experts_bias:T?, \
                         fc3_experts_weights:T?, fc3_experts_bias:T? -> output:T";

/// MoE of `com.microsoft`.
pub static MOE: OpDef = OpDef {
    name: "MoE",
    versions: &[since(1, SIGNATURE, &[("T", TypeSet::tensors(&[DType::F32, DType::F16, DType::BF16]))])],
    load: |a| {
        ensure!(!a.has_input(6) && !a.has_input(7), NotImplemented, "MoE with a third product");
        Ok(Box::new(Moe { route: Route::load(a, true)? }))
    },
    kernels: Kernels::NONE.cpu::<Moe>(),
    ..OpDef::MICROSOFT
};

#[derive(Clone, Debug)]
struct Moe {
    route: Route,
}

impl Op for Moe {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        crate::infer::same(cx, 0, 0)
    }
}

/// All elements of `t`.
fn wide(t: TensorRef<'_>) -> Result<Vec<f32>> {
    let mut all = vec![0f32; t.len()];
    Floats::of(t)?.read(0, &mut all);
    Ok(all)
}

/// One product of every expert.
type Experts = Vec<PackedB<f32>>;

/// Packs the weights of all experts, of shape `[experts, n, k]`.
fn pack(weights: TensorRef<'_>) -> Result<Experts> {
    let &[experts, n, k] = weights.shape() else { base::bail!(InvalidArgument, "weights of experts of shape {:?}", weights.shape()) };
    let all = wide(weights)?;
    (0..experts).map(|e| PackedB::new(Mat::row_major(&all[e * n * k..(e + 1) * n * k], n, k)?.transposed())).collect()
}

struct Kernel {
    op: Moe,
    /// Constant weights of the two products.
    packed: [Option<Arc<Experts>>; 2],
}

/// Where the weights of the two products are among the inputs.
const PLACES: [usize; 2] = [2, 4];

impl CpuKernel for Moe {
    fn prepare(&self, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        let format = format!("experts {}", simd::isa::best().name());
        let mut packed = [None, None];
        for (packed, place) in packed.iter_mut().zip(PLACES) {
            *packed = cx.constant(place).map(|w| cx.packed.get(w, &format, |w| pack(w.as_ref()))).transpose()?;
        }
        Ok(Box::new(Kernel { op: self.clone(), packed }))
    }
}

/// Rows of `x` times the weights of one expert, plus its bias.
fn multiply(b: &PackedB<f32>, bias: Option<&[f32]>, x: &[f32], rows: usize) -> Result<Vec<f32>> {
    let steps = bias.map(|b| [Step::add(Operand::per_column(b))]);
    let epilogue = Epilogue::new(steps.as_ref().map_or(&[], |s| &s[..]));
    let mut out = vec![0.0; rows * b.cols()];
    gemm(Mat::row_major(x, rows, b.rows())?, b, &epilogue, MatMut::row_major(&mut out, rows, b.cols())?, &mut [])?;
    Ok(out)
}

impl Prepared for Kernel {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let (shape, dtype) = (cx.input(0)?.shape().to_vec(), cx.input(0)?.dtype());
        cx.allocate(0, dtype, &*shape)?;
        let (Some(&hidden), &[experts, inner, k]) = (shape.last(), cx.input(2)?.shape()) else {
            base::bail!(InvalidArgument, "an input of shape {shape:?} for experts of shape {:?}", cx.input(2)?.shape());
        };
        let want = [experts, hidden, inner / self.op.route.activation.inputs()];
        let fits = k == hidden && cx.input(4)?.shape() == want;
        ensure!(fits, InvalidArgument, "experts of shapes {:?} and {:?} for rows of {hidden}", cx.input(2)?.shape(), cx.input(4)?.shape());
        let (x, logits) = (wide(cx.input(0)?)?, wide(cx.input(1)?)?);
        let rows = x.len() / hidden.max(1);
        ensure!(
            logits.len() == rows * experts,
            InvalidArgument,
            "router_probs of shape {:?} for {rows} rows and {experts} experts",
            cx.input(1)?.shape()
        );
        let mut own: [Experts; 2] = Default::default();
        for ((own, packed), place) in own.iter_mut().zip(&self.packed).zip(PLACES) {
            if packed.is_none() {
                *own = pack(cx.input(place)?)?;
            }
        }
        let [first, second] = [0, 1].map(|i| self.packed[i].as_deref().unwrap_or(&own[i]));
        let bias = |i: usize, n: usize| {
            let Some(t) = cx.optional(i)? else { return Ok(None) };
            ensure!(t.len() == experts * n, InvalidArgument, "input {i} of shape {:?} for {experts} experts of {n}", t.shape());
            wide(t).map(Some)
        };
        let (first_bias, second_bias) = (bias(3, inner)?, bias(5, hidden)?);
        let plan = self.op.route.plan(&logits, None, experts)?;
        let mut out = vec![0.0; x.len()];
        self.op.route.run(
            &x,
            hidden,
            &plan,
            &|e, x, rows| multiply(&first[e], first_bias.as_ref().map(|b| &b[e * inner..(e + 1) * inner]), x, rows),
            &|e, x, rows| multiply(&second[e], second_bias.as_ref().map(|b| &b[e * hidden..(e + 1) * hidden]), x, rows),
            &mut out,
        )?;
        // SAFETY: only this thread writes the output.
        unsafe { FloatsMut::of(cx.output(0)?)?.write(0, &out) };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use testkit::{assert_close, single};

    use super::*;

    #[test]
    fn rows_go_to_their_experts() {
        let s = single(&MOE, 1).attr("k", 1).attr("activation_type", "relu").attr("normalize_routing_weights", 1);
        let s = s.input([2, 2], &[1f32, 2., -1., 3.]).input([2, 2], &[9f32, 0., 0., 9.]);
        let s = s.input([2, 1, 2], &[1f32, 1., 2., 1.]).input([2, 1], &[0.5f32, 0.]);
        let s = s.input([2, 2, 1], &[1f32, -1., 2., 3.]).input([2, 2], &[0f32, 0., 10., 20.]);
        // The first row: 3.5 to expert 0; the second: 1 to expert 1.
        assert_close(&s.tensor().unwrap(), &[3.5, -3.5, 12., 23.], 1e-6, 0.);
    }

    #[test]
    fn what_cannot_be_is_an_error() {
        let s = single(&MOE, 1).attr("k", 1).input([1, 2], &[0f32; 2]).input([1, 1], &[0f32]);
        let s = s.input([1, 1, 3], &[0f32; 3]).skip().input([1, 2, 1], &[0f32; 2]);
        assert!(s.tensor().unwrap_err().detail().contains("experts of shapes"));
    }
}
