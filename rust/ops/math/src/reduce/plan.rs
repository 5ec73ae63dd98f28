//! Which elements are reduced to which output: the axes of a reduction, merged.

use smallvec::SmallVec;

/// Outputs that are computed at once.
pub(crate) const TILE: usize = 256;

/// An axis of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Axis {
    pub(crate) len: usize,
    /// In elements.
    pub(crate) stride: usize,
}

/// The axes of a reduction. Neighbouring axes of one kind are one, and axes of length 1 are none.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Whether the innermost axis is reduced: rows become elements. Else it is kept: columns become elements.
    pub(crate) rows: bool,
    /// The innermost axis that is kept.
    pub(crate) kept: Axis,
    /// The innermost axis that is reduced.
    pub(crate) reduced: Axis,
    /// The other axes that are kept, outermost first.
    pub(crate) outer_kept: SmallVec<[Axis; 4]>,
    /// The other axes that are reduced, outermost first.
    pub(crate) outer_reduced: SmallVec<[Axis; 4]>,
}

impl Plan {
    /// The plan for a dense input of shape `dims` of which the axes in `reduce` are reduced.
    pub(crate) fn new(dims: &[usize], reduce: impl Fn(usize) -> bool) -> Self {
        let mut axes: SmallVec<[(Axis, bool); 6]> = SmallVec::new();
        let mut stride = 1usize;
        for (i, &len) in dims.iter().enumerate().rev() {
            if len != 1 {
                match axes.last_mut() {
                    Some((inner, reduced)) if *reduced == reduce(i) => inner.len *= len,
                    _ => axes.push((Axis { len, stride }, reduce(i))),
                }
            }
            stride = stride.saturating_mul(len);
        }
        // An axis of length 1 around all: rows that are never stepped over are no shorter than the tensor.
        let none = Axis { len: 1, stride };
        let rows = axes.first().is_none_or(|(_, reduced)| *reduced);
        // From the innermost outwards; turned around at the end.
        let of = |kind: bool| {
            let mut axes = axes.iter().filter(|(_, reduced)| *reduced == kind).map(|(axis, _)| *axis);
            let inner = axes.next().unwrap_or(none);
            let mut outer: SmallVec<[Axis; 4]> = axes.collect();
            outer.reverse();
            (inner, outer)
        };
        let ((kept, outer_kept), (reduced, outer_reduced)) = (of(false), of(true));
        Self { rows, kept, reduced, outer_kept, outer_reduced }
    }

    /// How many outputs there are.
    pub(crate) fn outputs(&self) -> usize {
        self.kept.len * count(&self.outer_kept)
    }

    /// How many elements each output is made of.
    pub(crate) fn inputs(&self) -> usize {
        self.reduced.len * count(&self.outer_reduced)
    }
}

/// How many indices `axes` have together.
pub(crate) fn count(axes: &[Axis]) -> usize {
    axes.iter().map(|a| a.len).product()
}

/// Where flat index `i` of `axes` lies.
pub(crate) fn offset(axes: &[Axis], mut i: usize) -> usize {
    let mut offset = 0;
    for axis in axes.iter().rev() {
        offset += i % axis.len * axis.stride;
        i /= axis.len;
    }
    offset
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(dims: &[usize], reduced: &[usize]) -> Plan {
        Plan::new(dims, |i| reduced.contains(&i))
    }

    #[test]
    fn neighbours_merge() {
        let axis = |len, stride| Axis { len, stride };
        let p = plan(&[2, 3, 4, 5], &[2, 3]);
        assert_eq!((p.rows, p.kept, p.reduced, p.outputs(), p.inputs()), (true, axis(6, 20), axis(20, 1), 6, 20));
        let p = plan(&[2, 3, 4, 1], &[0, 2]);
        assert_eq!((p.rows, p.kept, p.reduced), (true, axis(3, 4), axis(4, 1)));
        assert_eq!((&p.outer_reduced[..], p.outer_kept.len()), (&[axis(2, 12)][..], 0));
        let p = plan(&[2, 3, 4], &[1]);
        assert_eq!((p.rows, p.kept, p.reduced, &p.outer_kept[..]), (false, axis(4, 1), axis(3, 4), &[axis(2, 12)][..]));
        let p = plan(&[7, 1], &[1]);
        assert_eq!((p.rows, p.outputs(), p.inputs()), (false, 7, 1));
        let p = plan(&[], &[]);
        assert_eq!((p.rows, p.outputs(), p.inputs()), (true, 1, 1));
        let p = plan(&[3, 0], &[1]);
        assert_eq!((p.outputs(), p.inputs()), (3, 0));
    }

    #[test]
    fn offsets_count_outermost_last() {
        let axes = [Axis { len: 2, stride: 100 }, Axis { len: 3, stride: 10 }];
        assert_eq!((0..6).map(|i| offset(&axes, i)).collect::<Vec<_>>(), [0, 10, 20, 100, 110, 120]);
    }
}
