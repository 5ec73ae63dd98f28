//! How the elements of a tensor lie in its buffer.

use smallvec::SmallVec;

use crate::Shape;

/// Distances between neighbours along each axis, in elements.
pub type Strides = SmallVec<[isize; 6]>;

/// How the elements of a tensor lie in its buffer. The shape is always the logical one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Layout {
    /// Row-major, without gaps.
    #[default]
    Dense,
    /// One stride per axis, in elements; zero repeats, negative runs backwards.
    Strided(Strides),
    /// Channels (axis 1) in blocks of this many, the block innermost: `[N, ceil(C / b), spatial.., b]`. Padding lanes are zero.
    Blocked(u8),
}

/// The strides of a row-major tensor of shape `dims`, in elements.
pub fn dense_strides(dims: &[usize]) -> Strides {
    let mut strides: Strides = SmallVec::from_elem(1, dims.len());
    for i in (1..dims.len()).rev() {
        strides[i - 1] = strides[i].wrapping_mul(dims[i].max(1) as isize);
    }
    strides
}

impl Layout {
    /// Whether a tensor of shape `dims` in this layout is row-major without gaps.
    pub fn is_dense(&self, dims: &[usize]) -> bool {
        match self {
            Self::Dense => true,
            Self::Strided(strides) => strides_are_dense(dims, strides),
            Self::Blocked(_) => false,
        }
    }

    /// The strides of a tensor of shape `dims`, in elements; `None` for blocked layouts.
    pub fn strides(&self, dims: &[usize]) -> Option<Strides> {
        match self {
            Self::Dense => Some(dense_strides(dims)),
            Self::Strided(strides) => Some(strides.clone()),
            Self::Blocked(_) => None,
        }
    }

    /// The smallest and largest element index that a tensor of shape `dims` touches, relative to its first element.
    ///
    /// `None` for an empty tensor or when an index overflows.
    pub fn extent(&self, dims: &[usize]) -> Option<(isize, isize)> {
        if dims.contains(&0) {
            return None;
        }
        let mut bounds = (0isize, 0isize);
        match self {
            Self::Strided(strides) => {
                for (&d, &s) in dims.iter().zip(strides) {
                    let reach = s.checked_mul(isize::try_from(d - 1).ok()?)?;
                    let side = if reach < 0 { &mut bounds.0 } else { &mut bounds.1 };
                    *side = side.checked_add(reach)?;
                }
            }
            _ => bounds.1 = isize::try_from(self.stored_len(dims)?).ok()? - 1,
        }
        Some(bounds)
    }

    /// Elements that storage for a tensor of shape `dims` holds, padding included; `None` when the number overflows.
    ///
    /// For strided layouts this is the number of elements of the tensor itself.
    pub fn stored_len(&self, dims: &[usize]) -> Option<usize> {
        match self {
            Self::Blocked(block) if dims.len() >= 2 => {
                let mut padded = Shape::from(dims);
                padded.dims_mut()[1] = dims[1].checked_next_multiple_of(*block as usize)?;
                Shape::checked_len(&padded)
            }
            _ => Shape::checked_len(dims),
        }
    }
}

fn strides_are_dense(dims: &[usize], strides: &[isize]) -> bool {
    if dims.contains(&0) {
        return true;
    }
    let mut expected = 1isize;
    for (&d, &s) in dims.iter().zip(strides).rev() {
        if d != 1 {
            if s != expected {
                return false;
            }
            expected = expected.wrapping_mul(d as isize);
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unit_axes_do_not_matter() {
        let strided = |s: &[isize]| Layout::Strided(SmallVec::from_slice(s));
        assert!(strided(&[99, 3, 77, 1]).is_dense(&[1, 2, 1, 3]));
        assert!(!strided(&[1, 2]).is_dense(&[2, 3]));
        assert!(strided(&[0, 0]).is_dense(&[0, 5]));
    }

    #[test]
    fn blocked_pads_channels() {
        assert_eq!(Layout::Blocked(8).stored_len(&[2, 3, 4]), Some(64));
        assert_eq!(Layout::Blocked(8).extent(&[2, 3, 4]), Some((0, 63)));
    }

    #[test]
    fn extent_covers_negative_strides() {
        let l = Layout::Strided(SmallVec::from_slice(&[-4, 1]));
        assert_eq!(l.extent(&[3, 4]), Some((-8, 3)));
        assert_eq!(l.extent(&[0, 4]), None);
    }
}
