//! FlexAttention: attention whose scores and probabilities go through graphs of the model.

use std::borrow::Cow;

use base::threads::parallel_chunks_mut;
use base::{DType, Element, Result, Tensor, TensorRef, Type, Value, bail, ensure};
use gemm::{Epilogue, Mat, MatMut, Scalar, gemm};
use half::{bf16, f16};
use ir::{Dims, Fact};
use num_traits::Float;
use op::types::FLOATS;
use op::{Attrs, CpuKernel, Infer, Kernels, Op, OpDef, Prepare, Prepared, Run, since};

use super::{Body, check_graph, graph};

/// FlexAttention of `ai.onnx.preview`.
pub static FLEX_ATTENTION: OpDef = OpDef {
    domain: "ai.onnx.preview",
    name: "FlexAttention",
    versions: &[since(1, "Q:T1, K:T1, V:T1 -> Y:T1", &[("T1", FLOATS)])],
    load: |a| FlexAttention::load(a).map(|f| Box::new(f) as Box<dyn Op>),
    kernels: Kernels::NONE.cpu::<FlexAttention>(),
    keeps_inputs: true,
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct FlexAttention {
    /// What products are scaled by; by one over the root of the size of heads if it is not given.
    scale: Option<f32>,
    /// The type of scores and probabilities; `float` if it is not given, or `double` for inputs of that type.
    precision: Option<DType>,
    /// The graph that scores go through.
    score: Option<usize>,
    /// The graph that probabilities go through.
    probability: Option<usize>,
}

impl FlexAttention {
    fn load(a: &Attrs<'_>) -> Result<Self> {
        let precision = a.opt_dtype("softmax_precision")?;
        let known = precision.is_none_or(|d| matches!(d, DType::F32 | DType::F64 | DType::F16 | DType::BF16));
        ensure!(known, InvalidGraph, "attribute 'softmax_precision' is {precision:?}, which is no float type");
        // Both graphs may be left out.
        let graph = |name| a.subgraph(name).ok();
        Ok(Self { scale: a.opt_float("scale")?, precision, score: graph("score_mod"), probability: graph("prob_mod") })
    }

    fn precision(&self, input: DType) -> DType {
        self.precision.unwrap_or(if input == DType::F64 { DType::F64 } else { DType::F32 })
    }
}

impl Op for FlexAttention {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        for index in [self.score, self.probability].into_iter().flatten() {
            check_graph(graph(cx.node(), index)?, 1, 1)?;
        }
        let dtype = cx.dtype(0)?;
        for i in 0..3 {
            ensure!(cx.dims(i)?.is_none_or(|d| d.len() == 4), InvalidGraph, "input {i} must have four axes, not shape {:?}", cx.dims(i)?);
        }
        let dims = match (cx.dims(0)?, cx.dims(2)?) {
            (Some(q), Some(v)) => Some([&q[0], &q[1], &q[2], &v[3]].into_iter().cloned().collect()),
            _ => None,
        };
        cx.tensor(0, dtype, dims);
        Ok(())
    }
}

/// The types that products are computed in.
trait Real: Scalar + Element + Float + Send + Sync {
    /// The value nearest to `x`.
    fn of(x: f64) -> Self;
    /// The value as `f64`.
    fn wide(self) -> f64;
}

impl Real for f32 {
    fn of(x: f64) -> Self {
        x as f32
    }

    fn wide(self) -> f64 {
        self.into()
    }
}

impl Real for f64 {
    fn of(x: f64) -> Self {
        x
    }

    fn wide(self) -> f64 {
        self
    }
}

/// The elements of `t` in the type that is computed in.
fn widened<'a, A: Real>(t: TensorRef<'a>) -> Result<Cow<'a, [A]>> {
    if t.dtype() == A::DTYPE {
        return t.slice::<A>().map(Cow::Borrowed);
    }
    Ok(match t.dtype() {
        DType::F32 => t.slice::<f32>()?.iter().map(|&x| A::of(x.into())).collect(),
        DType::F64 => t.slice::<f64>()?.iter().map(|&x| A::of(x)).collect(),
        DType::F16 => t.slice::<f16>()?.iter().map(|x| A::of(x.to_f64())).collect(),
        DType::BF16 => t.slice::<bf16>()?.iter().map(|x| A::of(x.to_f64())).collect(),
        other => bail!(NotImplemented, "attention over {other}"),
    })
}

