//! SkipLayerNormalization and SkipSimplifiedLayerNormalization: a residual sum, normalized.

use base::{DType, Result, bail, ensure};
use ir::{Attribute, Fact, Graph, Node};
use op::body::Body;
use op::{Attrs, CpuKernel, Infer, Kernels, Op, OpDef, Prepare, Prepared, TypeSet, since};

use super::cuda::rows_on_cuda;
use super::row::RowNorm;

const TYPES: &[(&str, TypeSet)] =
    &[("T", TypeSet::tensors(&[DType::F32, DType::F16, DType::BF16])), ("U", TypeSet::tensors(&[DType::F32]))];

/// SkipLayerNormalization of `com.microsoft`.
pub static SKIP_LAYER_NORMALIZATION: OpDef = OpDef {
    name: "SkipLayerNormalization",
    versions: &[since(1, "input:T, skip:T, gamma:T, beta:T?, bias:T? -> output:T, mean:U?, inv_std_var:U?, input_skip_bias_sum:T?", TYPES)],
    load: |a| Ok(Box::new(load(a)?)),
    kernels: Kernels::NONE.cpu::<SkipNormalization>().cuda::<SkipNormalization>(),
    body: Some(body),
    ..OpDef::MICROSOFT
};

/// SkipSimplifiedLayerNormalization of `com.microsoft`.
pub static SKIP_SIMPLIFIED_LAYER_NORMALIZATION: OpDef = OpDef {
    name: "SkipSimplifiedLayerNormalization",
    versions: &[since(1, "input:T, skip:T, gamma:T, bias:T? -> output:T, mean:U?, inv_std_var:U?, input_skip_bias_sum:T?", TYPES)],
    load: |a| Ok(Box::new(load(a)?)),
    kernels: Kernels::NONE.cpu::<SkipNormalization>().cuda::<SkipNormalization>(),
    body: Some(body),
    ..OpDef::MICROSOFT
};

#[derive(Clone, Debug)]
struct SkipNormalization(RowNorm);

fn load(a: &Attrs<'_>) -> Result<SkipNormalization> {
    let simplified = a.op() == "SkipSimplifiedLayerNormalization";
    Ok(SkipNormalization(RowNorm {
        axis: -1,
        epsilon: a.float("epsilon", 1e-12)?,
        simplified,
        skip: true,
        gamma: 2,
        beta: (!simplified).then_some(3),
        bias: Some(if simplified { 3 } else { 4 }),
        mean_output: Some(1),
        inverse_output: Some(2),
        sum_output: Some(3),
        output_like: 0,
        stash: DType::F32,
    }))
}

impl Op for SkipNormalization {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        if let (Some(x), Some(skip)) = (cx.dims(0)?, cx.dims(1)?) {
            let tail = &x[x.len() - skip.len().min(x.len())..];
            let fits = skip.len() <= x.len()
                && skip.iter().zip(tail).all(|(s, d)| s.is(1) || s.known().zip(d.known()).is_none_or(|(a, b)| a == b));
            ensure!(fits, InvalidGraph, "skip of shape {skip:?} does not fit an input of shape {x:?}");
        }
        crate::infer::same(cx, 0, 0)?;
        let reduced = cx.dims(0)?.map(|dims| self.0.reduced(dims)).transpose()?;
        cx.tensor(1, self.0.stash, reduced.clone());
        cx.tensor(2, self.0.stash, reduced);
        crate::infer::same(cx, 0, 3)
    }
}

rows_on_cuda!(SkipNormalization);

impl CpuKernel for SkipNormalization {
    fn prepare(&self, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        self.0.prepare(cx)
    }
}

fn body(node: &Node, _: &[Option<&Fact>]) -> Result<Graph> {
    let SkipNormalization(norm) = load(&Attrs::new(node))?;
    let statistics = node.output(1).is_some() || node.output(2).is_some();
    ensure!(!statistics, NotImplemented, "mean and inverse deviation are not part of the function body");
    let mut b = Body::of(node);
    let (Some(x), Some(skip), Some(gamma)) = (b.input(0), b.input(1), b.input(2)) else { bail!(InvalidGraph, "an input is missing") };
    let mut sum = b.node(("Add", 14), &[x, skip], &[]);
    if let Some(bias) = norm.bias.and_then(|i| b.input(i)) {
        sum = b.node(("Add", 14), &[sum, bias], &[]);
    }
    let epsilon = [("epsilon", Attribute::Float(norm.epsilon)), ("axis", Attribute::Int(-1))];
    let y = match norm.simplified {
        true => b.node(("RMSNormalization", 23), &[sum, gamma], &epsilon),
        false => {
            let beta = norm.beta.and_then(|i| b.input(i));
            b.node_of(("", "LayerNormalization", 17), &[Some(sum), Some(gamma), beta], &epsilon)
        }
    };
    // Outputs 1 and 2 are not asked for; any value stands in their place.
    Ok(b.finish(&[y, y, y, sum][..node.outputs.len().clamp(1, 4)]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::{assert_close, single};

    #[test]
    fn sum_statistics_and_bias() {
        let x = [1f32, 2.0, 3.0, 4.0, 0.0, -4.0, 2.0, 6.0];
        let skip = [0.5f32, -1.0, 0.0, 2.0];
        let op = single(&SKIP_LAYER_NORMALIZATION, 1).attr("epsilon", 1e-5f32).input([2, 1, 4], &x).input([1, 4], &skip);
        let out = op.input([4], &[1f32, 2.0, 1.0, 1.0]).input([4], &[0f32, 0.0, 1.0, 0.0]).input([4], &[1f32; 4]).run(4).unwrap();
        let sum: Vec<f64> = (0..8).map(|i| f64::from(x[i] + skip[i % 4] + 1.0)).collect();
        assert_close(out[3].tensor().unwrap(), &sum, 0.0, 0.0);
        let mean = sum[..4].iter().sum::<f64>() / 4.0;
        let inverse = 1.0 / (sum[..4].iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 4.0 + 1e-5).sqrt();
        assert!((f64::from(out[1].tensor().unwrap().slice::<f32>().unwrap()[0]) - mean).abs() < 1e-6);
        assert!((f64::from(out[2].tensor().unwrap().slice::<f32>().unwrap()[0]) - inverse).abs() < 1e-6);
        let y = out[0].tensor().unwrap().slice::<f32>().unwrap();
        assert!((f64::from(y[1]) - (sum[1] - mean) * inverse * 2.0).abs() < 1e-5);
        assert!((f64::from(y[2]) - ((sum[2] - mean) * inverse + 1.0)).abs() < 1e-5);
    }

    #[test]
    fn simplified() {
        let x = [3f32, 4.0];
        let out =
            single(&SKIP_SIMPLIFIED_LAYER_NORMALIZATION, 1).input([1, 2], &x).input([1, 2], &x).input([2], &[1f32, 1.0]).run(1).unwrap();
        let rms = 50f64.sqrt();
        assert_close(out[0].tensor().unwrap(), &[6.0 / rms, 8.0 / rms], 1e-6, 0.0);
    }

    #[test]
    fn a_skip_that_does_not_fit_is_refused() {
        let op = single(&SKIP_LAYER_NORMALIZATION, 1).input([2, 3], &[0f32; 6]).input([3, 3], &[0f32; 9]).input([3], &[1f32; 3]);
        assert_eq!(op.tensor().unwrap_err().kind(), base::ErrorKind::InvalidGraph);
    }
}
