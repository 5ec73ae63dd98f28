//! DynamicQuantizeLSTM of `com.microsoft`: an LSTM whose weights are bytes, and whose inputs and states are rounded to bytes as they come.

use std::sync::Arc;

use base::{DType, Result, Shape, Tensor, TensorRef, ensure};
use gemm::{ByteOutput, ByteTerms, Epilogue, Mat, MatMut, Operand, PackedBytes, Scales, Step, byte_gemm};
use op::{CpuKernel, Infer, Kernels, Op, OpDef, Prepare, Prepared, Run, TypeSet, since};

use super::Network;
use super::activation::CellActivation;
use super::cell::Kind;

const SIGNATURE: &str = "X:T, W:T2, R:T2, B:T?, sequence_lens:T1?, initial_h:T?, initial_c:T?, P:T?, W_scale:T, W_zero_point:T2, \
                         R_scale:T, R_zero_point:T2 -> Y:T?, Y_h:T?, Y_c:T?";

/// DynamicQuantizeLSTM of `com.microsoft`.
pub static DYNAMIC_QUANTIZE_LSTM: OpDef = OpDef {
    name: "DynamicQuantizeLSTM",
    versions: &[since(
        1,
        SIGNATURE,
        &[
            ("T", TypeSet::tensors(&[DType::F32])),
            ("T1", TypeSet::tensors(&[DType::I32])),
            ("T2", TypeSet::tensors(&[DType::U8, DType::I8])),
        ],
    )],
    load: |a| {
        let coupled = a.flag("input_forget", false)?;
        Ok(Box::new(Quantized(Network::read(a, Kind::Lstm { coupled }, &["Sigmoid", "Tanh", "Tanh"])?)))
    },
    kernels: Kernels::NONE.cpu::<Quantized>(),
    ..OpDef::MICROSOFT
};

#[derive(Clone, Debug)]
struct Quantized(Network);

impl Op for Quantized {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        // The recurrent weights are transposed, and as wide as all gates together.
        let hidden = match (self.0.hidden, cx.dims(2)?) {
            (_, Some([_, hidden, _])) => hidden.clone(),
            (_, Some(r)) => base::bail!(InvalidGraph, "weights of shape {r:?}"),
            (Some(hidden), None) => hidden.into(),
            (None, None) => cx.fresh(),
        };
        let directions = ir::Dim::from(self.0.directions.len());
        let (mut all, mut last) = (None, None);
        if let Some(x) = cx.dims(0)? {
            let [steps, batch, _] = x else {
                base::bail!(InvalidGraph, "an input of sequences, batch and elements is needed, not shape {x:?}")
            };
            all = Some([steps.clone(), directions.clone(), batch.clone(), hidden.clone()].into_iter().collect());
            last = Some([directions, batch.clone(), hidden].into_iter().collect());
        }
        cx.tensor(0, DType::F32, all);
        cx.tensor(1, DType::F32, last.clone());
        cx.tensor(2, DType::F32, last);
        Ok(())
    }
}

/// The weights of one direction.
struct Weights {
    packed: PackedBytes,
    scales: Vec<f32>,
    zeros: Vec<i32>,
}

impl Weights {
    /// Direction `d` of `directions` in weights of shape `[directions, rows, columns]`.
    fn new(w: TensorRef<'_>, scales: TensorRef<'_>, zeros: TensorRef<'_>, d: usize) -> Result<Self> {
        let &[directions, rows, cols] = w.shape() else { base::bail!(InvalidArgument, "weights of shape {:?}", w.shape()) };
        let part = |len: usize| len / directions * d..len / directions * (d + 1);
        let each = |t: &TensorRef<'_>| t.len() == directions || t.len() == directions * cols;
        ensure!(
            d < directions && each(&scales) && each(&zeros),
            InvalidArgument,
            "{} scales and {} zero points for weights of shape {:?}",
            scales.len(),
            zeros.len(),
            w.shape()
        );
        let range = part(w.len());
        let packed = match w.dtype() {
            DType::I8 => PackedBytes::new(Mat::row_major(&w.slice::<i8>()?[range], rows, cols)?)?,
            _ => PackedBytes::new(Mat::row_major(&w.slice::<u8>()?[range], rows, cols)?)?,
        };
        let zeros: Vec<i32> = match zeros.dtype() {
            DType::I8 => zeros.slice::<i8>()?[part(zeros.len())].iter().map(|&z| z.into()).collect(),
            _ => zeros.slice::<u8>()?[part(zeros.len())].iter().map(|&z| z.into()).collect(),
        };
        Ok(Self { packed, scales: scales.slice::<f32>()?[part(scales.len())].to_vec(), zeros })
    }

