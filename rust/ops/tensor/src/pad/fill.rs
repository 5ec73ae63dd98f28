//! Writing a padded tensor row by row.

use base::threads::{parallel_chunks_mut, pieces};
use base::{Result, TensorRef};
use smallvec::SmallVec;

use super::Mode;
use super::axis::{Padded, Piece};
use crate::movement::{CHUNK, Output};

/// What is padded with where the mode is constant.
#[derive(Clone, Copy)]
pub(crate) enum Value<'a, 'v> {
    /// Zero, or the empty string.
    Zero,
    /// The element of a tensor that is no string.
    Number(&'v TensorRef<'v>),
    /// The element of an input.
    Input(&'v TensorRef<'a>),
}

/// Writes all of `out`: the elements of `data`, dense, padded on each axis.
pub(crate) fn fill<'a>(out: &mut Output<'a>, data: &TensorRef<'a>, axes: &[Padded], mode: Mode, value: Value<'a, '_>) -> Result<()> {
    let rows = Rows { axes, mode };
    if let Some((to, size)) = out.bytes() {
        let from = data.bytes()?;
        let value = match &value {
            Value::Zero => &[0; 16][..size],
            Value::Number(t) => one_element(t, size)?,
            Value::Input(t) => one_element(t, size)?,
        };
        match size {
            1 => rows.copy::<1>(from, to, value),
            2 => rows.copy::<2>(from, to, value),
            4 => rows.copy::<4>(from, to, value),
            8 => rows.copy::<8>(from, to, value),
            _ => rows.copy::<16>(from, to, value),
        }
        return Ok(());
    }
    let whole = out.whole();
    match &value {
        Value::Zero => out.zero(&whole)?,
        Value::Number(t) => out.fill_number(t, &whole)?,
        Value::Input(t) => out.fill(t, 0, &whole)?,
    }
    (0..whole.len()).try_for_each(|i| rows.source(i).map_or(Ok(()), |from| out.put(data, from, i)))
}

fn one_element<'b>(t: &TensorRef<'b>, size: usize) -> Result<&'b [u8]> {
    base::ensure!(t.len() == 1, InvalidArgument, "the value to pad with must be one, not of shape {}", base::Shape::from(t.shape()));
    Ok(&t.bytes()?[..size])
}

/// A padded tensor as rows of its innermost axis.
struct Rows<'a> {
    axes: &'a [Padded],
    mode: Mode,
}

impl Rows<'_> {
    fn inner(&self) -> Padded {
        self.axes.last().copied().unwrap_or(Padded { len: 1, before: 0, out: 1 })
    }

    /// The row of the data that output row `row` comes from, if it is not all padding.
    fn row(&self, row: usize) -> Option<usize> {
        let (mut rest, mut stride, mut from) = (row, 1, 0);
        for axis in self.axes.iter().rev().skip(1) {
            from += axis.piece(self.mode, rest % axis.out).0.first()? * stride;
            stride *= axis.len;
            rest /= axis.out;
        }
        Some(from)
    }

    /// The element of the data that output element `i` comes from, if it is not padding.
    fn source(&self, i: usize) -> Option<usize> {
        let inner = self.inner();
        Some(self.row(i / inner.out)? * inner.len + inner.piece(self.mode, i % inner.out).0.first()?)
    }

    /// Writes rows of elements of `N` bytes.
    fn copy<const N: usize>(&self, from: &[u8], to: &mut [u8], value: &[u8]) {
        let inner = self.inner();
        let (from, to) = (from.as_chunks::<N>().0, to.as_chunks_mut::<N>().0);
        let value: [u8; N] = std::array::from_fn(|i| value[i]);
        if inner.out == 0 {
            return;
        }
        let pieces: SmallVec<[_; 4]> = inner.pieces(self.mode).take(5).collect();
        let per_chunk = (CHUNK / (inner.out * N)).max(1);
        parallel_chunks_mut(to, per_chunk * inner.out, &|chunk, part| {
            for (i, to) in part.chunks_exact_mut(inner.out).enumerate() {
                let Some(row) = self.row(chunk * per_chunk + i) else {
                    write_piece((Piece::Fill, 0, to.len()), &[], to, value);
                    continue;
                };
                let from = &from[row * inner.len..][..inner.len];
                // Few pieces are remembered; where there are many, each is computed again.
                if pieces.len() < 5 {
                    pieces.iter().for_each(|&p| write_piece(p, from, to, value));
                } else {
                    inner.pieces(self.mode).for_each(|p| write_piece(p, from, to, value));
                }
            }
        });
    }
}

/// Elements between checkpoints.
const AT_ONCE: usize = 1 << 15;

fn write_piece<T: Copy>((piece, at, len): (Piece, usize, usize), from: &[T], to: &mut [T], value: T) {
    for part in pieces(len, AT_ONCE) {
        let to = &mut to[at + part.start..at + part.end];
        match piece {
            Piece::Fill => to.fill(value),
            Piece::Copy(start) => to.copy_from_slice(&from[start + part.start..][..part.len()]),
            Piece::Repeat(i) => to.fill(from[i]),
            Piece::Reverse(last) => to.iter_mut().zip(from[..=last - part.start].iter().rev()).for_each(|(t, f)| *t = *f),
        }
    }
}
