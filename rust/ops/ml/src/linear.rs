//! LinearClassifier and LinearRegressor: products of features and coefficients.

use base::threads::parallel_chunks_mut;
use base::{DType, Result, ensure};
use gemm::{Epilogue, Mat, MatMut, Operand, PackedB, Step, gemm};
use op::{Attrs, CpuKernel, Infer, Kernels, Op, OpDef, Prepare, Prepared, Run, since};

use crate::features::{FEATURES, LABELS, ML, count, floats, scores_dims, table, table_dims};
use crate::labels::{Labels, greatest};
use crate::post::{PostTransform, Second};

/// LinearClassifier of `ai.onnx.ml`.
pub static LINEAR_CLASSIFIER: OpDef = OpDef {
    name: "LinearClassifier",
    versions: &[since(1, "X:T1 -> Y:T2, Z:float", &[("T1", FEATURES), ("T2", LABELS)])],
    load: |a| {
        a.ignore("multi_class");
        let labels = Labels::load(a, "classlabels_ints", "classlabels_strings")?;
        let model = Linear::load(a, None)?;
        let alone = model.columns == 1 && labels.len() <= 2;
        ensure!(
            alone || model.columns == labels.len(),
            InvalidGraph,
            "{} intercepts are given for {} classes",
            model.columns,
            labels.len()
        );
        Ok(Box::new(LinearClassifier { model, labels }))
    },
    kernels: Kernels::NONE.cpu::<LinearClassifier>(),
    ..ML
};

/// LinearRegressor of `ai.onnx.ml`.
pub static LINEAR_REGRESSOR: OpDef = OpDef {
    name: "LinearRegressor",
    versions: &[since(1, "X:T -> Y:float", &[("T", FEATURES)])],
    load: |a| Ok(Box::new(LinearRegressor(Linear::load(a, Some(count("targets", a.int("targets", 1)?)?))?))),
    kernels: Kernels::NONE.cpu::<LinearRegressor>(),
    ..ML
};

/// A row of coefficients for each score.
#[derive(Clone, Debug)]
struct Linear {
    coefficients: Vec<f32>,
    intercepts: Vec<f32>,
    /// How many scores there are.
    columns: usize,
    features: usize,
    post: PostTransform,
}

#[derive(Clone, Debug)]
struct LinearClassifier {
    model: Linear,
    labels: Labels,
}

#[derive(Clone, Debug)]
struct LinearRegressor(Linear);

impl Linear {
    /// Reads a model of `columns` scores; of as many as there are intercepts if that is not given.
    fn load(a: &Attrs<'_>, columns: Option<usize>) -> Result<Self> {
        let coefficients = a.opt_floats("coefficients")?.unwrap_or_default().to_vec();
        let mut intercepts = a.opt_floats("intercepts")?.unwrap_or_default().to_vec();
        let columns = columns.unwrap_or(intercepts.len());
        // Intercepts that are not one for each target are left out, as ONNX Runtime does.
        if intercepts.len() != columns {
            intercepts.clear();
        }
        let fits = columns > 0 && !coefficients.is_empty() && coefficients.len().is_multiple_of(columns);
        ensure!(fits, InvalidGraph, "{} coefficients do not make {columns} rows", coefficients.len());
        Ok(Self { features: coefficients.len() / columns, coefficients, intercepts, columns, post: PostTransform::load(a)? })
    }

    fn kernel(&self) -> Result<Kernel> {
        let rows = Mat::row_major(&self.coefficients, self.columns, self.features)?;
        Ok(Kernel { coefficients: PackedB::new(rows.transposed())?, model: self.clone() })
    }
}

/// Coefficients in the order of products.
struct Kernel {
    coefficients: PackedB<f32>,
    model: Linear,
}

impl Kernel {
    /// Writes a row of scores for each row of features of input 0.
    fn scores(&self, cx: &Run<'_>, out: &mut [f32]) -> Result<()> {
        let m = &self.model;
        let x = cx.input(0)?;
        let (rows, features) = table(x.shape())?;
        ensure!(features == m.features, InvalidArgument, "rows have {features} features, but the model has {}", m.features);
        let data = floats(&x)?;
        let steps = [Step::add(Operand::per_column(&m.intercepts))];
        let steps = if m.intercepts.is_empty() { &steps[..0] } else { &steps[..] };
        let a = Mat::row_major(&data, rows, features)?;
        gemm(a, &self.coefficients, &Epilogue::new(steps), MatMut::row_major(out, rows, m.columns)?, &mut [])
    }
}

/// Scores that one chunk transforms.
const CHUNK: usize = 4096;

/// Transforms rows of scores.
fn transform(post: PostTransform, out: &mut [f32], columns: usize) {
    if post != PostTransform::None {
        let rows = (CHUNK / columns).max(1);
        parallel_chunks_mut(out, rows * columns, &|_, rows| rows.chunks_exact_mut(columns).for_each(|row| post.apply(row)));
    }
}

impl Op for LinearRegressor {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dims = scores_dims(cx.dims(0)?, self.0.columns)?;
        cx.tensor(0, DType::F32, dims);
        Ok(())
    }
}

impl CpuKernel for LinearRegressor {
    fn prepare(&self, _: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        Ok(Box::new(Regress(self.0.kernel()?)))
    }
}

struct Regress(Kernel);

impl Prepared for Regress {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let columns = self.0.model.columns;
        let (rows, _) = table(cx.input(0)?.shape())?;
        cx.allocate(0, DType::F32, [rows, columns])?;
        let out = cx.output(0)?.slice::<f32>()?;
        self.0.scores(cx, out)?;
        transform(self.0.model.post, out, columns);
        Ok(())
    }
}