    /// `out = x * weights + addend`, where `x` is rounded to bytes.
    fn multiply(&self, x: &[f32], rows: usize, addend: Operand<'_, f32>, out: &mut [f32]) -> Result<()> {
        let (codes, scale, zero) = quantize(x);
        let steps = [Step::add(addend)];
        let output = ByteOutput::F32 {
            c: MatMut::row_major(out, rows, self.packed.cols())?,
            scales: Scales { rows: &[scale], cols: &self.scales },
            epilogue: Epilogue::new(&steps),
        };
        let terms = ByteTerms { a: &[zero.into()], b: &self.zeros, ..ByteTerms::default() };
        byte_gemm(Mat::row_major(&codes[..], rows, self.packed.rows())?, &self.packed, &terms, output, &mut [])
    }
}

/// `x` as bytes, with their scale and zero point: DynamicQuantizeLinear.
fn quantize(x: &[f32]) -> (Vec<u8>, f32, u8) {
    let low = x.iter().fold(0f32, |a, &b| a.min(b));
    let high = x.iter().fold(0f32, |a, &b| a.max(b));
    let scale = if low == high { 1.0 } else { (high - low) / 255.0 };
    let zero = (0.0 - low / scale).clamp(0.0, 255.0).round_ties_even();
    let code = |v: &f32| ((v / scale).round_ties_even() + zero).clamp(0.0, 255.0) as u8;
    (x.iter().map(code).collect(), scale, zero as u8)
}

/// Where the weights of input and state, and scales and zero points of each, are among the inputs.
const PLACES: [usize; 6] = [1, 2, 8, 9, 10, 11];

impl CpuKernel for Quantized {
    fn prepare(&self, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        let sources = PLACES.map(|i| cx.constant(i));
        let format = format!("recurrent bytes {} of {:?} {}", self.0.directions.len(), self.0.hidden, simd::isa::best().name());
        let pack = |from: [Option<&Tensor>; 6]| self.weights(from.map(|t| t.map(Tensor::as_ref)));
        let weights = if sources.iter().all(Option::is_some) { Some(cx.packed.get_of(sources, &format, pack)?) } else { None };
        Ok(Box::new(Kernel { op: self.clone(), weights }))
    }
}

