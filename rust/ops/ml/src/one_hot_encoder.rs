//! OneHotEncoder: a row of zeros and a one for each category.

use base::threads::{paced, parallel_chunks_mut};
use base::{DType, Result, Tensor, bail, ensure};
use op::{Infer, Kernels, Op, OpDef, Run, Stateless, TypeSet, since};

use crate::features::ML;
use crate::keys::Keys;
use crate::labels::Labels;

/// OneHotEncoder of `ai.onnx.ml`.
pub static ONE_HOT_ENCODER: OpDef = OpDef {
    name: "OneHotEncoder",
    versions: &[since(1, "X:T -> Y:float", &[("T", TypeSet::tensors(&[DType::String, DType::I64, DType::I32, DType::F32, DType::F64]))])],
    load: |a| {
        let categories = Labels::load(a, "cats_int64s", "cats_strings")?.tensor()?;
        Ok(Box::new(OneHot {
            keys: Keys::new(&categories)?,
            dtype: categories.dtype(),
            count: categories.len(),
            zeros: a.flag("zeros", true)?,
        }))
    },
    kernels: Kernels::NONE.stateless::<OneHot>(),
    ..ML
};

/// A row for each element: one at the place of its category, else zero.
#[derive(Clone, Debug)]
struct OneHot {
    keys: Keys,
    dtype: DType,
    count: usize,
    /// Whether an unknown category gives zeros; else it is an error.
    zeros: bool,
}

impl Op for OneHot {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let strings = cx.dtype(0)? == DType::String;
        ensure!(
            strings == (self.dtype == DType::String),
            InvalidGraph,
            "the input is of type {}, but categories are of type {}",
            cx.dtype(0)?,
            self.dtype
        );
        let dims = cx.dims(0)?.map(|d| d.iter().cloned().chain([self.count.into()]).collect());
        cx.tensor(0, DType::F32, dims);
        Ok(())
    }
}

impl Stateless for OneHot {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let (found, mut shape) = {
            let x = cx.input(0)?;
            // Numbers are rounded toward zero before they are compared.
            let whole = match x.dtype() {
                DType::F32 => Some(x.slice::<f32>()?.iter().map(|&v| v as i64).collect::<Vec<_>>()),
                DType::F64 => Some(x.slice::<f64>()?.iter().map(|&v| v as i64).collect()),
                _ => None,
            };
            let found = match whole {
                Some(whole) => self.keys.find(&Tensor::from_slice([whole.len()], &whole)?.as_ref())?,
                None => self.keys.find(&x)?,
            };
            (found, x.shape().to_vec())
        };
        if let (false, Some(i)) = (self.zeros, found.iter().position(Option::is_none)) {
            bail!(Fail, "Unknown Category and zeros = 0. (element {i})");
        }
        shape.push(self.count);
        cx.allocate(0, DType::F32, &*shape)?;
        let out = cx.output(0)?.slice::<f32>()?;
        parallel_chunks_mut(out, 1 << 16, &|_, part| part.fill(0.0));
        for (row, f) in paced(out.chunks_exact_mut(self.count).zip(found), 4) {
            if let Some(i) = f {
                row[i as usize] = 1.0;
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
    fn categories_of_every_type() {
        let s = || single(&ONE_HOT_ENCODER, 1).attr("cats_int64s", Attribute::Ints(vec![3, -1]));
        let want = [0., 1., 0., 0., 1., 0.];
        assert_close(&s().input([3], &[-1i64, 7, 3]).tensor().unwrap(), &want, 0., 0.);
        assert_close(&s().input([3], &[-1i32, 7, 3]).tensor().unwrap(), &want, 0., 0.);
        assert_close(&s().input([3], &[-1.5f32, f32::NAN, 3.9]).tensor().unwrap(), &want, 0., 0.);
        let t = s().input([3, 1], &[-1f64, 1e300, 3.]).tensor().unwrap();
        assert_close(&t, &want, 0., 0.);
        assert_eq!(&**t.shape(), [3, 1, 2]);
        let names = Attribute::Strings(vec![b"a".as_slice().into(), b"b".as_slice().into()]);
        let s = single(&ONE_HOT_ENCODER, 1).attr("cats_strings", names).strings([2], &["b", ""]);
        assert_close(&s.tensor().unwrap(), &[0., 1., 0., 0.], 0., 0.);
    }

    #[test]
    fn unknown_categories_may_be_errors() {
        let s = || single(&ONE_HOT_ENCODER, 1).attr("cats_int64s", Attribute::Ints(vec![3])).attr("zeros", 0);
        assert!(s().input([2], &[3i64, 4]).tensor().unwrap_err().detail().contains("element 1"));
        assert!(s().strings([1], &["a"]).tensor().unwrap_err().detail().contains("categories are of type int64"));
    }
}
