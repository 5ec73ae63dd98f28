//! Where the elements of a resized axis come from.

use base::threads::pieces;
use base::{Result, bail, ensure};

/// How a position of the output is taken back to the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transform {
    HalfPixel,
    HalfPixelSymmetric,
    PytorchHalfPixel,
    AlignCorners,
    Asymmetric,
    /// `(x + 0.5) / scale`, for nearest elements.
    TfHalfPixelForNn,
    TfCropAndResize,
}

impl Transform {
    /// The transform of that name.
    pub(super) fn named(name: &str) -> Result<Self> {
        Ok(match name {
            "half_pixel" => Self::HalfPixel,
            "half_pixel_symmetric" => Self::HalfPixelSymmetric,
            "pytorch_half_pixel" => Self::PytorchHalfPixel,
            "align_corners" => Self::AlignCorners,
            "asymmetric" => Self::Asymmetric,
            "tf_half_pixel_for_nn" => Self::TfHalfPixelForNn,
            "tf_crop_and_resize" => Self::TfCropAndResize,
            _ => bail!(InvalidGraph, "attribute 'coordinate_transformation_mode' is '{name}'"),
        })
    }
}

/// Which element is the nearest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rounding {
    PreferFloor,
    PreferCeil,
    Floor,
    Ceil,
    /// Down where the axis grows, up where it shrinks: before opset 11.
    BySize,
}

impl Rounding {
    /// The rounding of that name.
    pub(super) fn named(name: &str) -> Result<Self> {
        Ok(match name {
            "round_prefer_floor" => Self::PreferFloor,
            "round_prefer_ceil" => Self::PreferCeil,
            "floor" => Self::Floor,
            "ceil" => Self::Ceil,
            _ => bail!(InvalidGraph, "attribute 'nearest_mode' is '{name}'"),
        })
    }

    fn round(self, x: f64, scale: f64) -> f64 {
        match self {
            Self::PreferFloor => (x - 0.5).ceil(),
            Self::PreferCeil => (x + 0.5).floor(),
            Self::Floor => x.floor(),
            Self::Ceil => x.ceil(),
            Self::BySize if scale < 1.0 => x.ceil(),
            Self::BySize => x.floor(),
        }
    }
}

/// How elements between two of the input are made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Mode {
    Nearest(Rounding),
    Linear,
    /// With coefficient `a`.
    Cubic(f64),
}

/// How one axis is resized.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct AxisPlan {
    pub(super) input: usize,
    pub(super) output: usize,
    pub(super) scale: f64,
    /// The part of the input that is resized, as fractions of it.
    pub(super) region: (f64, f64),
}

/// What all axes have in common.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rules {
    pub(super) mode: Mode,
    pub(super) transform: Transform,
    /// Whether shrinking looks at all elements that it covers.
    pub(super) antialias: bool,
    /// Whether elements beyond the border have no weight, rather than that at the border.
    pub(super) exclude_outside: bool,
}

/// Where the elements of one axis come from: for each, `taps` elements of the input with their weights.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    pub(super) taps: usize,
    pub(super) from: Vec<usize>,
    pub(super) weights: Vec<f64>,
    /// Elements that lie outside of the input and are no weighted sum.
    pub(super) outside: Vec<bool>,
    /// Whether nothing changes along the axis.
    pub(super) same: bool,
}

impl AxisPlan {
    /// Where position `x` lies in the input.
    fn source(&self, transform: Transform, x: f64) -> f64 {
        let (input, output) = (self.input as f64, self.scale * self.input as f64);
        match transform {
            Transform::HalfPixel => (x + 0.5) / self.scale - 0.5,
            Transform::HalfPixelSymmetric => {
                let adjustment = self.output as f64 / output;
                input / 2.0 * (1.0 - adjustment) + (x + 0.5) / self.scale - 0.5
            }
            Transform::PytorchHalfPixel if self.output == 1 => -0.5,
            Transform::PytorchHalfPixel => (x + 0.5) / self.scale - 0.5,
            Transform::AlignCorners if output == 1.0 || self.output == 1 => 0.0,
            Transform::AlignCorners => x * (input - 1.0) / (output - 1.0),
            Transform::Asymmetric => x / self.scale,
            Transform::TfHalfPixelForNn => (x + 0.5) / self.scale,
            Transform::TfCropAndResize => {
                let (start, end) = self.region;
                match self.output {
                    1 => start * (input - 1.0) + (end - start) * (input - 1.0) / 2.0,
                    _ => start * (input - 1.0) + x * (end - start) * (input - 1.0) / (output - 1.0),
                }
            }
        }
    }

