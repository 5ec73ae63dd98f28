//! Reading tables out of bytes that nobody vouches for.

use base::{Error, Result, error};

use crate::limits::{Budget, Limits};
use crate::text::Text;

/// Where the root table's offset stands, and after it the file identifier.
const IDENTIFIER: std::ops::Range<usize> = 4..8;

/// The bytes of a buffer, and the memory that reading it may still take.
///
/// Offsets only lead forward, so tables cannot contain themselves; but two may share a third, and few bytes can stand for much.
/// Each table that is visited and each byte that is read is therefore taken from a budget.
pub(crate) struct File<'a> {
    bytes: &'a [u8],
    budget: Budget,
    depth: usize,
}

impl<'a> File<'a> {
    pub(crate) fn new(bytes: &'a [u8], limits: &Limits) -> Self {
        Self { bytes, budget: Budget::new(limits, bytes.len()), depth: limits.depth }
    }

    /// Whether the bytes say that they are of the kind `identifier`, and begin as a buffer does.
    pub(crate) fn is(bytes: &[u8], identifier: &[u8; 4]) -> bool {
        let file = File::new(bytes, &Limits::default());
        bytes.get(IDENTIFIER) == Some(identifier) && file.root("file").is_ok()
    }

    /// The root table.
    pub(crate) fn root(&self, name: &'static str) -> Result<Table<'a, '_>> {
        let at = self.indirect(0, name)?;
        Table::new(self, at, name, self.depth)
    }

    fn fault(&self, name: &str, what: impl std::fmt::Display, at: usize) -> Error {
        error!(Fail, "{name}: {what} at byte {at}")
    }

    fn take(&self, at: usize, len: usize, name: &str) -> Result<&'a [u8]> {
        let range = at.checked_add(len).and_then(|end| self.bytes.get(at..end));
        range.ok_or_else(|| self.fault(name, format_args!("{len} bytes are needed, but the file has {}", self.bytes.len()), at))
    }

    fn array<const N: usize>(&self, at: usize, name: &str) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(at, N, name)?);
        Ok(array)
    }

    fn u16(&self, at: usize, name: &str) -> Result<u16> {
        self.array(at, name).map(u16::from_le_bytes)
    }

    fn u32(&self, at: usize, name: &str) -> Result<u32> {
        self.array(at, name).map(u32::from_le_bytes)
    }

    /// The place that the offset at `at` leads to.
    fn indirect(&self, at: usize, name: &str) -> Result<usize> {
        let offset = self.u32(at, name)? as usize;
        match at.checked_add(offset) {
            Some(place) if offset >= 4 && place < self.bytes.len() => Ok(place),
            _ => Err(self.fault(name, format_args!("an offset of {offset} leads nowhere"), at)),
        }
    }

    /// The place of the first element and the number of elements of the vector at `at`, each of `size` bytes.
    fn vector(&self, at: usize, size: usize, name: &str) -> Result<(usize, usize)> {
        let count = self.u32(at, name)? as usize;
        let len = count.checked_mul(size).ok_or_else(|| self.fault(name, format_args!("a vector of {count} elements"), at))?;
        self.take(at + 4, len, name)?;
        Ok((at + 4, count))
    }

    fn charge(&self, bytes: usize, name: &str, at: usize) -> Result<()> {
        let charged = self.budget.take(bytes);
        charged.map_err(|total| self.fault(name, format_args!("more than the {total} bytes of memory allowed"), at))
    }
}

/// A table: its fields are asked for by their slots, in the order of the schema.
#[derive(Clone, Copy)]
pub(crate) struct Table<'a, 'f> {
    file: &'f File<'a>,
    at: usize,
    vtable: usize,
    /// Bytes of the vtable.
    len: usize,
    name: &'static str,
    depth: usize,
}

/// What a visited table is charged, beside what is made of it.
const TABLE_COST: usize = 32;

impl<'a, 'f> Table<'a, 'f> {
    fn new(file: &'f File<'a>, at: usize, name: &'static str, depth: usize) -> Result<Self> {
        file.charge(TABLE_COST, name, at)?;
        let back = i64::from(file.u32(at, name)? as i32);
        let vtable = i64::try_from(at).ok().and_then(|at| usize::try_from(at - back).ok());
        let vtable = vtable.ok_or_else(|| file.fault(name, "the vtable lies before the file", at))?;
        let len = usize::from(file.u16(vtable, name)?);
        file.take(vtable, len.max(4), name)?;
        Ok(Self { file, at, vtable, len, name, depth })
    }

