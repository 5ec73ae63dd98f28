//! Elements narrower than a byte: how they lie in storage.
//!
//! Types of two and four bits fill a byte from its low bits up. Types of six bits form one little-endian stream, four to three bytes.
//! A *code* is the raw bits of one element in the low bits of a `u8`. What is left of the last byte is zero.

use crate::{DType, Result, ensure, error};

/// The smallest run of elements that fills whole bytes, as (elements, bytes); `None` if `dtype` is not packed.
///
/// Threads that write to one packed tensor must start at multiples of it.
pub fn group(dtype: DType) -> Option<(usize, usize)> {
    match dtype.bits() {
        2 => Some((4, 1)),
        4 => Some((2, 1)),
        6 => Some((4, 3)),
        _ => None,
    }
}

/// The code of element `index`; `None` if `dtype` is not packed or the element lies outside `bytes`.
pub fn get(dtype: DType, bytes: &[u8], index: usize) -> Option<u8> {
    let place = Place::of(dtype, index)?;
    let low = u16::from(*bytes.get(place.byte)?);
    let high = if place.straddles() { u16::from(*bytes.get(place.byte + 1)?) } else { 0 };
    Some(((low | high << 8) >> place.shift) as u8 & place.mask)
}

/// Writes the code of element `index` and leaves its neighbours; `None` if `dtype` is not packed or the element lies outside `bytes`.
///
/// Bits of `code` above the width of the type are ignored.
pub fn set(dtype: DType, bytes: &mut [u8], index: usize, code: u8) -> Option<()> {
    let place = Place::of(dtype, index)?;
    let mask = u16::from(place.mask) << place.shift;
    let code = u16::from(code) << place.shift & mask;
    let [low, high] = mask.to_le_bytes();
    let [code_low, code_high] = code.to_le_bytes();
    if place.straddles() {
        let next = bytes.get_mut(place.byte + 1)?;
        *next = *next & !high | code_high;
    }
    let first = bytes.get_mut(place.byte)?;
    *first = *first & !low | code_low;
    Some(())
}

/// Reads the codes of the `out.len()` elements from `start` on.
///
/// # Errors
/// `Fail` if `dtype` is not packed or the elements do not lie inside `bytes`.
pub fn unpack(dtype: DType, bytes: &[u8], start: usize, out: &mut [u8]) -> Result<()> {
    let (per_group, group_bytes) = checked(dtype, bytes.len(), start, out.len())?;
    // Up to the next group one by one, then whole groups, then what remains one by one.
    let head = (start.next_multiple_of(per_group) - start).min(out.len());
    let (head, rest) = out.split_at_mut(head);
    let first = start + head.len();
    let (groups, tail) = rest.split_at_mut(rest.len() / per_group * per_group);
    let whole = &bytes[first / per_group * group_bytes..];
    match dtype.bits() {
        2 => {
            for (codes, byte) in groups.chunks_exact_mut(4).zip(whole) {
                codes.copy_from_slice(&[byte & 3, byte >> 2 & 3, byte >> 4 & 3, byte >> 6]);
            }
        }
        4 => {
            for (codes, byte) in groups.chunks_exact_mut(2).zip(whole) {
                codes.copy_from_slice(&[byte & 15, byte >> 4]);
            }
        }
        _ => {
            for (codes, b) in groups.chunks_exact_mut(4).zip(whole.chunks_exact(3)) {
                codes.copy_from_slice(&[b[0] & 63, b[0] >> 6 | (b[1] & 15) << 2, b[1] >> 4 | (b[2] & 3) << 4, b[2] >> 2]);
            }
        }
    }
    let last = first + groups.len();
    let singles = head.iter_mut().zip(start..).chain(tail.iter_mut().zip(last..));
    for (code, index) in singles {
        *code = get(dtype, bytes, index).ok_or_else(|| outside(dtype, bytes.len(), index))?;
    }
    Ok(())
}

