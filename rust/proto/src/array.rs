//! Packed arrays of numbers, decoded only when they are read.

use std::borrow::Cow;
use std::fmt;

use base::Result;

use crate::reader::Reader;
use crate::wire::{Fault, Sink, WireType, put_varint, varint, varint_size};

mod sealed {
    /// Keeps the set of numbers closed: protobuf has no others that ONNX uses.
    pub trait Sealed {}
}

/// A number as protobuf stores it: `i32`, `i64` and `u64` as varints, `f32` and `f64` as fixed little-endian bytes.
pub trait Scalar: sealed::Sealed + Copy + Default + fmt::Debug + PartialEq + 'static {
    #[doc(hidden)]
    const FIXED: Option<usize>;
    #[doc(hidden)]
    fn bits(self) -> u64;
    #[doc(hidden)]
    fn from_bits(bits: u64) -> Self;
}

macro_rules! varints {
    ($($t:ty),*) => {$(
        impl sealed::Sealed for $t {}
        impl Scalar for $t {
            const FIXED: Option<usize> = None;
            fn bits(self) -> u64 {
                // A negative number takes the bits of its 64-bit two's complement.
                self as u64
            }
            fn from_bits(bits: u64) -> Self {
                bits as $t
            }
        }
    )*};
}

macro_rules! fixed {
    ($($t:ty: $bits:ty),*) => {$(
        impl sealed::Sealed for $t {}
        impl Scalar for $t {
            const FIXED: Option<usize> = Some(size_of::<$t>());
            fn bits(self) -> u64 {
                self.to_bits() as u64
            }
            fn from_bits(bits: u64) -> Self {
                <$t>::from_bits(bits as $bits)
            }
        }
    )*};
}

varints!(i32, i64, u64);
fixed!(f32: u32, f64: u64);

/// The wire type of a `T` that is not packed.
pub(crate) fn wire_type<T: Scalar>() -> WireType {
    match T::FIXED {
        None => WireType::Varint,
        Some(4) => WireType::Fixed32,
        Some(_) => WireType::Fixed64,
    }
}

/// The number at the start of `bytes`, and how many bytes it takes.
pub(crate) fn parse<T: Scalar>(bytes: &[u8]) -> Result<(T, usize), Fault> {
    let Some(width) = T::FIXED else {
        return varint(bytes).map(|(bits, len)| (T::from_bits(bits), len));
    };
    let stored = bytes.get(..width).ok_or(Fault::Truncated("number"))?;
    let mut bits = [0; 8];
    bits[..width].copy_from_slice(stored);
    Ok((T::from_bits(u64::from_le_bytes(bits)), width))
}

/// Bytes that `value` takes.
pub(crate) fn encoded_size<T: Scalar>(value: T) -> u64 {
    T::FIXED.map_or_else(|| varint_size(value.bits()), |width| width as u64)
}

/// Appends `value`.
pub(crate) fn put<T: Scalar>(out: &mut dyn Sink, value: T) {
    match T::FIXED {
        None => put_varint(out, value.bits()),
        Some(width) => out.put(&value.bits().to_le_bytes()[..width]),
    }
}

/// How many numbers the packed `run` holds; its bytes start where `reader` stood before, which is where errors point.
pub(crate) fn count<T: Scalar>(run: &[u8], reader: &Reader<'_, '_>) -> Result<usize> {
    if let Some(width) = T::FIXED {
        let whole = run.len().is_multiple_of(width);
        return if whole { Ok(run.len() / width) } else { Err(reader.fault(uneven(run.len(), width))) };
    }
    let mut len = 0;
    let mut rest = run;
    while !rest.is_empty() {
        let (_, taken) = varint(rest).map_err(|fault| reader.fault(format_args!("{fault} in the packed run that ends")))?;
        rest = rest.get(taken..).unwrap_or_default();
        len += 1;
    }
    Ok(len)
}

fn uneven(len: usize, width: usize) -> String {
    format!("packed run of {len} bytes, no multiple of {width}, ending")
}

