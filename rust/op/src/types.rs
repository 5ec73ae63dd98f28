//! Sets of types, as the type constraints of operators name them.

use base::{DType, Type};

/// A set of value types.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TypeSet {
    tensor: u32,
    sparse: u32,
    sequence: u32,
    optional: u32,
    optional_sequence: u32,
    /// Types that are none of the above, as ONNX writes them: `map(int64,float)`.
    others: &'static [&'static str],
}

const fn bits(types: &[DType]) -> u32 {
    let (mut set, mut i) = (0, 0);
    while i < types.len() {
        set |= 1 << types[i] as u32;
        i += 1;
    }
    set
}

impl TypeSet {
    /// No type.
    pub const NONE: TypeSet = TypeSet { tensor: 0, sparse: 0, sequence: 0, optional: 0, optional_sequence: 0, others: &[] };

    /// Tensors of `types`.
    pub const fn tensors(types: &[DType]) -> Self {
        TypeSet { tensor: bits(types), ..Self::NONE }
    }

    /// The same element types, as sequences of tensors.
    pub const fn sequences(self) -> Self {
        TypeSet { sequence: self.tensor, ..Self::NONE }
    }

    /// The same element types, as sparse tensors.
    pub const fn sparse(self) -> Self {
        TypeSet { sparse: self.tensor, ..Self::NONE }
    }

    /// The tensors and sequences of this set, each as an optional.
    pub const fn optionals(self) -> Self {
        TypeSet { optional: self.tensor, optional_sequence: self.sequence, ..Self::NONE }
    }

    /// Both sets.
    pub const fn or(self, other: Self) -> Self {
        TypeSet {
            tensor: self.tensor | other.tensor,
            sparse: self.sparse | other.sparse,
            sequence: self.sequence | other.sequence,
            optional: self.optional | other.optional,
            optional_sequence: self.optional_sequence | other.optional_sequence,
            others: if self.others.is_empty() { other.others } else { self.others },
        }
    }

    /// This set without tensors of `types`.
    pub const fn without(self, types: &[DType]) -> Self {
        TypeSet { tensor: self.tensor & !bits(types), ..self }
    }

    /// This set and the types that `others` names, as ONNX writes them.
    pub const fn and_others(self, others: &'static [&'static str]) -> Self {
        TypeSet { others, ..self }
    }

    /// Whether `ty` is in the set.
    pub fn contains(&self, ty: &Type) -> bool {
        let has = |set: u32, d: &DType| set & (1 << *d as u32) != 0;
        let listed = match ty {
            Type::Tensor(d) => has(self.tensor, d),
            Type::Sparse(d) => has(self.sparse, d),
            Type::Sequence(t) => matches!(&**t, Type::Tensor(d) if has(self.sequence, d)),
            Type::Optional(t) => match &**t {
                Type::Tensor(d) => has(self.optional, d),
                Type::Sequence(t) => matches!(&**t, Type::Tensor(d) if has(self.optional_sequence, d)),
                _ => false,
            },
            Type::Map(..) => false,
        };
        listed || (!self.others.is_empty() && self.others.contains(&ty.to_string().as_str()))
    }

    /// The types in the set, as ONNX writes them.
    pub fn names(&self) -> Vec<String> {
        let each = |set: u32| DType::all().filter(move |d| set & (1 << *d as u32) != 0);
        let mut names: Vec<String> = each(self.tensor).map(|d| format!("tensor({d})")).collect();
        names.extend(each(self.sparse).map(|d| format!("sparse_tensor({d})")));
        names.extend(each(self.sequence).map(|d| format!("seq(tensor({d}))")));
        names.extend(each(self.optional).map(|d| format!("optional(tensor({d}))")));
        names.extend(each(self.optional_sequence).map(|d| format!("optional(seq(tensor({d})))")));
        names.extend(self.others.iter().map(ToString::to_string));
        names
    }
}