/// Writes `codes` as the elements from `start` on and leaves their neighbours.
///
/// # Errors
/// `Fail` if `dtype` is not packed or the elements do not lie inside `bytes`.
pub fn pack_into(dtype: DType, codes: &[u8], bytes: &mut [u8], start: usize) -> Result<()> {
    let (per_group, group_bytes) = checked(dtype, bytes.len(), start, codes.len())?;
    let head = (start.next_multiple_of(per_group) - start).min(codes.len());
    let (head, rest) = codes.split_at(head);
    let first = start + head.len();
    let (groups, tail) = rest.split_at(rest.len() / per_group * per_group);
    let whole = &mut bytes[first / per_group * group_bytes..];
    match dtype.bits() {
        2 => {
            for (c, byte) in groups.chunks_exact(4).zip(whole) {
                *byte = c[0] & 3 | (c[1] & 3) << 2 | (c[2] & 3) << 4 | c[3] << 6;
            }
        }
        4 => {
            for (c, byte) in groups.chunks_exact(2).zip(whole) {
                *byte = c[0] & 15 | c[1] << 4;
            }
        }
        _ => {
            for (c, b) in groups.chunks_exact(4).zip(whole.chunks_exact_mut(3)) {
                b.copy_from_slice(&[c[0] & 63 | c[1] << 6, (c[1] & 63) >> 2 | c[2] << 4, (c[2] & 63) >> 4 | c[3] << 2]);
            }
        }
    }
    let last = first + groups.len();
    let singles = head.iter().zip(start..).chain(tail.iter().zip(last..));
    for (&code, index) in singles {
        set(dtype, bytes, index, code).ok_or_else(|| outside(dtype, bytes.len(), index))?;
    }
    Ok(())
}

/// The storage of a tensor with these codes.
///
/// # Errors
/// `Fail` if `dtype` is not packed.
pub fn pack(dtype: DType, codes: &[u8]) -> Result<Vec<u8>> {
    let len = dtype.bytes_of(codes.len()).ok_or_else(|| unpacked(dtype))?;
    let mut bytes = vec![0; len];
    pack_into(dtype, codes, &mut bytes, 0)?;
    Ok(bytes)
}

/// The number that a code of an integer type stands for: sign-extended for the signed types, as it is for all others.
#[inline]
pub fn to_i8(dtype: DType, code: u8) -> i8 {
    match dtype {
        DType::I4 => (code << 4) as i8 >> 4,
        DType::I2 => (code << 6) as i8 >> 6,
        _ => code as i8,
    }
}

/// Where an element begins.
struct Place {
    byte: usize,
    shift: u32,
    bits: u32,
    mask: u8,
}

impl Place {
    fn of(dtype: DType, index: usize) -> Option<Self> {
        let (per_group, group_bytes) = group(dtype)?;
        let bits = dtype.bits();
        let bit = index % per_group * bits;
        let byte = (index / per_group).checked_mul(group_bytes)? + bit / 8;
        Some(Self { byte, shift: bit as u32 % 8, bits: bits as u32, mask: (1 << bits) - 1 })
    }

    fn straddles(&self) -> bool {
        self.shift + self.bits > 8
    }
}

/// The group of `dtype`, if elements `start..start + len` lie in `bytes` bytes.
fn checked(dtype: DType, bytes: usize, start: usize, len: usize) -> Result<(usize, usize)> {
    let group = group(dtype).ok_or_else(|| unpacked(dtype))?;
    let need = start.checked_add(len).and_then(|end| dtype.bytes_of(end));
    ensure!(need.is_some_and(|need| need <= bytes), Fail, "elements {start}..{start}+{len} of type {dtype} do not lie in {bytes} bytes");
    Ok(group)
}

fn unpacked(dtype: DType) -> crate::Error {
    error!(Fail, "elements of type {dtype} are not packed")
}

