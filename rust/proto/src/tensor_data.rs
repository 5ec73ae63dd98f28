//! The elements of a tensor, whichever field holds them, as the little-endian bytes that `raw_data` would hold.

use std::borrow::Cow;

use base::{DType, Result, bail, ensure, error};

use crate::array::{Array, Scalar};
use crate::external::ExternalData;
use crate::tensor::{DataLocation, TensorProto};

/// The elements of a tensor.
#[derive(Clone, Debug, PartialEq)]
pub enum TensorData<'t> {
    /// Little-endian elements, several to a byte for types below 8 bits: `dtype.bytes_of(element_count)` bytes, borrowed where the
    /// model stores them so.
    Bytes(Cow<'t, [u8]>),
    /// One byte string per element.
    Strings(&'t [Cow<'t, [u8]>]),
    /// A range of another file; see [`ModelFolder::locate`](crate::ModelFolder::locate).
    External(ExternalData<'t>),
}

impl TensorProto<'_> {
    /// The elements.
    ///
    /// Numbers in `int32_data` that are wider than the type are taken as their low bits if they fit it signed or unsigned.
    ///
    /// # Errors
    /// `Fail` if type or shape are no valid ones, if the number of elements stored is not that of the shape, or if one does not fit
    /// its type; `NotImplemented` for a segment of a larger tensor.
    pub fn data(&self) -> Result<TensorData<'_>> {
        let (dtype, count) = (self.dtype()?, self.element_count()?);
        ensure!(self.segment.is_none(), NotImplemented, "tensor '{}' is a segment of a larger one, which is not supported", self.name);
        if self.location()? == DataLocation::External {
            ensure!(dtype != DType::String, Fail, "tensor '{}' of strings cannot have external data", self.name);
            return ExternalData::of(self).map(TensorData::External);
        }
        if dtype == DType::String {
            self.expect_stored("string_data", self.string_data.len(), count)?;
            return Ok(TensorData::Strings(&self.string_data));
        }
        let needed = self.byte_size()?;
        if let Some(raw) = &self.raw_data {
            let stored = raw.len();
            ensure!(
                stored == needed,
                Fail,
                "tensor '{}': raw_data has {stored} bytes where {} needs {needed}",
                self.name,
                self.described()
            );
            return Ok(TensorData::Bytes(Cow::Borrowed(raw)));
        }
        self.typed_data(dtype, count, needed).map(TensorData::Bytes)
    }

    /// The elements that are in the array for `dtype`: `count` of them, which take `needed` bytes.
    fn typed_data(&self, dtype: DType, count: usize, needed: usize) -> Result<Cow<'_, [u8]>> {
        use DType::*;
        match dtype {
            F32 => self.fixed("float_data", &self.float_data, needed / 4),
            C64 => self.fixed("float_data", &self.float_data, needed / 4),
            F64 => self.fixed("double_data", &self.double_data, needed / 8),
            C128 => self.fixed("double_data", &self.double_data, needed / 8),
            I64 => self.narrowed("int64_data", &self.int64_data, count, |v| Some(v.to_le_bytes())),
            U64 => self.narrowed("uint64_data", &self.uint64_data, count, |v| Some(v.to_le_bytes())),
            U32 => self.narrowed("uint64_data", &self.uint64_data, count, |v| Some(u32::try_from(v).ok()?.to_le_bytes())),
            I32 => self.narrowed("int32_data", &self.int32_data, count, |v| Some(v.to_le_bytes())),
            Bool => self.narrowed("int32_data", &self.int32_data, count, |v| Some([u8::from(v != 0)])),
            U16 | I16 | F16 | BF16 => self.narrowed("int32_data", &self.int32_data, count, |v| Some(low_16_bits(v)?.to_le_bytes())),
            F6E2M3 | F6E3M2 => {
                let values =
                    self.narrowed("int32_data", &self.int32_data, count, |v| Some([u8::try_from(v).ok().filter(|&v| v < 64)?]))?;
                Ok(Cow::Owned(pack_6_bits(&values)))
            }
            U8 | I8 | F8E4M3FN | F8E4M3FNUZ | F8E5M2 | F8E5M2FNUZ | F8E8M0 | U4 | I4 | F4E2M1 | U2 | I2 => {
                self.narrowed("int32_data", &self.int32_data, needed, |v| Some([low_8_bits(v)?]))
            }
            String => bail!(Fail, "tensor '{}' of strings has no bytes", self.name),
        }
    }

    /// The bytes of a fixed-width array of `count` numbers.
    fn fixed<'s, T: Scalar>(&self, field: &str, array: &'s Array<'_, T>, count: usize) -> Result<Cow<'s, [u8]>> {
        self.expect_stored(field, array.len(), count)?;
        array.fixed_bytes().ok_or_else(|| error!(Fail, "tensor '{}': {field} is not of fixed width", self.name))
    }

    /// The numbers of `array`, `count` of them, each turned by `narrow` into its bytes.
    fn narrowed<T: Scalar, const N: usize>(
        &self,
        field: &str,
        array: &Array<'_, T>,
        count: usize,
        narrow: impl Fn(T) -> Option<[u8; N]>,
    ) -> Result<Cow<'static, [u8]>> {
        self.expect_stored(field, array.len(), count)?;
        // `count` numbers are there, so memory is bounded by the bytes of the file.
        let mut bytes = Vec::with_capacity(count * N);
        for (i, value) in array.iter().enumerate() {
            let narrow = narrow(value);
            let stored = narrow.ok_or_else(|| error!(Fail, "tensor '{}': {field}[{i}] is {value:?}, too wide for its type", self.name))?;
            bytes.extend_from_slice(&stored);
        }
        Ok(Cow::Owned(bytes))
    }

    fn expect_stored(&self, field: &str, stored: usize, needed: usize) -> Result<()> {
        ensure!(stored == needed, Fail, "tensor '{}': {field} has {stored} entries where {} needs {needed}", self.name, self.described());
        Ok(())
    }

    /// Type and shape, for messages.
    fn described(&self) -> std::string::String {
        let dtype = self.dtype().map_or("unknown", DType::name);
        format!("{dtype}{:?}", self.dims)
    }
}

