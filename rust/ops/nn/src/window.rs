//! Windows that slide over the spatial axes of a tensor: what convolutions and poolings share.

use base::{Result, Shape, bail, ensure};
use ir::{Dim, Dims};
use op::Attrs;

/// How the borders of the input are padded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum AutoPad {
    /// As attribute `pads` says.
    #[default]
    Explicit,
    /// So that the output has `ceil(input / stride)` positions, an odd element after the input.
    SameUpper,
    /// The same with an odd element before the input.
    SameLower,
    /// Not at all.
    Valid,
}

/// The attributes of a sliding window, as they are written.
#[derive(Clone, Debug, Default)]
pub(crate) struct WindowAttrs {
    pub(crate) kernel: Option<Vec<usize>>,
    pub(crate) strides: Option<Vec<usize>>,
    pub(crate) dilations: Option<Vec<usize>>,
    /// Padding before each axis, then after each.
    pub(crate) pads: Option<Vec<i64>>,
    pub(crate) auto: AutoPad,
    /// Whether a last window may begin inside of the padded input and end outside.
    pub(crate) ceil: bool,
}

/// A window along one spatial axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Axis {
    pub(crate) input: usize,
    pub(crate) output: usize,
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    pub(crate) dilation: usize,
    /// Padding before the input; negative when the input is cropped.
    pub(crate) before: isize,
    pub(crate) after: isize,
}

/// Attribute `name`: sizes from `least` on.
pub(crate) fn sizes(a: &Attrs<'_>, name: &str, least: i64) -> Result<Option<Vec<usize>>> {
    let Some(values) = a.opt_ints(name)? else { return Ok(None) };
    for v in values {
        // Everything that indexes with these stays far from the limits of `isize`.
        ensure!((least..=i64::from(i32::MAX)).contains(v), InvalidGraph, "attribute '{name}' is {values:?}");
    }
    Ok(Some(values.iter().map(|v| *v as usize).collect()))
}

impl WindowAttrs {
    /// Reads `kernel_shape`, `strides`, `pads` and `auto_pad`, and `dilations` and `ceil_mode` where the operator has them.
    ///
    /// # Errors
    /// `InvalidGraph` for values that make no window.
    pub(crate) fn read(a: &Attrs<'_>, dilated: bool, ceil: bool) -> Result<Self> {
        let pads = a.opt_ints("pads")?.map(<[i64]>::to_vec);
        for p in pads.iter().flatten() {
            ensure!(i32::try_from(*p).is_ok(), InvalidGraph, "attribute 'pads' has {p}");
        }
        let choices = ["NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID", ""];
        let auto = match if a.op() == "MaxUnpool" { 0 } else { a.choice("auto_pad", &choices, "NOTSET")? } {
            1 => AutoPad::SameUpper,
            2 => AutoPad::SameLower,
            3 => AutoPad::Valid,
            _ => AutoPad::Explicit,
        };
        Ok(Self {
            kernel: sizes(a, "kernel_shape", 1)?,
            strides: sizes(a, "strides", 1)?,
            dilations: if dilated { sizes(a, "dilations", 1)? } else { None },
            pads,
            auto,
            ceil: ceil && a.flag("ceil_mode", false)?,
        })
    }

    /// Checks that every list has `rank` entries (`pads` twice as many).
    ///
    /// # Errors
    /// `InvalidGraph` that names the attribute.
    pub(crate) fn check_rank(&self, rank: usize) -> Result<()> {
        let pads = self.pads.as_ref().map(|p| p.len());
        let lists = [
            ("kernel_shape", self.kernel.as_ref().map(Vec::len), rank),
            ("strides", self.strides.as_ref().map(Vec::len), rank),
            ("dilations", self.dilations.as_ref().map(Vec::len), rank),
            ("pads", pads, 2 * rank),
        ];
        for (name, len, want) in lists {
            // Some exporters write an empty list where they mean none.
            ensure!(len.is_none_or(|len| len == want || len == 0), InvalidGraph, "attribute '{name}' has {len:?} entries, not {want}");
        }
        Ok(())
    }

    fn of(list: &Option<Vec<usize>>, i: usize) -> usize {
        list.as_ref().and_then(|l| l.get(i)).copied().unwrap_or(1)
    }

    fn pad(&self, i: usize) -> i64 {
        self.pads.as_ref().and_then(|p| p.get(i)).copied().unwrap_or(0)
    }

    /// The stride along axis `i`.
    pub(crate) fn stride(&self, i: usize) -> usize {
        Self::of(&self.strides, i)
    }

    /// The dilation along axis `i`.
    pub(crate) fn dilation(&self, i: usize) -> usize {
        Self::of(&self.dilations, i)
    }

    /// Padding before and after axis `i` of `rank`, as it is written.
    pub(crate) fn pads(&self, i: usize, rank: usize) -> (i64, i64) {
        (self.pad(i), self.pad(i + rank))
    }

