//! The element types of ONNX, each kept as it is.

use std::fmt;

use half::{bf16, f16};
use num_complex::Complex;

/// An element type, with the numbers of `onnx.TensorProto.DataType`.
#[allow(missing_docs)] // The variants are the names of the ONNX specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum DType {
    F32 = 1,
    U8 = 2,
    I8 = 3,
    U16 = 4,
    I16 = 5,
    I32 = 6,
    I64 = 7,
    String = 8,
    Bool = 9,
    F16 = 10,
    F64 = 11,
    U32 = 12,
    U64 = 13,
    C64 = 14,
    C128 = 15,
    BF16 = 16,
    F8E4M3FN = 17,
    F8E4M3FNUZ = 18,
    F8E5M2 = 19,
    F8E5M2FNUZ = 20,
    U4 = 21,
    I4 = 22,
    F4E2M1 = 23,
    F8E8M0 = 24,
    U2 = 25,
    I2 = 26,
    F6E2M3 = 27,
    F6E3M2 = 28,
}

struct Info {
    dtype: DType,
    /// Bits that one element takes when stored; 0 for strings.
    bits: usize,
    /// The name in ONNX type strings, as in `tensor(float)`.
    name: &'static str,
    /// The name in `TensorProto.DataType`.
    proto: &'static str,
}

const fn info(dtype: DType, bits: usize, name: &'static str, proto: &'static str) -> Info {
    Info { dtype, bits, name, proto }
}

/// All facts about element types; entry `i` describes number `i + 1`.
const INFO: [Info; 28] = [
    info(DType::F32, 32, "float", "FLOAT"),
    info(DType::U8, 8, "uint8", "UINT8"),
    info(DType::I8, 8, "int8", "INT8"),
    info(DType::U16, 16, "uint16", "UINT16"),
    info(DType::I16, 16, "int16", "INT16"),
    info(DType::I32, 32, "int32", "INT32"),
    info(DType::I64, 64, "int64", "INT64"),
    info(DType::String, 0, "string", "STRING"),
    info(DType::Bool, 8, "bool", "BOOL"),
    info(DType::F16, 16, "float16", "FLOAT16"),
    info(DType::F64, 64, "double", "DOUBLE"),
    info(DType::U32, 32, "uint32", "UINT32"),
    info(DType::U64, 64, "uint64", "UINT64"),
    info(DType::C64, 64, "complex64", "COMPLEX64"),
    info(DType::C128, 128, "complex128", "COMPLEX128"),
    info(DType::BF16, 16, "bfloat16", "BFLOAT16"),
    info(DType::F8E4M3FN, 8, "float8e4m3fn", "FLOAT8E4M3FN"),
    info(DType::F8E4M3FNUZ, 8, "float8e4m3fnuz", "FLOAT8E4M3FNUZ"),
    info(DType::F8E5M2, 8, "float8e5m2", "FLOAT8E5M2"),
    info(DType::F8E5M2FNUZ, 8, "float8e5m2fnuz", "FLOAT8E5M2FNUZ"),
    info(DType::U4, 4, "uint4", "UINT4"),
    info(DType::I4, 4, "int4", "INT4"),
    info(DType::F4E2M1, 4, "float4e2m1", "FLOAT4E2M1"),
    info(DType::F8E8M0, 8, "float8e8m0", "FLOAT8E8M0"),
    info(DType::U2, 2, "uint2", "UINT2"),
    info(DType::I2, 2, "int2", "INT2"),
    info(DType::F6E2M3, 6, "float6e2m3", "FLOAT6E2M3"),
    info(DType::F6E3M2, 6, "float6e3m2", "FLOAT6E3M2"),
];

impl DType {
    /// Every element type, in the order of their numbers.
    pub fn all() -> impl Iterator<Item = DType> {
        INFO.iter().map(|i| i.dtype)
    }

