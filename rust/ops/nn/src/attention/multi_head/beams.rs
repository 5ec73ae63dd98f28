//! Caches of a search with several beams: each position of an image is taken from the beam that it came from.

use base::threads::{SharedMut, try_parallel_for};
use base::{Result, Shape, TensorRef, bail, ensure};

use super::super::cache::{Extent, by_head};
use super::super::core::{Heads, Operand};

/// From which image each position of an image is taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beams<'a> {
    /// Of each image and position, the beam.
    from: &'a [i32],
    width: usize,
    positions: usize,
    /// Positions from this on are an image's own.
    earlier: usize,
}

impl<'a> Beams<'a> {
    /// The beams `t`, `[batch / width, width, positions]`, of `batch` images with `earlier` positions.
    ///
    /// # Errors
    /// `InvalidArgument` for another shape, or beams that are not there.
    pub(super) fn of(t: TensorRef<'a>, batch: usize, earlier: usize) -> Result<Self> {
        let &[groups, width, positions] = t.shape() else {
            bail!(InvalidArgument, "a cache_indirection of shape {}", Shape::from(t.shape()))
        };
        let fits = groups * width == batch && positions >= earlier;
        ensure!(fits, InvalidArgument, "a cache_indirection of {} for {batch} images of {earlier} positions", Shape::from(t.shape()));
        let from = t.slice::<i32>()?;
        let mut read = from.chunks_exact(positions.max(1)).flat_map(|row| &row[..earlier]);
        let strange = read.find(|beam| !usize::try_from(**beam).is_ok_and(|b| b < width));
        ensure!(strange.is_none(), InvalidArgument, "cache_indirection has beam {strange:?} of {width}");
        Ok(Self { from, width, positions, earlier })
    }

    /// The image that position `row` of `image` is taken from.
    fn origin(&self, image: usize, row: usize) -> usize {
        if row >= self.earlier {
            return image;
        }
        image / self.width * self.width + self.from[image * self.positions + row] as usize
    }

    /// Copies all positions of `e` as the images see them.
    pub(super) fn follow<'r>(&self, rows: &Operand<'_, f32>, e: Extent, to: &'r mut [f32]) -> Result<Heads<'r, f32>> {
        let (len, shared) = (e.rows * e.size, SharedMut::new(&mut to[..e.elements()]));
        try_parallel_for(shared.len() / len.max(1), &|i| {
            // SAFETY: each head belongs to one chunk.
            let own = unsafe { shared.part(i * len..(i + 1) * len) };
            own.chunks_exact_mut(e.size).enumerate().try_for_each(|(row, to)| {
                let (image, head) = (i / e.heads, i % e.heads);
                rows.copy(self.origin(image, row), head, row, to)
            })
        })?;
        Ok(by_head(to, e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::Tensor;

    #[test]
    fn positions_come_from_their_beams() {
        let from = Tensor::from_slice([1, 2, 3], &[1i32, 0, 9, 1, 1, 9]).unwrap();
        let beams = Beams::of(from.as_ref(), 2, 2).unwrap();
        let e = Extent { batch: 2, heads: 1, rows: 3, size: 1 };
        let data = [1.0, 2.0, 3.0, 11.0, 12.0, 13.0];
        let mut to = [0.0; 6];
        beams.follow(&Operand::Plain(by_head(&data, e)), e, &mut to).unwrap();
        assert_eq!(to, [11.0, 2.0, 3.0, 11.0, 12.0, 13.0]);
    }

    #[test]
    fn beams_that_are_not_there_are_refused() {
        let from = Tensor::from_slice([1, 2, 1], &[0i32, 2]).unwrap();
        assert!(Beams::of(from.as_ref(), 2, 1).unwrap_err().detail().contains("beam Some(2)"));
        assert!(Beams::of(from.as_ref(), 3, 1).is_err());
    }
}
