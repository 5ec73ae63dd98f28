//! Resize and Upsample: a tensor of other sizes, its elements taken or blended from those nearby.

mod coordinates;
mod kernel;
mod plan;

use base::{DType, Result, bail, ensure};
use op::types::{ANY_V1, ANY_V13, FLOATS_V1};
use op::{Attrs, CpuKernel, Infer, Kernels, Op, OpDef, Prepare, Prepared, TypeSet, deprecated, since};

use coordinates::{Mode, Rounding, Rules, Transform};
use plan::{Aspect, Resize};

const ELEVEN: &str = "X:T1, roi:T2, scales:float, sizes:int64? -> Y:T1";
const THIRTEEN: &str = "X:T1, roi:T2?, scales:float?, sizes:int64? -> Y:T1";

/// Resize of `ai.onnx`.
pub static RESIZE: OpDef = OpDef {
    name: "Resize",
    versions: &[
        since(10, "X:T, scales:float -> Y:T", &[("T", ANY_V1)]),
        since(11, ELEVEN, &[("T1", ANY_V1), ("T2", FLOATS_V1)]),
        since(13, THIRTEEN, &[("T1", ANY_V13), ("T2", FLOATS_V1)]),
        since(18, THIRTEEN, &[("T1", ANY_V13), ("T2", FLOATS_V1)]),
        since(19, THIRTEEN, &[("T1", ANY_V13), ("T2", FLOATS_V1)]),
    ],
    load: |a| Ok(Box::new(ResizeOp(if a.since() < 11 { old(a)? } else { resize(a)? }))),
    kernels: Kernels::NONE.cpu::<ResizeOp>(),
    ..OpDef::ONNX
};

/// Upsample of `ai.onnx`, which Resize replaced.
pub static UPSAMPLE: OpDef = OpDef {
    name: "Upsample",
    versions: &[
        since(1, "X:T -> Y:T", &[("T", TypeSet::tensors(&[DType::Bool, DType::I32, DType::I64, DType::F16, DType::F32, DType::F64]))]),
        since(7, "X:T -> Y:T", &[("T", ANY_V1)]),
        since(9, "X:T, scales:float -> Y:T", &[("T", ANY_V1)]),
        deprecated(10),
    ],
    load: |a| Ok(Box::new(ResizeOp(old(a)?))),
    kernels: Kernels::NONE.cpu::<ResizeOp>(),
    ..OpDef::ONNX
};

#[derive(Debug)]
struct ResizeOp(Resize);

/// Upsample, and Resize before it had more than a mode.
fn old(a: &Attrs<'_>) -> Result<Resize> {
    let rounding = if a.op() == "Resize" { Rounding::BySize } else { Rounding::Floor };
    let mode = match a.string("mode", "nearest")? {
        "nearest" => Mode::Nearest(rounding),
        "linear" | "bilinear" => Mode::Linear,
        other => bail!(InvalidGraph, "attribute 'mode' is '{other}'"),
    };
    let fixed = match (a.op(), a.since()) {
        ("Upsample", 1) => {
            let scale = |name: &str| match a.opt_float(name)? {
                Some(s) => Ok(s),
                None => bail!(InvalidGraph, "Required attribute '{name}' is missing"),
            };
            Some(vec![1.0, 1.0, scale("height_scale")?, scale("width_scale")?])
        }
        ("Upsample", 7) => match a.opt_floats("scales")? {
            Some(s) => Some(s.to_vec()),
            None => bail!(InvalidGraph, "Required attribute 'scales' is missing"),
        },
        _ => None,
    };
    let rules = Rules { mode, transform: Transform::Asymmetric, antialias: false, exclude_outside: false };
    let scales = if fixed.is_some() { None } else { Some(1) };
    Ok(Resize { rules, extrapolation: 0.0, aspect: Aspect::Stretch, axes: None, fixed, roi: None, scales, sizes: None })
}

