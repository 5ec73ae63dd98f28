//! Keys and values of attention with a past: where they lie, how new ones are put behind earlier ones.

use base::threads::{self, SharedMut, parallel_chunks_mut, parallel_for};
use base::{Result, TensorMut, TensorRef, ensure};
use smallvec::{SmallVec, smallvec};

use super::coding::{Coded, Coding, view};
use super::core::{Computed, Heads, Operand};
use super::few::is_few;
use crate::floats::Floats;

/// The sizes of keys or values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent<D = usize> {
    pub(super) batch: D,
    pub(super) heads: D,
    pub(super) rows: D,
    pub(super) size: D,
}

impl Extent {
    pub(super) fn elements(&self) -> usize {
        self.batch * self.heads * self.rows * self.size
    }
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
        Self::lying(data, by_position(&[(); 0], e))
    }

    /// Heads outermost: `[batch, heads, rows, size]`.
    pub(super) fn by_head(data: Floats<'a>, e: Extent) -> Self {
        Self::lying(data, by_head(&[(); 0], e))
    }

    fn lying(data: Floats<'a>, heads: Heads<'_, ()>) -> Self {
        Self { data, start: 0, strides: [heads.batch, heads.head, heads.row] }
    }

    /// The elements of a tensor of three axes, by position, or of four, by head.
    ///
    /// # Errors
    /// `NotImplemented` when it is no float tensor of 16 bits or more.
    pub(super) fn of(t: TensorRef<'a>, e: Extent) -> Result<Self> {
        let data = Floats::of(t)?;
        Ok(if t.rank() == 4 { Self::by_head(data, e) } else { Self::by_position(data, e) })
    }

    /// Where a head's elements at a position are.
    fn at(&self, image: usize, head: usize, row: usize) -> usize {
        self.start + image * self.strides[0] + head * self.strides[1] + row * self.strides[2]
    }

    /// Whether `e` lies in the data.
    pub(super) fn check(&self, e: Extent) -> Result<()> {
        let end = if e.elements() == 0 { 0 } else { self.at(e.batch - 1, e.heads - 1, e.rows - 1) + e.size };
        ensure!(end <= self.data.len(), InvalidArgument, "{e:?} does not lie in {} elements", self.data.len());
        Ok(())
    }

    /// The elements as the type that is computed in, without a copy, if they are that.
    pub(super) fn heads<A: Computed>(&self) -> Option<Heads<'a, A>> {
        let data = self.data.same::<A>()?.get(self.start..)?;
        Some(Heads { data, batch: self.strides[0], head: self.strides[1], row: self.strides[2] })
    }

    /// Copies one position of a head.
    pub(super) fn read<A: Computed>(&self, image: usize, head: usize, row: usize, to: &mut [A]) {
        self.data.read(self.at(image, head, row), to);
    }
}

/// Gives the elements of one head at one new position: image, head, position, elements.
pub(super) type Source<'a, A> = &'a (dyn Fn(usize, usize, usize, &mut [A]) + Sync);

/// Copies all of `e` into `to`, head by head.
pub(super) fn gather<'a, A: Computed>(e: Extent, source: Source<'_, A>, to: &'a mut [A]) -> Heads<'a, A> {
    parallel_chunks_mut(&mut to[..e.elements()], e.rows * e.size, &|i, to| {
        for (row, to) in to.chunks_exact_mut(e.size.max(1)).enumerate() {
            source(i / e.heads, i % e.heads, row, to);
        }
    });
    by_head(to, e)
}

/// Keys or values, dense by heads.
pub(super) fn by_head<A>(data: &[A], e: Extent) -> Heads<'_, A> {
    Heads { data, batch: e.heads * e.rows * e.size, head: e.rows * e.size, row: e.size }
}

/// The same, positions outermost.
pub(super) fn by_position<A>(data: &[A], e: Extent) -> Heads<'_, A> {
    Heads { data, batch: e.rows * e.heads * e.size, head: e.size, row: e.heads * e.size }
}

/// What a run does to the rows of one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// Rows of the past.
    pub(super) before: usize,
    /// New rows behind them.
    pub(super) fresh: usize,
    /// Rows that then leave, from the first on.
    pub(super) dropped: usize,
}

impl Step {
    /// Rows that attention may read before any leave.
    pub(super) fn all(&self) -> usize {
        self.before + self.fresh
    }
}

/// The memory of a present cache.
struct Memory<'a> {
    bytes: SharedMut<'a, u8>,
    /// Whether the past lies in the same memory: what is not written holds what it held.
    shared: bool,
}