/// `data`, rounded to elements of type `dtype`.
fn rounded<A: Real>(data: &[A], dtype: DType, out: base::TensorMut<'_>) -> Result<()> {
    fn fill<A: Real, T>(data: &[A], out: &mut [T], f: impl Fn(f64) -> T) {
        out.iter_mut().zip(data).for_each(|(o, x)| *o = f(x.wide()));
    }
    match dtype {
        DType::F32 => fill(data, out.slice::<f32>()?, |x| x as f32),
        DType::F64 => fill(data, out.slice::<f64>()?, |x| x),
        DType::F16 => fill(data, out.slice::<f16>()?, f16::from_f64),
        DType::BF16 => fill(data, out.slice::<bf16>()?, bf16::from_f64),
        other => bail!(NotImplemented, "attention over {other}"),
    }
    Ok(())
}

impl CpuKernel for FlexAttention {
    fn prepare(&self, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        let (dtype, precision) = (cx.dtype(0)?, self.precision(cx.dtype(0)?));
        let dims: Option<Dims> = match (&cx.input(0)?.shape, &cx.input(1)?.shape) {
            (Some(q), Some(k)) if q.len() == 4 && k.len() == 4 => Some([&q[0], &q[1], &q[2], &k[2]].into_iter().cloned().collect()),
            _ => None,
        };
        let scores = [Fact { shape: dims, ..Fact::of(Type::Tensor(precision)) }];
        let body = |index: Option<usize>| index.map(|i| Body::new(cx, i, &scores)).transpose()?.map_or(Ok(None), |b| Ok(Some(b)));
        let kernel = Kernel { scale: self.scale, precision, score: body(self.score)?, probability: body(self.probability)? };
        let wide = dtype == DType::F64 || precision == DType::F64;
        Ok(if wide { Box::new(Of::<f64>(kernel, std::marker::PhantomData)) } else { Box::new(Of::<f32>(kernel, std::marker::PhantomData)) })
    }
}

struct Kernel {
    scale: Option<f32>,
    precision: DType,
    score: Option<Body>,
    probability: Option<Body>,
}

/// A kernel that computes in `A`.
struct Of<A>(Kernel, std::marker::PhantomData<A>);

/// All sizes of a run.
#[derive(Clone, Copy, Debug)]
struct Extents {
    batch: usize,
    heads: usize,
    queries: usize,
    size: usize,
    /// Heads of keys and values.
    shared: usize,
    keys: usize,
    values: usize,
}

impl Extents {
    fn new(q: &[usize], k: &[usize], v: &[usize]) -> Result<Self> {
        let (&[batch, heads, queries, size], &[kb, shared, keys, ks], &[vb, vh, vk, values]) = (q, k, v) else {
            bail!(InvalidArgument, "query, key and value of shapes {q:?}, {k:?} and {v:?}");
        };
        let fits = (kb, ks) == (batch, size) && (vb, vh, vk) == (batch, shared, keys) && shared > 0 && heads.is_multiple_of(shared);
        ensure!(fits, InvalidArgument, "query, key and value of shapes {q:?}, {k:?} and {v:?} do not go together");
        Ok(Self { batch, heads, queries, size, shared, keys, values })
    }

    /// Which head of keys belongs to head `i` of queries, both counted over the batch.
    fn shared_head(&self, i: usize) -> usize {
        i / self.heads * self.shared + i % self.heads / (self.heads / self.shared)
    }
}

