//! Normalizer: rows divided by their norm.

use base::threads::paced;
use base::{DType, Result};
use op::{Infer, Kernels, Op, OpDef, Run, Stateless, since};

use crate::features::{FEATURES, ML, floats, table, table_dims};

/// Normalizer of `ai.onnx.ml`.
pub static NORMALIZER: OpDef = OpDef {
    name: "Normalizer",
    versions: &[since(1, "X:T -> Y:float", &[("T", FEATURES)])],
    load: |a| {
        let norms = [Norm::Max, Norm::L1, Norm::L2];
        Ok(Box::new(Normalizer { norm: norms[a.choice("norm", &["MAX", "L1", "L2"], "MAX")?] }))
    },
    kernels: Kernels::NONE.stateless::<Normalizer>(),
    ..ML
};

#[derive(Clone, Copy, Debug)]
enum Norm {
    /// The greatest element, not the greatest size.
    Max,
    L1,
    L2,
}

#[derive(Clone, Debug)]
struct Normalizer {
    norm: Norm,
}

impl Op for Normalizer {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        table_dims(cx.dims(0)?)?;
        let dims = cx.dims(0)?.map(|d| d.iter().cloned().collect());
        cx.tensor(0, DType::F32, dims);
        Ok(())
    }
}

impl Stateless for Normalizer {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let shape = cx.input(0)?.shape().to_vec();
        let (_, columns) = table(&shape)?;
        cx.allocate(0, DType::F32, &*shape)?;
        let (x, out) = (cx.input(0)?, cx.output(0)?.slice::<f32>()?);
        let x = floats(&x)?;
        for (out, x) in paced(out.chunks_exact_mut(columns.max(1)).zip(x.chunks_exact(columns.max(1))), 8) {
            let norm = match self.norm {
                Norm::Max => paced(x.iter(), 1).fold(f32::MIN, |a, &b| a.max(b)),
                Norm::L1 => paced(x.iter(), 1).map(|v| v.abs()).sum(),
                Norm::L2 => paced(x.iter(), 1).map(|v| v * v).sum::<f32>().sqrt(),
            };
            // Rows of norm zero stay as they are.
            let norm = if norm == 0.0 { 1.0 } else { norm };
            paced(out.iter_mut().zip(x), 1).for_each(|(out, x)| *out = x / norm);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use testkit::{assert_close, single};

    use super::*;

    #[test]
    fn every_norm() {
        let s = |norm: &str| single(&NORMALIZER, 1).attr("norm", norm);
        let x = [3f32, -4., 0., 0.];
        assert_close(&s("MAX").input([2, 2], &x).tensor().unwrap(), &[1., -4. / 3., 0., 0.], 1e-6, 0.);
        assert_close(&s("L1").input([2, 2], &x.map(f64::from)).tensor().unwrap(), &[3. / 7., -4. / 7., 0., 0.], 1e-6, 0.);
        assert_close(&s("L2").input([2, 2], &x.map(|v| v as i64)).tensor().unwrap(), &[0.6, -0.8, 0., 0.], 1e-6, 0.);
        assert_close(&s("L2").input([2], &[3i32, 4]).tensor().unwrap(), &[0.6, 0.8], 1e-6, 0.);
        assert!(s("L3").input([2], &[3i32, 4]).tensor().is_err());
        assert!(s("L1").input([1, 1, 2], &[3i32, 4]).tensor().unwrap_err().detail().contains("one or two axes"));
        assert_eq!(s("L1").input([3, 0], &[0f32; 0]).tensor().unwrap().len(), 0);
    }
}
