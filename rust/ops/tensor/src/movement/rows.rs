//! Moving rows, each from where an index says.

use std::ops::Range;

use base::threads::{SharedMut, paced, parallel_for, try_parallel_for};
use base::{Result, TensorRef, ensure, error};

use super::output::Storage;
use super::{CHUNK, Output, packed};

impl<'a> Output<'a> {
    /// Fills the output, which is dense, with rows of `row` elements: those whose numbers in `input`, dense as well, `source` gives
    /// for a range of output rows.
    ///
    /// # Errors
    /// What `source` says; `Fail` when it names a row that `input` does not have.
    pub(crate) fn rows<I>(&mut self, input: &TensorRef<'a>, row: usize, source: impl Fn(Range<usize>) -> I + Sync) -> Result<()>
    where
        I: Iterator<Item = Result<usize>>,
    {
        let dtype = self.dtype();
        ensure!(input.dtype() == dtype && self.is_dense(), Fail, "rows of {input:?} cannot fill an output of {dtype}");
        let len = self.whole().len();
        if len == 0 || row == 0 {
            return Ok(());
        }
        ensure!(len.is_multiple_of(row), Fail, "{len} elements are not rows of {row}");
        let rows = Rows { count: len / row, available: input.len() / row };
        if let Some((to, size)) = self.bytes() {
            return rows.copy(input.bytes()?, to, row * size, source);
        }
        match &mut self.storage {
            Storage::Sized(..) => Err(error!(Fail, "only a dense output can be filled by rows")),
            Storage::Packed(to) => {
                let from = input.bytes()?;
                source(0..rows.count).enumerate().try_for_each(|(i, f)| {
                    let f = rows.checked(f?)?;
                    packed::run(dtype, from, f * row, to, i * row, row)
                })
            }
            Storage::Strings(list) => {
                let strings = input.strings()?;
                paced(list.chunks_exact_mut(row).zip(source(0..rows.count)), 16 * row).try_for_each(|(to, f)| {
                    let f = rows.checked(f?)?;
                    to.iter_mut().zip(f * row..).for_each(|(t, i)| *t = strings.get(i));
                    Ok(())
                })
            }
        }
    }
}

/// How many rows are written, and how many there are to choose from.
struct Rows {
    count: usize,
    available: usize,
}

impl Rows {
    fn checked(&self, row: usize) -> Result<usize> {
        ensure!(row < self.available, Fail, "there is no row {row} among {}", self.available);
        Ok(row)
    }

    fn copy<I>(&self, from: &[u8], to: &mut [u8], bytes: usize, source: impl Fn(Range<usize>) -> I + Sync) -> Result<()>
    where
        I: Iterator<Item = Result<usize>>,
    {
        let row = |f: Result<usize>| f.and_then(|f| self.checked(f)).map(|f| f * bytes);
        if bytes >= 4 * CHUNK {
            let out = to.chunks_exact_mut(bytes).zip(source(0..self.count));
            return out.into_iter().try_for_each(|(to, f)| {
                copy_long(&from[row(f)?..][..bytes], to);
                Ok(())
            });
        }
        match bytes {
            1 => self.copy_words::<1, I>(from, to, source),
            2 => self.copy_words::<2, I>(from, to, source),
            4 => self.copy_words::<4, I>(from, to, source),
            8 => self.copy_words::<8, I>(from, to, source),
            16 => self.copy_words::<16, I>(from, to, source),
            _ => self.chunked(to, bytes, source, |to, sources| {
                to.chunks_exact_mut(bytes).zip(sources).try_for_each(|(to, f)| {
                    to.copy_from_slice(&from[row(f)?..][..bytes]);
                    Ok(())
                })
            }),
        }
    }

    /// Rows of `N` bytes: a move each, not a call.
    fn copy_words<const N: usize, I>(&self, from: &[u8], to: &mut [u8], source: impl Fn(Range<usize>) -> I + Sync) -> Result<()>
    where
        I: Iterator<Item = Result<usize>>,
    {
        let (from, _) = from.as_chunks::<N>();
        self.chunked(to, N, source, |to, sources| {
            let (to, _) = to.as_chunks_mut::<N>();
            to.iter_mut().zip(sources).try_for_each(|(to, f)| {
                let f = f?;
                *to = *from.get(f).ok_or_else(|| error!(Fail, "there is no row {f} among {}", from.len()))?;
                Ok(())
            })
        })
    }

    /// Cuts the rows of `to` into chunks and gives each to `copy` with its sources.
    fn chunked<I>(
        &self,
        to: &mut [u8],
        bytes: usize,
        source: impl Fn(Range<usize>) -> I + Sync,
        copy: impl Fn(&mut [u8], I) -> Result<()> + Sync,
    ) -> Result<()>
    where
        I: Iterator<Item = Result<usize>>,
    {
        let grain = (CHUNK / bytes).max(1);
        let to = SharedMut::new(to);
        try_parallel_for(self.count.div_ceil(grain), &|chunk| {
            let rows = chunk * grain..((chunk + 1) * grain).min(self.count);
            // SAFETY: chunks have ranges of rows that do not overlap.
            let part = unsafe { to.part(rows.start * bytes..rows.end * bytes) };
            copy(part, source(rows))
        })
    }
}

/// Copies one long run on several threads.
fn copy_long(from: &[u8], to: &mut [u8]) {
    let to = SharedMut::new(to);
    parallel_for(from.len().div_ceil(CHUNK), &|chunk| {
        let range = chunk * CHUNK..((chunk + 1) * CHUNK).min(from.len());
        // SAFETY: the ranges of chunks do not overlap.
        unsafe { to.part(range.clone()) }.copy_from_slice(&from[range]);
    });
}