    /// The table of the axis.
    ///
    /// # Errors
    /// `InvalidArgument` when something shall be made of nothing.
    pub(super) fn table(&self, rules: &Rules) -> Result<Table> {
        ensure!(self.input > 0 || self.output == 0, InvalidArgument, "an axis of no elements cannot become one of {}", self.output);
        let mut table = Table::default();
        for x in pieces(self.output, 1 << 12).flatten() {
            let source = self.source(rules.transform, x as f64);
            let outside = rules.transform == Transform::TfCropAndResize && !(0.0..=self.input as f64 - 1.0).contains(&source);
            table.outside.push(outside);
            match rules.mode {
                Mode::Nearest(rounding) => {
                    table.taps = 1;
                    table.from.push(self.clamped(rounding.round(source, self.scale)));
                    table.weights.push(1.0);
                }
                Mode::Linear => self.blend(rules, source, 1.0, |d| (1.0 - d.abs()).clamp(0.0, 1.0), &mut table),
                Mode::Cubic(a) => self.blend(rules, source, 2.0, |d| cubic(a, d.abs()), &mut table),
            }
        }
        let same = |i: usize| {
            let mut taps = (i * table.taps..(i + 1) * table.taps).map(|t| (table.from[t], table.weights[t]));
            taps.clone().all(|(from, weight)| weight == 0.0 || from == i) && taps.any(|(_, weight)| weight == 1.0)
        };
        table.same = self.input == self.output && pieces(self.output, 1 << 12).flatten().all(|i| same(i) && !table.outside[i]);
        Ok(table)
    }

    fn clamped(&self, x: f64) -> usize {
        x.clamp(0.0, self.input as f64 - 1.0) as usize
    }

    /// Elements around `source` weighted by `kernel`, which reaches `reach` elements.
    fn blend(&self, rules: &Rules, source: f64, reach: f64, kernel: impl Fn(f64) -> f64, table: &mut Table) {
        let scale = if rules.antialias { self.scale.min(1.0) } else { 1.0 };
        // The last element at or before the source is number 0.
        let first = (-reach / scale).floor() as isize + 1;
        let taps = (2 - 2 * first) as usize;
        let (base, ratio) = (source.floor(), source - source.floor());
        let start = table.weights.len();
        for t in pieces(taps, 1 << 12).flatten() {
            let i = (first + t as isize) as f64;
            let inside = (0.0..self.input as f64).contains(&(base + i));
            let weight = if rules.exclude_outside && !inside { 0.0 } else { kernel((i - ratio) * scale) };
            table.from.push(self.clamped(base + i));
            table.weights.push(weight);
        }
        table.taps = taps;
        if rules.antialias || rules.exclude_outside {
            let weights = &mut table.weights[start..];
            let sum: f64 = weights.iter().sum();
            if sum != 0.0 {
                weights.iter_mut().for_each(|w| *w /= sum);
            }
        }
    }
}

/// The cubic kernel at distance `d`.
fn cubic(a: f64, d: f64) -> f64 {
    if d <= 1.0 {
        ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0
    } else if d < 2.0 {
        ((a * d - 5.0 * a) * d + 8.0 * a) * d - 4.0 * a
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(input: usize, output: usize) -> AxisPlan {
        AxisPlan { input, output, scale: output as f64 / input as f64, region: (0.0, 1.0) }
    }

    fn rules(mode: Mode, transform: Transform) -> Rules {
        Rules { mode, transform, antialias: false, exclude_outside: false }
    }

    #[test]
    fn weights_add_up() {
        for mode in [Mode::Linear, Mode::Cubic(-0.75)] {
            for antialias in [false, true] {
                for exclude_outside in [false, true] {
                    let rules = Rules { antialias, exclude_outside, ..rules(mode, Transform::HalfPixel) };
                    for (input, output) in [(4, 8), (8, 3), (5, 5), (1, 4)] {
                        let t = plan(input, output).table(&rules).unwrap();
                        for weights in t.weights.chunks(t.taps) {
                            assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-12, "{rules:?} {input} {output}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn equal_sizes_change_nothing() {
        for mode in [Mode::Linear, Mode::Cubic(-0.5), Mode::Nearest(Rounding::PreferFloor)] {
            for transform in [Transform::HalfPixel, Transform::AlignCorners, Transform::Asymmetric, Transform::HalfPixelSymmetric] {
                assert!(plan(5, 5).table(&rules(mode, transform)).unwrap().same, "{mode:?} {transform:?}");
            }
        }
        assert!(!plan(5, 6).table(&rules(Mode::Linear, Transform::HalfPixel)).unwrap().same);
    }

    #[test]
    fn halves_are_rounded_as_named() {
        let round = |r: Rounding| [0.5, 1.5, -0.5].map(|x| r.round(x, 1.0));
        assert_eq!(round(Rounding::PreferFloor), [0.0, 1.0, -1.0]);
        assert_eq!(round(Rounding::PreferCeil), [1.0, 2.0, 0.0]);
    }

    #[test]
    fn nothing_cannot_grow() {
        assert!(plan(0, 1).table(&rules(Mode::Linear, Transform::Asymmetric)).is_err());
    }
}
