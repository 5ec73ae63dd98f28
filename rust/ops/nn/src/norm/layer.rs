//! LayerNormalization: rows over the last axes are brought to mean 0 and variance 1, then scaled and shifted.

use base::{DType, Result, bail};
use ir::{Attribute, Fact, Graph, Node, ValueId};
use op::body::{Body, dtype_of};
use op::types::FLOATS;
use op::{Attrs, CpuKernel, Infer, Kernels, Op, OpDef, Prepare, Prepared, TypeSet, since};

use super::cuda::rows_on_cuda;
use super::row::{RowNorm, stash_type};

const SIGNATURE: &str = "X:T, Scale:T, B:T? -> Y:T, Mean:U?, InvStdDev:U?";

/// LayerNormalization of `ai.onnx`. ONNX Runtime knows it since version 1, and its optimizer puts it into models of any opset.
pub static LAYER_NORMALIZATION: OpDef = OpDef {
    name: "LayerNormalization",
    versions: &[
        since(1, SIGNATURE, &[("T", FLOATS), ("U", TypeSet::tensors(&[DType::F32, DType::F64, DType::F16, DType::BF16]))]),
        since(17, SIGNATURE, &[("T", FLOATS), ("U", TypeSet::tensors(&[DType::F32, DType::BF16]))]),
    ],
    load: |a| Ok(Box::new(load(a)?)),
    kernels: Kernels::NONE.cpu::<LayerNormalization>().cuda::<LayerNormalization>(),
    body: Some(body),
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct LayerNormalization(RowNorm);

fn load(a: &Attrs<'_>) -> Result<LayerNormalization> {
    Ok(LayerNormalization(RowNorm {
        axis: a.int("axis", -1)?,
        epsilon: a.float("epsilon", 1e-5)?,
        simplified: false,
        skip: false,
        gamma: 1,
        beta: Some(2),
        bias: None,
        mean_output: Some(1),
        inverse_output: Some(2),
        sum_output: None,
        output_like: 0,
        stash: stash_type(a)?,
    }))
}

impl Op for LayerNormalization {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        crate::infer::same(cx, 0, 0)?;
        let reduced = cx.dims(0)?.map(|dims| self.0.reduced(dims)).transpose()?;
        cx.tensor(1, self.0.stash, reduced.clone());
        cx.tensor(2, self.0.stash, reduced);
        Ok(())
    }
}

rows_on_cuda!(LayerNormalization);

impl CpuKernel for LayerNormalization {
    fn prepare(&self, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        self.0.prepare(cx)
    }
}

/// The axes of a row, counted from the end.
pub(crate) fn row_axes(axis: i64, rank: Option<usize>) -> Result<Vec<i64>> {
    let first = match (axis, rank) {
        (axis, _) if axis < 0 => axis,
        (axis, Some(rank)) => axis - rank as i64,
        _ => bail!(InvalidGraph, "the rank of the input is not known"),
    };
    Ok((first..0).collect())
}

/// The mean of `x` over `axes`, which stay with size 1.
pub(crate) fn mean(b: &mut Body, x: ValueId, axes: &[i64]) -> Result<ValueId> {
    let axes = b.ints(axes)?;
    Ok(b.node(("ReduceMean", 18), &[x, axes], &[("keepdims", Attribute::Int(1))]))
}

/// The reciprocal of `sqrt(spread + epsilon)`.
pub(crate) fn inverse_root(b: &mut Body, spread: ValueId, epsilon: f32, stash: DType) -> Result<ValueId> {
    let epsilon = b.float(epsilon)?;
    let epsilon = b.cast(epsilon, stash);
    let sum = b.node(("Add", 14), &[spread, epsilon], &[]);
    let root = b.node(("Sqrt", 13), &[sum], &[]);
    Ok(b.node(("Reciprocal", 13), &[root], &[]))
}

