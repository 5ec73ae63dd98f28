//! Which elements of a tensor are read or written: sizes and strides by axis.

use base::{Layout, Result, Shape, TensorMut, TensorRef, ensure, error};
use smallvec::SmallVec;

use super::{Axes, Steps, Walk};

/// Elements of a tensor, arranged in axes. What is made from the region of a tensor by the methods here stays inside that tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Region {
    axes: Axes<1>,
    /// The first element, counted from the first element of the tensor.
    offset: isize,
}

impl Region {
    /// All elements of a dense tensor of shape `dims`.
    pub(crate) fn dense(dims: &[usize]) -> Self {
        let mut axes: Axes<1> = dims.iter().map(|&len| Steps { len, by: [1] }).collect();
        for i in (1..axes.len()).rev() {
            axes[i - 1].by[0] = axes[i].by[0].wrapping_mul(axes[i].len.max(1) as isize);
        }
        Self { axes, offset: 0 }
    }

    /// One element of a dense tensor, which must have it, without axes.
    pub(super) fn element(at: usize) -> Self {
        Self { axes: Axes::new(), offset: at as isize }
    }

    /// All elements of a tensor.
    ///
    /// # Errors
    /// `Fail` when its layout is blocked.
    pub(crate) fn of(tensor: &TensorRef<'_>) -> Result<Self> {
        Self::laid_out(tensor.shape(), tensor.layout())
    }

    /// All elements of a tensor that is to be written.
    ///
    /// # Errors
    /// `Fail` when its layout is blocked.
    pub(crate) fn of_output(tensor: &TensorMut<'_>) -> Result<Self> {
        Self::laid_out(tensor.shape(), tensor.layout())
    }

    fn laid_out(dims: &[usize], layout: &Layout) -> Result<Self> {
        match layout {
            Layout::Dense => Ok(Self::dense(dims)),
            Layout::Strided(strides) => {
                Ok(Self { axes: dims.iter().zip(strides).map(|(&len, &s)| Steps { len, by: [s] }).collect(), offset: 0 })
            }
            Layout::Blocked(_) => Err(error!(Fail, "a blocked tensor has no strides")),
        }
    }

    /// The sizes of the axes.
    pub(crate) fn dims(&self) -> Shape {
        self.axes.iter().map(|a| a.len).collect()
    }

    /// The axes.
    pub(crate) fn axes(&self) -> &[Steps<1>] {
        &self.axes
    }

    /// The first element, counted from the first element of the tensor.
    pub(crate) fn offset(&self) -> isize {
        self.offset
    }

    /// The number of elements.
    pub(crate) fn len(&self) -> usize {
        if self.axes.iter().any(|a| a.len == 0) { 0 } else { self.axes.iter().map(|a| a.len).product() }
    }

    /// The `count` elements of `axis` from `start` on, `step` apart.
    ///
    /// # Errors
    /// `InvalidArgument` when they do not lie on the axis.
    pub(crate) fn slice(mut self, axis: usize, start: usize, step: isize, count: usize) -> Result<Self> {
        let a = self.axis_mut(axis)?;
        if count > 0 {
            let last = step.checked_mul(count as isize - 1).and_then(|reach| (start as isize).checked_add(reach));
            let inside = start < a.len && last.is_some_and(|last| 0 <= last && (last as usize) < a.len);
            ensure!(inside, InvalidArgument, "{count} elements from {start} by {step} do not lie on axis {axis} of size {}", a.len);
        }
        let skipped = if count > 0 { a.by[0] * start as isize } else { 0 };
        // An axis of one element has no use for a stride, which could overflow.
        *a = Steps { len: count, by: [if count > 1 { a.by[0] * step } else { a.by[0] }] };
        self.offset += skipped;
        Ok(self)
    }

    /// The axes in another order: axis `i` is the old axis `order[i]`.
    ///
    /// # Errors
    /// `InvalidArgument` when `order` is no permutation.
    pub(crate) fn permute(self, order: &[usize]) -> Result<Self> {
        let mut seen: SmallVec<[bool; 8]> = SmallVec::from_elem(false, self.axes.len());
        let fresh = |&i: &usize| seen.get_mut(i).is_some_and(|s| !std::mem::replace(s, true));
        let all = order.len() == self.axes.len() && order.iter().all(fresh);
        ensure!(all, InvalidArgument, "{order:?} is no permutation of {} axes", self.axes.len());
        Ok(Self { axes: order.iter().map(|&i| self.axes[i]).collect(), ..self })
    }

