//! A reader of one message's bytes, which knows where in the whole input it stands.

use base::{Error, Result, error};

use crate::limits::Budget;
use crate::wire::{Fault, Tag, WireType, varint};

/// Reads the fields of one message. Handed to [`Message::merge`](crate::Message::merge).
pub struct Reader<'a, 'b> {
    /// The whole input, so that positions are those of the file.
    input: &'a [u8],
    position: usize,
    end: usize,
    /// How many more messages may nest.
    depth: usize,
    budget: &'b Budget,
    message: &'static str,
    /// Number and name of the field whose value is being read.
    field: Option<(u32, &'static str)>,
}

impl<'a, 'b> Reader<'a, 'b> {
    pub(crate) fn new(input: &'a [u8], message: &'static str, depth: usize, budget: &'b Budget) -> Self {
        Self { input, position: 0, end: input.len(), depth, budget, message, field: None }
    }

    /// An error at the byte `at`, which says what was being read.
    fn fault_at(&self, at: usize, what: impl std::fmt::Display) -> Error {
        let message = self.message;
        match self.field {
            Some((number, name)) => {
                let name = name.trim_start_matches("r#");
                error!(InvalidProtobuf, "field {number} ({name}) of {message}: {what} at byte {at}")
            }
            None => error!(InvalidProtobuf, "{message}: {what} at byte {at}"),
        }
    }

    /// An error at the reader's position.
    pub(crate) fn fault(&self, what: impl std::fmt::Display) -> Error {
        self.fault_at(self.position, what)
    }

    fn rest(&self) -> &'a [u8] {
        self.input.get(self.position..self.end).unwrap_or_default()
    }

    /// The next tag, or `None` at the end of the message.
    pub(crate) fn tag(&mut self) -> Result<Option<Tag>> {
        self.field = None;
        if self.position >= self.end {
            return Ok(None);
        }
        let at = self.position;
        let tag = self.varint()?;
        let wire = WireType::from_tag(tag).ok_or_else(|| self.fault_at(at, format_args!("unknown wire type {}", tag & 7)))?;
        match u32::try_from(tag >> 3) {
            Ok(number @ 1..=0x1fff_ffff) => Ok(Some(Tag { number, wire })),
            _ => Err(self.fault_at(at, format_args!("field number {} is out of range", tag >> 3))),
        }
    }

    /// Says which field the next value belongs to.
    pub(crate) fn enter(&mut self, number: u32, name: &'static str) {
        self.field = Some((number, name));
    }

    /// Reads one scalar with `parse`, which gives the value and how many bytes it takes.
    pub(crate) fn scalar<T>(&mut self, parse: impl FnOnce(&[u8]) -> Result<(T, usize), Fault>) -> Result<T> {
        let (value, len) = parse(self.rest()).map_err(|fault| self.fault(fault))?;
        self.position += len;
        Ok(value)
    }

    fn varint(&mut self) -> Result<u64> {
        self.scalar(varint)
    }