impl Quantized {
    fn weights(&self, from: [Option<TensorRef<'_>>; 6]) -> Result<Vec<[Weights; 2]>> {
        let [Some(w), Some(r), Some(ws), Some(wz), Some(rs), Some(rz)] = from else { base::bail!(InvalidArgument, "weights are missing") };
        let directions = self.0.directions.len();
        let (shape, fits) = (r.shape(), r.shape().len() == 3 && w.shape().len() == 3);
        let fits = fits && w.shape()[0] == directions && shape[0] == directions && shape[2] == 4 * shape[1] && w.shape()[2] == shape[2];
        let fits = fits && self.0.hidden.is_none_or(|h| h == shape[1]);
        ensure!(fits, InvalidArgument, "weights of shapes {:?} and {shape:?} for {directions} directions", w.shape());
        (0..directions).map(|d| Ok([Weights::new(w, ws, wz, d)?, Weights::new(r, rs, rz, d)?])).collect()
    }
}

struct Kernel {
    op: Quantized,
    /// Of the input and of the state, for each direction; constant ones only.
    weights: Option<Arc<Vec<[Weights; 2]>>>,
}

/// All sizes of a run.
#[derive(Clone, Copy)]
struct Extents {
    steps: usize,
    batch: usize,
    hidden: usize,
    directions: usize,
}

impl Prepared for Kernel {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let (&[steps, batch, elements], &[_, rows, _]) = (cx.input(0)?.shape(), cx.input(1)?.shape()) else {
            base::bail!(InvalidArgument, "an input of shape {:?} for weights of shape {:?}", cx.input(0)?.shape(), cx.input(1)?.shape());
        };
        ensure!(rows == elements, InvalidArgument, "an input of shape {:?} for weights of {rows} elements", cx.input(0)?.shape());
        let own;
        let weights = match self.weights.as_deref() {
            Some(weights) => weights,
            None => {
                let mut inputs = [None; PLACES.len()];
                for (input, place) in inputs.iter_mut().zip(PLACES) {
                    *input = Some(cx.input(place)?);
                }
                own = self.op.weights(inputs)?;
                &own
            }
        };
        let e = Extents { steps, batch, hidden: weights[0][1].packed.rows(), directions: weights.len() };
        let last: Shape = [e.directions, batch, e.hidden].into();
        cx.allocate(0, DType::F32, [steps, e.directions, batch, e.hidden])?;
        cx.allocate(1, DType::F32, last.clone())?;
        cx.allocate(2, DType::F32, last)?;
        let output = |i: usize| if cx.has_output(i) { cx.output(i)?.slice::<f32>().map(Some) } else { Ok(None) };
        let (mut y, mut y_h, mut y_c) = (output(0)?, output(1)?, output(2)?);
        for (d, weights) in weights.iter().enumerate() {
            let (h, c) = self.direction(cx, &e, d, weights, y.as_deref_mut())?;
            for (out, state) in [(&mut y_h, h), (&mut y_c, c)] {
                if let Some(out) = out {
                    out[d * state.len()..(d + 1) * state.len()].copy_from_slice(&state);
                }
            }
        }
        Ok(())
    }
}

impl Kernel {
    /// Elements of optional input `i` for direction `d`, of `len` for each.
    fn given<'a>(cx: &'a Run<'_>, i: usize, d: usize, len: usize, directions: usize) -> Result<Option<&'a [f32]>> {
        let Some(t) = cx.optional(i)? else { return Ok(None) };
        ensure!(t.len() == len * directions, InvalidArgument, "input {i} has {} elements, not {}", t.len(), len * directions);
        Ok(Some(&t.slice::<f32>()?[d * len..(d + 1) * len]))
    }