    fn info(self) -> &'static Info {
        &INFO[self as usize - 1]
    }

    /// The type with the given `TensorProto.DataType` number, if there is one.
    pub fn from_proto(number: i32) -> Option<Self> {
        let index = usize::try_from(number).ok()?.checked_sub(1)?;
        INFO.get(index).map(|i| i.dtype)
    }

    /// The type with the given ONNX name, such as `float` or `int64`.
    pub fn from_name(name: &str) -> Option<Self> {
        INFO.iter().find(|i| i.name == name).map(|i| i.dtype)
    }

    /// The name in ONNX type strings: `float`, `int64`, `bool`.
    pub fn name(self) -> &'static str {
        self.info().name
    }

    /// The name in `TensorProto.DataType`: `FLOAT`, `INT64`, `BOOL`.
    pub fn proto_name(self) -> &'static str {
        self.info().proto
    }

    /// Bits that one stored element takes: below 8 for packed types, 0 for strings.
    pub fn bits(self) -> usize {
        self.info().bits
    }

    /// Bytes of one element.
    ///
    /// `None` for strings and for types that are packed several to a byte.
    pub fn size(self) -> Option<usize> {
        let bits = self.bits();
        (bits >= 8).then_some(bits / 8)
    }

    /// Whether several elements share a byte.
    pub fn is_packed(self) -> bool {
        matches!(self.bits(), 1..8)
    }

    /// Bytes that `len` elements take when stored; `None` for strings or when the number overflows.
    pub fn bytes_of(self, len: usize) -> Option<usize> {
        match self.bits() {
            0 => None,
            bits => len.checked_mul(bits).map(|b| b.div_ceil(8)),
        }
    }

    /// Whether the type is a floating-point type of any width.
    pub fn is_float(self) -> bool {
        use DType::*;
        matches!(self, F16 | BF16 | F32 | F64 | F8E4M3FN | F8E4M3FNUZ | F8E5M2 | F8E5M2FNUZ | F8E8M0 | F4E2M1 | F6E2M3 | F6E3M2)
    }

    /// Whether the type is an integer type of any width.
    pub fn is_integer(self) -> bool {
        use DType::*;
        matches!(self, U8 | I8 | U16 | I16 | U32 | I32 | U64 | I64 | U4 | I4 | U2 | I2)
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A Rust type whose values are elements of one [`DType`].
///
/// # Safety
/// `DTYPE.size()` is `size_of::<Self>()`, and the storage of a tensor of that type holds valid values of `Self`.
pub unsafe trait Element: Copy + Send + Sync + fmt::Debug + Default + PartialEq + 'static {
    /// The element type that `Self` represents.
    const DTYPE: DType;
}

macro_rules! element {
    ($($t:ty => $d:ident),* $(,)?) => {
        $(
            // SAFETY: the sizes agree (tested below); every bit pattern is valid except for `bool`,
            // and tensors of booleans are checked where bytes enter (`Tensor::from_bytes`).
            unsafe impl Element for $t {
                const DTYPE: DType = DType::$d;
            }
        )*
        #[cfg(test)]
        fn sizes() -> Vec<(DType, usize)> {
            vec![$((DType::$d, size_of::<$t>())),*]
        }
    };
}

/// An 8-bit float, kept as its bits; the parameter is the [`DType`] number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Float8<const KIND: u8>(
    /// The stored bits.
    pub u8,
);

/// `float8e4m3fn`.
pub type F8E4M3Fn = Float8<{ DType::F8E4M3FN as u8 }>;
/// `float8e4m3fnuz`.
pub type F8E4M3FnUz = Float8<{ DType::F8E4M3FNUZ as u8 }>;
/// `float8e5m2`.
pub type F8E5M2 = Float8<{ DType::F8E5M2 as u8 }>;
/// `float8e5m2fnuz`.
pub type F8E5M2FnUz = Float8<{ DType::F8E5M2FNUZ as u8 }>;
/// `float8e8m0`.
pub type F8E8M0 = Float8<{ DType::F8E8M0 as u8 }>;

element! {
    f32 => F32, f64 => F64, f16 => F16, bf16 => BF16,
    u8 => U8, i8 => I8, u16 => U16, i16 => I16, u32 => U32, i32 => I32, u64 => U64, i64 => I64,
    bool => Bool, Complex<f32> => C64, Complex<f64> => C128,
    F8E4M3Fn => F8E4M3FN, F8E4M3FnUz => F8E4M3FNUZ, F8E5M2 => F8E5M2, F8E5M2FnUz => F8E5M2FNUZ, F8E8M0 => F8E8M0,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_is_in_order() {
        for (i, d) in DType::all().enumerate() {
            assert_eq!(d as usize, i + 1);
            assert_eq!(DType::from_proto(d as i32), Some(d));
            assert_eq!(DType::from_name(d.name()), Some(d));
        }
        assert_eq!(DType::from_proto(0), None);
        assert_eq!(DType::from_proto(29), None);
        assert_eq!(DType::from_proto(-1), None);
    }

    #[test]
    fn elements_have_the_size_of_their_type() {
        for (d, size) in sizes() {
            assert_eq!(d.size(), Some(size), "{d}");
        }
    }

    #[test]
    fn packed_types_round_up() {
        assert_eq!(DType::I4.bytes_of(3), Some(2));
        assert_eq!(DType::U2.bytes_of(5), Some(2));
        assert_eq!(DType::F6E2M3.bytes_of(5), Some(4));
        assert_eq!(DType::F64.bytes_of(usize::MAX), None);
    }
}
