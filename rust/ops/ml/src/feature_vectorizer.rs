//! FeatureVectorizer: several tables of features side by side.

use base::threads::{paced, parallel_chunks_mut};
use base::{DType, Result, ensure};
use ir::Dim;
use op::{Infer, Kernels, Op, OpDef, Run, Stateless, since};

use crate::features::{FEATURES, ML, count, floats};

/// FeatureVectorizer of `ai.onnx.ml`.
pub static FEATURE_VECTORIZER: OpDef = OpDef {
    name: "FeatureVectorizer",
    // The inputs may be of different types.
    versions: &[since(1, "X:T1~ -> Y:float", &[("T1", FEATURES)])],
    load: |a| {
        let sizes = a.opt_ints("inputdimensions")?.unwrap_or_default();
        let sizes = sizes.iter().map(|&n| count("inputdimensions", n)).collect::<Result<Vec<_>>>()?;
        ensure!(
            sizes.len() == a.input_count(),
            InvalidGraph,
            "Number of inputs ({}) does not match number of inputdimensions values ({}).",
            a.input_count(),
            sizes.len()
        );
        Ok(Box::new(FeatureVectorizer { sizes }))
    },
    kernels: Kernels::NONE.stateless::<FeatureVectorizer>(),
    ..ML
};

#[derive(Clone, Debug)]
struct FeatureVectorizer {
    /// How many columns of each input are taken.
    sizes: Vec<usize>,
}

impl Op for FeatureVectorizer {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let columns = Dim::from(self.sizes.iter().sum::<usize>());
        let dims = match cx.dims(0)? {
            None => None,
            Some([] | [_]) => Some([Dim::Known(1), columns].into_iter().collect()),
            Some([rows, ..]) => Some([rows.clone(), columns].into_iter().collect()),
        };
        cx.tensor(0, DType::F32, dims);
        Ok(())
    }
}

fn rows(shape: &[usize]) -> usize {
    if shape.len() < 2 { 1 } else { shape[0] }
}

impl Stateless for FeatureVectorizer {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let (count, columns) = (rows(cx.input(0)?.shape()), self.sizes.iter().sum::<usize>());
        cx.allocate(0, DType::F32, [count, columns])?;
        let out = cx.output(0)?.slice::<f32>()?;
        parallel_chunks_mut(out, 1 << 16, &|_, part| part.fill(0.0));
        let mut first = 0;
        for (i, &size) in self.sizes.iter().enumerate() {
            let x = cx.input(i)?;
            ensure!(rows(x.shape()) == count, InvalidArgument, "input {i} has {} rows, but input 0 has {count}", rows(x.shape()));
            let data = floats(&x)?;
            // Columns that are too many are left out, those that are missing stay zero.
            let width = data.len() / count.max(1);
            let taken = width.min(size);
            for r in paced(0..count, 8 + taken) {
                out[r * columns + first..][..taken].copy_from_slice(&data[r * width..][..taken]);
            }
            first += size;
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
    fn columns_are_cut_and_filled() {
        let s = |sizes: &[i64]| single(&FEATURE_VECTORIZER, 1).attr("inputdimensions", Attribute::Ints(sizes.to_vec()));
        let t =
            s(&[2, 1, 2]).input([2, 2], &[1f32, 2., 3., 4.]).input([2, 2], &[5i64, 6, 7, 8]).input([2, 1], &[9f64, 10.]).tensor().unwrap();
        assert_close(&t, &[1., 2., 5., 9., 0., 3., 4., 7., 10., 0.], 0., 0.);
        assert_close(&s(&[3]).input([2], &[1i32, 2]).tensor().unwrap(), &[1., 2., 0.], 0., 0.);
        assert!(s(&[2]).input([1], &[1f32]).input([1], &[1f32]).tensor().unwrap_err().detail().contains("Number of inputs (2)"));
        let e = s(&[1, 1]).input([2, 1], &[1f32, 2.]).input([3, 1], &[1f32; 3]).tensor().unwrap_err();
        assert!(e.detail().contains("input 1 has 3 rows"), "{e}");
    }
}
