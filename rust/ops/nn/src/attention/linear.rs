//! LinearAttention: attention whose past is a matrix for each head, updated step by step.

use base::threads::{SharedMut, try_parallel_for};
use base::{DType, Result, ensure};
use ir::Dim;
use op::{Attrs, Infer, Kernels, Op, OpDef, Run, Stateless, TypeSet, since};

use crate::floats::{Floats, FloatsMut};

const FLOATS: TypeSet = TypeSet::tensors(&[DType::F32, DType::F16, DType::BF16]);
const TYPES: &[(&str, TypeSet)] = &[("T", FLOATS), ("S", FLOATS)];
const SIGNATURE: &str = "query:T, key:T, value:T, past_state:S?, decay:T?, beta:T? -> output:T, present_state:S";

/// LinearAttention of `ai.onnx`.
pub static LINEAR_ATTENTION: OpDef = OpDef {
    name: "LinearAttention",
    versions: &[since(27, SIGNATURE, TYPES)],
    load: |a| LinearAttention::load(a).map(|l| Box::new(l) as Box<dyn Op>),
    kernels: Kernels::NONE.stateless::<LinearAttention>(),
    ..OpDef::ONNX
};

/// LinearAttention of `com.microsoft`: the same.
pub static MICROSOFT_LINEAR_ATTENTION: OpDef = OpDef {
    name: "LinearAttention",
    versions: &[since(1, SIGNATURE, TYPES)],
    load: |a| LinearAttention::load(a).map(|l| Box::new(l) as Box<dyn Op>),
    kernels: Kernels::NONE.stateless::<LinearAttention>(),
    ..OpDef::MICROSOFT
};

#[derive(Clone, Debug)]
struct LinearAttention {
    queries: usize,
    heads: usize,
    /// What scores are scaled by; by one over the root of the size of keys if it is not given.
    scale: Option<f32>,
    /// Whether the state decays.
    gated: bool,
    /// Whether the state's own answer is taken off each value.
    delta: bool,
}

/// All sizes of a run.
#[derive(Clone, Copy, Debug)]
struct Extents {
    batch: usize,
    steps: usize,
    keys: usize,
    values: usize,
    /// Elements of `decay` for each head and step; 0 without decay.
    decays: usize,
    /// Elements of `beta` for each step; 0 without `beta`.
    betas: usize,
}

impl LinearAttention {
    fn load(a: &Attrs<'_>) -> Result<Self> {
        a.ignore("chunk_size");
        let count = |name| {
            let n = a.required_int(name)?;
            usize::try_from(n).ok().filter(|n| *n > 0).ok_or_else(|| base::error!(InvalidGraph, "attribute '{name}' is {n}"))
        };
        let (queries, heads) = (count("q_num_heads")?, count("kv_num_heads")?);
        ensure!(queries.is_multiple_of(heads), InvalidGraph, "{queries} heads of queries do not share {heads} of keys evenly");
        let rule = a.choice("update_rule", &["linear", "gated", "delta", "gated_delta"], "gated_delta")?;
        let scale = Some(a.float("scale", 0.0)?).filter(|s| *s != 0.0);
        Ok(Self { queries, heads, scale, gated: rule % 2 == 1, delta: rule >= 2 })
    }

    fn extents(&self, cx: &Run<'_>) -> Result<Extents> {
        let shape = |i: usize| cx.input(i).map(|t| t.shape().to_vec());
        let (q, k, v) = (shape(0)?, shape(1)?, shape(2)?);
        let all = (q.as_slice(), k.as_slice(), v.as_slice());
        let (&[batch, steps, queries], &[kb, ks, keys], &[vb, vs, values]) = all else {
            base::bail!(InvalidArgument, "query, key and value of shapes {q:?}, {k:?} and {v:?}");
        };
        let divides = queries.is_multiple_of(self.queries) && keys.is_multiple_of(self.heads) && values.is_multiple_of(self.heads);
        let (keys, values) = (keys / self.heads, values / self.heads);
        let fits = (kb, ks, vb, vs) == (batch, steps, batch, steps) && divides && queries / self.queries == keys && keys > 0;
        ensure!(
            fits,
            InvalidArgument,
            "query, key and value of shapes {q:?}, {k:?} and {v:?} for {} and {} heads",
            self.queries,
            self.heads
        );
        let per_step = |i: usize, used: bool, name: &str, sizes: &[usize]| match cx.optional(i)? {
            Some(t) if used => {
                let shape = t.shape();
                let fits = shape.len() == 3 && shape[..2] == [batch, steps] && sizes.contains(&shape[2]);
                ensure!(fits, InvalidArgument, "{name} is of shape {shape:?}; its last axis may be one of {sizes:?}");
                Ok(shape[2])
            }
            None if used => Err(base::error!(InvalidArgument, "the update rule needs {name}")),
            _ => Ok(0),
        };
        let decays = per_step(4, self.gated, "decay", &[self.heads, self.heads * keys])? / self.heads;
        let betas = per_step(5, self.delta, "beta", &[self.heads, 1])?;
        if let Some(past) = cx.optional(3)? {
            let want = [batch, self.heads, keys, values];
            ensure!(past.shape() == want, InvalidArgument, "past_state is of shape {:?}, not {want:?}", past.shape());
        }
        Ok(Extents { batch, steps, keys, values, decays, betas })
    }
}

