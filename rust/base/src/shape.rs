//! Shapes: the sizes of a tensor's axes, outermost first.

use std::fmt;
use std::ops::Deref;

use smallvec::SmallVec;

use crate::{Result, ensure};

/// The sizes of a tensor's axes, outermost first. Up to six axes live without an allocation.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Shape(SmallVec<[usize; 6]>);

/// The most elements that axes may stand for, those of size 0 left out: kernels can multiply sizes, and count bytes, without a care.
const MOST: usize = usize::MAX >> 8;

impl Shape {
    /// The shape of a scalar.
    pub fn scalar() -> Self {
        Self(SmallVec::new())
    }

    /// The number of elements; `None` when there are more than a tensor can have, or would be if no axis had the size 0.
    pub fn checked_len(dims: &[usize]) -> Option<usize> {
        let sizes = dims.iter().filter(|d| **d > 0);
        let most = sizes.clone().try_fold(1usize, |n, &d| n.checked_mul(d)).filter(|n| *n <= MOST)?;
        Some(if sizes.count() == dims.len() { most } else { 0 })
    }

    /// Appends an axis as the innermost one.
    pub fn push(&mut self, dim: usize) {
        self.0.push(dim);
    }

    /// Inserts an axis at `index`, which is at most the rank.
    pub fn insert(&mut self, index: usize, dim: usize) {
        self.0.insert(index, dim);
    }

    /// Removes the axis at `index`, which is less than the rank.
    pub fn remove(&mut self, index: usize) -> usize {
        self.0.remove(index)
    }

    /// The sizes, to be changed in place.
    pub fn dims_mut(&mut self) -> &mut [usize] {
        &mut self.0
    }

    /// Makes this shape equal to `dims`, reusing its storage.
    pub fn assign(&mut self, dims: &[usize]) {
        self.0.clear();
        self.0.extend_from_slice(dims);
    }
}

impl Deref for Shape {
    type Target = [usize];

    fn deref(&self) -> &[usize] {
        &self.0
    }
}

impl From<&[usize]> for Shape {
    fn from(dims: &[usize]) -> Self {
        Self(SmallVec::from_slice(dims))
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    fn from(dims: [usize; N]) -> Self {
        Self(SmallVec::from_slice(&dims))
    }
}

impl From<Vec<usize>> for Shape {
    fn from(dims: Vec<usize>) -> Self {
        Self(SmallVec::from_vec(dims))
    }
}

impl FromIterator<usize> for Shape {
    fn from_iter<I: IntoIterator<Item = usize>>(dims: I) -> Self {
        Self(dims.into_iter().collect())
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(f, &self.0)
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(f, &self.0)
    }
}

fn show(f: &mut fmt::Formatter<'_>, dims: &[usize]) -> fmt::Result {
    f.write_str("{")?;
    for (i, d) in dims.iter().enumerate() {
        write!(f, "{}{d}", if i > 0 { "," } else { "" })?;
    }
    f.write_str("}")
}

/// The axis that `axis` names in a tensor of `rank` axes, counting from the end when negative.
///
/// # Errors
/// `InvalidArgument` when `axis` is outside `[-rank, rank - 1]`.
pub fn axis_index(axis: i64, rank: usize) -> Result<usize> {
    let r = rank as i64;
    ensure!(-r <= axis && axis < r, InvalidArgument, "axis {axis} is outside [-{rank}, {rank}) of a tensor of rank {rank}");
    Ok(if axis < 0 { (axis + r) as usize } else { axis as usize })
}

/// The shape that `a` and `b` broadcast to, by the multidirectional rule of ONNX.
///
/// # Errors
/// `Fail` naming both shapes when an axis differs and neither size is 1.
pub fn broadcast(a: &[usize], b: &[usize]) -> Result<Shape> {
    let rank = a.len().max(b.len());
    let size = |s: &[usize], i: usize| (i + s.len()).checked_sub(rank).map_or(1, |j| s[j]);
    let mut out = Shape::default();
    for i in 0..rank {
        out.push(match (size(a, i), size(b, i)) {
            (x, y) if x == y => x,
            (1, y) => y,
            (x, 1) => x,
            _ => crate::bail!(Fail, "shapes {} and {} do not broadcast: axis {i} differs", Shape::from(a), Shape::from(b)),
        });
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_beats_overflow() {
        assert_eq!(Shape::checked_len(&[1 << 40, 2, 0]), Some(0));
        assert_eq!(Shape::checked_len(&[usize::MAX, 2, 0]), None);
        assert_eq!(Shape::checked_len(&[usize::MAX, 2]), None);
        assert_eq!(Shape::checked_len(&[]), Some(1));
    }

    #[test]
    fn broadcasts_by_the_rule() {
        assert_eq!(&*broadcast(&[2, 1, 3], &[4, 1]).unwrap(), [2, 4, 3]);
        assert_eq!(&*broadcast(&[], &[0]).unwrap(), [0]);
        assert!(broadcast(&[2], &[3]).unwrap_err().detail().contains("{2} and {3}"));
    }

    #[test]
    fn axes_count_from_both_ends() {
        assert_eq!(axis_index(-1, 3).unwrap(), 2);
        assert!(axis_index(3, 3).is_err());
        assert!(axis_index(0, 0).is_err());
    }
}
