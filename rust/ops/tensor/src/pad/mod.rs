//! Pad: adds elements before and after each axis, or removes them where a pad is negative.

mod axis;
mod fill;

use base::{DType, Result, Shape, Tensor, axis_index, bail, ensure, error};
use half::f16;
use ir::{Dim, Dims};
use op::types::{ANY_V13, ANY_V21, ANY_V23, ANY_V24, ANY_V25, FLOATS_V1, INDEX, NUMERIC_V1};
use op::{Attrs, CpuKernel, Infer, Kernels, Op, OpDef, Prepare, Prepared, Run, since};
use smallvec::SmallVec;

use crate::facts;
use crate::ints::Ints;
use crate::movement::write;
pub(crate) use axis::Padded;
pub(crate) use fill::{Value, fill};

const WITH_ATTRIBUTES: &str = "data:T -> output:T";
const WITH_PADS: &str = "data:T, pads:int64, constant_value:T? -> output:T";
const WITH_AXES: &str = "data:T, pads:int64, constant_value:T?, axes:Tind? -> output:T";

/// Pad of `ai.onnx`. `reflect` turns around as often as the pads need.
pub static PAD: OpDef = OpDef {
    name: "Pad",
    versions: &[
        since(1, WITH_ATTRIBUTES, &[("T", FLOATS_V1)]),
        since(2, WITH_ATTRIBUTES, &[("T", FLOATS_V1)]),
        since(11, WITH_PADS, &[("T", NUMERIC_V1)]),
        since(13, WITH_PADS, &[("T", ANY_V13)]),
        since(18, WITH_AXES, &[("T", ANY_V13), ("Tind", INDEX)]),
        since(19, WITH_AXES, &[("T", ANY_V13), ("Tind", INDEX)]),
        since(21, WITH_AXES, &[("T", ANY_V21), ("Tind", INDEX)]),
        since(23, WITH_AXES, &[("T", ANY_V23), ("Tind", INDEX)]),
        since(24, WITH_AXES, &[("T", ANY_V24), ("Tind", INDEX)]),
        since(25, WITH_AXES, &[("T", ANY_V25), ("Tind", INDEX)]),
    ],
    load: |a| Ok(Box::new(Pad::load(a)?)),
    kernels: Kernels::NONE.cpu::<Pad>(),
    ..OpDef::ONNX
};

/// What is added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// One value.
    Constant,
    /// The elements before the first, mirrored; the first itself is not repeated.
    Reflect,
    /// The first or last element.
    Edge,
    /// The elements from the other end.
    Wrap,
}

const MODES: [(&str, Mode); 4] = [("constant", Mode::Constant), ("reflect", Mode::Reflect), ("edge", Mode::Edge), ("wrap", Mode::Wrap)];

#[derive(Clone, Debug)]
struct Pad {
    mode: Mode,
    /// All pads before, then all after.
    pads: Ints,
    /// The axes that the pads are of; all if absent.
    axes: Ints,
    /// The value to pad with, where it is an attribute.
    value: f32,
}

impl Pad {
    fn load(a: &Attrs<'_>) -> Result<Self> {
        let since = a.since();
        let names = MODES.map(|m| m.0);
        let mode = MODES[a.choice("mode", if since >= 19 { &names } else { &names[..3] }, "constant")?].1;
        if since >= 11 {
            return Ok(Self { mode, pads: Ints::Input(1), axes: Ints::input(a, 3), value: 0.0 });
        }
        let pads = Ints::attribute(a, if since == 1 { "paddings" } else { "pads" })?;
        ensure!(!pads.is_absent(), InvalidGraph, "Required attribute 'pads' is missing");
        Ok(Self { mode, pads, axes: Ints::Absent, value: a.float("value", 0.0)? })
    }
}

