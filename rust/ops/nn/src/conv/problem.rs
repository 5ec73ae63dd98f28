//! A convolution of concrete sizes: up to three spatial axes, missing ones of size 1 in front.

use base::{Layout, Result, Shape, ensure};

use crate::window::{Axis, WindowAttrs};

/// The most spatial axes that the direct kernels take.
pub(super) const SPATIAL: usize = 3;

/// A convolution of concrete sizes.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    pub(crate) batch: usize,
    pub(crate) groups: usize,
    /// Input channels of a group.
    pub(crate) ic: usize,
    /// Output channels of a group.
    pub(crate) oc: usize,
    /// All spatial axes, outermost first.
    pub(crate) axes: crate::window::Axes,
}

impl Problem {
    /// The convolution of an input of shape `x` by weights of shape `w` (`[output channels, input channels of a group, kernel..]`).
    ///
    /// # Errors
    /// `InvalidGraph` or `InvalidArgument` when the shapes disagree.
    pub(crate) fn new(window: &WindowAttrs, groups: usize, x: &[usize], w: &[usize]) -> Result<Self> {
        let show = |s: &[usize]| Shape::from(s);
        ensure!(x.len() >= 2 && w.len() == x.len(), InvalidArgument, "weights of shape {} for an input of {}", show(w), show(x));
        let (oc, ic) = (w[0], w[1]);
        let fits = groups > 0 && ic.checked_mul(groups) == Some(x[1]) && oc % groups == 0;
        ensure!(fits, Fail, "weights of shape {} in {groups} groups for an input of shape {}", show(w), show(x));
        if let Some(kernel) = &window.kernel {
            ensure!(kernel.is_empty() || kernel[..] == w[2..], InvalidArgument, "kernel_shape is {kernel:?}, the weights {}", show(w));
        }
        ensure!(!w[2..].contains(&0), InvalidArgument, "weights of shape {} have no kernel", show(w));
        let axes = window.axes(&x[2..], &w[2..])?;
        Ok(Self { batch: x[0], groups, ic, oc: oc / groups, axes })
    }

    /// The shape of the output.
    pub(crate) fn shape(&self) -> Shape {
        [self.batch, self.groups * self.oc].into_iter().chain(self.axes.iter().map(|a| a.output)).collect()
    }

    /// The three spatial axes, outermost first.
    ///
    /// # Errors
    /// `NotImplemented` when there are more.
    pub(super) fn spatial(&self) -> Result<[Axis; SPATIAL]> {
        let n = self.axes.len();
        ensure!(n <= SPATIAL, NotImplemented, "a direct convolution over {n} axes");
        let mut spatial = [Axis::UNIT; SPATIAL];
        spatial[SPATIAL - n..].copy_from_slice(&self.axes);
        Ok(spatial)
    }

    /// Elements of one channel of the input.
    pub(crate) fn in_plane(&self) -> usize {
        self.axes.iter().map(|a| a.input).product()
    }

    /// Elements of one channel of the output.
    pub(crate) fn out_plane(&self) -> usize {
        self.axes.iter().map(|a| a.output).product()
    }

    /// Elements of the kernel for one pair of channels.
    pub(crate) fn taps(&self) -> usize {
        self.axes.iter().map(|a| a.kernel).product()
    }

    /// The number of elements of the weights.
    pub(crate) fn weights(&self) -> usize {
        self.groups * self.oc * self.ic * self.taps()
    }
}

/// How channels lie in an input or output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Channels {
    /// Each channel by itself.
    Dense,
    /// In blocks of as many as a vector has lanes.
    Blocked,
}

impl Channels {
    /// The layout of a tensor, for kernels whose vectors have `lanes` lanes.
    ///
    /// # Errors
    /// `NotImplemented` when its blocks are not as wide as a vector.
    pub(crate) fn of(layout: &Layout, dims: &[usize], lanes: usize) -> Result<Self> {
        match layout {
            Layout::Blocked(block) if usize::from(*block) == lanes => Ok(Self::Blocked),
            layout if layout.is_dense(dims) => Ok(Self::Dense),
            other => base::bail!(NotImplemented, "a convolution of layout {other:?}, where vectors have {lanes} lanes"),
        }
    }
}
