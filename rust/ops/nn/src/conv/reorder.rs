//! Reorder: the same tensor with its channels dense or in blocks. A private operator that passes place where layouts meet.

use std::ops::Range;

use base::threads::{self, SharedMut, parallel_for};
use base::{DType, Layout, Result, Shape, bail, ensure};
use ir::{Fact, Graph, Node};
use op::{Attrs, Infer, Kernels, Layouts, Mask, Op, OpDef, Run, Stateless, TypeSet, since};
use simd::{Kernel, Simd};

use op::body::Body;

/// The domain of operators that are this project's own.
pub const DOMAIN: &str = "ai.ort_rs";

/// Reorder of `ai.ort_rs`: attribute `block` is the number of channels of a block, or 0 for dense channels.
pub static REORDER: OpDef = OpDef {
    domain: DOMAIN,
    name: "Reorder",
    versions: &[since(1, "X:T -> Y:T", &[("T", TypeSet::tensors(&[DType::F32]))])],
    load: |a| Ok(Box::new(Reorder { to: blocks(a)? })),
    kernels: Kernels::NONE.stateless::<Reorder>(),
    // Channels that lie otherwise are the same values: elsewhere it is no operation.
    body: Some(body),
    layouts: Layouts::Plain,
    strided: Mask::NONE,
    ..OpDef::ONNX
};

/// The layout that attribute `block` names: so many channels in a block, or dense channels for 0.
///
/// # Errors
/// `InvalidGraph` for a number of channels that no vector has.
pub(super) fn blocks(a: &Attrs<'_>) -> Result<Layout> {
    match a.required_int("block")? {
        0 => Ok(Layout::Dense),
        block @ (8 | 16) => Ok(Layout::Blocked(block as u8)),
        other => bail!(InvalidGraph, "attribute 'block' is {other}, not 0, 8 or 16"),
    }
}

#[derive(Clone, Debug)]
struct Reorder {
    to: Layout,
}

impl Op for Reorder {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let input = cx.input(0)?;
        if let Some(dims) = cx.dims(0)? {
            ensure!(dims.len() >= 2, InvalidGraph, "Reorder needs channels, not shape {dims:?}");
        }
        let fact = Fact { shape: input.shape.clone(), layout: self.to.clone(), ..Fact::of(input.ty.clone()) };
        cx.set(0, fact);
        Ok(())
    }
}

fn body(node: &Node, _: &[Option<&Fact>]) -> Result<Graph> {
    let mut b = Body::of(node);
    let Some(x) = b.input(0) else { bail!(InvalidGraph, "input X is missing") };
    let y = b.node(("Identity", 16), &[x], &[]);
    Ok(b.finish(&[y]))
}

impl Stateless for Reorder {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let x = cx.input(0)?;
        let y = cx.output(0)?;
        let [batch, channels, spatial @ ..] = x.shape() else { bail!(InvalidArgument, "Reorder needs channels") };
        ensure!(y.shape() == x.shape(), Fail, "the output has shape {}, not {}", Shape::from(y.shape()), Shape::from(x.shape()));
        ensure!(y.layout() == &self.to || y.is_empty(), Fail, "the output is {:?}, not {:?}", y.layout(), self.to);
        let plane = spatial.iter().product();
        match (x.layout(), y.layout()) {
            (from, to) if from == to => {
                y.stored::<f32>()?.copy_from_slice(x.stored()?);
                Ok(())
            }
            (Layout::Blocked(block), _) => to_dense(x.stored()?, y.slice()?, [*batch, *channels, plane], (*block).into()),
            (_, Layout::Blocked(block)) => to_blocked(x.slice()?, y.stored()?, [*batch, *channels, plane], (*block).into()),
            _ => {
                y.bytes()?.copy_from_slice(x.bytes()?);
                Ok(())
            }
        }
    }
}

/// Positions that a chunk turns.
const CHUNK: usize = 1024;

/// Puts dense channels into blocks; lanes of no channel become zero.
///
/// # Errors
/// `Fail` when a slice has not the length that the sizes say.
pub(super) fn to_blocked(x: &[f32], y: &mut [f32], [batch, channels, plane]: [usize; 3], block: usize) -> Result<()> {
    let blocks = channels.div_ceil(block);
    ensure!(x.len() == batch * channels * plane && y.len() == batch * blocks * plane * block, Fail, "a reorder of other sizes");
    let pieces = plane.div_ceil(CHUNK);
    let y = SharedMut::new(y);
    parallel_for(batch * blocks * pieces, &|chunk| {
        let (image, b, positions) = (chunk / (blocks * pieces), chunk / pieces % blocks, piece(chunk % pieces, plane));
        let start = ((image * blocks + b) * plane + positions.start) * block;
        // SAFETY: the ranges of different chunks do not overlap.
        let out = unsafe { y.part(start..start + positions.len() * block) };
        let rows = (channels - b * block).min(block);
        let from = |c: usize| (image * channels + b * block + c) * plane;
        block_of(x, from, positions, rows, block, out);
    });
    threads::check()
}