fn outside(dtype: DType, bytes: usize, index: usize) -> crate::Error {
    error!(Fail, "element {index} of type {dtype} does not lie in {bytes} bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed_types() -> impl Iterator<Item = DType> {
        DType::all().filter(|d| d.is_packed())
    }

    fn some_codes(dtype: DType, len: usize) -> Vec<u8> {
        (0..len).map(|i| (i * 37 + 11 + i / 5) as u8 & ((1 << dtype.bits()) - 1)).collect()
    }

    #[test]
    fn bytes_are_those_of_the_specification() {
        assert_eq!(pack(DType::U4, &[1, 2, 15]).unwrap(), [0x21, 0x0f]);
        assert_eq!(pack(DType::I2, &[1, 2, 3, 0, 3]).unwrap(), [0b0011_1001, 3]);
        assert_eq!(pack(DType::F6E2M3, &[1, 2, 3, 4]).unwrap(), [0x81, 0x30, 0x10]);
        assert_eq!(pack(DType::F6E3M2, &[63]).unwrap(), [63]);
        assert_eq!(pack(DType::F6E3M2, &[0, 63, 63]).unwrap(), [0xc0, 0xff, 0x03]);
        assert_eq!(pack(DType::U4, &[]).unwrap(), []);
    }

    #[test]
    fn every_window_of_every_type_comes_back() {
        for dtype in packed_types() {
            for len in 0..20 {
                let codes = some_codes(dtype, len);
                let bytes = pack(dtype, &codes).unwrap();
                assert_eq!(Some(bytes.len()), dtype.bytes_of(len));
                for start in 0..=len {
                    for end in start..=len {
                        let mut out = vec![0xee; end - start];
                        unpack(dtype, &bytes, start, &mut out).unwrap();
                        assert_eq!(out, codes[start..end], "{dtype} {start}..{end}");
                    }
                }
                let each: Vec<u8> = (0..len).map(|i| get(dtype, &bytes, i).unwrap()).collect();
                assert_eq!(each, codes);
            }
        }
    }

    #[test]
    fn writing_leaves_the_neighbours() {
        for dtype in packed_types() {
            let len = 13;
            for start in 0..=len {
                for end in start..=len {
                    let mut expected = some_codes(dtype, len);
                    let mut bytes = pack(dtype, &expected).unwrap();
                    let new: Vec<u8> = expected[start..end].iter().map(|c| !c).collect();
                    pack_into(dtype, &new, &mut bytes, start).unwrap();
                    for (old, new) in expected[start..end].iter_mut().zip(&new) {
                        *old = new & ((1 << dtype.bits()) - 1);
                    }
                    assert_eq!(bytes, pack(dtype, &expected).unwrap(), "{dtype} {start}..{end}");
                }
            }
        }
    }

    #[test]
    fn outside_is_an_error() {
        for dtype in packed_types() {
            let bytes = [0; 3];
            let len = 24 / dtype.bits();
            assert!(unpack(dtype, &bytes, 0, &mut vec![0; len]).is_ok());
            let error = unpack(dtype, &bytes, 1, &mut vec![0; len]).unwrap_err();
            assert!(error.detail().contains(&format!("1..1+{len} of type {dtype} do not lie in 3 bytes")), "{error}");
            assert!(unpack(dtype, &bytes, usize::MAX, &mut [0, 0]).is_err());
            assert!(pack_into(dtype, &vec![0; len + 1], &mut [0; 3], 0).is_err());
            assert_eq!(get(dtype, &bytes, len), None);
            assert_eq!(get(dtype, &bytes, usize::MAX), None);
            assert_eq!(set(dtype, &mut [0; 3], len, 1), None);
        }
    }

    #[test]
    fn other_types_are_not_packed() {
        for dtype in DType::all().filter(|d| !d.is_packed()) {
            assert_eq!((group(dtype), get(dtype, &[0; 8], 0)), (None, None));
            assert!(pack(dtype, &[1]).unwrap_err().detail().contains("not packed"));
            assert!(unpack(dtype, &[0; 8], 0, &mut [0]).is_err());
        }
    }

    #[test]
    fn signs_are_extended() {
        assert_eq!([0, 7, 8, 15].map(|c| to_i8(DType::I4, c)), [0, 7, -8, -1]);
        assert_eq!([0, 1, 2, 3].map(|c| to_i8(DType::I2, c)), [0, 1, -2, -1]);
        assert_eq!((to_i8(DType::U4, 15), to_i8(DType::U2, 3)), (15, 3));
    }
}