    /// With `axis` cut into two: an outer one, and an inner one of `inner` elements.
    ///
    /// # Errors
    /// `InvalidArgument` when its size is no multiple of `inner`.
    pub(crate) fn split(mut self, axis: usize, inner: usize) -> Result<Self> {
        let a = *self.axis_mut(axis)?;
        ensure!(inner > 0 && a.len.is_multiple_of(inner), InvalidArgument, "axis {axis} of size {} cannot be cut by {inner}", a.len);
        let outer = Steps { len: a.len / inner, by: [a.by[0].wrapping_mul(inner as isize)] };
        self.axes[axis] = Steps { len: inner, by: a.by };
        self.axes.insert(axis, outer);
        Ok(self)
    }

    /// With a new axis before `axis` that repeats everything `times` times. Only for reading.
    pub(crate) fn repeat(mut self, axis: usize, times: usize) -> Self {
        self.axes.insert(axis.min(self.axes.len()), Steps { len: times, by: [0] });
        self
    }

    /// Broadcast to shape `dims`, by the rule of ONNX. Only for reading.
    ///
    /// # Errors
    /// `InvalidArgument` when it does not broadcast.
    pub(crate) fn broadcast(self, dims: &[usize]) -> Result<Self> {
        let Some(added) = dims.len().checked_sub(self.axes.len()) else {
            return Err(error!(InvalidArgument, "shape {} does not broadcast to {}", self.dims(), Shape::from(dims)));
        };
        let old = (0..dims.len()).map(|i| i.checked_sub(added).map_or(Steps { len: 1, by: [0] }, |j| self.axes[j]));
        let fits = |(a, &len): (Steps<1>, &usize)| match a.len {
            n if n == len => Some(a),
            1 => Some(Steps { len, by: [0] }),
            _ => None,
        };
        let axes = old.zip(dims).map(fits).collect::<Option<_>>();
        let axes = axes.ok_or_else(|| error!(InvalidArgument, "shape {} does not broadcast to {}", self.dims(), Shape::from(dims)))?;
        Ok(Self { axes, ..self })
    }

    fn axis_mut(&mut self, axis: usize) -> Result<&mut Steps<1>> {
        let rank = self.axes.len();
        self.axes.get_mut(axis).ok_or_else(|| error!(InvalidArgument, "there is no axis {axis} of {rank}"))
    }

    /// The least and the greatest element, counted from the first element of the tensor; `None` when there are none.
    pub(crate) fn extent(&self) -> Option<(isize, isize)> {
        let (mut low, mut high) = (self.offset, self.offset);
        for a in &self.axes {
            let reach = a.by[0].checked_mul(isize::try_from(a.len.checked_sub(1)?).ok()?)?;
            if reach < 0 {
                low = low.checked_add(reach)?;
            } else {
                high = high.checked_add(reach)?;
            }
        }
        Some((low, high))
    }

    /// Each element, counted from the first element of the tensor, in row-major order of this region.
    pub(crate) fn elements(&self) -> impl ExactSizeIterator<Item = usize> + Clone + '_ {
        let mut walk = Walk::new(&self.axes, [self.offset], 0);
        (0..self.len()).map(move |_| {
            let at = walk.at[0];
            walk.step();
            at as usize
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elements(r: Region) -> Vec<usize> {
        r.elements().collect()
    }

    #[test]
    fn slices_stay_inside() {
        let r = || Region::dense(&[2, 3]);
        assert_eq!(elements(r().slice(1, 2, -2, 2).unwrap()), [2, 0, 5, 3]);
        assert_eq!(elements(r().slice(0, 9, 1, 0).unwrap()), []);
        assert!(r().slice(1, 1, 1, 3).is_err());
        assert!(r().slice(1, 1, -1, 3).is_err());
        assert!(r().slice(1, 0, isize::MAX, 3).is_err());
        assert!(r().slice(2, 0, 1, 1).is_err());
        assert_eq!(r().slice(1, 1, 1, 2).unwrap().extent(), Some((1, 5)));
    }

    #[test]
    fn axes_are_rearranged() {
        let r = || Region::dense(&[2, 4]);
        assert_eq!(elements(r().permute(&[1, 0]).unwrap()), [0, 4, 1, 5, 2, 6, 3, 7]);
        assert!(r().permute(&[1, 1]).is_err() && r().permute(&[0]).is_err() && r().permute(&[0, 2]).is_err());
        assert_eq!(&*r().split(1, 2).unwrap().dims(), [2, 2, 2]);
        assert!(r().split(1, 3).is_err() && r().split(1, 0).is_err());
        assert_eq!(elements(Region::dense(&[2]).repeat(1, 2)), [0, 0, 1, 1]);
        assert_eq!(elements(Region::dense(&[2, 1]).broadcast(&[2, 2, 2]).unwrap()), [0, 0, 1, 1, 0, 0, 1, 1]);
        assert!(Region::dense(&[2]).broadcast(&[3]).is_err() && r().broadcast(&[4]).is_err());
    }
}