    /// The place of field `slot`, if the table has it.
    fn field(&self, slot: usize) -> Result<Option<usize>> {
        let entry = 4 + 2 * slot;
        if entry + 2 > self.len {
            return Ok(None);
        }
        let offset = usize::from(self.file.u16(self.vtable + entry, self.name)?);
        Ok((offset != 0).then_some(self.at + offset))
    }

    fn scalar<const N: usize>(&self, slot: usize) -> Result<Option<[u8; N]>> {
        self.field(slot)?.map(|at| self.file.array(at, self.name)).transpose()
    }

    pub(crate) fn u8(&self, slot: usize) -> Result<u8> {
        Ok(self.scalar::<1>(slot)?.map_or(0, |b| b[0]))
    }

    pub(crate) fn i32(&self, slot: usize) -> Result<i32> {
        Ok(self.scalar(slot)?.map_or(0, i32::from_le_bytes))
    }

    pub(crate) fn i64(&self, slot: usize) -> Result<Option<i64>> {
        Ok(self.scalar(slot)?.map(i64::from_le_bytes))
    }

    pub(crate) fn f32(&self, slot: usize) -> Result<f32> {
        Ok(self.scalar(slot)?.map_or(0.0, f32::from_le_bytes))
    }

    /// The place that the offset in field `slot` leads to.
    fn target(&self, slot: usize) -> Result<Option<usize>> {
        self.field(slot)?.map(|at| self.file.indirect(at, self.name)).transpose()
    }

    /// The bytes of the vector in field `slot`.
    pub(crate) fn bytes(&self, slot: usize) -> Result<Option<&'a [u8]>> {
        self.target(slot)?.map(|at| self.bytes_at(at)).transpose()
    }

    fn bytes_at(&self, at: usize) -> Result<&'a [u8]> {
        let (start, count) = self.file.vector(at, 1, self.name)?;
        self.file.charge(count, self.name, at)?;
        self.file.take(start, count, self.name)
    }

    /// The text in field `slot`; one that is left out is not set.
    pub(crate) fn text(&self, slot: usize) -> Result<Text<'a>> {
        Ok(self.bytes(slot)?.map_or_else(Text::default, Text::from_bytes))
    }

    /// The table in field `slot`.
    pub(crate) fn table(&self, slot: usize, name: &'static str) -> Result<Option<Self>> {
        self.target(slot)?.map(|at| self.nested(at, name)).transpose()
    }

    fn nested(&self, at: usize, name: &'static str) -> Result<Self> {
        let depth = self.depth.checked_sub(1).ok_or_else(|| self.file.fault(self.name, "tables nest too deeply", at))?;
        Self::new(self.file, at, name, depth)
    }

    /// The elements of the vector in field `slot`, each of `N` bytes, turned by `read` into what takes memory of its own.
    fn elements<T, const N: usize>(&self, slot: usize, read: impl Fn(usize, [u8; N]) -> Result<T>) -> Result<Vec<T>> {
        let Some(at) = self.target(slot)? else { return Ok(Vec::new()) };
        let (start, count) = self.file.vector(at, N, self.name)?;
        self.file.charge(count.saturating_mul(size_of::<T>()), self.name, at)?;
        (0..count).map(|i| start + i * N).map(|at| read(at, self.file.array(at, self.name)?)).collect()
    }

    pub(crate) fn i64s(&self, slot: usize) -> Result<Vec<i64>> {
        self.elements(slot, |_, bytes| Ok(i64::from_le_bytes(bytes)))
    }

    pub(crate) fn f32s(&self, slot: usize) -> Result<Vec<f32>> {
        self.elements(slot, |_, bytes| Ok(f32::from_le_bytes(bytes)))
    }

    /// The byte strings of the vector in field `slot`.
    pub(crate) fn strings(&self, slot: usize) -> Result<Vec<&'a [u8]>> {
        self.elements::<_, 4>(slot, |at, _| self.bytes_at(self.file.indirect(at, self.name)?))
    }

    pub(crate) fn texts(&self, slot: usize) -> Result<Vec<Text<'a>>> {
        Ok(self.strings(slot)?.into_iter().map(Text::from_bytes).collect())
    }

    /// What `read` makes of each table of the vector in field `slot`.
    pub(crate) fn tables<T>(&self, slot: usize, name: &'static str, read: impl Fn(Self) -> Result<T>) -> Result<Vec<T>> {
        self.elements::<_, 4>(slot, |at, _| read(self.nested(self.file.indirect(at, self.name)?, name)?))
    }

    /// An error in this table.
    pub(crate) fn fault(&self, what: impl std::fmt::Display) -> Error {
        self.file.fault(self.name, what, self.at)
    }

    /// Takes `bytes` of memory for what is made of this table.
    pub(crate) fn charge(&self, bytes: usize) -> Result<()> {
        self.file.charge(bytes, self.name, self.at)
    }
}
