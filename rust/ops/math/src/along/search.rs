//! Finding the greatest or least element along an axis: what ArgMax, ArgMin and Hardmax share.

use base::threads::parallel_for;
use base::{DType, Element};

use super::split::{Reader, Split, TILE};
use crate::elementwise::{BLOCK, Buffer, Convert, for_integers, vectorize};
use crate::reduce::{Extreme, Fold, Summand};

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

/// Calls `found(outer, inner, index)` with where along the axis the wanted element is; NaN is wanted before all others. `None` for types
/// without order. The axis is not empty.
///
/// # Safety
/// `address` is that of the elements of `split`, of type `dtype`.
pub(super) unsafe fn search(
    dtype: DType,
    address: *const u8,
    split: Split,
    wanted: Wanted,
    found: &(dyn Fn(usize, usize, usize) + Sync),
) -> Option<()> {
    let load = Convert::widen(dtype);
    let reader = Reader { address, size: dtype.size()?, load: load.as_ref() };
    // SAFETY: as the caller vouches; 16-bit floats are loaded as `f32`.
    unsafe {
        match dtype {
            DType::F32 | DType::F16 | DType::BF16 => Some(typed::<f32>(reader, split, wanted, found)),
            DType::F64 => Some(typed::<f64>(reader, split, wanted, found)),
            _ => for_integers!(dtype, T => typed::<T>(reader, split, wanted, found)),
        }
    }
}

/// # Safety
/// As for [`search`], with `T` the type that is read.
unsafe fn typed<T: Summand + Element>(reader: Reader<'_>, split: Split, wanted: Wanted, found: &(dyn Fn(usize, usize, usize) + Sync)) {
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

/// Whether `x` takes the place of `best`, which came before it.
#[inline(always)]
fn replaces<T: Summand>(x: T, best: T, wanted: Wanted) -> bool {
    if x.is_nan() || best.is_nan() {
        return x.is_nan() && (wanted.last || !best.is_nan());
    }
    let better = if wanted.greatest { x > best } else { x < best };
    better || (wanted.last && x == best)
}

/// The index in a row: block by block, first the value, then its place if it is the best yet.
///
/// # Safety
/// The tensor has the `len` elements from `start` on.
unsafe fn row<T: Summand + Element>(reader: Reader<'_>, start: usize, len: usize, wanted: Wanted, buffer: &mut Buffer) -> usize {
    let mut best: Option<(T, usize)> = None;
    for at in (0..len).step_by(BLOCK) {
        // SAFETY: as the caller vouches.
        let block: &[T] = unsafe { reader.read::<T>(start + at, BLOCK.min(len - at), buffer) };
        let value = extreme(block, wanted.greatest);
        if best.is_some_and(|(best, _)| !replaces(value, best, wanted)) {
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

struct Row<'a, F: Fold> {
    fold: F,
    x: &'a [F::Item],
}

impl<F: Fold> simd::Kernel for Row<'_, F> {
    type Output = F::Acc;

    #[inline(always)]
    fn run<S: simd::Simd>(self, _: S) -> F::Acc {
        self.fold.row(self.fold.start(), self.x)
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
    found: &(dyn Fn(usize, usize, usize) + Sync),
) {
    let mut best = [T::LEAST; TILE];
    let mut places = [0usize; TILE];
    for index in 0..split.len {
        // SAFETY: as the caller vouches.
        let row: &[T] = unsafe { reader.read::<T>((outer * split.len + index) * split.inner + first, n, buffer) };
        for ((x, best), place) in row.iter().zip(&mut best).zip(&mut places) {
            if index == 0 || replaces(*x, *best, wanted) {
                (*best, *place) = (*x, index);
            }
        }
    }
    places[..n].iter().enumerate().for_each(|(column, place)| found(outer, first + column, *place));
}