/// Before and after each axis of a tensor of `rank`.
fn by_axis<T: Clone>(pads: &[T], axes: Option<&[i64]>, rank: usize, zero: T) -> Result<SmallVec<[(T, T); 6]>> {
    let count = axes.map_or(rank, <[i64]>::len);
    ensure!(pads.len() == 2 * count, InvalidArgument, "{} pads are given for {count} axes of a tensor of rank {rank}", pads.len());
    let mut out = SmallVec::from_elem((zero.clone(), zero), rank);
    for (i, pair) in pads[..count].iter().zip(&pads[count..]).enumerate() {
        let axis = axes.map_or(Ok(i), |axes| axis_index(axes[i], rank))?;
        out[axis] = (pair.0.clone(), pair.1.clone());
    }
    Ok(out)
}

impl Op for Pad {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dtype = cx.dtype(0)?;
        let Some(dims) = cx.dims(0)? else {
            cx.tensor(0, dtype, None);
            return Ok(());
        };
        let axes = self.axes.known(cx);
        let out: Dims = match self.pads.inferred(cx) {
            Some(pads) if self.axes.is_absent() || axes.is_some() => {
                let pads = by_axis(&pads, axes.as_deref(), dims.len(), Dim::Known(0));
                let pads = pads.map_err(|e| e.with_kind(base::ErrorKind::InvalidGraph))?;
                dims.iter().zip(pads).map(|(d, (before, after))| d.add(&before).add(&after)).collect()
            }
            _ => cx.fresh_dims(dims.len()),
        };
        let negative = out.iter().any(|d| d.known().is_some_and(|d| d < 0));
        ensure!(!negative, InvalidGraph, "the pads remove more than there is: the shape {dims:?} becomes {out:?}");
        facts::state(cx, 0, dtype, out, None);
        Ok(())
    }
}

/// Pad, with the value of its attribute as an element of its type.
struct PadKernel {
    op: Pad,
    value: Option<Tensor>,
}

impl CpuKernel for Pad {
    fn prepare(&self, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        let value = match (self.value == 0.0, cx.dtype(0)?) {
            (true, _) => None,
            (_, DType::F16) => Some(Tensor::scalar(f16::from_f32(self.value))?),
            (_, DType::F64) => Some(Tensor::scalar(f64::from(self.value))?),
            _ => Some(Tensor::scalar(self.value)?),
        };
        Ok(Box::new(PadKernel { op: self.clone(), value }))
    }
}

/// The padded axes of a tensor of shape `dims`.
///
/// # Errors
/// `InvalidArgument` when pads remove more than there is, or there is nothing to take elements from.
fn padded(dims: &[usize], pads: &[(i64, i64)], mode: Mode) -> Result<SmallVec<[Padded; 6]>> {
    let axis = |(&len, &(before, after)): (&usize, &(i64, i64))| {
        let out = i64::try_from(len).ok()?.checked_add(before)?.checked_add(after)?;
        Some(Padded { len, before, out: usize::try_from(out).ok()? })
    };
    let axes = dims.iter().zip(pads).map(axis).collect::<Option<SmallVec<[Padded; 6]>>>();
    let axes = axes.ok_or_else(|| error!(InvalidArgument, "pads {pads:?} do not suit the shape {}", Shape::from(dims)))?;
    let nothing = mode != Mode::Constant && axes.iter().any(|a| a.len == 0 && a.out > 0);
    if nothing {
        bail!(InvalidArgument, "Cannot use '{mode:?}' mode to pad dimension with a value of 0. Input shape:{}", Shape::from(dims));
    }
    Ok(axes)
}