/// The low bits of a number that fits 8 bits, signed or not.
fn low_8_bits(value: i32) -> Option<u8> {
    u8::try_from(value).ok().or_else(|| i8::try_from(value).ok().map(|v| v as u8))
}

/// The low bits of a number that fits 16 bits, signed or not.
fn low_16_bits(value: i32) -> Option<u16> {
    u16::try_from(value).ok().or_else(|| i16::try_from(value).ok().map(|v| v as u16))
}

/// Packs 6-bit values, four to three bytes, the first in the lowest bits.
fn pack_6_bits(values: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity((values.len() * 6).div_ceil(8));
    for four in values.chunks(4) {
        let group = four.iter().rev().fold(0u32, |group, &value| group << 6 | u32::from(value));
        bytes.extend_from_slice(&group.to_le_bytes()[..(four.len() * 6).div_ceil(8)]);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(dtype: DType, dims: &[i64]) -> TensorProto<'static> {
        TensorProto { name: "w".into(), data_type: Some(dtype as i32), dims: dims.to_vec(), ..Default::default() }
    }

    fn bytes(tensor: &TensorProto<'_>) -> Vec<u8> {
        match tensor.data().unwrap() {
            TensorData::Bytes(bytes) => bytes.into_owned(),
            other => panic!("{other:?}"),
        }
    }

    fn ints(dtype: DType, dims: &[i64], values: &[i32]) -> TensorProto<'static> {
        TensorProto { int32_data: values.to_vec().into(), ..tensor(dtype, dims) }
    }

    fn refuse(tensor: &TensorProto<'_>, text: &str) {
        assert_eq!(tensor.data().unwrap_err().detail(), text);
    }

    #[test]
    fn raw_data_is_borrowed() {
        let raw = TensorProto { raw_data: Some(Cow::Owned(vec![1, 2, 3])), ..tensor(DType::I4, &[5]) };
        let stored = raw.raw_data.as_deref().unwrap().as_ptr();
        assert!(matches!(raw.data().unwrap(), TensorData::Bytes(Cow::Borrowed(b)) if b.as_ptr() == stored));
    }

    #[test]
    fn every_array_becomes_raw_bytes() {
        let floats = TensorProto { float_data: vec![1.0, f32::NAN].into(), ..tensor(DType::F32, &[2]) };
        assert_eq!(bytes(&floats), [1f32.to_le_bytes(), f32::NAN.to_le_bytes()].concat());
        assert_eq!(bytes(&TensorProto { dims: vec![], data_type: Some(14), ..floats.clone() }).len(), 8);
        let doubles = TensorProto { double_data: vec![-0.0, 2.0].into(), ..tensor(DType::C128, &[1]) };
        assert_eq!(bytes(&doubles), [(-0f64).to_le_bytes(), 2f64.to_le_bytes()].concat());
        let longs = TensorProto { int64_data: vec![i64::MIN].into(), ..tensor(DType::I64, &[]) };
        assert_eq!(bytes(&longs), i64::MIN.to_le_bytes());
        let unsigned = TensorProto { uint64_data: vec![u64::from(u32::MAX)].into(), ..tensor(DType::U32, &[1, 1]) };
        assert_eq!(bytes(&unsigned), [255; 4]);
        assert_eq!(bytes(&TensorProto { data_type: Some(13), ..unsigned }).len(), 8);
        assert_eq!(bytes(&ints(DType::Bool, &[3], &[0, 1, 300])), [0, 1, 1]);
        assert_eq!(bytes(&ints(DType::I8, &[2], &[-1, 127])), [255, 127]);
        assert_eq!(bytes(&ints(DType::F16, &[2], &[0x3c00, -1])), [0, 0x3c, 255, 255]);
        assert_eq!(bytes(&ints(DType::I32, &[1], &[-2])), (-2i32).to_le_bytes());
    }

    #[test]
    fn packed_types_keep_their_packing() {
        assert_eq!(bytes(&ints(DType::U4, &[3], &[0x21, 0x03])), [0x21, 0x03]);
        assert_eq!(bytes(&ints(DType::I2, &[5], &[0b11100100, 1])), [0b11100100, 1]);
        // Six-bit values come one to an entry: 1, 2, 3, 63, then a group that ends early.
        assert_eq!(bytes(&ints(DType::F6E2M3, &[5], &[1, 2, 3, 63, 33])), [0x81, 0x30, 0xfc, 33]);
        assert_eq!(bytes(&ints(DType::F6E3M2, &[2], &[63, 63])), [0xff, 0x0f]);
        refuse(&ints(DType::F6E3M2, &[1], &[64]), "tensor 'w': int32_data[0] is 64, too wide for its type");
    }

    #[test]
    fn empty_tensors_need_no_data() {
        for dtype in DType::all().filter(|&d| d != DType::String) {
            assert_eq!(bytes(&tensor(dtype, &[0, 1 << 40])), [], "{dtype}");
        }
        assert_eq!(tensor(DType::String, &[0]).data().unwrap(), TensorData::Strings(&[]));
    }

    #[test]
    fn sizes_that_disagree_are_named() {
        let raw = TensorProto { raw_data: Some(Cow::Borrowed(b"abc")), ..tensor(DType::F32, &[2, 3]) };
        refuse(&raw, "tensor 'w': raw_data has 3 bytes where float[2, 3] needs 24");
        refuse(&tensor(DType::F32, &[4]), "tensor 'w': float_data has 0 entries where float[4] needs 4");
        refuse(&ints(DType::U4, &[4], &[1; 4]), "tensor 'w': int32_data has 4 entries where uint4[4] needs 2");
        refuse(&ints(DType::U8, &[1], &[256]), "tensor 'w': int32_data[0] is 256, too wide for its type");
        let unsigned = TensorProto { uint64_data: vec![1 << 32].into(), ..tensor(DType::U32, &[1]) };
        refuse(&unsigned, "tensor 'w': uint64_data[0] is 4294967296, too wide for its type");
        refuse(&tensor(DType::String, &[1]), "tensor 'w': string_data has 0 entries where string[1] needs 1");
        refuse(&tensor(DType::U8, &[1 << 50]), "tensor 'w': int32_data has 0 entries where uint8[1125899906842624] needs 1125899906842624");
    }

    #[test]
    fn segments_are_refused() {
        let part = TensorProto { segment: Some(Default::default()), ..tensor(DType::F32, &[0]) };
        assert_eq!(part.data().unwrap_err().kind(), base::ErrorKind::NotImplemented);
    }
}
