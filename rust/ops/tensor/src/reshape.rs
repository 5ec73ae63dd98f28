//! Reshape: the same elements under a requested shape, where 0 keeps a size and -1 stands for what is left.

use base::{Result, Shape, bail, ensure, error};
use ir::{Dim, Dims};
use op::cuda::{Cuda, CudaClaim, CudaKernel};
use op::types::{ANY_V1, ANY_V13, ANY_V19, ANY_V21, ANY_V23, ANY_V24, ANY_V25, FLOATS_V1};
use op::{Alias, Attrs, Infer, Kernels, Mask, Op, OpDef, Run, Stateless, since};

use crate::facts::{self, known, product};
use crate::ints::Ints;
use crate::movement;
use crate::relabel::relabel;

const SIGNATURE: &str = "data:T, shape:int64 -> reshaped:T";

/// Reshape of `ai.onnx`.
pub static RESHAPE: OpDef = OpDef {
    name: "Reshape",
    versions: &[
        since(1, "data:T -> reshaped:T", &[("T", FLOATS_V1)]),
        since(5, SIGNATURE, &[("T", ANY_V1)]),
        since(13, SIGNATURE, &[("T", ANY_V13)]),
        since(14, SIGNATURE, &[("T", ANY_V13)]),
        since(19, SIGNATURE, &[("T", ANY_V19)]),
        since(21, SIGNATURE, &[("T", ANY_V21)]),
        since(23, SIGNATURE, &[("T", ANY_V23)]),
        since(24, SIGNATURE, &[("T", ANY_V24)]),
        since(25, SIGNATURE, &[("T", ANY_V25)]),
    ],
    load: |a| Ok(Box::new(Reshape::load(a)?)),
    kernels: Kernels::NONE.stateless::<Reshape>().cuda::<Reshape>(),
    alias: Alias::Same,
    host: Mask::of(0b10, 0),
    strided: Mask::of(1, 0),
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct Reshape {
    request: Ints,
    /// Whether a requested 0 is a size of zero.
    allow_zero: bool,
}

impl Reshape {
    fn load(a: &Attrs<'_>) -> Result<Self> {
        if a.since() < 5 {
            a.ignore("consumed_inputs");
            let request = a.opt_ints("shape")?.unwrap_or_default();
            return Ok(Self { request: Ints::Fixed(request.to_vec()), allow_zero: false });
        }
        let allow_zero = a.since() >= 14 && a.flag("allowzero", false)?;
        Ok(Self { request: Ints::Input(1), allow_zero })
    }

    /// The sizes of the output.
    fn resolve(&self, data: &[Dim], request: &[Dim]) -> Result<Dims> {
        let mut out = Dims::new();
        let mut inferred = None;
        for (i, r) in request.iter().enumerate() {
            out.push(match r.known() {
                Some(-1) => {
                    ensure!(inferred.is_none(), Fail, "At most one dimension can be -1, not those of {request:?}");
                    inferred = Some(i);
                    Dim::Known(1)
                }
                Some(0) if !self.allow_zero => data
                    .get(i)
                    .cloned()
                    .ok_or_else(|| error!(Fail, "dimension {i} of {request:?} is to be kept, but the input has shape {data:?}"))?,
                Some(n) if n < 0 => bail!(Fail, "dimension {i} of {request:?} is less than -1"),
                _ => r.clone(),
            });
        }
        let Some(i) = inferred else {
            let fits = product(data).sub(&product(&out)).known().is_none_or(|d| d == 0);
            ensure!(fits, Fail, "{}", mismatch(data, request));
            return Ok(out);
        };
        let zero = self.allow_zero && request.iter().any(|r| r.is(0));
        ensure!(!zero, Fail, "shape {request:?} has both 0 and -1 where 0 means a size of zero");
        out[i] = left_over(data, &out).ok_or_else(|| error!(Fail, "{}", mismatch(data, request)))?;
        Ok(out)
    }

    fn shape(&self, cx: &Run<'_>) -> Result<Shape> {
        let data: Dims = cx.input(0)?.shape().iter().map(|&d| Dim::from(d)).collect();
        let request: Dims = self.request.run(cx)?.unwrap_or_default().iter().map(|&d| Dim::Known(d)).collect();
        let dims = self.resolve(&data, &request)?;
        known(&dims).ok_or_else(|| error!(Fail, "{}", mismatch(&data, &request)))
    }
}

fn mismatch(data: &[Dim], request: &[Dim]) -> String {
    let list = |dims: &[Dim]| dims.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    format!(
        "The input tensor cannot be reshaped to the requested shape. Input shape:{{{}}}, requested shape:{{{}}}",
        list(data),
        list(request)
    )
}

/// What the sizes of `data` make beyond those of `out`; `None` when it is no whole number.
fn left_over(data: &[Dim], out: &[Dim]) -> Option<Dim> {
    // Sizes on both sides cancel even where a product could not be divided.
    let mut data: Dims = data.into();
    let mut rest = Dims::new();
    for d in out {
        match data.iter().position(|x| x == d) {
            Some(i) => drop(data.remove(i)),
            None => rest.push(d.clone()),
        }
    }
    let (total, taken) = (product(&data), product(&rest));
    match (total.known(), taken.known()) {
        (_, Some(0)) => None,
        (Some(a), Some(b)) if a % b != 0 => None,
        _ => Some(total.floor_div(&taken)),
    }
}

impl Op for Reshape {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dtype = cx.dtype(0)?;
        let dims = match (cx.dims(0)?, self.request.inferred(cx)) {
            (Some(data), Some(request)) => Some(self.resolve(data, &request)?),
            (None, Some(request)) => {
                let open = |d: &Dim| d.is(-1) || (d.is(0) && !self.allow_zero);
                Some(request.iter().map(|d| if open(d) { cx.fresh() } else { d.clone() }).collect())
            }
            _ => self.request.count(cx).map(|rank| cx.ranked(rank)).transpose()?,
        };
        match dims {
            Some(dims) => facts::state(cx, 0, dtype, dims, cx.input(0)?.value.clone()),
            None => cx.tensor(0, dtype, None),
        }
        Ok(())
    }
}