impl Prepared for PadKernel {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let data = cx.input(0)?;
        let (pads, axes) = (self.op.pads.run(cx)?.unwrap_or_default(), self.op.axes.run(cx)?);
        let pads = by_axis(&pads, axes.as_deref(), data.rank(), 0)?;
        let axes = padded(data.shape(), &pads, self.op.mode)?;
        let dtype = data.dtype();
        write(cx, 0, dtype, axes.iter().map(|a| a.out).collect(), |cx, out| {
            let given = cx.optional(2)?;
            let number = self.value.as_ref().map(Tensor::as_ref);
            let value = match (&given, &number) {
                (Some(given), _) => Value::Input(given),
                (None, Some(number)) => Value::Number(number),
                (None, None) => Value::Zero,
            };
            fill(out, &cx.input(0)?, &axes, self.op.mode, value)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::{Single, single};

    fn case(mode: &str, pads: &[i64]) -> Single {
        let data: Vec<f32> = (1..=6).map(|i| i as f32).collect();
        single(&PAD, 19).attr("mode", mode).input([2, 3], &data).input([pads.len()], pads)
    }

    fn padded_to(case: Single, shape: &[usize], expected: &[f32]) {
        let t = case.tensor().unwrap();
        assert_eq!((&**t.shape(), t.slice::<f32>().unwrap()), (shape, expected));
    }

    #[test]
    fn every_mode() {
        padded_to(case("constant", &[0, 1, 1, 0]).input([], &[9f32]), &[3, 4], &[9., 1., 2., 3., 9., 4., 5., 6., 9., 9., 9., 9.]);
        padded_to(case("constant", &[-1, 1, 0, -2]), &[1, 2], &[0., 4.]);
        padded_to(case("edge", &[1, 0, 0, 1]), &[3, 4], &[1., 2., 3., 3., 1., 2., 3., 3., 4., 5., 6., 6.]);
        padded_to(case("reflect", &[1, 2, 0, 0]), &[3, 5], &[6., 5., 4., 5., 6., 3., 2., 1., 2., 3., 6., 5., 4., 5., 6.]);
        padded_to(case("wrap", &[0, 1, 0, 1]), &[2, 5], &[3., 1., 2., 3., 1., 6., 4., 5., 6., 4.]);
        padded_to(case("reflect", &[0, 5, 0, 0]), &[2, 8], &[2., 1., 2., 3., 2., 1., 2., 3., 5., 4., 5., 6., 5., 4., 5., 6.]);
    }

    #[test]
    fn axes_and_older_forms() {
        padded_to(case("constant", &[1, 0]).skip().input([1], &[-1i32]), &[2, 4], &[0., 1., 2., 3., 0., 4., 5., 6.]);
        let old = |opset, name: &str| single(&PAD, opset).attr(name, vec![1, 0]).attr("value", 2f32).input([1], &[1f64]).tensor().unwrap();
        assert_eq!(old(2, "pads").slice::<f64>().unwrap(), [2., 1.]);
        assert_eq!(old(1, "paddings").slice::<f64>().unwrap(), [2., 1.]);
    }

    #[test]
    fn strings_and_packed() {
        let pads = [1i64, 1];
        let t = single(&PAD, 13).strings([1], &["a"]).input([2], &pads).strings([], &["-"]).tensor().unwrap();
        assert_eq!(t.as_ref().strings().unwrap().iter().collect::<String>(), "-a-");
        let packed = Tensor::from_bytes(DType::U4, [2], &[0x21]).unwrap();
        let t = single(&PAD, 21).attr("mode", "wrap").value(packed).input([2], &pads).tensor().unwrap();
        assert_eq!(t.as_ref().bytes().unwrap(), [0x12, 0x12]);
    }

    #[test]
    fn impossible_pads() {
        for pads in [&[0, 0, 0][..], &[-3, 0, 0, 0], &[i64::MAX, 0, 1, 0]] {
            assert!(case("constant", pads).tensor().is_err(), "{pads:?}");
        }
        assert!(case("mirror", &[0; 4]).tensor().is_err());
        assert!(case("constant", &[0, 0]).skip().input([1], &[2i64]).tensor().is_err());
        assert!(single(&PAD, 13).attr("mode", "edge").input([0], &[0f32; 0]).input([2], &[1i64, 0]).tensor().is_err());
        assert_eq!(&**single(&PAD, 13).input([0, 2], &[0f32; 0]).input([4], &[1i64, 0, 0, 0]).tensor().unwrap().shape(), [1, 2]);
    }
}