/// What `body` makes of `tensor`, which keeps type and shape.
fn through(body: &Body, tensor: Tensor, cx: &Run<'_>) -> Result<Tensor> {
    let (dtype, shape) = (tensor.dtype(), tensor.shape().clone());
    let outputs = body.run(&mut vec![Value::Tensor(tensor)], &cx.captures()?, cx.cancel())?;
    let Some(output) = outputs.first() else { bail!(Fail, "a graph without outputs") };
    let output = output.tensor()?;
    let same = output.dtype() == dtype && *output.shape() == shape;
    ensure!(same, InvalidArgument, "a graph made {}{} of {dtype}{shape}; type and shape must stay", output.dtype(), output.shape());
    super::super::slices::dense(output).map(Cow::into_owned)
}

/// Softmax of each row of `len`; of a row without a finite score, NaN.
fn softmax<A: Real>(scores: &mut [A], len: usize) {
    parallel_chunks_mut(scores, len, &|_, row| {
        let max = row.iter().fold(A::neg_infinity(), |a, &b| a.max(b));
        let mut sum = A::zero();
        for x in row.iter_mut() {
            *x = (*x - max).exp();
            sum = sum + *x;
        }
        row.iter_mut().for_each(|x| *x = *x / sum);
    });
}

impl<A: Real> Of<A> {
    /// `data` as a tensor of the precision at hand, through `body`, and back.
    fn modified(&self, body: Option<&Body>, data: Vec<A>, shape: [usize; 4], cx: &Run<'_>) -> Result<Vec<A>> {
        if body.is_none() && self.0.precision == A::DTYPE {
            return Ok(data);
        }
        let mut tensor = Tensor::zeros(self.0.precision, shape)?;
        rounded(&data, self.0.precision, tensor.as_mut()?)?;
        let tensor = match body {
            Some(body) => through(body, tensor, cx)?,
            None => tensor,
        };
        widened::<A>(tensor.as_ref()).map(Cow::into_owned)
    }
}

impl<A: Real> Prepared for Of<A> {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let e = Extents::new(cx.input(0)?.shape(), cx.input(1)?.shape(), cx.input(2)?.shape())?;
        let dtype = cx.input(0)?.dtype();
        cx.allocate(0, dtype, [e.batch, e.heads, e.queries, e.values])?;
        let (q, k, v) = (widened::<A>(cx.input(0)?)?, widened::<A>(cx.input(1)?)?, widened::<A>(cx.input(2)?)?);
        let scale = A::of(self.0.scale.map_or(1.0 / (e.size as f64).sqrt(), f64::from));
        let scaled: Vec<A> = q.iter().map(|&x| x * scale).collect();
        let shape = [e.batch, e.heads, e.queries, e.keys];
        let each = e.queries * e.keys;
        let len = base::Shape::checked_len(&shape).filter(|n| *n < isize::MAX as usize / 16);
        let Some(len) = len else { bail!(InvalidArgument, "scores of shape {shape:?} are too many") };
        let mut scores = vec![A::zero(); len];
        for head in 0..e.batch * e.heads {
            cx.cancel().check()?;
            let q = Mat::row_major(&scaled[head * e.queries * e.size..][..e.queries * e.size], e.queries, e.size)?;
            let k = Mat::row_major(&k[e.shared_head(head) * e.keys * e.size..][..e.keys * e.size], e.keys, e.size)?;
            let out = MatMut::row_major(&mut scores[head * each..][..each], e.queries, e.keys)?;
            gemm(q, k.transposed(), &Epilogue::new(&[]), out, &mut [])?;
        }
        let mut scores = self.modified(self.0.score.as_ref(), scores, shape, cx)?;
        softmax(&mut scores, e.keys.max(1));
        let probabilities = self.modified(self.0.probability.as_ref(), scores, shape, cx)?;
        let mut out = vec![A::zero(); e.batch * e.heads * e.queries * e.values];
        for head in 0..e.batch * e.heads {
            cx.cancel().check()?;
            let p = Mat::row_major(&probabilities[head * each..][..each], e.queries, e.keys)?;
            let v = Mat::row_major(&v[e.shared_head(head) * e.keys * e.values..][..e.keys * e.values], e.keys, e.values)?;
            let out = MatMut::row_major(&mut out[head * e.queries * e.values..][..e.queries * e.values], e.queries, e.values)?;
            gemm(p, v, &Epilogue::new(&[]), out, &mut [])?;
        }
        rounded(&out, dtype, cx.output(0)?)
    }
}