impl Stateless for Reshape {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let shape = match cx.output_shape(0) {
            Some(planned) => planned.into(),
            None => self.shape(cx)?,
        };
        relabel(cx, shape)
    }
}

impl CudaKernel for Reshape {
    fn claim(&self, cx: &CudaClaim<'_>) -> Result<(), String> {
        movement::cuda::movable(cx)
    }

    fn launch(&self, cx: &mut Cuda<'_, '_>) -> Result<()> {
        cx.relabel()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::single;

    fn shape_of(data: &[usize], request: &[i64], allow_zero: i64) -> Result<Vec<usize>> {
        let elements = vec![1.5f32; data.iter().product()];
        let node = single(&RESHAPE, 14).attr("allowzero", allow_zero).input(data, &elements).input([request.len()], request);
        node.tensor().map(|t| t.shape().to_vec())
    }

    #[test]
    fn keeps_and_infers() {
        assert_eq!(shape_of(&[2, 3, 4], &[0, -1], 0).unwrap(), [2, 12]);
        assert_eq!(shape_of(&[2, 3, 4], &[4, 0, 2], 0).unwrap(), [4, 3, 2]);
        assert_eq!(shape_of(&[1], &[], 0).unwrap(), [0usize; 0]);
        assert_eq!(shape_of(&[0, 3], &[0, -1], 0).unwrap(), [0, 3]);
        assert_eq!(shape_of(&[0, 3], &[3, 0, 7], 1).unwrap(), [3, 0, 7]);
    }

    #[test]
    fn impossible_requests_are_named() {
        let e = shape_of(&[2, 3], &[4, -1], 0).unwrap_err();
        assert!(e.message().contains("Input shape:{2,3}, requested shape:{4,-1}"), "{e}");
        for (request, allow_zero) in [(&[-1, -1][..], 0), (&[2, 2], 0), (&[-2, 3], 0), (&[1, 2, 0], 0), (&[0, -1], 1)] {
            assert!(shape_of(&[2, 3], request, allow_zero).is_err(), "{request:?}");
        }
    }

    #[test]
    fn symbols_cancel() {
        let mut s = ir::Symbols::default();
        let (n, t) = (s.fresh(), s.fresh());
        let one = Dim::Known(1);
        let data = [n.add(&one), t.clone(), Dim::Known(768)];
        let request = [n.add(&one), t, Dim::Known(-1), Dim::Known(64)];
        let op = Reshape { request: Ints::Input(1), allow_zero: false };
        assert!(op.resolve(&data, &request).unwrap()[2].is(12));
    }

    #[test]
    fn strings_and_opset_1() {
        let t = single(&RESHAPE, 5).strings([2], &["a", "b"]).input([2], &[2i64, 1]).tensor().unwrap();
        assert_eq!((&**t.shape(), t.as_ref().strings().unwrap().get(1)), (&[2, 1][..], "b"));
        let t = single(&RESHAPE, 1).attr("shape", vec![3, -1]).input([6], &[0f64, 1., 2., 3., 4., 5.]).tensor().unwrap();
        assert_eq!(&**t.shape(), [3, 2]);
    }
}