impl Op for LinearAttention {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let (dtype, heads) = (cx.dtype(0)?, Dim::from(self.heads));
        let state = if cx.optional(3).is_some() { cx.dtype(3)? } else { dtype };
        let (mut out, mut present) = (None, None);
        if let (Some([batch, steps, queries]), Some([.., values])) = (cx.dims(0)?, cx.dims(2)?) {
            let each = values.floor_div(&heads);
            out = Some([batch.clone(), steps.clone(), each.mul(&Dim::from(self.queries))].into_iter().collect());
            present = Some([batch.clone(), heads, queries.floor_div(&Dim::from(self.queries)), each].into_iter().collect());
        }
        cx.tensor(0, dtype, out);
        cx.tensor(1, state, present);
        Ok(())
    }
}

/// Columns of the state that one chunk goes through time with; they have nothing to do with each other.
const COLUMNS: usize = 64;

impl Stateless for LinearAttention {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let e = self.extents(cx)?;
        let dtype = cx.input(0)?.dtype();
        let state_type = cx.optional(3)?.map_or(dtype, |t| t.dtype());
        cx.allocate(0, dtype, [e.batch, e.steps, self.queries * e.values])?;
        cx.allocate(1, state_type, [e.batch, self.heads, e.keys, e.values])?;
        // Everything is widened once: all chunks of a head read the same rows.
        let wide = |i: usize| {
            let Some(t) = cx.optional(i)? else { return Ok(Vec::new()) };
            let mut all = vec![0f32; t.len()];
            Floats::of(t)?.read(0, &mut all);
            Ok::<_, base::Error>(all)
        };
        let inputs = Inputs { q: wide(0)?, k: wide(1)?, v: wide(2)?, decay: wide(4)?, beta: wide(5)? };
        let mut state = wide(3)?;
        state.resize(e.batch * self.heads * e.keys * e.values, 0.0);
        let mut out = vec![0f32; e.batch * e.steps * self.queries * e.values];
        {
            let (state, out) = (SharedMut::new(&mut state), SharedMut::new(&mut out));
            let blocks = e.values.div_ceil(COLUMNS);
            try_parallel_for(e.batch * self.heads * blocks, &|chunk| {
                let (head, block) = (chunk / blocks, chunk % blocks);
                let columns = block * COLUMNS..((block + 1) * COLUMNS).min(e.values);
                self.go(&e, &inputs, head, columns, &state, &out)
            })?;
        }
        // SAFETY: only this thread writes the outputs.
        unsafe {
            FloatsMut::of(cx.output(0)?)?.write(0, &out);
            if cx.has_output(1) {
                FloatsMut::of(cx.output(1)?)?.write(0, &state);
            }
        }
        Ok(())
    }
}

struct Inputs {
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    decay: Vec<f32>,
    beta: Vec<f32>,
}

