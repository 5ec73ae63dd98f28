//! And, Or, Xor, Not on booleans; BitwiseAnd, BitwiseOr, BitwiseXor, BitwiseNot on integers.

use base::DType;
use ir::Dim;
use op::types::BOOL;
use op::{Kernels, Layouts, OpDef, Since, TypeSet, since};

use crate::elementwise::{Binary, Map, SELF, Zip, binary, each, pairs, pairs_wide, plain, unknown};
use crate::types::{T_INTEGERS, X_Y};

const SIGNATURE: &str = "A:T, B:T -> C:T1";
const TYPES: &[(&str, TypeSet)] = &[("T", BOOL), ("T1", BOOL)];
const LOGIC: &[Since] = &[since(1, SIGNATURE, TYPES), since(7, SIGNATURE, TYPES)];
const BITWISE: &[Since] = &[since(18, "A:T, B:T -> C:T", T_INTEGERS)];

const BINARY: OpDef =
    OpDef { kernels: Kernels::NONE.cpu::<Binary>(), in_place: &[(0, 0), (1, 0)], layouts: Layouts::Follows, ..OpDef::ONNX };

/// And of `ai.onnx`.
pub static AND: OpDef = OpDef { name: "And", versions: LOGIC, load: |a| binary(a, and, |a, b| known(a, b, |a, b| a & b)), ..BINARY };

/// Or of `ai.onnx`.
pub static OR: OpDef = OpDef { name: "Or", versions: LOGIC, load: |a| binary(a, or, |a, b| known(a, b, |a, b| a | b)), ..BINARY };

/// Xor of `ai.onnx`.
pub static XOR: OpDef = OpDef { name: "Xor", versions: LOGIC, load: |a| binary(a, xor, |a, b| known(a, b, |a, b| a ^ b)), ..BINARY };

/// Not of `ai.onnx`.
pub static NOT: OpDef =
    OpDef { name: "Not", versions: &[since(1, X_Y, &[("T", BOOL)])], load: |a| plain(a, |_, _| Some(each(|x: u8| x ^ 1))), ..SELF };

/// BitwiseAnd of `ai.onnx`.
pub static BITWISE_AND: OpDef = OpDef { name: "BitwiseAnd", versions: BITWISE, load: |a| binary(a, and, unknown), ..BINARY };

/// BitwiseOr of `ai.onnx`.
pub static BITWISE_OR: OpDef = OpDef { name: "BitwiseOr", versions: BITWISE, load: |a| binary(a, or, unknown), ..BINARY };

/// BitwiseXor of `ai.onnx`.
pub static BITWISE_XOR: OpDef = OpDef { name: "BitwiseXor", versions: BITWISE, load: |a| binary(a, xor, unknown), ..BINARY };

/// BitwiseNot of `ai.onnx`.
pub static BITWISE_NOT: OpDef =
    OpDef { name: "BitwiseNot", versions: &[since(18, X_Y, T_INTEGERS)], load: |a| plain(a, |d, _| not(d)), ..SELF };

/// The loop of a function that is the same for all integers of a width, of those for 1 to 8 bytes.
fn by_width<T>(dtype: DType, loops: [T; 4]) -> Option<T> {
    let place = [1, 2, 4, 8].iter().position(|size| dtype.size() == Some(*size))?;
    loops.into_iter().nth(place)
}

fn and(dtype: DType) -> Option<Box<dyn Zip>> {
    by_width(
        dtype,
        [pairs_wide(|a: u8, b: u8| a & b), pairs(|a: u16, b: u16| a & b), pairs(|a: u32, b: u32| a & b), pairs(|a: u64, b: u64| a & b)],
    )
}

fn or(dtype: DType) -> Option<Box<dyn Zip>> {
    by_width(
        dtype,
        [pairs_wide(|a: u8, b: u8| a | b), pairs(|a: u16, b: u16| a | b), pairs(|a: u32, b: u32| a | b), pairs(|a: u64, b: u64| a | b)],
    )
}

fn xor(dtype: DType) -> Option<Box<dyn Zip>> {
    by_width(
        dtype,
        [pairs_wide(|a: u8, b: u8| a ^ b), pairs(|a: u16, b: u16| a ^ b), pairs(|a: u32, b: u32| a ^ b), pairs(|a: u64, b: u64| a ^ b)],
    )
}

fn not(dtype: DType) -> Option<Box<dyn Map>> {
    by_width(dtype, [each(|x: u8| !x), each(|x: u16| !x), each(|x: u32| !x), each(|x: u64| !x)])
}

fn known(a: &Dim, b: &Dim, f: fn(i64, i64) -> i64) -> Option<Dim> {
    Some(Dim::Known(f(a.known()?, b.known()?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::single;

    #[test]
    fn truth_tables() {
        let (a, b) = ([true, true, false, false], [true, false]);
        let run = |def: &OpDef| single(def, 7).input([2, 2], &a).input([2], &b).tensor().unwrap().slice::<bool>().unwrap().to_vec();
        assert_eq!(run(&AND), [true, false, false, false]);
        assert_eq!(run(&OR), [true, true, true, false]);
        assert_eq!(run(&XOR), [false, true, true, false]);
        assert_eq!(single(&NOT, 1).input([4], &a).tensor().unwrap().slice::<bool>().unwrap(), [false, false, true, true]);
        assert!(single(&AND, 7).input([1], &[1u8]).input([1], &[1u8]).tensor().is_err());
    }

    #[test]
    fn old_broadcasting_lays_the_second_under_an_axis() {
        let a = [true; 6];
        let t = single(&AND, 1).attr("broadcast", 1).attr("axis", 0).input([2, 3], &a).input([2], &[true, false]).tensor().unwrap();
        assert_eq!(t.slice::<bool>().unwrap(), [true, true, true, false, false, false]);
        assert!(single(&AND, 1).input([2, 3], &a).input([3], &[true; 3]).tensor().is_err());
        assert!(single(&AND, 1).attr("broadcast", 1).attr("axis", 1).input([2, 3], &a).input([2], &[true; 2]).tensor().is_err());
        assert!(single(&AND, 1).attr("broadcast", 1).attr("axis", 2).input([2, 3], &a).input([3], &[true; 3]).tensor().is_err());
    }

    #[test]
    fn bits_of_every_width() {
        let t = single(&BITWISE_AND, 18).input([2], &[-1i16, 0x0ff0]).input([], &[0x3fffi16]).tensor().unwrap();
        assert_eq!(t.slice::<i16>().unwrap(), [0x3fff, 0x0ff0]);
        let t = single(&BITWISE_OR, 18).input([1], &[1u64 << 63]).input([2], &[1u64, 2]).tensor().unwrap();
        assert_eq!(t.slice::<u64>().unwrap(), [1 << 63 | 1, 1 << 63 | 2]);
        let t = single(&BITWISE_XOR, 18).input([1], &[0x55i8]).input([1], &[-1i8]).tensor().unwrap();
        assert_eq!(t.slice::<i8>().unwrap(), [!0x55]);
        assert_eq!(single(&BITWISE_NOT, 18).input([2], &[0i32, -1]).tensor().unwrap().slice::<i32>().unwrap(), [-1, 0]);
        assert!(single(&BITWISE_NOT, 18).input([1], &[1f32]).tensor().is_err());
    }
}
