//! RMSNormalization, and SimplifiedLayerNormalization as ONNX Runtime names it: rows are divided by their root mean square and scaled.

use base::{DType, Result, bail};
use ir::{Fact, Graph, Node};
use op::body::{Body, dtype_of};
use op::types::FLOATS;
use op::{Attrs, CpuKernel, Infer, Kernels, Op, OpDef, Prepare, Prepared, TypeSet, since};

use super::cuda::rows_on_cuda;
use super::layer::{inverse_root, mean, row_axes};
use super::row::{RowNorm, stash_type};

/// RMSNormalization of `ai.onnx`.
pub static RMS_NORMALIZATION: OpDef = OpDef {
    name: "RMSNormalization",
    versions: &[since(23, "X:T, scale:V -> Y:V", &[("T", FLOATS), ("V", FLOATS)])],
    load: |a| Ok(Box::new(load(a)?)),
    kernels: Kernels::NONE.cpu::<RmsNormalization>().cuda::<RmsNormalization>(),
    body: Some(body),
    ..OpDef::ONNX
};

/// SimplifiedLayerNormalization, which ONNX Runtime keeps in `ai.onnx` though the standard has it not.
pub static SIMPLIFIED_LAYER_NORMALIZATION: OpDef = OpDef {
    name: "SimplifiedLayerNormalization",
    versions: &[since(
        1,
        "X:T, scale:V -> Y:V, inv_std_var:U?",
        &[("T", FLOATS), ("U", TypeSet::tensors(&[DType::F32, DType::F64])), ("V", FLOATS)],
    )],
    load: |a| Ok(Box::new(load(a)?)),
    kernels: Kernels::NONE.cpu::<RmsNormalization>().cuda::<RmsNormalization>(),
    body: Some(body),
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct RmsNormalization(RowNorm);

fn load(a: &Attrs<'_>) -> Result<RmsNormalization> {
    Ok(RmsNormalization(RowNorm {
        axis: a.int("axis", -1)?,
        epsilon: a.float("epsilon", 1e-5)?,
        simplified: true,
        skip: false,
        gamma: 1,
        beta: None,
        bias: None,
        mean_output: None,
        inverse_output: (a.op() == "SimplifiedLayerNormalization").then_some(1),
        sum_output: None,
        output_like: 1,
        stash: stash_type(a)?,
    }))
}

impl Op for RmsNormalization {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let (dtype, dims) = (cx.dtype(1)?, cx.dims(0)?);
        let reduced = dims.map(|dims| self.0.reduced(dims)).transpose()?;
        cx.tensor(0, dtype, dims.map(Into::into));
        if let Some(i) = self.0.inverse_output {
            cx.tensor(i, self.0.stash, reduced);
        }
        Ok(())
    }
}

rows_on_cuda!(RmsNormalization);

impl CpuKernel for RmsNormalization {
    fn prepare(&self, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        self.0.prepare(cx)
    }
}

fn body(node: &Node, facts: &[Option<&Fact>]) -> Result<Graph> {
    let RmsNormalization(norm) = load(&Attrs::new(node))?;
    let dtype = dtype_of(facts, 1)?;
    let axes = row_axes(norm.axis, facts.first().copied().flatten().and_then(Fact::rank))?;
    let mut b = Body::of(node);
    let (Some(x), Some(scale)) = (b.input(0), b.input(1)) else { bail!(InvalidGraph, "input X or scale is missing") };
    let x = b.cast(x, norm.stash);
    let square = b.node(("Mul", 14), &[x, x], &[]);
    let spread = mean(&mut b, square, &axes)?;
    let inverse = inverse_root(&mut b, spread, norm.epsilon, norm.stash)?;
    let normal = b.node(("Mul", 14), &[x, inverse], &[]);
    let normal = b.cast(normal, dtype);
    let y = b.node(("Mul", 14), &[normal, scale], &[]);
    Ok(b.finish(&[y, inverse][..node.outputs.len().clamp(1, 2)]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::f16;
    use testkit::{assert_close, single};

    fn data(len: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 29 + 3) % 31) as f32 * 0.3 - 4.0).collect()
    }

    fn plain(x: &[f32], len: usize) -> Vec<f64> {
        let rms = |row: &[f32]| (row.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / len as f64 + 1e-5).sqrt();
        x.chunks(len).flat_map(|row| row.iter().map(move |&v| f64::from(v) / rms(row))).collect()
    }

    #[test]
    fn scale_decides_the_type() {
        let x = data(4 * 21);
        let scale = vec![f16::from_f32(2.0); 21];
        let y = single(&RMS_NORMALIZATION, 23).input([4, 21], &x).input([21], &scale).tensor().unwrap();
        assert_eq!(y.dtype(), DType::F16);
        assert_close(&y, &plain(&x, 21).iter().map(|v| v * 2.0).collect::<Vec<_>>(), 1e-3, 1e-4);
    }

    #[test]
    fn all_axes() {
        let x = data(30);
        let y = single(&RMS_NORMALIZATION, 23).attr("axis", 0i64).input([2, 3, 5], &x).input([2, 3, 5], &[1f32; 30]).tensor().unwrap();
        assert_close(&y, &plain(&x, 30), 1e-5, 1e-6);
    }

    #[test]
    fn the_inverse_is_an_output_of_the_older_name() {
        let x = data(12);
        let out = single(&SIMPLIFIED_LAYER_NORMALIZATION, 17).input([3, 4], &x).input([4], &[1f32; 4]).run(2).unwrap();
        assert_close(out[0].tensor().unwrap(), &plain(&x, 4), 1e-5, 1e-6);
        assert_eq!(&**out[1].tensor().unwrap().shape(), [3, 1]);
        let inverse = f64::from(out[1].tensor().unwrap().slice::<f32>().unwrap()[2]);
        assert!((inverse * f64::from(x[8]) - plain(&x, 4)[8]).abs() < 1e-6);
    }
}
