//! How a member of a message is read and written: its type says it all.
//!
//! | member | field in `onnx-ml.proto` |
//! |---|---|
//! | [`Text`] | `optional string` |
//! | `Option<T>` | `optional` number, bytes (`Cow<[u8]>`) or message (`Box<M>`) |
//! | `Vec<T>` | `repeated`, written one by one, read packed too |
//! | [`Array<T>`](Array) | `repeated [packed = true]`, read one by one too |

use std::borrow::Cow;

use base::Result;

use crate::array::{Array, Scalar, encoded_size, parse, put, wire_type};
use crate::message::Message;
use crate::reader::Reader;
use crate::text::Text;
use crate::wire::{Sink, WireType, put_header, put_tag, tag_size, varint_size};

/// A member of a message.
pub(crate) trait Field<'a> {
    /// Reads one value off the wire. `false`: the wire type is not the field's, and nothing was read.
    fn read(&mut self, wire: WireType, reader: &mut Reader<'a, '_>) -> Result<bool>;

    /// Bytes that [`write`](Field::write) appends.
    fn size(&self, number: u32) -> u64;

    /// Appends the field with its tags.
    fn write(&self, number: u32, out: &mut dyn Sink);
}

/// One value of a field.
pub(crate) trait Value<'a>: Sized {
    const WIRE: WireType;

    fn read(reader: &mut Reader<'a, '_>) -> Result<Self>;

    /// Reads a value that replaces this one; messages are merged instead, as protobuf says.
    fn read_again(&mut self, reader: &mut Reader<'a, '_>) -> Result<()> {
        *self = Self::read(reader)?;
        Ok(())
    }

    /// Reads a packed run onto `list`. `false`: such values are never packed, and nothing was read.
    fn read_run(_list: &mut Vec<Self>, _reader: &mut Reader<'a, '_>) -> Result<bool> {
        Ok(false)
    }

    /// Bytes of the value and, for length-delimited ones, of its length.
    fn size(&self) -> u64;

    /// Appends the value with its tag.
    fn write(&self, number: u32, out: &mut dyn Sink);
}

fn delimited_size(len: u64) -> u64 {
    varint_size(len) + len
}

macro_rules! scalar_values {
    ($($t:ty),*) => {$(
        impl<'a> Value<'a> for $t {
            const WIRE: WireType = match <$t as Scalar>::FIXED {
                None => WireType::Varint,
                Some(4) => WireType::Fixed32,
                Some(_) => WireType::Fixed64,
            };

            fn read(reader: &mut Reader<'a, '_>) -> Result<Self> {
                reader.scalar(parse)
            }

            fn read_run(list: &mut Vec<Self>, reader: &mut Reader<'a, '_>) -> Result<bool> {
                let mut run = Array::<$t>::default();
                run.push_run(reader.bytes()?, reader)?;
                reader.reserve(list, run.len())?;
                list.extend(&run);
                Ok(true)
            }

            fn size(&self) -> u64 {
                encoded_size(*self)
            }

            fn write(&self, number: u32, out: &mut dyn Sink) {
                put_tag(out, number, Self::WIRE);
                put(out, *self);
            }
        }
    )*};
}

scalar_values!(i32, i64, u64, f32, f64);

impl<'a> Value<'a> for Cow<'a, [u8]> {
    const WIRE: WireType = WireType::Len;

    fn read(reader: &mut Reader<'a, '_>) -> Result<Self> {
        reader.bytes().map(Cow::Borrowed)
    }

    fn size(&self) -> u64 {
        delimited_size(self.len() as u64)
    }

    fn write(&self, number: u32, out: &mut dyn Sink) {
        put_header(out, number, self.len() as u64);
        out.put(self);
    }
}

