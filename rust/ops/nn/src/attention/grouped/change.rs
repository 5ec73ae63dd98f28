//! How queries and keys are changed before they meet: normalized, then turned.

use base::{Result, Shape, TensorRef, bail, ensure};
use smallvec::{SmallVec, smallvec};

use super::super::rotary::turn;
use crate::floats::Floats;

/// Cosines and sines of positions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Angles<'a> {
    cos: Floats<'a>,
    sin: Floats<'a>,
    /// Elements of a position.
    half: usize,
    positions: usize,
    pub(crate) interleaved: bool,
}

impl<'a> Angles<'a> {
    /// The caches `cos` and `sin`, both `[positions, half]`, for heads of `size` elements.
    ///
    /// # Errors
    /// `InvalidArgument` for caches of other shapes.
    pub(crate) fn of(cos: TensorRef<'a>, sin: TensorRef<'a>, size: usize, interleaved: bool) -> Result<Self> {
        let &[positions, half] = cos.shape() else { bail!(InvalidArgument, "a cache of shape {}", Shape::from(cos.shape())) };
        let fits = cos.shape() == sin.shape() && 2 * half <= size;
        ensure!(fits, InvalidArgument, "caches of {} and {}", Shape::from(cos.shape()), Shape::from(sin.shape()));
        Ok(Self { cos: Floats::of(cos)?, sin: Floats::of(sin)?, half, positions, interleaved })
    }
}

/// The change of one operand.
#[derive(Clone, Copy)]
pub(crate) struct Change<'a> {
    pub(crate) angles: Option<Angles<'a>>,
    /// Weights of the root mean square norm of a head, and its epsilon.
    pub(crate) norm: Option<(Floats<'a>, f32)>,
    /// The position of the first element of each image.
    pub(crate) first: &'a (dyn Fn(usize) -> usize + Sync),
    /// The positions of all elements, or of the very first.
    pub(crate) positions: Option<&'a [i64]>,
    /// Elements of each image.
    pub(crate) rows: usize,
}

impl Change<'_> {
    pub(crate) fn is_none(&self) -> bool {
        self.angles.is_none() && self.norm.is_none()
    }

    fn position(&self, image: usize, row: usize) -> usize {
        match self.positions {
            Some(p) if p.len() == 1 => p[0] as usize + row,
            Some(p) => p[image * self.rows + row] as usize,
            None => (self.first)(image) + row,
        }
    }

    /// Whether all of `batch` images can be changed.
    ///
    /// # Errors
    /// `InvalidArgument` for weights of another size than `size`, or positions of which the caches know nothing.
    pub(crate) fn check(&self, batch: usize, size: usize) -> Result<()> {
        ensure!(self.norm.is_none_or(|(n, _)| n.len() == size), InvalidArgument, "weights of a norm for heads of {size} elements");
        let Some(angles) = self.angles else { return Ok(()) };
        if let Some(given) = self.positions {
            let fits = given.len() == 1 || given.len() == batch * self.rows;
            ensure!(fits && given.iter().all(|v| *v >= 0), InvalidArgument, "position_ids is {given:?}");
        }
        for (image, row) in (0..batch).flat_map(|b| (0..self.rows).map(move |r| (b, r))) {
            let at = self.position(image, row);
            ensure!(at < angles.positions, InvalidArgument, "position {at} is outside of caches of {} rows", angles.positions);
        }
        Ok(())
    }

    /// Changes one head at one position.
    pub(crate) fn apply(&self, image: usize, row: usize, x: &mut [f32]) {
        if let Some((weights, epsilon)) = self.norm {
            let spread = simd::reduce::sum_of_squares(x) / x.len() as f32;
            let factor = 1.0 / (spread + epsilon).sqrt();
            x.iter_mut().enumerate().for_each(|(i, v)| *v *= factor * weights.get::<f32>(i));
        }
        let Some(Angles { cos, sin, half, interleaved, .. }) = self.angles else { return };
        let at = self.position(image, row) * half;
        let before: SmallVec<[f32; 256]> = (&*x).into();
        let mut rooms: [SmallVec<[f32; 128]>; 2] = [smallvec![0.0; half], smallvec![0.0; half]];
        let [wide_cos, wide_sin] = &mut rooms;
        turn(&before, cos.row(at..at + half, wide_cos), sin.row(at..at + half, wide_sin), interleaved, x);
    }
}
