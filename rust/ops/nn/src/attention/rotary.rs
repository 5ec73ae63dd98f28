//! RotaryEmbedding of `ai.onnx` and `com.microsoft`: pairs of elements of each head are turned by angles that depend on the position.

use base::{DType, Result, Shape, TensorRef, bail, ensure};
use op::{Attrs, CpuKernel, Infer, Kernels, Op, OpDef, Prepare, Prepared, Run, Sizes, TypeSet, since};

use crate::chunks::{for_rows, rows_per_chunk, scratch_bytes};
use crate::floats::{Floats, FloatsMut};

const FLOATS: TypeSet = TypeSet::tensors(&[DType::F32, DType::F16, DType::BF16]);
const POSITIONS: TypeSet = TypeSet::tensors(&[DType::I64]);

/// RotaryEmbedding of `ai.onnx`.
pub static ROTARY_EMBEDDING: OpDef = OpDef {
    name: "RotaryEmbedding",
    versions: &[since(23, "X:T, cos_cache:T, sin_cache:T, position_ids:M? -> Y:T", &[("T", FLOATS), ("M", POSITIONS)])],
    load: |a| Ok(Box::new(load(a)?)),
    kernels: Kernels::NONE.cpu::<Rotary>(),
    ..OpDef::ONNX
};

/// RotaryEmbedding of `com.microsoft`.
pub static MICROSOFT_ROTARY_EMBEDDING: OpDef = OpDef {
    name: "RotaryEmbedding",
    versions: &[since(1, "input:T, position_ids:M, cos_cache:T, sin_cache:T -> output:T", &[("T", FLOATS), ("M", POSITIONS)])],
    load: |a| Ok(Box::new(load(a)?)),
    kernels: Kernels::NONE.cpu::<Rotary>(),
    ..OpDef::MICROSOFT
};

#[derive(Clone, Debug)]
struct Rotary {
    interleaved: bool,
    /// Elements of a head that are turned; all if 0.
    turned: usize,
    /// Heads of an input of three axes; 0 if the caches tell.
    heads: usize,
    /// Where cosines, sines and positions are among the inputs.
    places: [usize; 3],
    /// Whether positions may be one number: that of the first element of each sequence.
    offsets: bool,
}

fn load(a: &Attrs<'_>) -> Result<Rotary> {
    let size = |name: &str| usize::try_from(a.int(name, 0)?).map_err(|_| base::error!(InvalidGraph, "attribute '{name}' is negative"));
    let microsoft = a.domain() == "com.microsoft";
    if microsoft {
        // Both speak of how inputs were made, not of what is computed.
        a.ignore("scale");
        a.ignore("is_packed_batching");
    }
    let places = if microsoft { [2, 3, 1] } else { [1, 2, 3] };
    Ok(Rotary {
        interleaved: a.flag("interleaved", false)?,
        turned: size("rotary_embedding_dim")?,
        heads: size("num_heads")?,
        places,
        offsets: microsoft,
    })
}

impl Op for Rotary {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        if let Some(dims) = cx.dims(0)? {
            ensure!(matches!(dims.len(), 3 | 4), InvalidGraph, "RotaryEmbedding takes inputs of three or four axes, not {dims:?}");
            let known = dims.len() == 4 || self.heads > 0 || self.offsets;
            ensure!(known, InvalidGraph, "an input of three axes needs attribute num_heads");
        }
        crate::infer::same(cx, 0, 0)
    }
}

impl CpuKernel for Rotary {
    fn prepare(&self, _: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        Ok(Box::new(Kernel(self.clone())))
    }
}

struct Kernel(Rotary);

/// How an input lies: images, heads, positions, elements of a head, and the distances of the first three.
#[derive(Clone, Copy, Debug)]
struct Layout {
    batch: usize,
    heads: usize,
    rows: usize,
    size: usize,
    strides: [usize; 3],
}

/// Turns one head. `cos` and `sin` have half as many elements as are turned.
pub(super) fn turn(x: &[f32], cos: &[f32], sin: &[f32], interleaved: bool, y: &mut [f32]) {
    let half = cos.len();
    let pair = |i: usize| if interleaved { (2 * i, 2 * i + 1) } else { (i, i + half) };
    for (i, (c, s)) in cos.iter().zip(sin).enumerate() {
        let (a, b) = pair(i);
        (y[a], y[b]) = (c * x[a] - s * x[b], s * x[a] + c * x[b]);
    }
    y[2 * half..].copy_from_slice(&x[2 * half..]);
}

impl Kernel {
    fn layout(&self, shape: &[usize], cache: usize) -> Result<Layout> {
        match *shape {
            [batch, heads, rows, size] => Ok(Layout { batch, heads, rows, size, strides: [heads * rows * size, rows * size, size] }),
            [batch, rows, hidden] => {
                let size = match (self.0.heads, self.0.turned) {
                    (0, 0) => 2 * cache,
                    (0, _) => bail!(InvalidArgument, "num_heads must be given with rotary_embedding_dim"),
                    (heads, _) => hidden / heads,
                };
                let heads = hidden / size.max(1);
                ensure!(heads * size == hidden, InvalidArgument, "heads of {size} elements do not make up {hidden}");
                Ok(Layout { batch, heads, rows, size, strides: [rows * hidden, size, hidden] })
            }
            _ => bail!(InvalidArgument, "RotaryEmbedding takes inputs of three or four axes, not {}", Shape::from(shape)),
        }
    }