    fn take(&mut self, len: u64) -> Result<&'a [u8]> {
        let rest = self.rest();
        let taken = usize::try_from(len).ok().and_then(|len| rest.get(..len));
        let taken = taken.ok_or_else(|| self.fault(format_args!("length {len} exceeds the {} bytes left", rest.len())))?;
        self.position += taken.len();
        Ok(taken)
    }

    /// The bytes of a length-delimited value.
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8]> {
        let len = self.varint()?;
        self.take(len)
    }

    /// A reader of the message that is the next length-delimited value.
    pub(crate) fn nested(&mut self, message: &'static str) -> Result<Reader<'a, 'b>> {
        let depth = self.depth.checked_sub(1).ok_or_else(|| self.fault("messages nest too deeply"))?;
        let len = self.bytes()?.len();
        let (end, budget) = (self.position, self.budget);
        Ok(Reader { input: self.input, position: end - len, end, depth, budget, message, field: None })
    }

    /// Skips the value after `tag`.
    pub(crate) fn skip(&mut self, tag: Tag) -> Result<()> {
        match tag.wire {
            WireType::Varint => self.varint().map(drop),
            WireType::Fixed64 => self.take(8).map(drop),
            WireType::Len => self.bytes().map(drop),
            WireType::Fixed32 => self.take(4).map(drop),
            WireType::StartGroup => self.skip_group(tag.number, self.depth),
            WireType::EndGroup => Err(self.fault(format_args!("group {} ends but never began", tag.number))),
        }
    }

    fn skip_group(&mut self, number: u32, depth: usize) -> Result<()> {
        let depth = depth.checked_sub(1).ok_or_else(|| self.fault("groups nest too deeply"))?;
        while let Some(tag) = self.tag()? {
            match tag.wire {
                WireType::EndGroup if tag.number == number => return Ok(()),
                WireType::StartGroup => self.skip_group(tag.number, depth)?,
                _ => self.skip(tag)?,
            }
        }
        Err(self.fault(format_args!("group {number} never ends")))
    }

    /// Accounts for `bytes` of memory about to be taken.
    pub(crate) fn charge(&self, bytes: usize) -> Result<()> {
        let too_much = |total| self.fault(format_args!("the message would take more than the {total} bytes of memory allowed"));
        self.budget.take(bytes).map_err(too_much)
    }

    /// Makes room for `more` elements at least, doubling so that pushing stays linear.
    pub(crate) fn reserve<T>(&self, list: &mut Vec<T>, more: usize) -> Result<()> {
        if list.capacity() - list.len() >= more {
            return Ok(());
        }
        let more = more.max(list.len());
        self.charge(more.saturating_mul(size_of::<T>()))?;
        list.try_reserve_exact(more).map_err(|e| self.fault(e))
    }

    /// Appends one element.
    pub(crate) fn push<T>(&self, list: &mut Vec<T>, value: T) -> Result<()> {
        self.reserve(list, 1)?;
        list.push(value);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limits;

    fn read<T>(bytes: &[u8], f: impl FnOnce(&mut Reader<'_, '_>) -> Result<T>) -> Result<T> {
        let budget = Budget::new(&Limits::default(), bytes.len());
        f(&mut Reader::new(bytes, "Probe", 4, &budget))
    }

    fn skip_all(bytes: &[u8]) -> Result<()> {
        read(bytes, |r| {
            while let Some(tag) = r.tag()? {
                r.skip(tag)?;
            }
            Ok(())
        })
    }

    fn refuse(bytes: &[u8], text: &str) {
        let error = skip_all(bytes).unwrap_err();
        assert_eq!(error.kind(), base::ErrorKind::InvalidProtobuf);
        assert_eq!(error.detail(), text);
    }

    #[test]
    fn every_wire_type_is_skipped() {
        skip_all(&[0x08, 0x96, 0x01]).unwrap();
        skip_all(&[0x09, 0, 0, 0, 0, 0, 0, 0, 0]).unwrap();
        skip_all(&[0x0a, 2, 1, 2]).unwrap();
        skip_all(&[0x0d, 0, 0, 0, 0]).unwrap();
        skip_all(&[0x0b, 0x13, 0x08, 1, 0x14, 0x0c]).unwrap();
        skip_all(&[]).unwrap();
    }

    #[test]
    fn errors_say_where_and_what() {
        refuse(&[0x08, 0x80], "Probe: truncated varint at byte 1");
        refuse(&[0x80], "Probe: truncated varint at byte 0");
        refuse(&[0x08, 1, 0x0d, 0, 0, 0], "Probe: length 4 exceeds the 3 bytes left at byte 3");
        refuse(&[0x0a, 99, 1, 2], "Probe: length 99 exceeds the 2 bytes left at byte 2");
        refuse(&[0x0e], "Probe: unknown wire type 6 at byte 0");
        refuse(&[0x00], "Probe: field number 0 is out of range at byte 0");
        refuse(&[0xff, 0xff, 0xff, 0xff, 0xf8, 0x01, 0], "Probe: unknown wire type 7 at byte 0");
        refuse(&[0xf8, 0xff, 0xff, 0xff, 0x7f, 0], "Probe: field number 4294967295 is out of range at byte 0");
        refuse(&[0x0c], "Probe: group 1 ends but never began at byte 1");
        refuse(&[0x0b, 0x08, 1], "Probe: group 1 never ends at byte 3");
        refuse(&[0x0b, 0x14], "Probe: group 2 ends but never began at byte 2");
        refuse(&[0x0b; 9], "Probe: groups nest too deeply at byte 5");
    }

    #[test]
    fn a_length_near_the_top_of_the_range_does_not_wrap() {
        let bytes = [0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        refuse(&bytes, "Probe: length 18446744073709551615 exceeds the 0 bytes left at byte 11");
    }

    #[test]
    fn nesting_and_memory_are_bounded() {
        let bytes = [0; 8];
        let error = read(&bytes, |r| {
            r.enter(7, "r#type");
            r.nested("A")?.nested("B")?.nested("C")?.nested("D")?.nested("E").map(drop)
        })
        .unwrap_err();
        assert!(error.detail().contains("truncated varint"), "{error}");
        let limits = Limits { depth: 0, memory_floor: 10, memory_per_byte: 1 };
        let budget = Budget::new(&limits, bytes.len());
        let mut reader = Reader::new(&bytes, "Probe", limits.depth, &budget);
        reader.enter(7, "r#type");
        let error = reader.nested("A").err().unwrap();
        assert_eq!(error.detail(), "field 7 (type) of Probe: messages nest too deeply at byte 0");
        let mut list = Vec::<u64>::new();
        reader.push(&mut list, 1).unwrap();
        reader.push(&mut list, 2).unwrap();
        let error = reader.push(&mut list, 3).unwrap_err();
        assert!(error.detail().contains("more than the 18 bytes of memory allowed"), "{error}");
    }
}