/// Keys or values: new ones, those of the past, and where both go.
pub(super) struct Cache<'a> {
    coding: Coding<'a>,
    /// The sizes of the new ones.
    extent: Extent,
    /// The bytes of the past, unless they are in the memory of the present, and its rows.
    past: Option<(&'a [u8], usize)>,
    present: Option<Memory<'a>>,
    /// Rows of the present.
    capacity: usize,
}

impl<'a> Cache<'a> {
    /// A cache of `capacity` positions in `present`, if it is asked for, behind `past`: both `[batch, heads, positions, elements]`.
    ///
    /// # Errors
    /// `Fail` when an operand is no dense host tensor.
    pub(super) fn new(
        coding: Coding<'a>,
        extent: Extent,
        past: Option<TensorRef<'a>>,
        present: Option<TensorMut<'a>>,
        capacity: usize,
    ) -> Result<Self> {
        let same = |p: &TensorRef<'_>| present.as_ref().is_some_and(|y| p.address() == y.address().cast_const()) && !p.is_empty();
        let shared = past.as_ref().is_some_and(same);
        let past = past.filter(|_| !shared).map(|p| Ok::<_, base::Error>((p.bytes()?, p.shape()[2]))).transpose()?;
        let mut cache = Self::inside(coding, extent, past, present.map(TensorMut::bytes).transpose()?, capacity)?;
        cache.present.iter_mut().for_each(|memory| memory.shared = shared);
        Ok(cache)
    }

