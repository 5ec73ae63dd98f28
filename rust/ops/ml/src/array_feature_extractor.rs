//! ArrayFeatureExtractor: chosen columns.

use base::threads::paced;
use base::{DType, Element, Result, Strings, bail, ensure};
use ir::Dim;
use op::{Infer, Kernels, Op, OpDef, Run, Stateless, TypeSet, since};

use crate::features::ML;

const TYPES: TypeSet = TypeSet::tensors(&[DType::F32, DType::F64, DType::I64, DType::I32, DType::String]);

/// ArrayFeatureExtractor of `ai.onnx.ml`.
pub static ARRAY_FEATURE_EXTRACTOR: OpDef = OpDef {
    name: "ArrayFeatureExtractor",
    versions: &[since(1, "X:T, Y:int64 -> Z:T", &[("T", TYPES)])],
    load: |_| Ok(Box::new(ArrayFeatureExtractor)),
    kernels: Kernels::NONE.stateless::<ArrayFeatureExtractor>(),
    ..ML
};

#[derive(Clone, Debug)]
struct ArrayFeatureExtractor;

impl Op for ArrayFeatureExtractor {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dtype = cx.dtype(0)?;
        let count = cx.dims(1)?.map(|dims| dims.iter().fold(Dim::Known(1), |n, d| n.mul(d)));
        let dims = match (cx.dims(0)?, count) {
            (Some([]), _) => bail!(InvalidGraph, "Invalid argument: X input has empty dimensions."),
            // A vector is one row.
            (Some([_]), Some(count)) => Some([Dim::Known(1), count].into_iter().collect()),
            (Some([outer @ .., _]), Some(count)) => Some(outer.iter().cloned().chain([count]).collect()),
            _ => None,
        };
        cx.tensor(0, dtype, dims);
        Ok(())
    }
}

/// The elements of `row` that `columns` choose.
fn choose<T: Element>(cx: &Run<'_>, len: usize, columns: &[usize]) -> Result<()> {
    let (x, out) = (cx.input(0)?, cx.output(0)?.slice::<T>()?);
    for (out, row) in out.chunks_exact_mut(columns.len()).zip(x.slice::<T>()?.chunks_exact(len)) {
        paced(out.iter_mut().zip(columns), 4).for_each(|(out, &c)| *out = row[c]);
    }
    Ok(())
}

impl Stateless for ArrayFeatureExtractor {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let (dtype, mut shape) = (cx.input(0)?.dtype(), cx.input(0)?.shape().to_vec());
        let Some(&len) = shape.last() else { bail!(InvalidArgument, "Invalid argument: X input has empty dimensions.") };
        let columns = {
            let chosen = cx.input(1)?;
            let chosen = chosen.slice::<i64>()?;
            ensure!(!chosen.is_empty(), InvalidArgument, "Invalid Y argument: num_indices = 0");
            let column = |(i, &c): (usize, &i64)| {
                let known = usize::try_from(c).ok().filter(|&c| c < len);
                known.ok_or_else(|| base::error!(InvalidArgument, "Invalid Y argument: index is out of range: Y[{i}] ({c}) >={len}"))
            };
            paced(chosen.iter().enumerate(), 2).map(column).collect::<Result<Vec<usize>>>()?
        };
        let last = shape.len() - 1;
        shape[last] = columns.len();
        if shape.len() == 1 {
            shape.insert(0, 1);
        }
        if dtype == DType::String {
            let chosen: Strings = {
                let x = cx.input(0)?;
                let strings = x.strings()?;
                let rows = strings.len() / len;
                (0..rows).flat_map(|r| columns.iter().map(move |c| strings.get(r * len + c))).collect()
            };
            return cx.set_strings(0, &*shape, chosen);
        }
        cx.allocate(0, dtype, &*shape)?;
        match dtype {
            DType::F32 => choose::<f32>(cx, len, &columns),
            DType::F64 => choose::<f64>(cx, len, &columns),
            DType::I64 => choose::<i64>(cx, len, &columns),
            DType::I32 => choose::<i32>(cx, len, &columns),
            other => bail!(NotImplemented, "features of type {other} are not chosen from"),
        }
    }
}

#[cfg(test)]
mod tests {
    use testkit::{assert_close, single};

    use super::*;

    #[test]
    fn columns_of_rows_and_of_a_vector() {
        let s = || single(&ARRAY_FEATURE_EXTRACTOR, 1);
        let t = s().input([2, 3], &[1f32, 2., 3., 4., 5., 6.]).input([2], &[2i64, 0]).tensor().unwrap();
        assert_close(&t, &[3., 1., 6., 4.], 0., 0.);
        let t = s().input([3], &[1i32, 2, 3]).input([2, 1], &[1i64, 1]).tensor().unwrap();
        assert_eq!((&**t.shape(), t.slice::<i32>().unwrap()), (&[1, 2][..], &[2, 2][..]));
        let t = s().strings([2, 2], &["a", "b", "c", "d"]).input([1], &[1i64]).tensor().unwrap();
        assert_eq!(t.as_ref().strings().unwrap().iter().collect::<Vec<_>>(), ["b", "d"]);
        assert!(s().input([3], &[1f64; 3]).input([1], &[3i64]).tensor().unwrap_err().detail().contains("Y[0] (3) >=3"));
        assert!(s().input([3], &[1f64; 3]).input([1], &[-1i64]).tensor().is_err());
        assert!(s().input([3], &[1f64; 3]).input([0], &[0i64; 0]).tensor().is_err());
    }
}