use DType::{
    BF16, Bool, C64, C128, F4E2M1, F6E2M3, F6E3M2, F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ, F8E8M0, F16, F32, F64, I2, I4, I8, I16, I32,
    I64, U2, U4, U8, U16, U32, U64,
};

/// `int32` and `int64`: indices.
pub const INDEX: TypeSet = TypeSet::tensors(&[I32, I64]);
/// Just `bool`.
pub const BOOL: TypeSet = TypeSet::tensors(&[Bool]);
/// `float16`, `float`, `double`: the float types until `bfloat16` came.
pub const FLOATS_V1: TypeSet = TypeSet::tensors(&[F16, F32, F64]);
/// The float types of 16 bits and more.
pub const FLOATS: TypeSet = TypeSet::tensors(&[F16, F32, F64, BF16]);
/// Signed and unsigned integers of 8 to 64 bits.
pub const INTEGERS: TypeSet = TypeSet::tensors(&[I8, I16, I32, I64, U8, U16, U32, U64]);
/// All numbers that arithmetic was defined on before opset 13.
pub const NUMERIC_V1: TypeSet = INTEGERS.or(FLOATS_V1);
/// All numbers that arithmetic is defined on.
pub const NUMERIC: TypeSet = INTEGERS.or(FLOATS);
/// What arithmetic was defined on in opset 7: 32 and 64 bits, and `float16`.
pub const HIGH_PRECISION_V7: TypeSet = TypeSet::tensors(&[U32, U64, I32, I64, F16, F32, F64]);
/// The above and `bfloat16`.
pub const HIGH_PRECISION: TypeSet = TypeSet::tensors(&[U32, U64, I32, I64, F16, F32, F64, BF16]);
/// Every tensor type until `bfloat16` came (opset 13).
pub const ANY_V1: TypeSet = NUMERIC_V1.or(TypeSet::tensors(&[DType::String, Bool, C64, C128]));
/// Every tensor type since opset 13.
pub const ANY_V13: TypeSet = ANY_V1.or(TypeSet::tensors(&[BF16]));
/// The above and the 8-bit floats of opset 19.
pub const ANY_V19: TypeSet = ANY_V13.or(TypeSet::tensors(&[F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ]));
/// The above and the 4-bit integers of opset 21.
pub const ANY_V21: TypeSet = ANY_V19.or(TypeSet::tensors(&[U4, I4]));
/// The above and `float4e2m1` of opset 23.
pub const ANY_V23: TypeSet = ANY_V21.or(TypeSet::tensors(&[F4E2M1]));
/// The above and `float8e8m0` of opset 24.
pub const ANY_V24: TypeSet = ANY_V23.or(TypeSet::tensors(&[F8E8M0]));
/// The above and the 2-bit integers of opset 25.
pub const ANY_V25: TypeSet = ANY_V24.or(TypeSet::tensors(&[U2, I2]));
/// The above and the 6-bit floats of opset 28.
pub const ANY: TypeSet = ANY_V25.or(TypeSet::tensors(&[F6E2M3, F6E3M2]));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_know_their_members() {
        let seq = |t| Type::Sequence(Box::new(t));
        let set = FLOATS.or(INDEX.sequences()).or(FLOATS.or(INDEX.sequences()).optionals());
        assert!(set.contains(&Type::Tensor(F32)) && !set.contains(&Type::Tensor(I64)));
        assert!(set.contains(&seq(Type::Tensor(I64))) && !set.contains(&seq(Type::Tensor(F32))));
        assert!(set.contains(&Type::Optional(Box::new(seq(Type::Tensor(I32))))));
        assert!(TypeSet::NONE.and_others(&["map(int64,tensor(float))"]).contains(&Type::Map(I64, Box::new(Type::Tensor(F32)))));
        assert_eq!(INDEX.names(), ["tensor(int32)", "tensor(int64)"]);
    }
}