    /// Goes through the sequences in one direction; gives the last states.
    fn direction(
        &self,
        cx: &Run<'_>,
        e: &Extents,
        d: usize,
        [input, recurrent]: &[Weights; 2],
        mut y: Option<&mut [f32]>,
    ) -> Result<(Vec<f32>, Vec<f32>)> {
        let (n, width, state) = (e.hidden, 4 * e.hidden, e.batch * e.hidden);
        let given = |i, len| Self::given(cx, i, d, len, e.directions);
        let bias = match given(3, 2 * width)? {
            Some(b) => b[..width].iter().zip(&b[width..]).map(|(a, b)| a + b).collect(),
            None => vec![0.0; width],
        };
        let initial = |i| given(i, state).map(|s| s.map_or_else(|| vec![0.0; state], <[f32]>::to_vec));
        let (mut h, mut c) = (initial(5)?, initial(6)?);
        let activations = &self.op.0.activations[3 * d..3 * d + 3];
        let cell = Cell { hidden: n, op: &self.op.0, activations, peepholes: given(7, 3 * n)? };
        let lengths = cx.optional(4)?.map(|l| l.slice::<i32>()).transpose()?;
        if let Some(l) = lengths {
            let fits = l.len() == e.batch && l.iter().all(|n| (0..=e.steps as i64).contains(&i64::from(*n)));
            ensure!(fits, InvalidArgument, "sequence_lens is {l:?} for {} sequences of up to {} steps", e.batch, e.steps);
        }
        let mut shares = vec![0.0; e.steps * e.batch * width];
        input.multiply(cx.input(0)?.slice()?, e.steps * e.batch, Operand::per_column(&bias), &mut shares)?;
        let (mut gates, mut share) = (vec![0.0; e.batch * width], vec![0.0; e.batch * width]);
        for s in 0..e.steps {
            cx.cancel().check()?;
            let length = |b: usize| lengths.map_or(e.steps, |l| l[b] as usize);
            // Each sequence is read backwards from its own end.
            let time = |b: usize| if self.op.0.directions[d] && s < length(b) { length(b) - 1 - s } else { s };
            for (b, to) in share.chunks_exact_mut(width).enumerate() {
                to.copy_from_slice(&shares[(time(b) * e.batch + b) * width..][..width]);
            }
            recurrent.multiply(&h, e.batch, Operand::matrix(Mat::row_major(&share, e.batch, width)?), &mut gates)?;
            for (b, gates) in gates.chunks_exact_mut(width).enumerate() {
                let (at, runs) = (b * n..(b + 1) * n, s < length(b));
                if runs {
                    cell.step(gates, &mut c[at.clone()], &mut h[at.clone()]);
                }
                if let Some(y) = &mut y {
                    let out = &mut y[((time(b) * e.directions + d) * e.batch + b) * n..][..n];
                    if runs { out.copy_from_slice(&h[at]) } else { out.fill(0.0) }
                }
            }
        }
        Ok((h, c))
    }
}

/// The cell of one sequence.
struct Cell<'a> {
    hidden: usize,
    op: &'a Network,
    activations: &'a [CellActivation],
    peepholes: Option<&'a [f32]>,
}

impl Cell<'_> {
    fn activate(&self, which: usize, x: &mut [f32]) {
        if let Some(bound) = self.op.clip {
            x.iter_mut().for_each(|v| *v = v.clamp(-bound, bound));
        }
        self.activations[which].apply(x);
    }

    /// From the sums of the gates (input, output, forget, candidate) to new states.
    fn step(&self, gates: &mut [f32], c: &mut [f32], h: &mut [f32]) {
        let n = self.hidden;
        let (input, rest) = gates.split_at_mut(n);
        let (output, rest) = rest.split_at_mut(n);
        let (forget, candidate) = rest.split_at_mut(n);
        let peep = |which: usize, c: &[f32], gate: &mut [f32]| {
            if let Some(p) = self.peepholes {
                gate.iter_mut().zip(&p[which * n..]).zip(c).for_each(|((v, p), c)| *v += p * c);
            }
        };
        peep(0, c, input);
        peep(2, c, forget);
        self.activate(0, input);
        self.activate(0, forget);
        self.activate(1, candidate);
        if matches!(self.op.kind, Kind::Lstm { coupled: true }) {
            forget.iter_mut().zip(&*input).for_each(|(f, i)| *f = 1.0 - i);
        }
        for (((c, f), i), x) in c.iter_mut().zip(&*forget).zip(&*input).zip(&*candidate) {
            *c = f * *c + i * x;
        }
        peep(1, c, output);
        self.activate(0, output);
        h.copy_from_slice(c);
        self.activations[2].apply(h);
        h.iter_mut().zip(&*output).for_each(|(h, o)| *h *= o);
    }
}

#[cfg(test)]
mod tests {
    use testkit::{Single, assert_close, single};

    use super::super::LSTM;
    use super::*;

    const STEPS: usize = 3;
    const BATCH: usize = 2;
    const ELEMENTS: usize = 5;
    const HIDDEN: usize = 4;

    fn data(n: usize, salt: usize) -> Vec<f32> {
        (0..n).map(|i| ((i * 7 + salt * 5 + 3) % 17) as f32 / 8.0 - 1.0).collect()
    }

    fn codes(n: usize, salt: usize) -> Vec<i8> {
        (0..n).map(|i| ((i * 31 + salt * 11) % 253) as u8 as i8).collect()
    }

