//! SVMRegressor: a weighted sum of comparisons with support vectors.

use base::{DType, Result, ensure};
use op::{CpuKernel, Infer, Kernels, Op, OpDef, Prepare, Prepared, Run, since};

use super::kernel::{Function, Vectors};
use crate::features::{FEATURES, ML, count, floats, scores_dims, table};
use crate::post::PostTransform;

/// SVMRegressor of `ai.onnx.ml`.
pub static SVM_REGRESSOR: OpDef = OpDef {
    name: "SVMRegressor",
    versions: &[since(1, "X:T -> Y:float", &[("T", FEATURES)])],
    load: |a| {
        // A single score has no other to be transformed with.
        PostTransform::load(a)?;
        let list = |name| a.opt_floats(name).map(|l| l.unwrap_or_default().to_vec());
        let (coefficients, rho, vectors) = (list("coefficients")?, list("rho")?, list("support_vectors")?);
        let (supports, one_class) = (count("n_supports", a.int("n_supports", 0)?)?, a.flag("one_class", false)?);
        ensure!(!rho.is_empty() && !coefficients.is_empty(), InvalidGraph, "attributes 'rho' and 'coefficients' must not be empty");
        let function = Function::load(a)?;
        // Without support vectors, the coefficients weigh the features themselves.
        let (function, vectors, coefficients) = match supports {
            0 => (Function::Linear, coefficients, vec![1.0]),
            _ => (function, vectors, coefficients),
        };
        let count = supports.max(1);
        let fits = coefficients.len() == count && !vectors.is_empty() && vectors.len().is_multiple_of(count);
        ensure!(fits, InvalidGraph, "{} coefficients and {} numbers for {count} support vectors", coefficients.len(), vectors.len());
        Ok(Box::new(SvmRegressor { function, vectors, coefficients, rho: rho[0], one_class }))
    },
    kernels: Kernels::NONE.cpu::<SvmRegressor>(),
    ..ML
};

#[derive(Clone, Debug)]
struct SvmRegressor {
    function: Function,
    vectors: Vec<f32>,
    coefficients: Vec<f32>,
    rho: f32,
    /// Whether only the sign is given.
    one_class: bool,
}

impl Op for SvmRegressor {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dims = scores_dims(cx.dims(0)?, 1)?;
        cx.tensor(0, DType::F32, dims);
        Ok(())
    }
}

impl CpuKernel for SvmRegressor {
    fn prepare(&self, _: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        let vectors = Vectors::new(self.function, &self.vectors, self.coefficients.len())?;
        Ok(Box::new(Kernel { vectors, of: self.clone() }))
    }
}

struct Kernel {
    vectors: Vectors,
    of: SvmRegressor,
}

impl Prepared for Kernel {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let (rows, features) = table(cx.input(0)?.shape())?;
        let known = self.vectors.features();
        ensure!(features == known, InvalidArgument, "rows have {features} features, but support vectors have {known}");
        let compared = self.vectors.compare(&floats(&cx.input(0)?)?, rows)?;
        cx.allocate(0, DType::F32, [rows, 1])?;
        let out = cx.output(0)?.slice::<f32>()?;
        for (out, row) in out.iter_mut().zip(compared.chunks_exact(self.of.coefficients.len())) {
            let score = simd::reduce::dot(row, &self.of.coefficients) + self.of.rho;
            *out = match self.of.one_class {
                true if score > 0.0 => 1.0,
                true => -1.0,
                false => score,
            };
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use ir::Attribute;
    use testkit::{Single, assert_close, single};

    use super::*;

    fn list(values: &[f32]) -> Attribute {
        Attribute::Floats(values.to_vec())
    }

    fn svm() -> Single {
        let s = single(&SVM_REGRESSOR, 1).attr("kernel_type", "RBF").attr("kernel_params", list(&[0.5, 0., 3.])).attr("rho", list(&[0.25]));
        s.attr("n_supports", 2).attr("support_vectors", list(&[0., 0., 1., 1.])).attr("coefficients", list(&[1., -2.]))
    }

    #[test]
    fn support_vectors() {
        let want = |x: f64, y: f64| (-0.5 * (x * x + y * y)).exp() - 2.0 * (-0.5 * ((x - 1.).powi(2) + (y - 1.).powi(2))).exp() + 0.25;
        let x = [0f32, 0., 1., 0., -1., 2.];
        let want: Vec<f64> = x.chunks(2).map(|r| want(r[0].into(), r[1].into())).collect();
        assert_close(&svm().input([3, 2], &x).tensor().unwrap(), &want, 1e-5, 1e-6);
        let signs: Vec<f64> = want.iter().map(|w| w.signum()).collect();
        assert_close(&svm().attr("one_class", 1).input([3, 2], &x.map(f64::from)).tensor().unwrap(), &signs, 0., 0.);
    }

    #[test]
    fn without_support_vectors_it_is_linear() {
        let s = single(&SVM_REGRESSOR, 1).attr("kernel_type", "RBF").attr("rho", list(&[0.5])).attr("coefficients", list(&[1., 2., 3.]));
        assert_close(&s.input([1, 3], &[1i32, 1, 1]).tensor().unwrap(), &[6.5], 0., 0.);
    }

    #[test]
    fn what_cannot_be_is_an_error() {
        assert!(svm().input([1, 3], &[0f32; 3]).tensor().unwrap_err().detail().contains("rows have 3 features"));
        assert!(svm().attr("n_supports", 3).input([1, 2], &[0f32; 2]).tensor().unwrap_err().detail().contains("for 3 support vectors"));
        assert!(svm().attr("n_supports", -1).input([1, 2], &[0f32; 2]).tensor().unwrap_err().detail().contains("-1"));
    }
}