fn body(node: &Node, facts: &[Option<&Fact>]) -> Result<Graph> {
    let LayerNormalization(norm) = load(&Attrs::new(node))?;
    let dtype = dtype_of(facts, 0)?;
    let axes = row_axes(norm.axis, facts.first().copied().flatten().and_then(Fact::rank))?;
    let mut b = Body::of(node);
    let (Some(x), Some(scale)) = (b.input(0), b.input(1)) else { bail!(InvalidGraph, "input X or Scale is missing") };
    let x = b.cast(x, norm.stash);
    let mean_of_x = mean(&mut b, x, &axes)?;
    let deviation = b.node(("Sub", 14), &[x, mean_of_x], &[]);
    let square = b.node(("Mul", 14), &[deviation, deviation], &[]);
    let variance = mean(&mut b, square, &axes)?;
    let inverse = inverse_root(&mut b, variance, norm.epsilon, norm.stash)?;
    let normal = b.node(("Mul", 14), &[deviation, inverse], &[]);
    let normal = b.cast(normal, dtype);
    let mut y = b.node(("Mul", 14), &[normal, scale], &[]);
    if let Some(bias) = b.input(2) {
        y = b.node(("Add", 14), &[y, bias], &[]);
    }
    Ok(b.finish(&[y, mean_of_x, inverse][..node.outputs.len().clamp(1, 3)]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::{bf16, f16};
    use testkit::{assert_close, single};

    fn data(len: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 29 + 3) % 31) as f32 * 0.3 - 4.0).collect()
    }

    /// Normalized rows, means, inverse deviations.
    fn plain(x: &[f32], len: usize) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
        let (mut y, mut means, mut inverses) = (vec![], vec![], vec![]);
        for row in x.chunks(len) {
            let mean = row.iter().map(|&v| f64::from(v)).sum::<f64>() / len as f64;
            let variance = row.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / len as f64;
            let inverse = 1.0 / (variance + 1e-5).sqrt();
            y.extend(row.iter().map(|&v| (f64::from(v) - mean) * inverse));
            means.push(mean);
            inverses.push(inverse);
        }
        (y, means, inverses)
    }

    #[test]
    fn all_outputs_over_several_axes() {
        let x = data(2 * 3 * 37);
        let (gamma, beta) = (data(111), vec![0.5f32; 111]);
        let out = single(&LAYER_NORMALIZATION, 17)
            .attr("axis", 1i64)
            .input([2, 3, 37], &x)
            .input([3, 37], &gamma)
            .input([3, 37], &beta)
            .run(3)
            .unwrap();
        let (y, means, inverses) = plain(&x, 111);
        let y: Vec<f64> = y.iter().enumerate().map(|(i, v)| v * f64::from(gamma[i % 111]) + 0.5).collect();
        assert_close(out[0].tensor().unwrap(), &y, 1e-4, 1e-5);
        assert_close(out[1].tensor().unwrap(), &means, 1e-5, 1e-6);
        assert_close(out[2].tensor().unwrap(), &inverses, 1e-5, 1e-6);
        assert_eq!(&**out[1].tensor().unwrap().shape(), [2, 1, 1]);
    }

    #[test]
    fn halves_are_rounded_once() {
        let x: Vec<f16> = data(5 * 40).iter().map(|&v| f16::from_f32(v)).collect();
        let wide: Vec<f32> = x.iter().map(|v| v.to_f32()).collect();
        let one = vec![f16::ONE; 40];
        let y = single(&LAYER_NORMALIZATION, 17).input([5, 40], &x).input([40], &one).tensor().unwrap();
        assert_close(&y, &plain(&wide, 40).0, 5e-4, 1e-6);
    }

    #[test]
    fn scale_and_bias_broadcast() {
        let x = data(2 * 3 * 4);
        let (gamma, beta) = ([2f32], [1f32, 2.0]);
        let op = single(&LAYER_NORMALIZATION, 17).input([2, 3, 4], &x).input([1], &gamma).input([2, 1, 1], &beta);
        let want: Vec<f64> = plain(&x, 4).0.iter().enumerate().map(|(i, v)| v * 2.0 + if i < 12 { 1.0 } else { 2.0 }).collect();
        assert_close(&op.tensor().unwrap(), &want, 1e-4, 1e-5);
        let e = single(&LAYER_NORMALIZATION, 17).input([2, 4], &x[..8]).input([3], &x[..3]).tensor().unwrap_err();
        assert!(e.detail().contains("{3} does not broadcast to {2,4}"), "{e}");
    }

    #[test]
    fn doubles_and_statistics_in_bfloat16() {
        let x: Vec<f64> = data(3 * 8).iter().map(|&v| v.into()).collect();
        let one = [1f64; 8];
        let op = single(&LAYER_NORMALIZATION, 17).attr("stash_type", 16i64).input([3, 8], &x).input([8], &one);
        let out = op.run(2).unwrap();
        let (y, means, _) = plain(&data(24), 8);
        assert_close(out[0].tensor().unwrap(), &y, 1e-9, 1e-9);
        assert_eq!(out[1].tensor().unwrap().slice::<bf16>().unwrap()[1], bf16::from_f64(means[1]));
    }

    #[test]
    fn empty_inputs() {
        let y = single(&LAYER_NORMALIZATION, 17).input([0, 4], &[0f32; 0]).input([4], &[1f32; 4]).tensor().unwrap();
        assert_eq!(&**y.shape(), [0, 4]);
        let y = single(&LAYER_NORMALIZATION, 17).input([2, 0], &[0f32; 0]).input([0], &[0f32; 0]).run(2).unwrap();
        assert!(y[1].tensor().unwrap().slice::<f32>().unwrap()[0].is_nan());
    }

    #[test]
    fn an_axis_out_of_range_is_refused() {
        let e = single(&LAYER_NORMALIZATION, 17).attr("axis", 3i64).input([2], &[0f32; 2]).input([2], &[0f32; 2]).tensor().unwrap_err();
        assert_eq!(e.kind(), base::ErrorKind::InvalidGraph);
    }
}
