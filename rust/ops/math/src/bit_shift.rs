//! BitShift: the bits of `X` moved by `Y` places.

use base::DType;
use num_traits::ToPrimitive;
use op::{Kernels, OpDef, TypeSet, since};

use crate::elementwise::{Binary, Zip, binary, for_integers, pairs, unknown};
use crate::types::T_INTEGERS;

const SIGNATURE: &str = "X:T, Y:T -> Z:T";
const UNSIGNED: TypeSet = TypeSet::tensors(&[DType::U8, DType::U16, DType::U32, DType::U64]);

/// BitShift of `ai.onnx`. To the right, the sign is repeated. A shift by all places or more, or by a negative number, leaves nothing
/// but that.
pub static BIT_SHIFT: OpDef = OpDef {
    name: "BitShift",
    versions: &[since(11, SIGNATURE, &[("T", UNSIGNED)]), since(28, SIGNATURE, T_INTEGERS)],
    // The attribute has no default: left out, it is none of the choices.
    load: |a| match a.choice("direction", &["LEFT", "RIGHT"], "")? {
        0 => binary(a, left, unknown),
        _ => binary(a, right, unknown),
    },
    kernels: Kernels::NONE.cpu::<Binary>(),
    in_place: &[(0, 0), (1, 0)],
    ..OpDef::ONNX
};

fn left(dtype: DType) -> Option<Box<dyn Zip>> {
    for_integers!(dtype, T => pairs(|x: T, y: T| y.to_u32().and_then(|y| x.checked_shl(y)).unwrap_or(0)))
}

fn right(dtype: DType) -> Option<Box<dyn Zip>> {
    // A shift by one place less than all leaves the sign in each place of a signed number, but the highest bit of an unsigned one.
    for_integers!(dtype, T => pairs(|x: T, y: T| match y.to_u32().and_then(|y| x.checked_shr(y)) {
        Some(shifted) => shifted,
        None => (x >> (T::BITS - 1)) >> 1,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::single;

    #[test]
    fn shifts_beyond_the_width() {
        let run = |direction: &str, x: &[u8], y: &[u8]| {
            let t = single(&BIT_SHIFT, 11).attr("direction", direction).input([x.len()], x).input([y.len()], y).tensor().unwrap();
            t.slice::<u8>().unwrap().to_vec()
        };
        assert_eq!(run("LEFT", &[1, 2, 255, 3], &[8, 200, 4, 0]), [0, 0, 240, 3]);
        assert_eq!(run("RIGHT", &[128, 255, 255], &[7, 8, 4]), [1, 0, 15]);
    }

    #[test]
    fn signed_numbers_keep_their_sign() {
        let (x, y) = ([-8i32, -8, -8, 8, i32::MAX], [1i32, 32, -1, -5, 1]);
        let run = |direction: &str| {
            let t = single(&BIT_SHIFT, 28).attr("direction", direction).input([5], &x).input([5], &y).tensor().unwrap();
            t.slice::<i32>().unwrap().to_vec()
        };
        assert_eq!(run("RIGHT"), [-4, -1, -1, 0, i32::MAX >> 1]);
        assert_eq!(run("LEFT"), [-16, 0, 0, 0, -2]);
        assert!(single(&BIT_SHIFT, 11).attr("direction", "LEFT").input([1], &[1i32]).input([1], &[1i32]).tensor().is_err());
        assert!(single(&BIT_SHIFT, 11).input([1], &[1u8]).input([1], &[1u8]).tensor().is_err());
        assert!(single(&BIT_SHIFT, 11).attr("direction", "UP").input([1], &[1u8]).input([1], &[1u8]).tensor().is_err());
    }
}