impl LinearAttention {
    /// Goes through all steps with some columns of the state of `head` (counted over the batch).
    fn go(
        &self,
        e: &Extents,
        x: &Inputs,
        head: usize,
        columns: std::ops::Range<usize>,
        state: &SharedMut<'_, f32>,
        out: &SharedMut<'_, f32>,
    ) -> Result<()> {
        let (b, h, width) = (head / self.heads, head % self.heads, columns.len());
        let group = self.queries / self.heads;
        let scale = self.scale.unwrap_or(1.0 / (e.keys as f32).sqrt());
        let row_of = |i: usize| (head * e.keys + i) * e.values + columns.start..(head * e.keys + i) * e.values + columns.end;
        let mut s = Vec::with_capacity(e.keys * width);
        // SAFETY: these columns of the state belong to this chunk.
        (0..e.keys).for_each(|i| s.extend_from_slice(unsafe { state.part(row_of(i)) }));
        let mut value = vec![0f32; width];
        for step in b * e.steps..(b + 1) * e.steps {
            if step % 64 == 0 {
                base::threads::check()?;
            }
            let k = &x.k[(step * self.heads + h) * e.keys..][..e.keys];
            if self.gated {
                let decay = &x.decay[(step * self.heads + h) * e.decays..][..e.decays];
                for (i, row) in s.chunks_exact_mut(width).enumerate() {
                    let factor = decay[i % e.decays].exp();
                    row.iter_mut().for_each(|v| *v *= factor);
                }
            }
            value.copy_from_slice(&x.v[(step * self.heads + h) * e.values..][columns.clone()]);
            if self.delta {
                for (row, &k) in s.chunks_exact(width).zip(k) {
                    value.iter_mut().zip(row).for_each(|(v, s)| *v -= s * k);
                }
                let beta = x.beta[step * e.betas + h % e.betas];
                value.iter_mut().for_each(|v| *v *= beta);
            }
            for (row, &k) in s.chunks_exact_mut(width).zip(k) {
                row.iter_mut().zip(&value).for_each(|(s, v)| *s += k * v);
            }
            for query in h * group..(h + 1) * group {
                let q = &x.q[(step * self.queries + query) * e.keys..][..e.keys];
                let at = (step * self.queries + query) * e.values;
                // SAFETY: these columns of the output belong to this chunk.
                let y = unsafe { out.part(at + columns.start..at + columns.end) };
                for (row, &q) in s.chunks_exact(width).zip(q) {
                    y.iter_mut().zip(row).for_each(|(y, s)| *y += scale * q * s);
                }
            }
        }
        for (i, row) in s.chunks_exact(width).enumerate() {
            // SAFETY: as above.
            unsafe { state.part(row_of(i)) }.copy_from_slice(row);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use testkit::{Single, assert_close, single};

    use super::*;

    fn data(n: usize, salt: usize) -> Vec<f32> {
        (0..n).map(|i| ((i * 7 + salt * 5 + 3) % 11) as f32 / 8.0 - 0.6).collect()
    }

    /// Two heads that four queries share; `values` columns.
    fn op(rule: &str, values: usize, decays: usize) -> Single {
        let s = single(&LINEAR_ATTENTION, 27).attr("q_num_heads", 4).attr("kv_num_heads", 2).attr("update_rule", rule);
        let s = s.input([2, 3, 12], &data(72, 0)).input([2, 3, 6], &data(36, 1)).input([2, 3, 2 * values], &data(12 * values, 2));
        let s = s.input([2, 2, 3, values], &data(12 * values, 3));
        s.input([2, 3, 2 * decays], &data(12 * decays, 4)).input([2, 3, 2], &data(12, 5))
    }

    #[test]
    fn every_rule_step_by_step() {
        for (rule, values, decays) in [("linear", 2, 1), ("gated", 70, 3), ("gated", 2, 1), ("delta", 5, 1), ("gated_delta", 65, 3)] {
            let out = op(rule, values, decays).run(2).unwrap();
            let wide = |n, salt| data(n, salt).into_iter().map(f64::from).collect::<Vec<_>>();
            let (q, k, v, mut s) = (wide(72, 0), wide(36, 1), wide(12 * values, 2), wide(12 * values, 3));
            let (decay, beta) = (wide(12 * decays, 4), wide(12, 5));
            let mut want = vec![0.0; 2 * 3 * 4 * values];
            for (b, t, h) in (0..12).map(|i| (i / 6, i / 2 % 3, i % 2)) {
                let row = (b * 3 + t) * 2 + h;
                for c in 0..values {
                    let at = |i: usize| ((b * 2 + h) * 3 + i) * values + c;
                    if rule.contains("gated") {
                        (0..3).for_each(|i| s[at(i)] *= decay[row * decays + i % decays].exp());
                    }
                    let mut value = v[row * values + c];
                    if rule.contains("delta") {
                        value = beta[row] * (value - (0..3).map(|i| s[at(i)] * k[row * 3 + i]).sum::<f64>());
                    }
                    (0..3).for_each(|i| s[at(i)] += k[row * 3 + i] * value);
                    for g in [2 * h, 2 * h + 1] {
                        let query = (b * 3 + t) * 4 + g;
                        want[query * values + c] = (0..3).map(|i| q[query * 3 + i] * s[at(i)]).sum::<f64>() / 3f64.sqrt();
                    }
                }
            }
            assert_close(out[0].tensor().unwrap(), &want, 1e-4, 1e-5);
            assert_close(out[1].tensor().unwrap(), &s, 1e-4, 1e-5);
        }
    }

    #[test]
    fn what_cannot_be_is_an_error() {
        assert!(op("square", 2, 1).run(2).is_err());
        assert!(op("gated", 2, 2).run(2).unwrap_err().detail().contains("decay is of shape [2, 3, 4]"));
        assert!(op("linear", 2, 1).attr("kv_num_heads", 3).run(2).is_err());
        let s = single(&LINEAR_ATTENTION, 27).attr("q_num_heads", 1).attr("kv_num_heads", 1);
        let s = s.input([1, 1, 2], &[0f32; 2]).input([1, 1, 2], &[0f32; 2]).input([1, 1, 2], &[0f32; 2]);
        assert!(s.run(2).unwrap_err().detail().contains("needs decay"));
    }
}
