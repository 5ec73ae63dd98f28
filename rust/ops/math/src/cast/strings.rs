//! Casting from and to strings.

use base::threads::pieces;
use base::{DType, Result, Shape, Strings, ensure};
use op::{Prepared, Run};

use super::loops::{Rounding, cast};
use super::text::{read_bool, read_float, read_signed, read_unsigned, write_float};
use crate::elementwise::{BLOCK, Map};

/// The number type by way of which elements of `dtype` become text and back: one of `i64`, `u64`, `f64`, `bool`.
fn way(dtype: DType) -> DType {
    match dtype {
        DType::Bool => DType::Bool,
        d if d.is_float() => DType::F64,
        DType::U4 | DType::U2 | DType::U8 | DType::U16 | DType::U32 | DType::U64 => DType::U64,
        _ => DType::I64,
    }
}

/// The kernel of a cast to strings.
pub(crate) struct ToStrings {
    /// The type of the input.
    from: DType,
    map: Box<dyn Map>,
}

impl ToStrings {
    /// The kernel for a type; `None` if it has no text.
    pub(crate) fn new(from: DType) -> Option<Self> {
        Some(Self { from, map: cast(from, way(from), Rounding::default())? })
    }
}

impl Prepared for ToStrings {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let input = cx.input(0)?;
        ensure!(input.dtype() == self.from, Fail, "the input is of type {}, not {}", input.dtype(), self.from);
        let (shape, bytes) = (Shape::from(input.shape()), input.bytes()?);
        let len = input.len();
        let mut strings = Strings::with_room(len, len)?;
        let mut codes = [0u8; BLOCK];
        let mut text = String::new();
        for piece in pieces(len, BLOCK) {
            let (start, n) = (piece.start, piece.len());
            let source = match self.from.size() {
                Some(size) => bytes[start * size..(start + n) * size].as_ptr(),
                None => {
                    base::packed::unpack(self.from, bytes, start, &mut codes[..n])?;
                    codes.as_ptr()
                }
            };
            let mut numbers = [0u64; BLOCK];
            // SAFETY: the source holds `n` elements of the loop's type; its results have at most eight bytes.
            unsafe { self.map.run(source, numbers.as_mut_ptr().cast(), n) };
            for i in 0..n {
                text.clear();
                match way(self.from) {
                    DType::F64 => write_float(f64::from_bits(numbers[i]), &mut text),
                    DType::I64 => text.push_str(&(numbers[i] as i64).to_string()),
                    DType::U64 => text.push_str(&numbers[i].to_string()),
                    // Truth values are bytes, eight to a word.
                    _ => text.push_str(if numbers[i / 8].to_le_bytes()[i % 8] != 0 { "1" } else { "0" }),
                }
                strings.push(&text);
            }
        }
        cx.set_strings(0, shape, strings)
    }
}

/// The kernel of a cast from strings.
pub(crate) struct FromStrings {
    /// The type of the output.
    to: DType,
    map: Box<dyn Map>,
}

impl FromStrings {
    /// The kernel for a type; `None` if it has no text.
    pub(crate) fn new(to: DType, rounding: Rounding) -> Option<Self> {
        Some(Self { to, map: cast(way(to), to, rounding)? })
    }
}

impl Prepared for FromStrings {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let shape = Shape::from(cx.input(0)?.shape());
        cx.allocate(0, self.to, shape)?;
        let strings = cx.input(0)?.strings()?;
        let output = cx.output(0)?.bytes()?;
        output.fill(0);
        let mut results = [0u64; BLOCK];
        for piece in pieces(strings.len(), BLOCK) {
            let (start, n) = (piece.start, piece.len());
            let mut numbers = [0u64; BLOCK];
            for i in 0..n {
                let text = strings.get(start + i);
                match way(self.to) {
                    DType::F64 => numbers[i] = read_float(text)?.to_bits(),
                    DType::I64 => numbers[i] = read_signed(text)? as u64,
                    DType::U64 => numbers[i] = read_unsigned(text)?,
                    _ => {
                        let word = numbers[i / 8] | u64::from(read_bool(text)?) << (i % 8 * 8);
                        numbers[i / 8] = word;
                    }
                }
            }
            // SAFETY: there are `n` numbers of the loop's type, and room for `n` elements of at most eight bytes.
            unsafe { self.map.run(numbers.as_ptr().cast(), results.as_mut_ptr().cast(), n) };
            // SAFETY: the words are initialized and may be read as bytes.
            let bytes = unsafe { std::slice::from_raw_parts(results.as_ptr().cast::<u8>(), BLOCK * 8) };
            match self.to.size() {
                Some(size) => output[start * size..(start + n) * size].copy_from_slice(&bytes[..n * size]),
                None => base::packed::pack_into(self.to, &bytes[..n], output, start)?,
            }
        }
        Ok(())
    }
}
