//! Scaler: `(x - offset) * scale`, for each feature or for all.

use base::threads::paced;
use base::{DType, Result, bail, ensure};
use op::{Infer, Kernels, Op, OpDef, Run, Stateless, since};

use crate::features::{FEATURES, ML, floats};

/// Scaler of `ai.onnx.ml`.
pub static SCALER: OpDef = OpDef {
    name: "Scaler",
    versions: &[since(1, "X:T -> Y:float", &[("T", FEATURES)])],
    load: |a| {
        let list = |name| a.opt_floats(name).map(|l| l.unwrap_or_default().to_vec());
        let (scale, offset) = (list("scale")?, list("offset")?);
        ensure!(!scale.is_empty(), InvalidGraph, "attribute 'scale' must not be empty");
        ensure!(scale.len() == offset.len(), InvalidGraph, "Scale size: ({}) != ({})", scale.len(), offset.len());
        Ok(Box::new(Scaler { scale, offset }))
    },
    kernels: Kernels::NONE.stateless::<Scaler>(),
    ..ML
};

#[derive(Clone, Debug)]
struct Scaler {
    scale: Vec<f32>,
    offset: Vec<f32>,
}

impl Op for Scaler {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dims = cx.dims(0)?.map(|d| d.iter().cloned().collect());
        cx.tensor(0, DType::F32, dims);
        Ok(())
    }
}

impl Stateless for Scaler {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let x = cx.input(0)?;
        let shape = x.shape().to_vec();
        let columns = match *shape {
            [] => bail!(InvalidArgument, "Invalid argument: input has empty dimensions."),
            [columns] | [_, columns, ..] => columns,
        };
        let size = self.scale.len();
        ensure!(size == 1 || size == columns, InvalidArgument, "Either both scale and offset can be of feature size ({columns}) or 1");
        cx.allocate(0, DType::F32, &*shape)?;
        let (x, out) = (cx.input(0)?, cx.output(0)?.slice::<f32>()?);
        if x.dtype() == DType::F64 {
            let x = x.slice::<f64>()?;
            for (out, x) in paced(out.chunks_mut(size).zip(x.chunks(size)), 2 * size) {
                for (i, (out, x)) in out.iter_mut().zip(x).enumerate() {
                    *out = ((x - f64::from(self.offset[i])) * f64::from(self.scale[i])) as f32;
                }
            }
            return Ok(());
        }
        let x = floats(&x)?;
        for (out, x) in paced(out.chunks_mut(size).zip(x.chunks(size)), 2 * size) {
            for (((out, x), offset), scale) in out.iter_mut().zip(x).zip(&self.offset).zip(&self.scale) {
                *out = (x - offset) * scale;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use ir::Attribute;
    use testkit::{assert_close, single};

    use super::*;

    #[test]
    fn features_of_every_type() {
        let s = |offset: &[f32], scale: &[f32]| {
            single(&SCALER, 1).attr("offset", Attribute::Floats(offset.to_vec())).attr("scale", Attribute::Floats(scale.to_vec()))
        };
        let want = [0., 1.5, 2., -1.];
        let each = || s(&[1., 3.], &[2., 0.5]);
        assert_close(&each().input([2, 2], &[1f32, 6., 2., 1.]).tensor().unwrap(), &want, 0., 0.);
        assert_close(&each().input([2, 2], &[1f64, 6., 2., 1.]).tensor().unwrap(), &want, 0., 0.);
        assert_close(&each().input([2, 2], &[1i64, 6, 2, 1]).tensor().unwrap(), &want, 0., 0.);
        assert_close(&s(&[1.], &[3.]).input([3], &[1i32, 2, 0]).tensor().unwrap(), &[0., 3., -3.], 0., 0.);
        assert!(each().input([3], &[0f32; 3]).tensor().unwrap_err().detail().contains("feature size (3) or 1"));
        assert!(s(&[1.], &[]).input([3], &[0f32; 3]).tensor().is_err());
        assert_eq!(each().input([0, 2], &[0f32; 0]).tensor().unwrap().len(), 0);
    }
}