fn resize(a: &Attrs<'_>) -> Result<Resize> {
    let rounding = Rounding::named(a.string("nearest_mode", "round_prefer_floor")?)?;
    let coefficient = f64::from(a.float("cubic_coeff_a", -0.75)?);
    let mode = match a.string("mode", "nearest")? {
        "nearest" => Mode::Nearest(rounding),
        "linear" => Mode::Linear,
        "cubic" => Mode::Cubic(coefficient),
        other => bail!(InvalidGraph, "attribute 'mode' is '{other}'"),
    };
    let new = a.since() >= 18;
    let aspect = match if new { a.string("keep_aspect_ratio_policy", "stretch")? } else { "stretch" } {
        "stretch" => Aspect::Stretch,
        "not_larger" => Aspect::NotLarger,
        "not_smaller" => Aspect::NotSmaller,
        other => bail!(InvalidGraph, "attribute 'keep_aspect_ratio_policy' is '{other}'"),
    };
    let rules = Rules {
        mode,
        transform: Transform::named(a.string("coordinate_transformation_mode", "half_pixel")?)?,
        antialias: new && a.flag("antialias", false)?,
        exclude_outside: a.flag("exclude_outside", false)?,
    };
    let axes = if new { a.opt_ints("axes")?.map(<[i64]>::to_vec) } else { None };
    // A region is asked for only where the transform looks at it.
    let roi = (rules.transform == Transform::TfCropAndResize).then_some(1);
    let extrapolation = a.float("extrapolation_value", 0.0)?;
    ensure!(a.has_input(2) || a.has_input(3), InvalidGraph, "one of scales and sizes must be given");
    Ok(Resize { rules, extrapolation, aspect, axes, fixed: None, roi, scales: Some(2), sizes: Some(3) })
}

impl Op for ResizeOp {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dtype = cx.dtype(0)?;
        let dims = match cx.dims(0)? {
            Some(x) => Some(self.0.dims(cx, x)?),
            None => None,
        };
        cx.tensor(0, dtype, dims);
        Ok(())
    }
}

impl CpuKernel for ResizeOp {
    fn prepare(&self, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        kernel::Kernel::prepare(&self.0, cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::{assert_close, single};

    #[test]
    fn nearest_of_any_type() {
        let op = |def, opset| single(def, opset).attr("mode", "nearest");
        let y = op(&UPSAMPLE, 9).input([1, 1, 1, 2], &[1i32, 2]).input([4], &[1f32, 1.0, 2.0, 2.0]).tensor().unwrap();
        assert_eq!(y.slice::<i32>().unwrap(), [1, 1, 2, 2, 1, 1, 2, 2]);
        let y = op(&RESIZE, 13).strings([1, 2], &["a", "b"]).skip().skip().input([2], &[1i64, 4]).tensor().unwrap();
        assert_eq!(y.as_ref().strings().unwrap().iter().collect::<Vec<_>>(), ["a", "a", "b", "b"]);
        let y =
            single(&UPSAMPLE, 1).attr("height_scale", 2f32).attr("width_scale", 1f32).input([1, 1, 1, 2], &[3f32, 4.0]).tensor().unwrap();
        assert_eq!(y.slice::<f32>().unwrap(), [3.0, 4.0, 3.0, 4.0]);
    }

    #[test]
    fn linear_between_elements() {
        let op = single(&RESIZE, 13).attr("mode", "linear").attr("coordinate_transformation_mode", "align_corners");
        let y = op.input([1, 1, 2, 2], &[0f32, 1.0, 2.0, 3.0]).skip().skip().input([4], &[1i64, 1, 3, 3]).tensor().unwrap();
        assert_close(&y, &[0.0, 0.5, 1.0, 1.0, 1.5, 2.0, 2.0, 2.5, 3.0], 1e-6, 1e-6);
        let y = single(&RESIZE, 10).attr("mode", "linear").input([1, 2], &[0f64, 1.0]).input([2], &[1f32, 2.0]).tensor().unwrap();
        assert_close(&y, &[0.0, 0.5, 1.0, 1.0], 1e-12, 0.0);
    }

    #[test]
    fn some_axes_and_proportions() {
        let op = single(&RESIZE, 19).attr("axes", vec![1i64]).attr("keep_aspect_ratio_policy", "not_larger");
        let y = op.input([2, 2], &[1u8, 2, 3, 4]).skip().skip().input([1], &[4i64]).tensor().unwrap();
        assert_eq!(&**y.shape(), [2, 4]);
    }

    #[test]
    fn bad_scales_are_refused() {
        assert!(single(&RESIZE, 10).input([2], &[0f32; 2]).input([1], &[-1f32]).tensor().is_err());
        assert!(single(&RESIZE, 10).input([2], &[0f32; 2]).input([2], &[1f32; 2]).tensor().is_err());
        assert!(single(&RESIZE, 13).input([2], &[0f32; 2]).tensor().is_err());
    }
}