impl<'a> Value<'a> for Text<'a> {
    const WIRE: WireType = WireType::Len;

    fn read(reader: &mut Reader<'a, '_>) -> Result<Self> {
        let bytes = reader.bytes()?;
        let text = Text::from_bytes(bytes);
        if text.len() != bytes.len() {
            reader.charge(text.len())?;
        }
        Ok(text)
    }

    fn size(&self) -> u64 {
        delimited_size(self.len() as u64)
    }

    fn write(&self, number: u32, out: &mut dyn Sink) {
        put_header(out, number, self.len() as u64);
        out.put(self.as_bytes());
    }
}

impl<'a, M: Message<'a>> Value<'a> for Box<M> {
    const WIRE: WireType = WireType::Len;

    fn read(reader: &mut Reader<'a, '_>) -> Result<Self> {
        reader.charge(size_of::<M>())?;
        let mut message = Box::<M>::default();
        message.read_again(reader)?;
        Ok(message)
    }

    fn read_again(&mut self, reader: &mut Reader<'a, '_>) -> Result<()> {
        self.merge(&mut reader.nested(M::NAME)?)
    }

    fn size(&self) -> u64 {
        delimited_size(self.fields_size())
    }

    fn write(&self, number: u32, out: &mut dyn Sink) {
        put_header(out, number, self.fields_size());
        self.write_fields(out);
    }
}

impl<'a> Field<'a> for Text<'a> {
    fn read(&mut self, wire: WireType, reader: &mut Reader<'a, '_>) -> Result<bool> {
        if wire != WireType::Len {
            return Ok(false);
        }
        *self = Value::read(reader)?;
        Ok(true)
    }

    fn size(&self, number: u32) -> u64 {
        if self.is_set() { tag_size(number) + Value::size(self) } else { 0 }
    }

    fn write(&self, number: u32, out: &mut dyn Sink) {
        if self.is_set() {
            Value::write(self, number, out);
        }
    }
}

impl<'a, T: Value<'a>> Field<'a> for Option<T> {
    fn read(&mut self, wire: WireType, reader: &mut Reader<'a, '_>) -> Result<bool> {
        if wire != T::WIRE {
            return Ok(false);
        }
        match self {
            Some(value) => value.read_again(reader)?,
            None => *self = Some(T::read(reader)?),
        }
        Ok(true)
    }

    fn size(&self, number: u32) -> u64 {
        self.as_ref().map_or(0, |value| tag_size(number) + value.size())
    }

    fn write(&self, number: u32, out: &mut dyn Sink) {
        if let Some(value) = self {
            value.write(number, out);
        }
    }
}

impl<'a, T: Value<'a>> Field<'a> for Vec<T> {
    fn read(&mut self, wire: WireType, reader: &mut Reader<'a, '_>) -> Result<bool> {
        if wire == T::WIRE {
            let value = T::read(reader)?;
            reader.push(self, value)?;
            return Ok(true);
        }
        if wire == WireType::Len { T::read_run(self, reader) } else { Ok(false) }
    }

    fn size(&self, number: u32) -> u64 {
        self.iter().map(|value| tag_size(number) + value.size()).sum()
    }

    fn write(&self, number: u32, out: &mut dyn Sink) {
        self.iter().for_each(|value| value.write(number, out));
    }
}

impl<'a, T: Scalar> Field<'a> for Array<'a, T> {
    fn read(&mut self, wire: WireType, reader: &mut Reader<'a, '_>) -> Result<bool> {
        if wire == WireType::Len {
            let run = reader.bytes()?;
            self.push_run(run, reader)?;
        } else if wire == wire_type::<T>() {
            let value = reader.scalar(parse)?;
            self.push(value, reader)?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    fn size(&self, number: u32) -> u64 {
        if self.is_empty() { 0 } else { tag_size(number) + delimited_size(self.run_size()) }
    }

    fn write(&self, number: u32, out: &mut dyn Sink) {
        if !self.is_empty() {
            put_header(out, number, self.run_size());
            self.put_run(out);
        }
    }
}