    /// Which row of the caches a position reads.
    fn cache_row(&self, positions: Option<(&[i64], bool)>, l: &Layout, image: usize, row: usize, rows: usize) -> Result<usize> {
        let at = match positions {
            None => (image * l.rows + row) as i64,
            Some((p, true)) => p[0] + row as i64,
            Some((p, false)) => p[image * l.rows + row],
        };
        match usize::try_from(at).ok().filter(|at| *at < rows) {
            Some(at) => Ok(at),
            None => bail!(InvalidArgument, "position {at} is outside of caches of {rows} rows"),
        }
    }
}

/// A cache as rows: `[rows, half]`, or `[batch, sequence, half]`.
fn cache_rows(t: TensorRef<'_>) -> Result<(Floats<'_>, usize, usize)> {
    let Some((half, rows)) = t.shape().split_last() else { bail!(InvalidArgument, "a cache of no axes") };
    Ok((Floats::of(t)?, rows.iter().product(), *half))
}

impl Prepared for Kernel {
    fn scratch(&self, sizes: &Sizes<'_>) -> usize {
        // No head is longer than the last axis.
        sizes.input(0).map_or(0, |s| scratch_bytes::<f32>(4 * s.last().copied().unwrap_or(0)))
    }

    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let (dtype, shape) = (cx.input(0)?.dtype(), Shape::from(cx.input(0)?.shape()));
        cx.allocate(0, dtype, shape.clone())?;
        let [cos, sin, positions] = self.0.places;
        let ((cos, rows, half), (sin, sin_rows, sin_half)) = (cache_rows(cx.input(cos)?)?, cache_rows(cx.input(sin)?)?);
        ensure!((rows, half) == (sin_rows, sin_half), InvalidArgument, "caches of {rows}x{half} and {sin_rows}x{sin_half}");
        let l = self.layout(&shape, half)?;
        let turned = if self.0.turned == 0 { l.size } else { self.0.turned };
        ensure!(2 * half == turned && turned <= l.size, InvalidArgument, "caches of {half} elements for {turned} turned of {}", l.size);
        let positions = cx.optional(positions)?.map(|p| p.slice::<i64>()).transpose()?;
        let positions = positions.map(|p| (p, self.0.offsets && p.len() == 1));
        if let Some((p, false)) = positions {
            ensure!(p.len() == l.batch * l.rows, InvalidArgument, "{} positions for {} images of {}", p.len(), l.batch, l.rows);
        }
        for (image, row) in (0..l.batch).flat_map(|b| (0..l.rows).map(move |r| (b, r))) {
            self.cache_row(positions, &l, image, row, rows)?;
        }
        let (x, y) = (Floats::of(cx.input(0)?)?, FloatsMut::of(cx.output(0)?)?);
        ensure!(y.len() == x.len(), Fail, "the output has {} elements, not {}", y.len(), x.len());
        let size = l.size;
        for_rows(cx.scratch::<f32>()?, 4 * size, l.batch * l.rows, rows_per_chunk(l.heads * size * 4), &|room, range| {
            let (before, rest) = room.split_at_mut(size);
            let (after, rest) = rest.split_at_mut(size);
            let (wide_cos, wide_sin) = rest.split_at_mut(size);
            for i in range {
                let (image, row) = (i / l.rows, i % l.rows);
                // All positions were checked above.
                let at = self.cache_row(positions, &l, image, row, rows).unwrap_or(0) * half;
                let (cos, sin) = (cos.row(at..at + half, wide_cos), sin.row(at..at + half, wide_sin));
                for head in 0..l.heads {
                    let start = image * l.strides[0] + head * l.strides[1] + row * l.strides[2];
                    let x = x.row(start..start + size, before);
                    // SAFETY: each position belongs to one chunk.
                    unsafe { y.fill(start..start + size, after, |y| turn(x, cos, sin, self.0.interleaved, y)) }
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::{assert_close, single};

    #[test]
    fn halves_and_pairs() {
        let (cos, sin) = ([0f32, 0.0], [1f32, 1.0]);
        let op = |interleaved: i64| {
            let op = single(&ROTARY_EMBEDDING, 23).attr("interleaved", interleaved).input([1, 1, 1, 4], &[1f32, 2.0, 3.0, 4.0]);
            op.input([1, 2], &cos).input([1, 2], &sin).input([1, 1], &[0i64]).tensor().unwrap()
        };
        assert_close(&op(0), &[-3.0, -4.0, 1.0, 2.0], 0.0, 0.0);
        assert_close(&op(1), &[-2.0, 1.0, -4.0, 3.0], 0.0, 0.0);
    }

    #[test]
    fn a_position_outside_is_refused() {
        let op = single(&ROTARY_EMBEDDING, 23).input([1, 1, 1, 2], &[1f32, 2.0]).input([3, 1], &[1f32; 3]).input([3, 1], &[0f32; 3]);
        assert!(op.input([1, 1], &[3i64]).tensor().unwrap_err().detail().contains("position 3"));
    }

    #[test]
    fn one_offset_for_a_sequence() {
        let cos = [1f32, 0.0, -1.0];
        let op = single(&MICROSOFT_ROTARY_EMBEDDING, 1).input([1, 2, 2], &[1f32, 2.0, 3.0, 4.0]).input([1], &[1i64]);
        let y = op.input([3, 1], &cos).input([3, 1], &[0f32; 3]).tensor().unwrap();
        assert_close(&y, &[0.0, 0.0, -3.0, -4.0], 0.0, 0.0);
    }
}