/// A packed array: one run of bytes borrowed from the input, or numbers of its own.
#[derive(Clone)]
pub struct Array<'a, T>(Repr<'a, T>);

#[derive(Clone)]
enum Repr<'a, T> {
    /// A run of well-formed numbers, `len` of them.
    Encoded {
        run: &'a [u8],
        len: usize,
    },
    Owned(Vec<T>),
}

impl<'a, T: Scalar> Array<'a, T> {
    /// How many numbers there are.
    pub fn len(&self) -> usize {
        match &self.0 {
            Repr::Encoded { len, .. } => *len,
            Repr::Owned(list) => list.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The numbers in order.
    pub fn iter(&self) -> Iter<'_, T> {
        match &self.0 {
            Repr::Encoded { run, len } => Iter::of_run(run, *len),
            Repr::Owned(list) => Iter { run: &[], left: 0, owned: list.iter() },
        }
    }

    /// The numbers as fixed-width little-endian bytes: borrowed if they came so in one run. `None` for varint types.
    pub fn fixed_bytes(&self) -> Option<Cow<'_, [u8]>> {
        let width = T::FIXED?;
        Some(match &self.0 {
            Repr::Encoded { run, .. } => Cow::Borrowed(run),
            Repr::Owned(list) => {
                let mut bytes = Vec::with_capacity(list.len() * width);
                list.iter().for_each(|&value| put(&mut bytes, value));
                Cow::Owned(bytes)
            }
        })
    }

    /// Bytes of the numbers in one packed run.
    pub(crate) fn run_size(&self) -> u64 {
        match (&self.0, T::FIXED) {
            (Repr::Encoded { run, .. }, _) => run.len() as u64,
            (Repr::Owned(list), Some(width)) => list.len() as u64 * width as u64,
            (Repr::Owned(list), None) => list.iter().map(|&value| encoded_size(value)).sum(),
        }
    }

    /// Appends the numbers as one packed run.
    pub(crate) fn put_run(&self, out: &mut dyn Sink) {
        match &self.0 {
            Repr::Encoded { run, .. } => out.put(run),
            Repr::Owned(list) => list.iter().for_each(|&value| put(out, value)),
        }
    }

    /// Appends a run read from the input: borrowed if it is the first.
    pub(crate) fn push_run(&mut self, run: &'a [u8], reader: &Reader<'a, '_>) -> Result<()> {
        let len = count::<T>(run, reader)?;
        if self.is_empty() {
            self.0 = Repr::Encoded { run, len };
            return Ok(());
        }
        self.extend(reader, |list| {
            reader.reserve(list, len)?;
            list.extend(Iter::<T>::of_run(run, len));
            Ok(())
        })
    }

    /// Appends one number that came by itself.
    pub(crate) fn push(&mut self, value: T, reader: &Reader<'a, '_>) -> Result<()> {
        self.extend(reader, |list| reader.push(list, value))
    }

    /// Lets `add` append to the numbers, which become our own.
    fn extend(&mut self, reader: &Reader<'a, '_>, add: impl FnOnce(&mut Vec<T>) -> Result<()>) -> Result<()> {
        let mut list = match std::mem::take(&mut self.0) {
            Repr::Owned(list) => list,
            Repr::Encoded { run, len } => {
                let mut list = Vec::new();
                reader.reserve(&mut list, len)?;
                list.extend(Iter::<T>::of_run(run, len));
                list
            }
        };
        add(&mut list)?;
        self.0 = Repr::Owned(list);
        Ok(())
    }
}

impl<T> Default for Repr<'_, T> {
    fn default() -> Self {
        Self::Owned(Vec::new())
    }
}

impl<T> Default for Array<'_, T> {
    fn default() -> Self {
        Self(Repr::default())
    }
}

impl<T> From<Vec<T>> for Array<'_, T> {
    fn from(list: Vec<T>) -> Self {
        Self(Repr::Owned(list))
    }
}

/// Equal when the numbers have the same bits, NaN among them.
impl<T: Scalar> PartialEq for Array<'_, T> {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().map(T::bits).eq(other.iter().map(T::bits))
    }
}