/// Positions `positions` of `rows` channels, channel `c` of which begins at `from(c)`, side by side.
pub(super) fn block_of(x: &[f32], from: impl Fn(usize) -> usize, positions: Range<usize>, rows: usize, block: usize, out: &mut [f32]) {
    if rows < block {
        out.fill(0.0);
    }
    let (first, stride) = (from(0) + positions.start, if rows > 1 { from(1) - from(0) } else { 0 });
    let rows_end = first + (rows - 1) * stride + positions.len();
    let done = simd::dispatch(Turn { x: &x[first..rows_end], stride, rows, len: positions.len(), block, out: &mut *out });
    for c in (0..rows).filter(|_| done < positions.len()) {
        let row = &x[from(c) + positions.start + done..from(c) + positions.end];
        out[done * block + c..].iter_mut().step_by(block).zip(row).for_each(|(to, v)| *to = *v);
    }
}

/// Puts `len` positions of `rows` channels, `stride` apart, side by side, as many as fill whole vectors; gives how many.
struct Turn<'a> {
    x: &'a [f32],
    stride: usize,
    rows: usize,
    len: usize,
    block: usize,
    out: &'a mut [f32],
}

impl Kernel for Turn<'_> {
    type Output = usize;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> usize {
        let whole = self.len - self.len % S::LANES;
        if self.block != S::LANES || self.x.len() < (self.rows - 1) * self.stride + whole || self.out.len() < whole * self.block {
            return 0;
        }
        for i in (0..whole).step_by(S::LANES) {
            // SAFETY: each row holds a vector from `i` on, and so do as many positions of the result.
            unsafe { s.transpose(self.x.as_ptr().add(i), self.stride, self.rows, self.out.as_mut_ptr().add(i * self.block), self.block) };
        }
        whole
    }
}

/// The opposite: rows of `len` positions from vectors side by side.
struct TurnBack<'a> {
    x: &'a [f32],
    len: usize,
    block: usize,
    out: *mut f32,
    stride: usize,
}

impl Kernel for TurnBack<'_> {
    type Output = usize;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> usize {
        let whole = self.len - self.len % S::LANES;
        if self.block != S::LANES || self.x.len() < whole * self.block {
            return 0;
        }
        for i in (0..whole).step_by(S::LANES) {
            // SAFETY: there are as many whole vectors, and the caller's rows hold as many positions.
            unsafe { s.transpose(self.x.as_ptr().add(i * self.block), self.block, S::LANES, self.out.add(i), self.stride) };
        }
        whole
    }
}

fn piece(i: usize, plane: usize) -> Range<usize> {
    i * CHUNK..((i + 1) * CHUNK).min(plane)
}

/// Takes blocks of channels apart.
///
/// # Errors
/// `Fail` when a slice has not the length that the sizes say.
pub(super) fn to_dense(x: &[f32], y: &mut [f32], [batch, channels, plane]: [usize; 3], block: usize) -> Result<()> {
    let blocks = channels.div_ceil(block);
    ensure!(y.len() == batch * channels * plane && x.len() == batch * blocks * plane * block, Fail, "a reorder of other sizes");
    let pieces = plane.div_ceil(CHUNK);
    let y = SharedMut::new(y);
    parallel_for(batch * blocks * pieces, &|chunk| {
        let (image, b, positions) = (chunk / (blocks * pieces), chunk / pieces % blocks, piece(chunk % pieces, plane));
        let from = &x[((image * blocks + b) * plane + positions.start) * block..][..positions.len() * block];
        let rows = (channels - b * block).min(block);
        let first = (image * channels + b * block) * plane + positions.start;
        // A block of fewer channels has no room for what a whole transpose writes.
        let done = match rows == block {
            true => simd::dispatch(TurnBack { x: from, len: positions.len(), block, out: y.as_ptr().wrapping_add(first), stride: plane }),
            false => 0,
        };
        for c in (0..rows).filter(|_| done < positions.len()) {
            let start = first + c * plane;
            // SAFETY: the ranges of different chunks and channels do not overlap.
            let row = unsafe { y.part(start + done..start + positions.len()) };
            row.iter_mut().zip(from[done * block + c..].iter().step_by(block)).for_each(|(to, v)| *to = *v);
        }
    });
    threads::check()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for (channels, plane) in [(1usize, 1), (3, 50), (16, 33), (20, 1030), (48, 16)] {
            for block in [8, 16] {
                let sizes = [2, channels, plane];
                let x: Vec<f32> = (0..2 * channels * plane).map(|i| i as f32 + 1.0).collect();
                let mut y = vec![f32::NAN; 2 * channels.next_multiple_of(block) * plane];
                to_blocked(&x, &mut y, sizes, block).unwrap();
                for (i, v) in y.iter().enumerate() {
                    let (lane, position, blocks) = (i % block, i / block % plane, i / block / plane);
                    let (image, c) = (blocks / channels.div_ceil(block), blocks % channels.div_ceil(block) * block + lane);
                    let want = if c < channels { x[(image * channels + c) * plane + position] } else { 0.0 };
                    assert_eq!(*v, want);
                }
                let mut z = vec![f32::NAN; x.len()];
                to_dense(&y, &mut z, sizes, block).unwrap();
                assert_eq!(z, x);
            }
        }
    }

    #[test]
    fn nothing() {
        to_blocked(&[], &mut [], [0, 3, 4], 8).unwrap();
        to_dense(&[], &mut [], [2, 3, 0], 8).unwrap();
    }
}