#[cfg(test)]
mod tests {
    use testkit::assert_close;

    use super::*;
    use crate::control::mock::Mock;

    fn data(n: usize, salt: usize) -> Vec<f32> {
        (0..n).map(|i| ((i * 7 + salt * 5 + 3) % 11) as f32 / 4.0 - 1.0).collect()
    }

    /// Four heads of queries of 3, of which two share keys of 5; heads of 2, values of 3.
    fn plain(score: impl Fn(f64) -> f64, probability: impl Fn(f64) -> f64) -> Vec<f64> {
        let wide = |n, salt| data(n, salt).into_iter().map(f64::from).collect::<Vec<_>>();
        let (q, k, v) = (wide(24, 0), wide(20, 1), wide(30, 2));
        let mut out = Vec::new();
        for (h, l) in (0..12).map(|i| (i / 3, i % 3)) {
            let dot = |s: usize| (0..2).map(|d| q[(h * 3 + l) * 2 + d] * k[(h / 2 * 5 + s) * 2 + d]).sum::<f64>();
            let e: Vec<f64> = (0..5).map(|s| score(dot(s) / 2f64.sqrt()).exp()).collect();
            let sum: f64 = e.iter().sum();
            out.extend((0..3).map(|d| (0..5).map(|s| probability(e[s] / sum) * v[(h / 2 * 5 + s) * 3 + d]).sum::<f64>()));
        }
        out
    }

    fn inputs(mock: Mock) -> Mock {
        let tensor = |shape: [usize; 4], salt| Tensor::from_slice(shape, &data(shape.iter().product(), salt)).unwrap();
        mock.input(tensor([1, 4, 3, 2], 0)).input(tensor([1, 2, 5, 2], 1)).input(tensor([1, 2, 5, 3], 2))
    }

    fn mapped(values: &[Value], f: fn(f32) -> f32) -> Result<Vec<Value>> {
        let t = values[0].tensor()?;
        let out: Vec<f32> = t.slice::<f32>()?.iter().map(|&x| f(x)).collect();
        Ok(vec![Tensor::from_slice(t.shape().clone(), &out)?.into()])
    }

    #[test]
    fn with_and_without_graphs() {
        let out = inputs(Mock::new(&FLEX_ATTENTION, 1)).run(1).unwrap();
        assert_close(out[0].tensor().unwrap(), &plain(|x| x, |p| p), 1e-5, 1e-5);
        let mock = Mock::new(&FLEX_ATTENTION, 1).graph("score_mod", 1, 0, 1, |values, _| mapped(values, |x| x.tanh()));
        let out = inputs(mock.graph("prob_mod", 1, 0, 1, |values, _| mapped(values, |x| x * 0.5))).run(1).unwrap();
        assert_close(out[0].tensor().unwrap(), &plain(f64::tanh, |p| p / 2.0), 1e-5, 1e-5);
    }

    #[test]
    fn what_cannot_be_is_an_error() {
        let mock = Mock::new(&FLEX_ATTENTION, 1).graph("score_mod", 1, 0, 1, |_, _| Ok(vec![Tensor::scalar(1f32)?.into()]));
        assert!(inputs(mock).run(1).unwrap_err().detail().contains("type and shape must stay"));
        let mock = Mock::new(&FLEX_ATTENTION, 1).graph("score_mod", 2, 0, 1, |values, _| Ok(values.to_vec()));
        assert!(inputs(mock).run(1).unwrap_err().detail().contains("takes 2 inputs"));
        let t = |shape: [usize; 4]| Tensor::zeros(DType::F32, shape).unwrap();
        let e = Mock::new(&FLEX_ATTENTION, 1).input(t([1, 3, 1, 2])).input(t([1, 2, 1, 2])).input(t([1, 2, 1, 2])).run(1).unwrap_err();
        assert!(e.detail().contains("do not go together"), "{e}");
    }
}
