//! Reading tensors of any type as floats or integers, a segment at a time.

use base::minifloat::Format;
use base::{DType, Result, TensorRef, bail, error, packed};
use half::{bf16, f16};

use super::grid::{SEGMENT, Segment};

/// A dense tensor whose elements can be read as floats or as integers.
#[derive(Clone, Copy)]
pub(crate) enum Source<'a> {
    F32(&'a [f32]),
    F16(&'a [f16]),
    BF16(&'a [bf16]),
    I32(&'a [i32]),
    U16(&'a [u16]),
    I16(&'a [i16]),
    U8(&'a [u8]),
    I8(&'a [i8]),
    /// Small floats, one to a byte.
    Small(&'static Format, &'a [u8]),
    /// Small floats or integers, several to a byte.
    Packed(DType, Option<&'static Format>, &'a [u8]),
}

impl<'a> Source<'a> {
    pub(crate) fn new(t: TensorRef<'a>) -> Result<Self> {
        let format = Format::of(t.dtype());
        Ok(match t.dtype() {
            DType::F32 => Self::F32(t.slice()?),
            DType::F16 => Self::F16(t.slice()?),
            DType::BF16 => Self::BF16(t.slice()?),
            DType::I32 => Self::I32(t.slice()?),
            DType::U16 => Self::U16(t.slice()?),
            DType::I16 => Self::I16(t.slice()?),
            DType::U8 => Self::U8(t.slice()?),
            DType::I8 => Self::I8(t.slice()?),
            dtype if dtype.is_packed() => Self::Packed(dtype, format, t.bytes()?),
            dtype => match format {
                Some(format) => Self::Small(format, t.bytes()?),
                None => bail!(NotImplemented, "{dtype} is not quantized"),
            },
        })
    }

    /// Fills `out` with the elements from `start` on, as floats.
    ///
    /// # Errors
    /// `InvalidArgument` when there are not so many.
    pub(crate) fn floats(&self, start: usize, out: &mut [f32]) -> Result<()> {
        let len = out.len();
        match self {
            Self::F32(s) => out.copy_from_slice(part(s, start, len)?),
            Self::F16(s) => simd::f16_to_f32(part(s, start, len)?, out),
            Self::BF16(s) => simd::bf16_to_f32(part(s, start, len)?, out),
            Self::I32(s) => each(part(s, start, len)?, out, |x| x as f32),
            Self::U16(s) => each(part(s, start, len)?, out, f32::from),
            Self::I16(s) => each(part(s, start, len)?, out, f32::from),
            Self::U8(s) => each(part(s, start, len)?, out, f32::from),
            Self::I8(s) => each(part(s, start, len)?, out, f32::from),
            Self::Small(format, s) => each(part(s, start, len)?, out, |code| format.decode(code)),
            Self::Packed(dtype, format, bytes) => {
                let mut codes = [0; SEGMENT];
                let codes = &mut codes[..len];
                packed::unpack(*dtype, bytes, start, codes)?;
                match format {
                    Some(format) => each(codes, out, |code| format.decode(code)),
                    None => each(codes, out, |code| packed::to_i8(*dtype, code).into()),
                }
            }
        }
        Ok(())
    }

    /// Fills `out` with the elements from `start` on, which are integers.
    ///
    /// # Errors
    /// `InvalidArgument` when there are not so many, `Fail` when they are floats.
    pub(crate) fn ints(&self, start: usize, out: &mut [i32]) -> Result<()> {
        let len = out.len();
        match self {
            Self::I32(s) => out.copy_from_slice(part(s, start, len)?),
            Self::U16(s) => each(part(s, start, len)?, out, i32::from),
            Self::I16(s) => each(part(s, start, len)?, out, i32::from),
            Self::U8(s) => each(part(s, start, len)?, out, i32::from),
            Self::I8(s) => each(part(s, start, len)?, out, i32::from),
            Self::Packed(dtype, None, bytes) => {
                let mut codes = [0; SEGMENT];
                let codes = &mut codes[..len];
                packed::unpack(*dtype, bytes, start, codes)?;
                each(codes, out, |code| packed::to_i8(*dtype, code).into());
            }
            _ => bail!(Fail, "floats are read as integers"),
        }
        Ok(())
    }

    /// Whether the elements are integers.
    pub(crate) fn is_integer(&self) -> bool {
        match self {
            Self::F32(_) | Self::F16(_) | Self::BF16(_) | Self::Small(..) => false,
            Self::Packed(_, format, ..) => format.is_none(),
            _ => true,
        }
    }

    /// The floats that belong to the elements of `segment`: one for all of them, or one each.
    pub(crate) fn of_segment<'b>(&self, segment: &Segment, buffer: &'b mut [f32; SEGMENT]) -> Result<Each<'b, f32>> {
        if segment.uniform {
            self.floats(segment.scale, &mut buffer[..1])?;
            return Ok(Each::All(buffer[0]));
        }
        let each = &mut buffer[..segment.len];
        self.floats(segment.scale, each)?;
        Ok(Each::One(each))
    }

    /// As [`of_segment`](Self::of_segment), for integers.
    pub(crate) fn ints_of_segment<'b>(&self, segment: &Segment, buffer: &'b mut [i32; SEGMENT]) -> Result<Each<'b, i32>> {
        if segment.uniform {
            self.ints(segment.scale, &mut buffer[..1])?;
            return Ok(Each::All(buffer[0]));
        }
        let each = &mut buffer[..segment.len];
        self.ints(segment.scale, each)?;
        Ok(Each::One(each))
    }
}

/// What belongs to the elements of a segment.
#[derive(Clone, Copy)]
pub(crate) enum Each<'a, T> {
    /// The same for all.
    All(T),
    /// One for each.
    One(&'a [T]),
}

fn part<T>(s: &[T], start: usize, len: usize) -> Result<&[T]> {
    let found = start.checked_add(len).and_then(|end| s.get(start..end));
    found.ok_or_else(|| error!(InvalidArgument, "elements {start}..{start}+{len} are needed of {}", s.len()))
}

fn each<T: Copy, U>(from: &[T], to: &mut [U], f: impl Fn(T) -> U) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to = f(*from));
}
