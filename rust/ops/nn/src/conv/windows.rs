//! The windows of a convolution as the columns of a matrix.

use base::threads::{SharedMut, parallel_ranges};
use base::{Element, Result, ensure};

use super::problem::Problem;
use crate::window::Axis;

/// Whether the windows of a problem are its input: kernels of one element, one after the other.
pub(super) fn is_pointwise(p: &Problem) -> bool {
    p.axes.iter().all(|a| a.kernel == 1 && a.stride == 1 && a.before == 0 && a.output == a.input)
}

/// The first `len` elements of some bytes.
pub(crate) fn elements<T: Element>(bytes: &mut [u8], len: usize) -> Result<&mut [T]> {
    let aligned = (bytes.as_ptr() as usize).is_multiple_of(align_of::<T>());
    ensure!(aligned && bytes.len() / size_of::<T>() >= len, Fail, "{len} elements do not fit {} bytes", bytes.len());
    // SAFETY: the bytes are ours, aligned and enough; plain numbers of any content are valid.
    Ok(unsafe { std::slice::from_raw_parts_mut(bytes.as_mut_ptr().cast(), len) })
}

/// The windows of positions `start..start + count` as columns of a matrix: a row for each channel and tap.
pub(super) struct Windows<'a, T> {
    pub(super) p: &'a Problem,
    pub(super) x: &'a [T],
    pub(super) start: usize,
    pub(super) count: usize,
    /// What the padding holds.
    pub(super) padding: T,
}

impl<T: Element> Windows<'_, T> {
    /// Writes the matrix.
    pub(super) fn write(&self, matrix: &mut [T]) {
        let grain = crate::chunks::rows_per_chunk(self.count * size_of::<T>());
        let (rows, taps) = (matrix.len() / self.count.max(1), self.p.taps());
        let matrix = SharedMut::new(matrix);
        parallel_ranges(rows, grain, &|range| {
            for row in range {
                // SAFETY: each row belongs to one chunk.
                let to = unsafe { matrix.part(row * self.count..(row + 1) * self.count) };
                let plane = self.p.in_plane();
                self.row(&self.x[row / taps * plane..][..plane], row % taps, to);
            }
        });
    }

    /// What tap `tap` reads of one channel.
    fn row(&self, x: &[T], tap: usize, to: &mut [T]) {
        let axes = &self.p.axes;
        let Some((inner, outer)) = axes.split_last() else {
            to.copy_from_slice(&x[..to.len()]);
            return;
        };
        let (mut at, mut position) = (0, self.start);
        while at < to.len() {
            let (row, first) = (position / inner.output, position % inner.output);
            let len = (inner.output - first).min(to.len() - at);
            let part = &mut to[at..at + len];
            match source_row(outer, row, tap / inner.kernel) {
                None => part.fill(self.padding),
                Some(row) => slide(inner, &x[row * inner.input..][..inner.input], first, tap % inner.kernel, self.padding, part),
            }
            at += len;
            position += len;
        }
    }
}

/// Which row of the input tap `tap` of the outer axes reads for output row `row`; `None` in the padding.
fn source_row(outer: &[Axis], mut row: usize, mut tap: usize) -> Option<usize> {
    let (mut source, mut stride) = (0, 1);
    for a in outer.iter().rev() {
        let at = a.start(row % a.output) + (tap % a.kernel * a.dilation) as isize;
        let at = usize::try_from(at).ok().filter(|i| *i < a.input)?;
        source += at * stride;
        stride *= a.input;
        row /= a.output;
        tap /= a.kernel;
    }
    Some(source)
}

/// What tap `tap` reads of row `x` for positions `first..`.
fn slide<T: Element>(a: &Axis, x: &[T], first: usize, tap: usize, padding: T, to: &mut [T]) {
    let inside = a.positions(tap);
    let (start, end) = (inside.start.clamp(first, first + to.len()), inside.end.clamp(first, first + to.len()));
    let (start, end) = (start - first, end.max(start) - first);
    to[..start].fill(padding);
    to[end..].fill(padding);
    if start == end {
        return;
    }
    let from = (a.start(first + start) + (tap * a.dilation) as isize) as usize;
    match a.stride {
        1 => to[start..end].copy_from_slice(&x[from..from + end - start]),
        s => to[start..end].iter_mut().zip(x[from..].iter().step_by(s)).for_each(|(to, v)| *to = *v),
    }
}
