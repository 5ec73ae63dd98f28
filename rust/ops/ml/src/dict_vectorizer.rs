//! DictVectorizer: the values of a dictionary, in the order of a vocabulary.

use base::{DType, Result, Strings, Tensor, ensure};
use ir::Dim;
use op::{Infer, Kernels, Op, OpDef, Run, Stateless, TypeSet, since};

use crate::features::ML;
use crate::keys::Keys;
use crate::labels::Labels;
use crate::maps;

const MAPS: TypeSet = TypeSet::NONE.and_others(&[
    "map(string,tensor(int64))",
    "map(int64,tensor(string))",
    "map(int64,tensor(float))",
    "map(int64,tensor(double))",
    "map(string,tensor(float))",
    "map(string,tensor(double))",
]);

/// DictVectorizer of `ai.onnx.ml`.
pub static DICT_VECTORIZER: OpDef = OpDef {
    name: "DictVectorizer",
    versions: &[since(1, "X:T1 -> Y:T2", &[("T1", MAPS)])],
    load: |a| {
        let words = Labels::load(a, "int64_vocabulary", "string_vocabulary")?.tensor()?;
        Ok(Box::new(DictVectorizer { words }))
    },
    kernels: Kernels::NONE.stateless::<DictVectorizer>(),
    ..ML
};

#[derive(Clone, Debug)]
struct DictVectorizer {
    words: Tensor,
}

impl Op for DictVectorizer {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let (key, value) = maps::types(cx)?;
        ensure!(key == self.words.dtype(), InvalidGraph, "the vocabulary is of type {}, but keys are of type {key}", self.words.dtype());
        cx.tensor(0, value, Some([Dim::Known(1), self.words.len().into()].into_iter().collect()));
        Ok(())
    }
}

impl Stateless for DictVectorizer {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let map = maps::input(cx)?;
        let values = maps::values(&map)?;
        ensure!(map.keys.len() == values.len(), InvalidArgument, "{} keys have {} values", map.keys.len(), values.len());
        let found = Keys::new(&map.keys)?.find(&self.words.as_ref())?;
        let shape = [1, found.len()];
        if values.dtype() == DType::String {
            let strings = values.as_ref().strings()?;
            let chosen: Strings = found.iter().map(|f| f.map_or("", |i| strings.get(i as usize))).collect();
            return cx.set_strings(0, shape, chosen);
        }
        cx.allocate(0, values.dtype(), shape)?;
        let (bytes, out) = (values.as_ref().bytes()?, cx.output(0)?.bytes()?);
        let size = out.len() / found.len().max(1);
        for (out, f) in out.chunks_exact_mut(size.max(1)).zip(found) {
            match f {
                Some(i) => out.copy_from_slice(&bytes[i as usize * size..][..size]),
                None => out.fill(0),
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
    use crate::maps::testing::{map, text};

    #[test]
    fn missing_words_are_zero() {
        let names = Attribute::Strings(["a", "b", "c"].map(|n| n.as_bytes().into()).to_vec());
        let keys = Tensor::from_strings([2], ["c", "z"].into_iter().collect()).unwrap();
        let value = map(keys, &[Tensor::scalar(2.5f64).unwrap(), Tensor::scalar(1f64).unwrap()]);
        let t = single(&DICT_VECTORIZER, 1).attr("string_vocabulary", names).value(value).tensor().unwrap();
        assert_close(&t, &[0., 0., 2.5], 0., 0.);
        assert_eq!(&**t.shape(), [1, 3]);
        let ints = || single(&DICT_VECTORIZER, 1).attr("int64_vocabulary", Attribute::Ints(vec![4, 5]));
        let t = ints().value(map(Tensor::from_slice([1], &[5i64]).unwrap(), &[text("x")])).tensor().unwrap();
        assert_eq!(t.as_ref().strings().unwrap().iter().collect::<Vec<_>>(), ["", "x"]);
        assert!(ints().input([1], &[1f32]).tensor().is_err());
    }
}
