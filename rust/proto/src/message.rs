//! Messages, and the two macros that declare them: one list of members gives the struct, its reader and its writer.

use base::Result;

use crate::limits::{Budget, Limits};
use crate::reader::Reader;
use crate::wire::Sink;

/// A protobuf message.
pub trait Message<'a>: Default {
    /// The name in `onnx-ml.proto`.
    const NAME: &'static str;

    /// Reads the fields up to the end of `reader` into this message: single ones replace what was there, messages merge with it,
    /// repeated ones are appended.
    fn merge(&mut self, reader: &mut Reader<'a, '_>) -> Result<()>;

    /// Bytes of all fields.
    fn fields_size(&self) -> u64;

    /// Appends all fields.
    fn write_fields(&self, out: &mut dyn Sink);

    /// Reads a message from all of `bytes`, within the default [`Limits`].
    ///
    /// # Errors
    /// `InvalidProtobuf`, with the field and the position, if the bytes are no such message or exceed a limit.
    fn decode(bytes: &'a [u8]) -> Result<Self> {
        Self::decode_within(bytes, &Limits::default())
    }

    /// Reads a message from all of `bytes`, within `limits`.
    ///
    /// # Errors
    /// As [`decode`](Message::decode).
    fn decode_within(bytes: &'a [u8], limits: &Limits) -> Result<Self> {
        let budget = Budget::new(limits, bytes.len());
        let mut message = Self::default();
        message.merge(&mut Reader::new(bytes, Self::NAME, limits.depth, &budget))?;
        Ok(message)
    }

    /// The message as bytes, fields in the order of their numbers, a `oneof` last.
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(usize::try_from(self.fields_size()).unwrap_or_default());
        self.write_fields(&mut out);
        out
    }
}

/// Members of which at most one is present.
pub(crate) trait Oneof<'a>: Sized {
    /// Reads the value of field `number` if it is one of the members; else nothing is read and the answer is `false`.
    fn read(slot: &mut Option<Self>, tag: crate::wire::Tag, reader: &mut Reader<'a, '_>) -> Result<bool>;

    /// Bytes that [`write`](Oneof::write) appends.
    fn size(&self) -> u64;

    /// Appends the member with its tag.
    fn write(&self, out: &mut dyn Sink);
}

/// Declares a message: `member: Type = number`, where the type says how the field is stored (see [`field`](crate::field)), and
/// after the braces `oneof member: Enum` if it has one.
macro_rules! message {
    (
        $(#[$meta:meta])*
        pub struct $name:ident $(<$life:lifetime>)? {
            $($(#[$doc:meta])* $field:ident: $ty:ty = $number:literal,)*
        } $(oneof $one:ident: $enum:ty)?
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct $name $(<$life>)? {
            $(
                $(#[$doc])*
                #[doc = concat!("Field ", $number, " of `", stringify!($name), "`.")]
                pub $field: $ty,
            )*
            $(
                #[doc = concat!("The one of [`", stringify!($enum), "`] that is present.")]
                pub $one: Option<$enum>,
            )?
        }

        impl<'a> $crate::message::Message<'a> for $name $(<$life>)? {
            const NAME: &'static str = stringify!($name);

            fn merge(&mut self, reader: &mut $crate::reader::Reader<'a, '_>) -> base::Result<()> {
                while let Some(tag) = reader.tag()? {
                    let read = match tag.number {
                        $($number => {
                            reader.enter($number, stringify!($field));
                            $crate::field::Field::read(&mut self.$field, tag.wire, reader)?
                        })*
                        _ => false $(|| $crate::message::Oneof::read(&mut self.$one, tag, reader)?)?,
                    };
                    if !read {
                        reader.skip(tag)?;
                    }
                }
                Ok(())
            }

            fn fields_size(&self) -> u64 {
                0 $(+ $crate::field::Field::size(&self.$field, $number))*
                    $(+ self.$one.as_ref().map_or(0, $crate::message::Oneof::size))?
            }

            fn write_fields(&self, out: &mut dyn $crate::wire::Sink) {
                $($crate::field::Field::write(&self.$field, $number, out);)*
                $(
                    if let Some(one) = &self.$one {
                        $crate::message::Oneof::write(one, out);
                    }
                )?
            }
        }

        impl<'a> $crate::field::Value<'a> for $name $(<$life>)? {
            const WIRE: $crate::wire::WireType = $crate::wire::WireType::Len;

            fn read(reader: &mut $crate::reader::Reader<'a, '_>) -> base::Result<Self> {
                let mut message = Self::default();
                $crate::field::Value::read_again(&mut message, reader)?;
                Ok(message)
            }

            fn read_again(&mut self, reader: &mut $crate::reader::Reader<'a, '_>) -> base::Result<()> {
                let mut nested = reader.nested(stringify!($name))?;
                $crate::message::Message::merge(self, &mut nested)
            }

            fn size(&self) -> u64 {
                let len = $crate::message::Message::fields_size(self);
                $crate::wire::varint_size(len) + len
            }

            fn write(&self, number: u32, out: &mut dyn $crate::wire::Sink) {
                $crate::wire::put_header(out, number, $crate::message::Message::fields_size(self));
                $crate::message::Message::write_fields(self, out);
            }
        }
    };
}

/// Declares the members of a `oneof`: `Variant(member: Type) = number`.
macro_rules! oneof {
    (
        $(#[$meta:meta])*
        pub enum $name:ident<$life:lifetime> {
            $($(#[$doc:meta])* $variant:ident($field:ident: $ty:ty) = $number:literal,)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        pub enum $name<$life> {
            $(
                $(#[$doc])*
                #[doc = concat!("Field ", $number, " (`", stringify!($field), "`).")]
                $variant($ty),
            )*
        }

        impl<$life> $crate::message::Oneof<$life> for $name<$life> {
            fn read(
                slot: &mut Option<Self>,
                tag: $crate::wire::Tag,
                reader: &mut $crate::reader::Reader<$life, '_>,
            ) -> base::Result<bool> {
                use $crate::field::Value;
                match tag.number {
                    $($number if tag.wire == <$ty as Value<$life>>::WIRE => {
                        reader.enter($number, stringify!($field));
                        match slot {
                            Some(Self::$variant(value)) => value.read_again(reader)?,
                            _ => *slot = Some(Self::$variant(Value::read(reader)?)),
                        }
                        Ok(true)
                    })*
                    _ => Ok(false),
                }
            }

            fn size(&self) -> u64 {
                match self {
                    $(Self::$variant(value) => $crate::wire::tag_size($number) + $crate::field::Value::size(value),)*
                }
            }

            fn write(&self, out: &mut dyn $crate::wire::Sink) {
                match self {
                    $(Self::$variant(value) => $crate::field::Value::write(value, $number, out),)*
                }
            }
        }
    };
}

pub(crate) use {message, oneof};
