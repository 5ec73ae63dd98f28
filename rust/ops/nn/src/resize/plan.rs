//! Resize and Upsample as axes with their scales, whatever version they are written in.

use base::{Result, Shape, Tensor, TensorRef, ensure, error};
use ir::{Dim, Dims};

use super::coordinates::{AxisPlan, Rules};
use crate::floats::Floats;

/// How sizes that are asked for go with the proportions of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aspect {
    Stretch,
    NotLarger,
    NotSmaller,
}

/// A resize: its attributes, and where its sizes come from.
#[derive(Clone, Debug)]
pub(super) struct Resize {
    pub(super) rules: Rules,
    pub(super) extrapolation: f32,
    pub(super) aspect: Aspect,
    /// The axes that scales, sizes and region speak of; all if `None`.
    pub(super) axes: Option<Vec<i64>>,
    /// Scales that an attribute gives.
    pub(super) fixed: Option<Vec<f32>>,
    pub(super) roi: Option<usize>,
    pub(super) scales: Option<usize>,
    pub(super) sizes: Option<usize>,
}

impl Resize {
    /// The axes that are resized, in the order of their scales.
    pub(super) fn axes(&self, rank: usize) -> Result<Shape> {
        match &self.axes {
            None => Ok((0..rank).collect()),
            Some(axes) => axes.iter().map(|a| base::axis_index(*a, rank)).collect(),
        }
    }

    /// The axes with concrete sizes. `scales`, `sizes` and `roi` are what the inputs of these names hold, if they hold anything.
    ///
    /// # Errors
    /// `InvalidArgument` when they do not fit the input.
    pub(super) fn plan(
        &self,
        shape: &[usize],
        scales: Option<&[f32]>,
        sizes: Option<&[i64]>,
        roi: Option<&[f64]>,
    ) -> Result<Vec<AxisPlan>> {
        let axes = self.axes(shape.len())?;
        let mut plans: Vec<AxisPlan> = shape.iter().map(|&n| AxisPlan { input: n, output: n, scale: 1.0, region: (0.0, 1.0) }).collect();
        let fits = |what: &str, len: usize| {
            ensure!(len == axes.len(), InvalidArgument, "{len} {what} for {} axes of an input of shape {}", axes.len(), Shape::from(shape));
            Ok(())
        };
        match (scales, sizes) {
            (Some(scales), None) => {
                fits("scales", scales.len())?;
                for (axis, scale) in axes.iter().zip(scales) {
                    ensure!(*scale > 0.0 && scale.is_finite(), InvalidArgument, "a scale of {scale}");
                    let scale = f64::from(*scale);
                    let output = (shape[*axis] as f64 * scale).floor();
                    ensure!(output <= f64::from(i32::MAX), InvalidArgument, "an axis of {output} elements");
                    plans[*axis] = AxisPlan { output: output as usize, scale, ..plans[*axis] };
                }
            }
            (None, Some(sizes)) => {
                fits("sizes", sizes.len())?;
                self.sized(&mut plans, &axes, sizes)?;
            }
            _ => base::bail!(InvalidArgument, "one of scales and sizes must be given"),
        }
        if let Some(roi) = roi {
            ensure!(roi.len() == 2 * axes.len(), InvalidArgument, "a region of {} numbers for {} axes", roi.len(), axes.len());
            for (i, axis) in axes.iter().enumerate() {
                plans[*axis].region = (roi[i], roi[i + axes.len()]);
            }
        }
        Ok(plans)
    }

    fn sized(&self, plans: &mut [AxisPlan], axes: &[usize], sizes: &[i64]) -> Result<()> {
        let ratio = |axis: usize, size: i64| size as f64 / plans[axis].input.max(1) as f64;
        let ratios = axes.iter().zip(sizes).map(|(a, s)| ratio(*a, *s));
        let common = match self.aspect {
            Aspect::Stretch => None,
            Aspect::NotLarger => ratios.reduce(f64::min),
            Aspect::NotSmaller => ratios.reduce(f64::max),
        };
        for (axis, size) in axes.iter().zip(sizes) {
            ensure!((0..=i64::from(i32::MAX)).contains(size), InvalidArgument, "a size of {size}");
            let p = &mut plans[*axis];
            (p.output, p.scale) = match common {
                None => (*size as usize, *size as f64 / p.input.max(1) as f64),
                Some(scale) => ((scale * p.input as f64 + 0.5).floor() as usize, scale),
            };
        }
        Ok(())
    }

    /// The output's sizes, as far as the inputs tell.
    pub(super) fn dims(&self, cx: &mut op::Infer<'_>, x: &[Dim]) -> Result<Dims> {
        let at_graph = |e: base::Error| e.with_kind(base::ErrorKind::InvalidGraph);
        let axes = self.axes(x.len()).map_err(at_graph)?;
        let given = |i: Option<usize>| i.and_then(|i| cx.optional(i)).filter(|f| f.known_shape().is_none_or(|s| !s.contains(&0)));
        let sizes = given(self.sizes).and_then(|f| f.value.clone());
        let scales = match (&self.fixed, given(self.scales).and_then(|f| f.constant_tensor())) {
            (Some(fixed), _) => Some(fixed.clone()),
            (None, Some(t)) => Some(numbers(t.as_ref())?.iter().map(|v| *v as f32).collect()),
            _ => None,
        };
        let shape: Option<Shape> = x.iter().map(Dim::size).collect();
        let known_sizes: Option<Vec<i64>> = sizes.as_ref().and_then(|s| s.iter().map(Dim::known).collect());
        if let (Some(shape), true) = (&shape, scales.is_some() || known_sizes.is_some()) {
            let scales = if known_sizes.is_some() { None } else { scales.as_deref() };
            let plan = self.plan(shape, scales, known_sizes.as_deref(), None).map_err(at_graph)?;
            return Ok(plan.iter().map(|p| Dim::from(p.output)).collect());
        }
        let mut dims: Dims = x.into();
        for (i, axis) in axes.iter().enumerate() {
            dims[*axis] = match (&sizes, &scales) {
                (Some(sizes), _) if self.aspect == Aspect::Stretch && sizes.len() == axes.len() => sizes[i].clone(),
                (None, Some(scales)) if scales.len() == axes.len() => scaled(&x[*axis], scales[i]).unwrap_or_else(|| cx.fresh()),
                _ => cx.fresh(),
            };
        }
        Ok(dims)
    }
}

/// `floor(dim * scale)`, if an expression says it.
fn scaled(dim: &Dim, scale: f32) -> Option<Dim> {
    let whole = |x: f32| (x.fract() == 0.0 && (1.0..1e6).contains(&x)).then_some(Dim::Known(x as i64));
    if let Some(factor) = whole(scale) {
        return Some(dim.mul(&factor));
    }
    // Only powers of two have reciprocals that are exact.
    whole(1.0 / scale).filter(|d| d.size().is_some_and(usize::is_power_of_two)).map(|divisor| dim.floor_div(&divisor))
}

/// The elements of a float tensor.
pub(super) fn numbers(t: TensorRef<'_>) -> Result<Vec<f64>> {
    let x = Floats::of(t).map_err(|_| error!(InvalidArgument, "floats are needed, not {}", t.dtype()))?;
    Ok((0..x.len()).map(|i| x.get(i)).collect())
}

/// The elements of a constant float tensor, unless it has none.
pub(super) fn constant(t: Option<&Tensor>) -> Result<Option<Vec<f64>>> {
    t.filter(|t| !t.is_empty()).map(|t| numbers(t.as_ref())).transpose()
}