    fn lstm(lengths: &[i32]) -> Single {
        let s = single(&DYNAMIC_QUANTIZE_LSTM, 1).attr("direction", "bidirectional").attr("hidden_size", HIDDEN as i64);
        let s = s.input([STEPS, BATCH, ELEMENTS], &data(STEPS * BATCH * ELEMENTS, 0));
        let s = s
            .input([2, ELEMENTS, 4 * HIDDEN], &codes(8 * ELEMENTS * HIDDEN, 1))
            .input([2, HIDDEN, 4 * HIDDEN], &codes(8 * HIDDEN * HIDDEN, 2));
        let s =
            s.input([2, 8 * HIDDEN], &data(16 * HIDDEN, 3)).input([BATCH], lengths).input([2, BATCH, HIDDEN], &data(2 * BATCH * HIDDEN, 4));
        let s = s.input([2, BATCH, HIDDEN], &data(2 * BATCH * HIDDEN, 5)).skip().input([2], &[0.01f32, 0.02]).input([2], &[3i8, -2]);
        s.input([2], &[0.015f32, 0.01]).input([2], &[0i8, 1])
    }

    /// Weights of `[2, rows, 4 * HIDDEN]` as the plain operator takes them.
    fn plain(rows: usize, salt: usize, scales: [f32; 2], zeros: [i8; 2]) -> Vec<f32> {
        let (codes, width) = (codes(8 * rows * HIDDEN, salt), 4 * HIDDEN);
        let at = |i: usize| (i / (width * rows), i / rows % width, i % rows);
        let value =
            |(d, col, row): (usize, usize, usize)| scales[d] * (f32::from(codes[(d * rows + row) * width + col]) - f32::from(zeros[d]));
        (0..codes.len()).map(|i| value(at(i))).collect()
    }

    #[test]
    fn near_the_plain_lstm() {
        for lengths in [[3, 3], [1, 3]] {
            let out = lstm(&lengths).run(3).unwrap();
            let s = single(&LSTM, 14).attr("direction", "bidirectional").attr("hidden_size", HIDDEN as i64);
            let s = s.input([STEPS, BATCH, ELEMENTS], &data(STEPS * BATCH * ELEMENTS, 0));
            let s = s.input([2, 4 * HIDDEN, ELEMENTS], &plain(ELEMENTS, 1, [0.01, 0.02], [3, -2]));
            let s = s.input([2, 4 * HIDDEN, HIDDEN], &plain(HIDDEN, 2, [0.015, 0.01], [0, 1]));
            let s = s
                .input([2, 8 * HIDDEN], &data(16 * HIDDEN, 3))
                .input([BATCH], &lengths)
                .input([2, BATCH, HIDDEN], &data(2 * BATCH * HIDDEN, 4));
            let want = s.input([2, BATCH, HIDDEN], &data(2 * BATCH * HIDDEN, 5)).run(3).unwrap();
            for (a, b) in out.iter().zip(&want) {
                let want: Vec<f64> = b.tensor().unwrap().slice::<f32>().unwrap().iter().map(|&x| x.into()).collect();
                assert_close(a.tensor().unwrap(), &want, 0.0, 0.03);
            }
        }
    }

    #[test]
    fn rounding_to_bytes() {
        assert_eq!(quantize(&[0.0; 3]), (vec![0; 3], 1.0, 0));
        let (codes, scale, zero) = quantize(&[-1.0, 0.0, 1.55]);
        assert_eq!((codes, zero), (vec![0, 100, 255], 100));
        assert!((scale - 0.01).abs() < 1e-7);
    }

    #[test]
    fn what_cannot_be_is_an_error() {
        assert!(lstm(&[4, 1]).run(3).unwrap_err().detail().contains("sequence_lens"));
        assert!(lstm(&[3, 1]).attr("hidden_size", 5).run(3).is_err());
        assert!(lstm(&[3, 1]).attr("direction", "forward").run(3).is_err());
    }
}
