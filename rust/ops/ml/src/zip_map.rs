//! ZipMap: a dictionary for each row, from labels to scores.

use std::sync::Arc;

use base::{DType, Layout, Map, Result, Sequence, Shape, Tensor, Type, Value, bail, ensure};
use ir::Fact;
use op::{Infer, Kernels, Op, OpDef, Run, Stateless, since};

use crate::features::ML;
use crate::labels::Labels;

/// ZipMap of `ai.onnx.ml`.
pub static ZIP_MAP: OpDef = OpDef {
    name: "ZipMap",
    versions: &[since(1, "X:float -> Z:T", &[])],
    load: |a| {
        let labels = Labels::load(a, "classlabels_int64s", "classlabels_strings")?;
        Ok(Box::new(ZipMap { keys: labels.tensor()? }))
    },
    kernels: Kernels::NONE.stateless::<ZipMap>(),
    ..ML
};

#[derive(Clone, Debug)]
struct ZipMap {
    keys: Tensor,
}

impl ZipMap {
    fn element(&self) -> Type {
        Type::Map(self.keys.dtype(), Box::new(Type::Tensor(DType::F32)))
    }
}

impl Op for ZipMap {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        if let Some(dims) = cx.dims(0)? {
            ensure!((1..=2).contains(&dims.len()), InvalidGraph, "Zipmap only supports 1D or 2D input tensors, not shape {dims:?}");
        }
        cx.set(0, Fact::of(Type::Sequence(Box::new(self.element()))));
        Ok(())
    }
}

impl Stateless for ZipMap {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let x = cx.input(0)?;
        let columns = match *x.shape() {
            [columns] | [_, columns] => columns,
            ref other => bail!(InvalidArgument, "Zipmap only supports 1D or 2D input tensors, not shape {other:?}"),
        };
        let count = self.keys.len();
        ensure!(columns == count, InvalidArgument, "Input features_per_batch[{columns}] != number of classlabels[{count}]");
        // All scores share one buffer, and all rows their keys.
        let scores = Tensor::copy_of(x)?;
        let size = size_of::<f32>();
        let score = |i: usize| {
            let at = scores.offset() + i * size;
            Tensor::new(DType::F32, Shape::scalar(), Layout::Dense, scores.buffer().clone(), at).map(Value::Tensor)
        };
        let row = |r: usize| {
            let values = (r * columns..(r + 1) * columns).map(score).collect::<Result<Vec<_>>>()?;
            Ok(Value::Map(Arc::new(Map { keys: self.keys.clone(), value: Type::Tensor(DType::F32), values })))
        };
        let values = (0..scores.len() / columns).map(row).collect::<Result<Vec<_>>>()?;
        cx.set(0, Sequence { element: self.element(), values })
    }
}

#[cfg(test)]
mod tests {
    use ir::Attribute;
    use testkit::{Single, single};

    use super::*;

    fn rows(s: Single) -> Vec<Vec<f32>> {
        let out = s.run(1).unwrap();
        let of_map = |v: &Value| match v {
            Value::Map(map) => map.values.iter().map(|v| v.tensor().unwrap().as_ref().scalar::<f32>().unwrap()).collect(),
            other => panic!("{}", other.ty()),
        };
        out[0].sequence().unwrap().values.iter().map(of_map).collect()
    }

    #[test]
    fn integers_and_strings() {
        let s = single(&ZIP_MAP, 1).attr("classlabels_int64s", Attribute::Ints(vec![7, 8])).input([2, 2], &[0.1f32, 0.2, 0.3, 0.4]);
        assert_eq!(rows(s), [[0.1, 0.2], [0.3, 0.4]]);
        let names = Attribute::Strings(vec![b"a".as_slice().into(), b"b".as_slice().into()]);
        let s = single(&ZIP_MAP, 1).attr("classlabels_strings", names).input([2], &[0.1f32, 0.2]);
        let ty = s.run(1).unwrap()[0].ty().to_string();
        assert_eq!(ty, "seq(map(string,tensor(float)))");
    }

    #[test]
    fn no_rows_and_wrong_columns() {
        let s = || single(&ZIP_MAP, 1).attr("classlabels_int64s", Attribute::Ints(vec![7, 8]));
        assert!(rows(s().input([0, 2], &[0f32; 0])).is_empty());
        assert!(s().input([1, 3], &[0f32; 3]).run(1).unwrap_err().detail().contains("features_per_batch[3]"));
        assert!(s().input([1, 1, 2], &[0f32; 2]).run(1).is_err());
        assert!(single(&ZIP_MAP, 1).input([1, 2], &[0f32; 2]).run(1).is_err());
    }
}