    /// The number of positions along axis `i` of `rank` for an input of size `input`.
    ///
    /// # Errors
    /// `InvalidGraph` when a known size leaves no position.
    pub(crate) fn output_dim(&self, input: &Dim, kernel: &Dim, i: usize, rank: usize) -> Result<Dim> {
        let (stride, dilation) = (Dim::from(self.stride(i)), Dim::from(self.dilation(i)));
        if let (Some(input), Some(kernel)) = (input.size(), kernel.size()) {
            return Ok(Dim::from(self.axis(input, kernel, i, rank)?.output));
        }
        let one = Dim::Known(1);
        let reach = kernel.sub(&one).mul(&dilation).add(&one);
        let steps = |padded: Dim, up: bool| if up { padded.ceil_div(&stride) } else { padded.floor_div(&stride) }.add(&one);
        Ok(match self.auto {
            AutoPad::SameUpper | AutoPad::SameLower => input.ceil_div(&stride),
            AutoPad::Valid => steps(input.sub(&reach), self.ceil),
            AutoPad::Explicit => {
                let (before, after) = self.pads(i, rank);
                let plain = steps(input.add(&Dim::Known(before + after)).sub(&reach), self.ceil);
                match self.ceil {
                    // A window that would begin in the padding after the input is left out.
                    true => plain.smaller(&input.add(&Dim::Known(before)).sub(&one).floor_div(&stride).add(&one)),
                    false => plain,
                }
            }
        })
    }

    /// The window along axis `i` of `rank` for an input of size `input`.
    ///
    /// # Errors
    /// `InvalidGraph` when the window is larger than the padded input, or sizes are beyond all bounds.
    pub(crate) fn axis(&self, input: usize, kernel: usize, i: usize, rank: usize) -> Result<Axis> {
        let (stride, dilation) = (self.stride(i), self.dilation(i));
        let limit = i32::MAX as usize;
        ensure!(input <= limit && kernel <= limit, InvalidGraph, "a window of {kernel} over {input} elements is too large");
        let reach = kernel.saturating_sub(1).saturating_mul(dilation).saturating_add(1);
        let (mut before, mut after) = match self.auto {
            AutoPad::Explicit => (self.pad(i), self.pad(i + rank)),
            AutoPad::Valid => (0, 0),
            AutoPad::SameUpper | AutoPad::SameLower => {
                let total = (input.div_ceil(stride).saturating_sub(1) * stride + reach).saturating_sub(input) as i64;
                let less = total / 2;
                if self.auto == AutoPad::SameUpper { (less, total - less) } else { (total - less, less) }
            }
        };
        let padded = input as i64 + before + after;
        // An empty axis is empty in the output too, but for what the padding alone makes up.
        ensure!(
            padded >= reach as i64 || input == 0,
            InvalidGraph,
            "a window that reaches {reach} elements is larger than an input of {input} with padding of {before} and {after}"
        );
        let free = (padded - reach as i64).max(-1);
        let mut output = match (free < 0, self.ceil) {
            (true, _) => 0,
            (_, false) => free as usize / stride + 1,
            (_, true) => (free as usize).div_ceil(stride) + 1,
        };
        if self.ceil && self.auto == AutoPad::Explicit {
            // A window that would begin in the padding after the input is left out.
            while output > 1 && ((output - 1) * stride) as i64 >= input as i64 + before {
                output -= 1;
            }
        }
        if matches!(self.auto, AutoPad::SameUpper | AutoPad::SameLower) {
            output = input.div_ceil(stride);
        }
        if input == 0 && self.auto != AutoPad::Explicit {
            (before, after) = (0, 0);
        }
        Ok(Axis { input, output, kernel, stride, dilation, before: before as isize, after: after as isize })
    }

    /// The windows along all spatial axes.
    ///
    /// # Errors
    /// As [`check_rank`](Self::check_rank) and [`axis`](Self::axis).
    pub(crate) fn axes(&self, inputs: &[usize], kernel: &[usize]) -> Result<Axes> {
        let rank = inputs.len();
        self.check_rank(rank)?;
        ensure!(kernel.len() == rank, InvalidGraph, "a kernel of {} axes over {rank}", kernel.len());
        let axes: Result<Axes> = (0..rank).map(|i| self.axis(inputs[i], kernel[i], i, rank)).collect();
        axes
    }

    /// The sizes of the output's spatial axes.
    ///
    /// # Errors
    /// As [`output_dim`](Self::output_dim).
    pub(crate) fn output_dims(&self, inputs: &[Dim], kernel: &[Dim]) -> Result<Dims> {
        let rank = inputs.len();
        self.check_rank(rank)?;
        if kernel.len() != rank {
            bail!(InvalidGraph, "a kernel of shape {kernel:?} over inputs {inputs:?}");
        }
        (0..rank).map(|i| self.output_dim(&inputs[i], &kernel[i], i, rank)).collect()
    }
}

