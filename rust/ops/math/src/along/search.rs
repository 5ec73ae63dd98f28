//! Finding the greatest or least element along an axis: what ArgMax, ArgMin and Hardmax share.

use base::threads::{Pace, parallel_for};
use base::{DType, Element};
use simd::{Kernel, Simd};

use super::split::{Reader, Split, TILE};
use crate::elementwise::{BLOCK, Buffer, Convert, for_integers, vectorize};
use crate::reduce::{Extreme, Row, Summand};

/// Elements that a chunk looks at, at least.
const CHUNK: usize = 16 * 1024;

/// Which of several elements is found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// The greatest; else the least.
    pub(super) greatest: bool,
    /// The last of equals; else the first.
    pub(super) last: bool,
}

/// What is told where an element was found: its outer index, its inner one, and that along the axis.
pub(super) type Found<'a> = &'a (dyn Fn(usize, usize, usize) + Sync);

/// Calls `found(outer, inner, index)` with where along the axis the wanted element is; NaN is wanted before all others. `None` for types
/// without order. The axis is not empty.
///
/// # Safety
/// `address` is that of the elements of `split`, of type `dtype`. An axis that is not the innermost has at most `i32::MAX` elements.
pub(super) unsafe fn search(dtype: DType, address: *const u8, split: Split, wanted: Wanted, found: Found<'_>) -> Option<()> {
    let load = Convert::widen(dtype);
    let reader = Reader { address, size: dtype.size()?, load: load.as_ref() };
    let find: unsafe fn(Reader<'_>, Split, Wanted, Found<'_>) = match dtype {
        DType::F32 | DType::F16 | DType::BF16 => typed::<f32>,
        DType::F64 => typed::<f64>,
        _ => for_integers!(dtype, T => typed::<T> as unsafe fn(Reader<'_>, Split, Wanted, Found<'_>))?,
    };
    // SAFETY: as the caller vouches; 16-bit floats are loaded as `f32`.
    unsafe { find(reader, split, wanted, found) };
    Some(())
}

/// # Safety
/// As for [`search`], with `T` the type that is read.
unsafe fn typed<T: Summand + Element>(reader: Reader<'_>, split: Split, wanted: Wanted, found: Found<'_>) {
    let units = split.outer * split.tiles();
    let per_unit = split.len * split.inner.min(TILE);
    let at_once = (CHUNK / per_unit.max(1)).max(1);
    parallel_for(units.div_ceil(at_once), &|chunk| {
        let mut buffer = Buffer::default();
        for unit in chunk * at_once..units.min((chunk + 1) * at_once) {
            let (outer, first, n) = split.tile(unit);
            // SAFETY: as the caller vouches; a tile lies in the tensor.
            unsafe {
                if split.inner == 1 {
                    found(outer, 0, row::<T>(reader, outer * split.len, split.len, wanted, &mut buffer));
                } else {
                    columns::<T>(reader, split, (outer, first, n), wanted, &mut buffer, found);
                }
            }
        }
    });
}

/// Whether `x` takes the place of `best`, which came before it. Without branches, so that vectors can tell.
#[inline(always)]
fn replaces<T: Summand>(x: T, best: T, greatest: bool, last: bool) -> bool {
    let better = if greatest { x > best } else { x < best };
    (!best.is_nan() & (better | x.is_nan())) | (last & ((x == best) | (x.is_nan() & best.is_nan())))
}

/// The index in a row: block by block, first the value, then its place if it is the best yet.
///
/// # Safety
/// The tensor has the `len` elements from `start` on.
unsafe fn row<T: Summand + Element>(reader: Reader<'_>, start: usize, len: usize, wanted: Wanted, buffer: &mut Buffer) -> usize {
    let mut best: Option<(T, usize)> = None;
    let pace = Pace::default();
    for at in (0..len).step_by(BLOCK) {
        pace.spend(BLOCK);
        // SAFETY: as the caller vouches.
        let block: &[T] = unsafe { reader.read::<T>(start + at, BLOCK.min(len - at), buffer) };
        let value = extreme(block, wanted.greatest);
        if best.is_some_and(|(best, _)| !replaces(value, best, wanted.greatest, wanted.last)) {
            continue;
        }
        let same = |x: &T| *x == value || (x.is_nan() && value.is_nan());
        let place = if wanted.last { block.iter().rposition(same) } else { block.iter().position(same) };
        best = Some((value, at + place.unwrap_or(0)));
    }
    best.map_or(0, |(_, place)| place)
}

fn extreme<T: Summand>(block: &[T], greatest: bool) -> T {
    if greatest {
        vectorize(T::WIDE, Row { fold: Extreme::<T, true>::default(), x: block })
    } else {
        vectorize(T::WIDE, Row { fold: Extreme::<T, false>::default(), x: block })
    }
}

/// The indices in a tile of columns.
///
/// # Safety
/// The tensor has the tile, and the axis is not empty.
unsafe fn columns<T: Summand + Element>(
    reader: Reader<'_>,
    split: Split,
    (outer, first, n): (usize, usize, usize),
    wanted: Wanted,
    buffer: &mut Buffer,
    found: Found<'_>,
) {
    // What is best so far, and where, before a row and after it: two of each, since a choice that is written where it was read
    // becomes a store under a mask, which is slow.
    let mut bests = [const { Best { values: [T::LEAST; TILE], places: [0; TILE] } }; 2];
    let [mut old, mut new] = bests.each_mut();
    let pace = Pace::default();
    for index in 0..split.len {
        pace.spend(TILE);
        // SAFETY: as the caller vouches.
        let row: &[T] = unsafe { reader.read::<T>((outer * split.len + index) * split.inner + first, n, buffer) };
        if index == 0 {
            old.values[..n].copy_from_slice(row);
            continue;
        }
        vectorize(T::WIDE, Compare { row, old, new, index: index as i32, wanted });
        std::mem::swap(&mut old, &mut new);
    }
    old.places[..n].iter().enumerate().for_each(|(column, place)| found(outer, first + column, *place as usize));
}

/// The best values of a tile, and where they are.
struct Best<T> {
    values: [T; TILE],
    places: [i32; TILE],
}

/// A row compared to the best before it.
struct Compare<'a, T> {
    row: &'a [T],
    old: &'a Best<T>,
    new: &'a mut Best<T>,
    index: i32,
    wanted: Wanted,
}

impl<T: Summand> Compare<'_, T> {
    #[inline(always)]
    fn each(self, replaces: impl Fn(T, T) -> bool) {
        let old = self.old.values.iter().zip(&self.old.places);
        let new = self.new.values.iter_mut().zip(&mut self.new.places);
        for ((x, (value, place)), (new_value, new_place)) in self.row.iter().zip(old).zip(new) {
            let better = replaces(*x, *value);
            *new_value = if better { *x } else { *value };
            *new_place = if better { self.index } else { *place };
        }
    }
}

impl<T: Summand> Kernel for Compare<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        match (self.wanted.greatest, self.wanted.last) {
            (true, false) => self.each(|x, best| replaces(x, best, true, false)),
            (true, true) => self.each(|x, best| replaces(x, best, true, true)),
            (false, false) => self.each(|x, best| replaces(x, best, false, false)),
            (false, true) => self.each(|x, best| replaces(x, best, false, true)),
        }
    }
}
