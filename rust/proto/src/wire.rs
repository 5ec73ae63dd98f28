//! The wire format: varints, wire types, tags, and where encoded bytes go.

/// Longest encoding of a 64-bit varint.
const MAX_VARINT: usize = 10;

/// How the value after a tag is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WireType {
    Varint = 0,
    Fixed64 = 1,
    Len = 2,
    StartGroup = 3,
    EndGroup = 4,
    Fixed32 = 5,
}

impl WireType {
    /// The wire type in the low three bits of a tag; 6 and 7 are none.
    pub(crate) fn from_tag(tag: u64) -> Option<Self> {
        Some(match tag & 7 {
            0 => Self::Varint,
            1 => Self::Fixed64,
            2 => Self::Len,
            3 => Self::StartGroup,
            4 => Self::EndGroup,
            5 => Self::Fixed32,
            _ => return None,
        })
    }
}

/// What precedes each value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tag {
    pub(crate) number: u32,
    pub(crate) wire: WireType,
}

/// Why a scalar cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The bytes end within it.
    Truncated(&'static str),
    /// A varint of more than 64 bits.
    Overlong,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Truncated(what) => write!(f, "truncated {what}"),
            Self::Overlong => write!(f, "varint of more than 64 bits"),
        }
    }
}

/// The varint at the start of `bytes`, and how many bytes it takes.
pub(crate) fn varint(bytes: &[u8]) -> Result<(u64, usize), Fault> {
    let mut value = 0;
    for (i, &byte) in bytes.iter().take(MAX_VARINT).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte < 0x80 {
            let fits = i + 1 < MAX_VARINT || byte <= 1;
            return if fits { Ok((value, i + 1)) } else { Err(Fault::Overlong) };
        }
    }
    Err(if bytes.len() < MAX_VARINT { Fault::Truncated("varint") } else { Fault::Overlong })
}

/// Bytes that `value` takes as a varint.
pub(crate) fn varint_size(value: u64) -> u64 {
    u64::from((64 - (value | 1).leading_zeros()).div_ceil(7))
}

/// Bytes of the tag of field `number`.
pub(crate) fn tag_size(number: u32) -> u64 {
    varint_size(u64::from(number) << 3)
}

/// Where encoded bytes go, in order. A sink that can fail remembers its failure.
pub trait Sink {
    /// Appends `bytes`.
    fn put(&mut self, bytes: &[u8]);
}

impl Sink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Appends `value` as a varint.
pub(crate) fn put_varint(out: &mut dyn Sink, mut value: u64) {
    let mut bytes = [0; MAX_VARINT];
    let mut len = 0;
    for byte in &mut bytes {
        len += 1;
        *byte = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            break;
        }
        *byte |= 0x80;
    }
    out.put(&bytes[..len]);
}

/// Appends the tag of field `number`.
pub(crate) fn put_tag(out: &mut dyn Sink, number: u32, wire: WireType) {
    put_varint(out, u64::from(number) << 3 | wire as u64);
}

/// Appends the tag of field `number` and the length of what follows.
pub(crate) fn put_header(out: &mut dyn Sink, number: u32, len: u64) {
    put_tag(out, number, WireType::Len);
    put_varint(out, len);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_round_trip_at_every_width() {
        for shift in 0..64 {
            for value in [1u64 << shift, (1 << shift) - 1, u64::MAX >> shift] {
                let mut out = Vec::new();
                put_varint(&mut out, value);
                assert_eq!(out.len() as u64, varint_size(value), "{value}");
                assert_eq!(varint(&out), Ok((value, out.len())));
                assert_eq!(varint(&out[..out.len() - 1]), Err(Fault::Truncated("varint")));
            }
        }
    }

    #[test]
    fn varints_past_64_bits_are_refused() {
        let mut bytes = [0xff; 11];
        assert_eq!(varint(&bytes), Err(Fault::Overlong));
        bytes[9] = 2;
        assert_eq!(varint(&bytes), Err(Fault::Overlong));
        bytes[9] = 1;
        assert_eq!(varint(&bytes), Ok((u64::MAX, 10)));
        assert_eq!(varint(&[0x80, 0x00]), Ok((0, 2)), "a padded varint is still one");
    }
}