    /// A cache in the bytes of other tensors, with how many positions the past has.
    ///
    /// # Errors
    /// `Fail` when these are not as many as the sizes say.
    pub(super) fn inside(
        coding: Coding<'a>,
        extent: Extent,
        past: Option<(&'a [u8], usize)>,
        present: Option<&'a mut [u8]>,
        capacity: usize,
    ) -> Result<Self> {
        let rows = |rows: usize| extent.batch * extent.heads * rows * coding.bytes(extent.size);
        ensure!(past.is_none_or(|(bytes, n)| bytes.len() == rows(n)), Fail, "a past of other sizes than {extent:?}");
        let present = present.map(|bytes| Memory { bytes: SharedMut::new(bytes), shared: false });
        let fits = present.as_ref().is_none_or(|p| p.bytes.len() == rows(capacity));
        ensure!(fits, Fail, "a cache of other sizes than {capacity} positions of {extent:?}");
        Ok(Self { coding, extent, past, present, capacity })
    }

    /// What attention reads, as [`Cache::join`]; the new ones as they lie in `fresh`, where nothing changes them and no cache is kept.
    ///
    /// # Errors
    /// As [`Cache::join`].
    pub(super) fn read<A: Computed>(
        self,
        (fresh, source, queries): (Option<&Fresh<'a>>, Source<'_, A>, usize),
        steps: &[Step],
        keys: usize,
        room: &'a mut [A],
    ) -> Result<(Operand<'a, A>, bool)> {
        match fresh.filter(|_| self.past.is_none() && self.present.is_none()).and_then(Fresh::heads) {
            Some(own) => Ok((Operand::Plain(own), false)),
            None => self.join((source, queries), steps, keys, room),
        }
    }

    /// Whether attention can read all it needs from the present memory: none of which left too early.
    fn stays(&self, steps: &[Step]) -> bool {
        self.present.is_some() && steps.iter().all(|s| s.dropped == 0 || s.fresh <= 1)
    }

    /// Writes the present of each image as its step says, the rest of the memory zero, and gives what attention of `queries` queries
    /// reads: rows of the present, if `true` comes with them, else rows as they were before any left, in `room`, which has `keys`
    /// positions a head. One step may stand for all images.
    ///
    /// # Errors
    /// `InvalidArgument` when a step does not fit the past or the present.
    pub(super) fn join<A: Computed>(
        self,
        (source, queries): (Source<'_, A>, usize),
        steps: &[Step],
        keys: usize,
        room: &'a mut [A],
    ) -> Result<(Operand<'a, A>, bool)> {
        let Extent { batch, heads, size, .. } = self.extent;
        self.check(steps)?;
        let direct = self.stays(steps) && (self.coding.is::<A>() || is_few::<A>(queries));
        ensure!(direct || room.len() >= batch * heads * keys * size, Fail, "no room for {keys} positions of {:?}", self.extent);
        let wide = SharedMut::new(if direct { &mut [] } else { &mut room[..batch * heads * keys * size] });
        let (row, len) = (self.coding.bytes(size), keys * size);
        // Images and heads of nothing may be any number.
        let heads_of_something = if self.capacity.max(keys) * size == 0 { 0 } else { batch * heads };
        parallel_for(heads_of_something, &|i| {
            // SAFETY: each head's rows belong to one chunk.
            let own = self.present.as_ref().map(|p| unsafe { p.bytes.part(i * self.capacity * row..(i + 1) * self.capacity * row) });
            // SAFETY: as above.
            let wide = (!direct).then(|| unsafe { wide.part(i * len..(i + 1) * len) });
            self.join_head(i, source, steps.get(i / heads).unwrap_or(&steps[0]), own, wide);
        });
        threads::check()?;
        let Some(memory) = self.present.filter(|_| direct) else {
            // SAFETY: the region above was the last to write.
            let wide = unsafe { wide.part(0..wide.len()) };
            return Ok((Operand::Plain(by_head(wide, Extent { rows: keys, ..self.extent })), false));
        };
        // SAFETY: as above.
        let bytes: &[u8] = unsafe { memory.bytes.part(0..memory.bytes.len()) };
        let all = Extent { rows: self.capacity, ..self.extent };
        let own = if self.coding.is::<A>() {
            Operand::Plain(by_head(view(bytes), all))
        } else {
            Operand::Coded(Coded::new(bytes, self.coding, all))
        };
        Ok((own, true))
    }

    /// Whether the steps fit the past and the present.
    fn check(&self, steps: &[Step]) -> Result<()> {
        let inherited = if self.present.as_ref().is_some_and(|p| p.shared) { self.capacity } else { 0 };
        let past_rows = self.past.map_or(inherited, |(_, rows)| rows);
        for step in steps {
            ensure!(step.before <= past_rows, InvalidArgument, "{} earlier positions in a past of {past_rows}", step.before);
            let fits = step.fresh <= self.extent.rows && (step.all() - step.dropped.min(step.all())) <= self.capacity;
            ensure!(fits, InvalidArgument, "{} and {} positions in a cache of {}", step.before, step.fresh, self.capacity);
        }
        let fits = steps.len() == 1 || steps.len() == self.extent.batch;
        ensure!(fits, Fail, "{} steps for {} images", steps.len(), self.extent.batch);
        Ok(())
    }

    /// One head of one image: its rows of the present, and room for all that attention reads.
    fn join_head<A: Computed>(&self, i: usize, source: Source<'_, A>, step: &Step, mut own: Option<&mut [u8]>, mut wide: Option<&mut [A]>) {
        let Extent { heads, size, .. } = self.extent;
        let (image, head, row) = (i / heads, i % heads, self.coding.bytes(size));
        let shared = self.present.as_ref().is_some_and(|p| p.shared);
        let past = self.past.map(|(bytes, rows)| &bytes[i * rows * row..(i + 1) * rows * row]);
        if let Some(wide) = wide.as_deref_mut() {
            let past = past.or(own.as_deref()).unwrap_or(&[]);
            for (wide, past) in wide.chunks_exact_mut(size.max(1)).zip(past.chunks_exact(row.max(1))).take(step.before) {
                self.coding.decode(head, past, wide);
            }
        }
        let (kept, first) = (step.before.saturating_sub(step.dropped), step.dropped.saturating_sub(step.before));
        let from = (step.before - kept) * row;
        match (own.as_deref_mut(), past) {
            (Some(own), Some(past)) => own[..kept * row].copy_from_slice(&past[from..from + kept * row]),
            (Some(own), None) if shared && from > 0 => own.copy_within(from..from + kept * row, 0),
            _ => {}
        }
        let (mut one, mut code): (SmallVec<[A; 256]>, SmallVec<[u8; 512]>) = (smallvec![A::zero(); size], smallvec![0; row]);
        for r in 0..step.fresh {
            source(image, head, r, &mut one);
            let stays = r >= first;
            let code = match own.as_deref_mut() {
                Some(own) if stays => &mut own[(kept + r - first) * row..][..row],
                _ => &mut code[..],
            };
            self.coding.encode(head, &one, code);
            if let Some(wide) = wide.as_deref_mut() {
                self.coding.decode(head, code, &mut wide[(step.before + r) * size..][..size]);
            }
        }
        if let Some(own) = own.filter(|_| !shared) {
            own[(step.all() - step.dropped) * row..].fill(0);
        }
    }
}