impl Op for LinearClassifier {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let rows = table_dims(cx.dims(0)?)?.map(|(rows, _)| [rows].into_iter().collect());
        let scores = scores_dims(cx.dims(0)?, self.scores())?;
        cx.tensor(0, self.labels.dtype(), rows);
        cx.tensor(1, DType::F32, scores);
        Ok(())
    }
}

impl LinearClassifier {
    /// How many scores a row has: two for one row of coefficients that tells two classes apart.
    fn scores(&self) -> usize {
        if self.labels.len() == 2 { 2 } else { self.model.columns }
    }
}

impl CpuKernel for LinearClassifier {
    fn prepare(&self, _: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        Ok(Box::new(Classify { kernel: self.model.kernel()?, of: self.clone() }))
    }
}

struct Classify {
    kernel: Kernel,
    of: LinearClassifier,
}

impl Prepared for Classify {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let (model, columns) = (&self.kernel.model, self.of.scores());
        let (rows, _) = table(cx.input(0)?.shape())?;
        let mut scores = vec![0.0; rows * model.columns];
        self.kernel.scores(cx, &mut scores)?;
        let chosen: Vec<u32> = match model.columns {
            1 => scores.iter().map(|&s| u32::from(s > 0.0)).collect(),
            n => scores.chunks_exact(n).map(greatest).collect(),
        };
        cx.allocate(1, DType::F32, [rows, columns])?;
        if cx.has_output(1) {
            let out = cx.output(1)?.slice::<f32>()?;
            if columns == model.columns {
                out.copy_from_slice(&scores);
                transform(model.post, out, columns);
            } else {
                for (out, &score) in out.chunks_exact_mut(2).zip(&scores) {
                    let mut two = [score, 0.0];
                    model.post.spread(Second::Complement, &mut two);
                    out.copy_from_slice(&two);
                }
            }
        }
        self.of.labels.set(cx, 0, &chosen)
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

    fn classifier(coefficients: &[f32], intercepts: &[f32]) -> Single {
        single(&LINEAR_CLASSIFIER, 1).attr("coefficients", list(coefficients)).attr("intercepts", list(intercepts))
    }

    #[test]
    fn targets_and_intercepts() {
        let s = || single(&LINEAR_REGRESSOR, 1).attr("targets", 2).attr("coefficients", list(&[1., 2., 3., -1., 0., 1.]));
        let x = [1i64, 1, 1, 0, 2, 1];
        assert_close(&s().input([2, 3], &x).tensor().unwrap(), &[6., 0., 7., 1.], 0., 0.);
        let with = s().attr("intercepts", list(&[10., 20.])).input([3], &x[..3]).tensor().unwrap();
        assert_close(&with, &[16., 20.], 0., 0.);
        assert_eq!(&**with.shape(), [1, 2]);
        assert_close(&s().attr("post_transform", "SOFTMAX").input([1, 3], &[0f64; 3]).tensor().unwrap(), &[0.5, 0.5], 0., 0.);
        assert!(s().input([2, 2], &[0f32; 4]).tensor().unwrap_err().detail().contains("rows have 2 features"));
        assert_eq!(s().input([0, 3], &[0f32; 0]).tensor().unwrap().len(), 0);
    }

    #[test]
    fn three_classes() {
        let s = classifier(&[1., 0., 0., 1., -1., -1.], &[0., 0., 0.5]).attr("classlabels_ints", Attribute::Ints(vec![5, 6, 7]));
        let out = s.attr("post_transform", "LOGISTIC").input([3, 2], &[2f32, 1., 0., 3., -1., -1.]).run(2).unwrap();
        assert_eq!(out[0].tensor().unwrap().slice::<i64>().unwrap(), [5, 6, 7]);
        let logistic = |x: f64| 1.0 / (1.0 + (-x).exp());
        let want = [2., 1., -2.5, 0., 3., -2.5, -1., -1., 2.5].map(logistic);
        assert_close(out[1].tensor().unwrap(), &want, 1e-6, 1e-6);
    }

    #[test]
    fn one_row_of_coefficients_tells_two_classes_apart() {
        let names = Attribute::Strings(vec![b"no".as_slice().into(), b"yes".as_slice().into()]);
        let s = classifier(&[1., -1.], &[0.25]).attr("classlabels_strings", names);
        let out = s.input([2, 2], &[1f32, 0.75, 0., 1.]).run(2).unwrap();
        let labels: Vec<_> = out[0].tensor().unwrap().as_ref().strings().unwrap().iter().map(str::to_owned).collect();
        assert_eq!(labels, ["yes", "no"]);
        assert_close(out[1].tensor().unwrap(), &[0.5, 0.5, 1.75, -0.75], 0., 0.);
    }

    #[test]
    fn what_cannot_be_is_an_error() {
        let fails = |s: Single| s.input([1, 2], &[0f32; 2]).run(2).unwrap_err().detail().to_owned();
        let ints = |l: &[i64]| Attribute::Ints(l.to_vec());
        assert!(fails(classifier(&[1., 2.], &[0.])).contains("classlabels_ints"));
        assert!(fails(classifier(&[1., 2., 3.], &[0., 1.]).attr("classlabels_ints", ints(&[1, 2]))).contains("do not make 2 rows"));
        assert!(fails(classifier(&[1., 2.], &[0., 1.]).attr("classlabels_ints", ints(&[1, 2, 3]))).contains("2 intercepts"));
    }
}
