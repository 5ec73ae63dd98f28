//! Attention as plain as can be: four axes, as many heads everywhere, a float mask.

use base::Result;
use ir::Fact;
use op::types::FLOATS;
use op::{Infer, Kernels, Op, OpDef, Run, Stateless, since};

/// Definitions that stand in where the workspace has none.
pub(super) static OPS: &[&OpDef] = &[&ATTENTION];

static ATTENTION: OpDef = OpDef {
    name: "Attention",
    versions: &[since(23, "Q:T, K:T, V:T, attn_mask:T? -> Y:T", &[("T", FLOATS)])],
    load: |a| Ok(Box::new(Attention { scale: a.opt_float("scale")?.unwrap_or(1.0) })),
    kernels: Kernels::NONE.stateless::<Attention>(),
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct Attention {
    scale: f32,
}

impl Op for Attention {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let (dtype, Some(q), Some(v)) = (cx.dtype(0)?, cx.dims(0)?, cx.dims(2)?) else { panic!("tests know their ranks") };
        cx.set(0, Fact::tensor(dtype, [q[0].clone(), q[1].clone(), q[2].clone(), v[3].clone()]));
        Ok(())
    }
}

impl Stateless for Attention {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let (q, k, v) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
        let (qs, ks, vs) = (q.shape().to_vec(), k.shape().to_vec(), v.shape().to_vec());
        let (q, k, v) = (q.slice::<f32>()?.to_vec(), k.slice::<f32>()?.to_vec(), v.slice::<f32>()?.to_vec());
        let mask = cx.optional(3)?.map(|m| Ok::<_, base::Error>((m.shape().to_vec(), m.slice::<f32>()?.to_vec()))).transpose()?;
        let mut result = Vec::new();
        for row in 0..qs[0] * qs[1] * qs[2] {
            let head = row / qs[2];
            let place = [head / qs[1], head % qs[1], row % qs[2]];
            let score = |j: usize| {
                let dot: f32 = (0..qs[3]).map(|d| q[row * qs[3] + d] * k[(head * ks[2] + j) * ks[3] + d]).sum();
                dot * self.scale + mask.as_ref().map_or(0.0, |(s, m)| m[offset(s, &[place[0], place[1], place[2], j])])
            };
            let powers: Vec<f32> = (0..ks[2]).map(|j| score(j).exp()).collect();
            let total: f32 = powers.iter().sum();
            result.extend((0..vs[3]).map(|d| (0..ks[2]).map(|j| powers[j] / total * v[(head * vs[2] + j) * vs[3] + d]).sum::<f32>()));
        }
        cx.output(0)?.slice::<f32>()?.copy_from_slice(&result);
        Ok(())
    }
}

/// Where the element for `place` lies in a tensor that broadcasts along axes of size 1.
fn offset(shape: &[usize], place: &[usize; 4]) -> usize {
    let last = &place[4 - shape.len()..];
    shape.iter().zip(last).fold(0, |at, (size, i)| at * size + if *size == 1 { 0 } else { *i })
}