impl<T: Scalar> fmt::Debug for Array<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'s, T: Scalar> IntoIterator for &'s Array<'_, T> {
    type Item = T;
    type IntoIter = Iter<'s, T>;

    fn into_iter(self) -> Iter<'s, T> {
        self.iter()
    }
}

/// Iterator over the numbers of an [`Array`].
#[derive(Clone, Debug)]
pub struct Iter<'s, T> {
    run: &'s [u8],
    left: usize,
    owned: std::slice::Iter<'s, T>,
}

impl<'s, T> Iter<'s, T> {
    fn of_run(run: &'s [u8], left: usize) -> Self {
        Self { run, left, owned: [].iter() }
    }
}

impl<T: Scalar> Iterator for Iter<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        if self.left == 0 {
            return self.owned.next().copied();
        }
        // The run was found well-formed when it was read, so this parses.
        let (value, taken) = parse(self.run).ok()?;
        self.run = self.run.get(taken..)?;
        self.left -= 1;
        Some(value)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let len = self.left + self.owned.len();
        (len, Some(len))
    }
}

impl<T: Scalar> ExactSizeIterator for Iter<'_, T> {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Message, SparseTensorProto, TensorProto};

    fn tensor(bytes: &[u8]) -> TensorProto<'_> {
        TensorProto::decode(bytes).unwrap()
    }

    #[test]
    fn one_packed_run_stays_borrowed() {
        let bytes = [0x22, 8, 0, 0, 0x80, 0x3f, 0, 0, 0, 0x40];
        let floats = tensor(&bytes).float_data;
        assert_eq!(floats.iter().collect::<Vec<_>>(), [1.0, 2.0]);
        assert!(matches!(floats.fixed_bytes(), Some(Cow::Borrowed(run)) if run.as_ptr() == bytes[2..].as_ptr()));
        assert_eq!(floats, Array::from(vec![1.0, 2.0]));
        assert_eq!(Array::from(vec![1.0f32, 2.0]).fixed_bytes().unwrap(), floats.fixed_bytes().unwrap());
    }

    #[test]
    fn runs_and_single_values_mix_in_order() {
        let bytes = [0x2a, 2, 1, 2, 0x28, 3, 0x2a, 0, 0x2a, 3, 4, 0x85, 0x01];
        let tensor = tensor(&bytes);
        let ints = tensor.int32_data;
        assert_eq!(ints.iter().collect::<Vec<_>>(), [1, 2, 3, 4, 133]);
        assert_eq!(ints.iter().len(), 5);
        assert_eq!(ints.fixed_bytes(), None);
        let sparse = SparseTensorProto::decode(&[0x18, 7, 0x1a, 2, 8, 9]).unwrap();
        assert_eq!(sparse.dims, [7, 8, 9]);
    }

    #[test]
    fn negative_numbers_take_ten_bytes() {
        let tensor = TensorProto { int32_data: vec![-1, i32::MIN].into(), int64_data: vec![i64::MIN, -1].into(), ..Default::default() };
        let bytes = tensor.encode();
        assert_eq!(bytes.len(), 2 * (2 + 20));
        assert_eq!(TensorProto::decode(&bytes).unwrap(), tensor);
    }

    #[test]
    fn malformed_runs_are_refused() {
        let error = TensorProto::decode(&[0x22, 3, 0, 0, 0]).unwrap_err();
        assert_eq!(error.detail(), "field 4 (float_data) of TensorProto: packed run of 3 bytes, no multiple of 4, ending at byte 5");
        let error = TensorProto::decode(&[0x2a, 2, 1, 0x80]).unwrap_err();
        assert_eq!(error.detail(), "field 5 (int32_data) of TensorProto: truncated varint in the packed run that ends at byte 4");
    }

    #[test]
    fn nan_bits_are_equal() {
        assert_eq!(Array::from(vec![f32::NAN]), Array::from(vec![f32::NAN]));
        assert_ne!(Array::from(vec![0.0f32]), Array::from(vec![-0.0f32]));
    }
}
