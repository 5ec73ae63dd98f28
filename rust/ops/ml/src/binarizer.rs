//! Binarizer: 1 above a threshold, else 0.

use base::threads::pieces;
use base::{DType, Element, Result, bail};
use op::{Infer, Kernels, Op, OpDef, Run, Stateless, since};

use crate::features::{FEATURES, ML};

/// Binarizer of `ai.onnx.ml`.
pub static BINARIZER: OpDef = OpDef {
    name: "Binarizer",
    versions: &[since(1, "X:T -> Y:T", &[("T", FEATURES)])],
    load: |a| Ok(Box::new(Binarizer { threshold: a.float("threshold", 0.0)? })),
    kernels: Kernels::NONE.stateless::<Binarizer>(),
    ..ML
};

#[derive(Clone, Debug)]
struct Binarizer {
    threshold: f32,
}

impl Op for Binarizer {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let (dtype, dims) = (cx.dtype(0)?, cx.dims(0)?.map(|d| d.iter().cloned().collect()));
        cx.tensor(0, dtype, dims);
        Ok(())
    }
}

fn binarize<T: Element>(cx: &Run<'_>, above: impl Fn(T) -> bool, [zero, one]: [T; 2]) -> Result<()> {
    let (x, out) = (cx.input(0)?, cx.output(0)?.slice::<T>()?);
    let x = x.slice::<T>()?;
    for piece in pieces(out.len().min(x.len()), 1 << 15) {
        out[piece.clone()].iter_mut().zip(&x[piece]).for_each(|(out, &x)| *out = if above(x) { one } else { zero });
    }
    Ok(())
}

impl Stateless for Binarizer {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let (dtype, shape) = (cx.input(0)?.dtype(), cx.input(0)?.shape().to_vec());
        cx.allocate(0, dtype, &*shape)?;
        let threshold = self.threshold;
        match dtype {
            DType::F32 => binarize(cx, |x: f32| x > threshold, [0.0, 1.0]),
            DType::F64 => binarize(cx, |x: f64| x > f64::from(threshold), [0.0, 1.0]),
            DType::I64 => binarize(cx, |x: i64| x as f32 > threshold, [0, 1]),
            DType::I32 => binarize(cx, |x: i32| x as f32 > threshold, [0, 1]),
            other => bail!(NotImplemented, "{other} is not compared with a threshold"),
        }
    }
}

#[cfg(test)]
mod tests {
    use testkit::{assert_close, single};

    use super::*;

    #[test]
    fn every_type() {
        let s = || single(&BINARIZER, 1).attr("threshold", 1.5f32);
        assert_close(&s().input([2, 2], &[1.5f32, 1.6, f32::NAN, f32::INFINITY]).tensor().unwrap(), &[0., 1., 0., 1.], 0., 0.);
        assert_close(&s().input([2], &[1.4f64, 2.]).tensor().unwrap(), &[0., 1.], 0., 0.);
        assert_eq!(s().input([2], &[1i64, 2]).tensor().unwrap().slice::<i64>().unwrap(), [0, 1]);
        assert_eq!(s().input([0], &[0i32; 0]).tensor().unwrap().len(), 0);
        assert!(s().input([1], &[0u8]).tensor().is_err());
    }
}
