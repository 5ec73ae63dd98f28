//! Keys and values of attention with a past: where they lie, how new ones are put behind earlier ones.

use base::{Result, TensorRef, ensure};

use super::core::{Computed, Heads};
use crate::floats::{Floats, FloatsMut};

/// The sizes of keys or values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) batch: usize,
    pub(super) heads: usize,
    pub(super) rows: usize,
    pub(super) size: usize,
}

/// New keys or values as an operator gets them: any float type, with the distances of images, heads and positions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fresh<'a> {
    pub(super) data: Floats<'a>,
    pub(super) start: usize,
    pub(super) strides: [usize; 3],
}

impl<'a> Fresh<'a> {
    /// Positions outermost, then heads: `[batch, rows, heads * size]`.
    pub(super) fn by_position(data: Floats<'a>, e: Extent) -> Self {
        Self { data, start: 0, strides: [e.rows * e.heads * e.size, e.size, e.heads * e.size] }
    }

    /// Heads outermost: `[batch, heads, rows, size]`.
    pub(super) fn by_head(data: Floats<'a>, e: Extent) -> Self {
        Self { data, start: 0, strides: [e.heads * e.rows * e.size, e.rows * e.size, e.size] }
    }

    /// Where a head's elements at a position are.
    pub(super) fn at(&self, image: usize, head: usize, row: usize) -> usize {
        self.start + image * self.strides[0] + head * self.strides[1] + row * self.strides[2]
    }

    /// Whether `e` lies in the data.
    pub(super) fn check(&self, e: Extent) -> Result<()> {
        let empty = e.batch * e.heads * e.rows * e.size == 0;
        let end = if empty { 0 } else { self.at(e.batch - 1, e.heads - 1, e.rows - 1) + e.size };
        ensure!(end <= self.data.len(), InvalidArgument, "{e:?} does not lie in {} elements", self.data.len());
        Ok(())
    }

    /// The elements as the type that is computed in, without a copy, if they are that.
    pub(super) fn heads<A: Computed>(&self) -> Option<Heads<'a, A>> {
        let data = &self.data.same::<A>()?[self.start..];
        Some(Heads { data, batch: self.strides[0], head: self.strides[1], row: self.strides[2] })
    }

    /// Copies all elements, head by head, changed by `change`.
    pub(super) fn gather<A: Computed>(&self, e: Extent, to: &mut [A], change: Changer<'_, A>) {
        for (i, to) in to.chunks_exact_mut(e.size.max(1)).take(e.batch * e.heads * e.rows).enumerate() {
            let (image, head, row) = (i / (e.heads * e.rows), i / e.rows % e.heads, i % e.rows);
            self.data.read(self.at(image, head, row), to);
            change(image, head, row, to);
        }
    }
}

/// Changes the elements of one head at one position: image, head, position, elements.
pub(super) type Changer<'a, A> = &'a dyn Fn(usize, usize, usize, &mut [A]);

/// Keys or values, dense by heads.
pub(super) fn by_head<A>(data: &[A], e: Extent) -> Heads<'_, A> {
    Heads { data, batch: e.heads * e.rows * e.size, head: e.rows * e.size, row: e.size }
}

/// Puts `fresh`, gathered by heads, behind earlier positions of `past` in a present cache of `all` positions.
pub(super) struct Join<'a, A> {
    pub(super) past: Option<TensorRef<'a>>,
    pub(super) fresh: &'a [A],
    pub(super) extent: Extent,
    pub(super) all: usize,
}

impl<A: Computed> Join<'_, A> {
    /// Writes the present cache: of each image `earlier(image)` positions of the past, then the fresh ones, then zeros. Where both are the
    /// same memory, as `shared` says, only the fresh ones are written. `room` holds one position.
    pub(super) fn write(&self, present: &FloatsMut<'_>, shared: bool, earlier: &dyn Fn(usize) -> usize, room: &mut [A]) -> Result<()> {
        let Extent { batch, heads, rows, size } = self.extent;
        ensure!(present.len() == batch * heads * self.all * size, Fail, "a cache of {} elements", present.len());
        let past = self.past.filter(|_| !shared).map(|p| Ok::<_, base::Error>((Floats::of(p)?, p.shape()[2]))).transpose()?;
        let one = &mut room[..size];
        for (i, fresh) in self.fresh.chunks_exact((rows * size).max(1)).take(batch * heads).enumerate() {
            let (start, before) = (i * self.all * size, earlier(i / heads));
            ensure!(before + rows <= self.all, InvalidArgument, "{before} and {rows} positions in a cache of {}", self.all);
            if let Some((past, past_rows)) = past {
                ensure!(before <= past_rows, InvalidArgument, "{before} earlier positions in a past of {past_rows}");
                for row in 0..before {
                    past.read((i * past_rows + row) * size, one);
                    // SAFETY: one thread writes the cache.
                    unsafe { present.write(start + row * size, one) }
                }
            }
            one.fill(A::zero());
            // Room for later positions; in memory of the past it holds what it held.
            for row in (before + rows..self.all).filter(|_| !shared) {
                // SAFETY: as above.
                unsafe { present.write(start + row * size, one) }
            }
            // SAFETY: as above.
            unsafe { present.write(start + before * size, fresh) }
        }
        Ok(())
    }
}
