//! MurmurHash3: 32-bit hashes of numbers and text, as the encoders of scikit-learn take them.

use base::{DType, Result, Shape, TensorRef};
use op::{Infer, Kernels, Op, OpDef, Run, Stateless, TypeSet, since};

/// MurmurHash3 of `com.microsoft`: the variant for x86 with 32 bits.
pub static MURMUR_HASH3: OpDef = OpDef {
    name: "MurmurHash3",
    versions: &[since(
        1,
        "X:T1 -> Y:T2",
        &[
            ("T1", TypeSet::tensors(&[DType::U32, DType::I32, DType::U64, DType::I64, DType::F32, DType::F64, DType::String])),
            ("T2", TypeSet::tensors(&[DType::U32, DType::I32])),
        ],
    )],
    load: |a| Ok(Box::new(MurmurHash3 { seed: a.int("seed", 0)? as u32, positive: a.flag("positive", true)? })),
    kernels: Kernels::NONE.stateless::<MurmurHash3>(),
    ..OpDef::MICROSOFT
};

#[derive(Clone, Debug)]
struct MurmurHash3 {
    seed: u32,
    /// Whether hashes are unsigned.
    positive: bool,
}

impl MurmurHash3 {
    fn result(&self) -> DType {
        if self.positive { DType::U32 } else { DType::I32 }
    }

    /// The hash of each element of `x`.
    fn hashes(&self, x: TensorRef<'_>) -> Result<Vec<u32>> {
        if x.dtype() == DType::String {
            return Ok(x.strings()?.iter().map(|s| hash(s.as_bytes(), self.seed)).collect());
        }
        let size = x.dtype().size().unwrap_or(1);
        Ok(x.bytes()?.chunks_exact(size).map(|element| hash(element, self.seed)).collect())
    }
}

impl Op for MurmurHash3 {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dims = cx.dims(0)?.map(Into::into);
        cx.tensor(0, self.result(), dims);
        Ok(())
    }
}

impl Stateless for MurmurHash3 {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let (hashes, shape) = (self.hashes(cx.input(0)?)?, Shape::from(cx.input(0)?.shape()));
        cx.allocate(0, self.result(), shape)?;
        let y = cx.output(0)?;
        if self.positive {
            y.slice::<u32>()?.copy_from_slice(&hashes);
        } else {
            y.slice::<i32>()?.iter_mut().zip(hashes).for_each(|(y, h)| *y = h.cast_signed());
        }
        Ok(())
    }
}

/// The hash of `bytes`.
fn hash(bytes: &[u8], seed: u32) -> u32 {
    let mixed = |k: u32| k.wrapping_mul(0xCC9E_2D51).rotate_left(15).wrapping_mul(0x1B87_3593);
    let word = |bytes: &[u8]| bytes.iter().rev().fold(0, |k, byte| k << 8 | u32::from(*byte));
    let blocks = bytes.chunks_exact(4);
    let rest = word(blocks.remainder());
    let h = blocks.fold(seed, |h, block| (h ^ mixed(word(block))).rotate_left(13).wrapping_mul(5).wrapping_add(0xE654_6B64));
    let h = h ^ mixed(rest) ^ bytes.len() as u32;
    let h = (h ^ h >> 16).wrapping_mul(0x85EB_CA6B);
    let h = (h ^ h >> 13).wrapping_mul(0xC2B2_AE35);
    h ^ h >> 16
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::single;

    #[test]
    fn numbers_and_text() {
        let t = single(&MURMUR_HASH3, 1).strings([2, 2], &["foo", "bar", "", "abcde"]).tensor().unwrap();
        assert_eq!(t.slice::<u32>().unwrap(), [4_138_058_784, 1_158_584_717, 0, 3_902_511_862]);
        let t = single(&MURMUR_HASH3, 1).attr("seed", 7i64).attr("positive", 0i64).input([1], &[3i64]).tensor().unwrap();
        assert_eq!(t.slice::<i32>().unwrap(), [-2_020_699_886]);
        let t = single(&MURMUR_HASH3, 1).input([1], &[1.5f32]).tensor().unwrap();
        assert_eq!(t.slice::<u32>().unwrap(), [376_679_366]);
    }
}