/// The windows along all spatial axes.
pub(crate) type Axes = smallvec::SmallVec<[Axis; 3]>;

/// The output's spatial sizes.
pub(crate) fn output_shape(axes: &[Axis]) -> Shape {
    axes.iter().map(|a| a.output).collect()
}

impl Axis {
    /// A window of one element over an axis of one.
    pub(crate) const UNIT: Axis = Axis { input: 1, output: 1, kernel: 1, stride: 1, dilation: 1, before: 0, after: 0 };

    /// Where window `position` begins in the input; negative in the padding.
    pub(crate) fn start(&self, position: usize) -> isize {
        (position * self.stride) as isize - self.before
    }

    /// The elements of the window at `position` that lie in the input.
    pub(crate) fn taps(&self, position: usize) -> std::ops::Range<usize> {
        let (start, d) = (self.start(position), self.dilation as isize);
        let first = if start >= 0 { 0 } else { (-start + d - 1) / d };
        let end = self.input as isize - start;
        let last = if end <= 0 { 0 } else { (end + d - 1) / d };
        let last = last.min(self.kernel as isize);
        first.min(last) as usize..last as usize
    }

    /// The positions whose tap `tap` lies in the input.
    pub(crate) fn positions(&self, tap: usize) -> std::ops::Range<usize> {
        let (offset, s) = ((tap * self.dilation) as isize - self.before, self.stride as isize);
        let first = if offset >= 0 { 0 } else { (-offset + s - 1) / s };
        let end = self.input as isize - offset;
        let last = if end <= 0 { 0 } else { (end + s - 1) / s };
        let last = last.min(self.output as isize);
        first.min(last) as usize..last as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ir::Symbols;

    fn attrs(stride: usize, dilation: usize, pads: [i64; 2], auto: AutoPad, ceil: bool) -> WindowAttrs {
        WindowAttrs { kernel: None, strides: Some(vec![stride]), dilations: Some(vec![dilation]), pads: Some(pads.to_vec()), auto, ceil }
    }

    #[test]
    fn symbols_and_numbers_agree() {
        let mut symbols = Symbols::default();
        let n = symbols.fresh();
        for (stride, dilation, kernel) in [(1, 1, 3), (2, 1, 3), (2, 2, 2), (3, 1, 1), (2, 3, 4)] {
            for pads in [[0, 0], [1, 1], [2, 0], [0, 3]] {
                for auto in [AutoPad::Explicit, AutoPad::SameUpper, AutoPad::SameLower, AutoPad::Valid] {
                    for ceil in [false, true] {
                        let a = attrs(stride, dilation, pads, auto, ceil);
                        let dim = a.output_dim(&n, &Dim::from(kernel), 0, 1).unwrap();
                        for input in 12..30usize {
                            let want = a.axis(input, kernel, 0, 1).unwrap().output as i64;
                            assert_eq!(dim.eval(&[Some(input as i64)]).unwrap(), Some(want), "{a:?} {input}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn taps_and_positions_are_those_inside() {
        for (stride, dilation, kernel, pads) in [(1, 1, 3, [1, 1]), (2, 2, 3, [2, 3]), (3, 1, 2, [0, 1]), (1, 3, 2, [4, 4])] {
            let axis = attrs(stride, dilation, pads, AutoPad::Explicit, true).axis(9, kernel, 0, 1).unwrap();
            let inside = |o: usize, k: usize| (0..9).contains(&(axis.start(o) + (k * dilation) as isize));
            for o in 0..axis.output {
                assert!((0..kernel).filter(|k| inside(o, *k)).eq(axis.taps(o)), "{axis:?} {o}");
            }
            for k in 0..kernel {
                assert!((0..axis.output).filter(|o| inside(*o, k)).eq(axis.positions(k)), "{axis:?} {k}");
            }
        }
    }

    #[test]
    fn same_splits_the_odd_element() {
        let upper = attrs(2, 1, [0, 0], AutoPad::SameUpper, false).axis(5, 4, 0, 1).unwrap();
        assert_eq!((upper.output, upper.before, upper.after), (3, 1, 2));
        let lower = attrs(2, 1, [0, 0], AutoPad::SameLower, false).axis(5, 4, 0, 1).unwrap();
        assert_eq!((lower.output, lower.before, lower.after), (3, 2, 1));
    }

    #[test]
    fn windows_that_do_not_fit_are_refused() {
        assert!(attrs(1, 1, [0, 0], AutoPad::Explicit, false).axis(2, 3, 0, 1).is_err());
        assert_eq!(attrs(1, 1, [1, 1], AutoPad::Explicit, false).axis(0, 3, 0, 1).unwrap().output, 0);
        assert!(attrs(1, 1, [0, 0], AutoPad::Explicit, false).check_rank(2).is_err());
    }
}
