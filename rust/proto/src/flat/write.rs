//! Writing tables: a tree of them is laid out front to back, each before what it refers to.

use std::borrow::Cow;
use std::collections::HashMap;

use base::{Result, ensure, error};

/// Alignment of vectors of bytes: weights that are mapped can be used where they lie.
const BYTES_ALIGNMENT: usize = 64;
/// Offsets have 32 bits, and readers take them for signed ones.
const MAX_LEN: usize = i32::MAX as usize;

/// A table to be written.
#[derive(Default)]
pub(crate) struct TableSpec<'t> {
    fields: Vec<(usize, Field<'t>)>,
}

enum Field<'t> {
    /// A number: the first so many of these bytes.
    Scalar([u8; 8], usize),
    Text(Cow<'t, [u8]>),
    Table(TableSpec<'t>),
    Vector(Vector<'t>),
}

/// A vector to be written.
pub(crate) enum Vector<'t> {
    /// Elements of the given size and alignment, one after the other.
    Plain {
        bytes: Cow<'t, [u8]>,
        size: usize,
        alignment: usize,
    },
    Texts(Vec<Cow<'t, [u8]>>),
    Tables(Vec<TableSpec<'t>>),
}

impl<'t> Vector<'t> {
    pub(crate) fn i64s(values: &[i64]) -> Self {
        Self::Plain { bytes: values.iter().flat_map(|v| v.to_le_bytes()).collect(), size: 8, alignment: 8 }
    }

    pub(crate) fn f32s(values: &[f32]) -> Self {
        Self::Plain { bytes: values.iter().flat_map(|v| v.to_le_bytes()).collect(), size: 4, alignment: 4 }
    }

    pub(crate) fn i32s(values: impl IntoIterator<Item = i32>) -> Self {
        Self::Plain { bytes: values.into_iter().flat_map(i32::to_le_bytes).collect(), size: 4, alignment: 4 }
    }

    /// Structures of `N` numbers.
    pub(crate) fn structs<const N: usize>(values: impl IntoIterator<Item = [u32; N]>) -> Self {
        Self::Plain { bytes: values.into_iter().flatten().flat_map(u32::to_le_bytes).collect(), size: 4 * N, alignment: 4 }
    }

    pub(crate) fn bytes(bytes: impl Into<Cow<'t, [u8]>>) -> Self {
        Self::Plain { bytes: bytes.into(), size: 1, alignment: BYTES_ALIGNMENT }
    }

    pub(crate) fn texts<'s: 't>(texts: impl IntoIterator<Item = &'s str>) -> Self {
        Self::Texts(texts.into_iter().map(|t| t.as_bytes().into()).collect())
    }
}

impl<'t> TableSpec<'t> {
    #[must_use]
    fn with(mut self, slot: usize, field: Field<'t>) -> Self {
        self.fields.push((slot, field));
        self
    }

    #[must_use]
    pub(crate) fn u8(self, slot: usize, value: u8) -> Self {
        self.with(slot, Field::Scalar([value, 0, 0, 0, 0, 0, 0, 0], 1))
    }

    #[must_use]
    pub(crate) fn i32(self, slot: usize, value: i32) -> Self {
        let [a, b, c, d] = value.to_le_bytes();
        self.with(slot, Field::Scalar([a, b, c, d, 0, 0, 0, 0], 4))
    }

    #[must_use]
    pub(crate) fn f32(self, slot: usize, value: f32) -> Self {
        self.i32(slot, value.to_bits().cast_signed())
    }

    #[must_use]
    pub(crate) fn i64(self, slot: usize, value: i64) -> Self {
        self.with(slot, Field::Scalar(value.to_le_bytes(), 8))
    }

    #[must_use]
    pub(crate) fn text(self, slot: usize, text: &'t str) -> Self {
        self.with(slot, Field::Text(text.as_bytes().into()))
    }

    #[must_use]
    pub(crate) fn owned_text(self, slot: usize, text: String) -> Self {
        self.with(slot, Field::Text(text.into_bytes().into()))
    }

    #[must_use]
    pub(crate) fn string(self, slot: usize, text: &'t [u8]) -> Self {
        self.with(slot, Field::Text(text.into()))
    }

    #[must_use]
    pub(crate) fn table(self, slot: usize, table: TableSpec<'t>) -> Self {
        self.with(slot, Field::Table(table))
    }

    #[must_use]
    pub(crate) fn vector(self, slot: usize, vector: Vector<'t>) -> Self {
        self.with(slot, Field::Vector(vector))
    }

    #[must_use]
    pub(crate) fn tables(self, slot: usize, tables: Vec<TableSpec<'t>>) -> Self {
        self.vector(slot, Vector::Tables(tables))
    }
}

/// The buffer whose root is `root`, of the kind `identifier`.
///
/// # Errors
/// `Fail` when it would be longer than 2 GiB, which is what offsets reach.
pub(crate) fn write(root: &TableSpec<'_>, identifier: &[u8; 4]) -> Result<Vec<u8>> {
    let mut writer = Writer { out: vec![0; 4], vtables: HashMap::new() };
    writer.out.extend_from_slice(identifier);
    let at = writer.table(root)?;
    writer.point(0, at)?;
    Ok(writer.out)
}

struct Writer {
    out: Vec<u8>,
    /// Where the vtables are that were written: tables of one form share one.
    vtables: HashMap<Vec<u16>, usize>,
}

impl Writer {
    /// Pads so that what is written after `ahead` more bytes is aligned.
    fn align(&mut self, alignment: usize, ahead: usize) {
        let end = (self.out.len() + ahead).next_multiple_of(alignment) - ahead;
        self.out.resize(end, 0);
    }

    /// Lets the offset at `at` lead to `place`.
    fn point(&mut self, at: usize, place: usize) -> Result<()> {
        let offset = place.checked_sub(at).filter(|_| place <= MAX_LEN);
        let offset = offset.and_then(|o| u32::try_from(o).ok());
        let offset = offset.ok_or_else(|| error!(Fail, "a FlatBuffers file cannot be longer than 2 GiB"))?;
        self.out[at..at + 4].copy_from_slice(&offset.to_le_bytes());
        Ok(())
    }

    /// Writes `table` and what it refers to; gives its place.
    fn table(&mut self, table: &TableSpec<'_>) -> Result<usize> {
        let size = |field: &Field<'_>| if let Field::Scalar(_, size) = field { *size } else { 4 };
        let mut order: Vec<&(usize, Field<'_>)> = table.fields.iter().collect();
        order.sort_by_key(|(_, field)| std::cmp::Reverse(size(field)));
        let slots = table.fields.iter().map(|(slot, _)| slot + 1).max().unwrap_or(0);
        // The offset of the vtable comes first; with 8-byte fields, padding follows it.
        let wide = order.first().is_some_and(|(_, field)| size(field) == 8);
        let mut places = vec![0u16; slots];
        let mut len = if wide { 8 } else { 4 };
        for (slot, field) in &order {
            places[*slot] = len as u16;
            len += size(field);
        }
        let mut vtable = vec![(4 + 2 * slots) as u16, len as u16];
        vtable.extend(&places);
        let vtable = self.vtable(vtable);
        self.align(if wide { 8 } else { 4 }, 0);
        let at = self.out.len();
        ensure!(at <= MAX_LEN, Fail, "a FlatBuffers file cannot be longer than 2 GiB");
        self.out.resize(at + len, 0);
        let back = (at - vtable) as i32;
        self.out[at..at + 4].copy_from_slice(&back.to_le_bytes());
        for (slot, field) in &table.fields {
            let place = at + usize::from(places[*slot]);
            match field {
                Field::Scalar(bytes, size) => self.out[place..place + size].copy_from_slice(&bytes[..*size]),
                _ => self.refer(place, field)?,
            }
        }
        Ok(at)
    }

    fn vtable(&mut self, vtable: Vec<u16>) -> usize {
        if let Some(at) = self.vtables.get(&vtable) {
            return *at;
        }
        self.align(2, 0);
        let at = self.out.len();
        self.out.extend(vtable.iter().flat_map(|v| v.to_le_bytes()));
        self.vtables.insert(vtable, at);
        at
    }

    /// Writes what `field` refers to, and the offset to it at `at`.
    fn refer(&mut self, at: usize, field: &Field<'_>) -> Result<()> {
        let place = match field {
            Field::Scalar(..) => return Ok(()),
            Field::Text(text) => self.text(text)?,
            Field::Table(table) => self.table(table)?,
            Field::Vector(vector) => self.vector(vector)?,
        };
        self.point(at, place)
    }

    fn text(&mut self, text: &[u8]) -> Result<usize> {
        let at = self.plain(text, 1, 1)?;
        self.out.push(0);
        Ok(at)
    }

    fn plain(&mut self, bytes: &[u8], size: usize, alignment: usize) -> Result<usize> {
        self.align(alignment.max(4), 4);
        let at = self.out.len();
        self.count(bytes.len() / size)?;
        ensure!(bytes.len() <= MAX_LEN - at, Fail, "a FlatBuffers file cannot be longer than 2 GiB");
        self.out.extend_from_slice(bytes);
        Ok(at)
    }

    fn count(&mut self, count: usize) -> Result<()> {
        let count = u32::try_from(count).ok().filter(|_| self.out.len() <= MAX_LEN);
        let count = count.ok_or_else(|| error!(Fail, "a FlatBuffers file cannot be longer than 2 GiB"))?;
        self.out.extend_from_slice(&count.to_le_bytes());
        Ok(())
    }

    fn vector(&mut self, vector: &Vector<'_>) -> Result<usize> {
        match vector {
            Vector::Plain { bytes, size, alignment } => self.plain(bytes, *size, *alignment),
            Vector::Texts(texts) => self.offsets(texts.len(), |w, i| w.text(&texts[i])),
            Vector::Tables(tables) => self.offsets(tables.len(), |w, i| w.table(&tables[i])),
        }
    }

    /// A vector of `count` offsets to what `write` writes.
    fn offsets(&mut self, count: usize, write: impl Fn(&mut Self, usize) -> Result<usize>) -> Result<usize> {
        self.align(4, 0);
        let at = self.out.len();
        self.count(count)?;
        self.out.resize(at + 4 + 4 * count, 0);
        for i in 0..count {
            let place = write(self, i)?;
            self.point(at + 4 + 4 * i, place)?;
        }
        Ok(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flat::File;
    use crate::limits::Limits;

    fn bytes() -> Vec<u8> {
        let inner = || TableSpec::default().i64(2, -7).text(0, "inner");
        let root = TableSpec::default()
            .u8(0, 3)
            .i64(1, 1 << 40)
            .f32(2, 1.5)
            .text(4, "text")
            .table(5, inner())
            .tables(6, vec![inner(), TableSpec::default()])
            .vector(7, Vector::i64s(&[1, -2]))
            .vector(8, Vector::texts(["a", ""]))
            .vector(9, Vector::bytes(&b"weights"[..]))
            .vector(10, Vector::f32s(&[0.5]));
        write(&root, b"TEST").unwrap()
    }

    #[test]
    fn what_is_written_is_read() {
        let bytes = bytes();
        assert!(File::is(&bytes, b"TEST") && !File::is(&bytes, b"ORTM"));
        let file = File::new(&bytes, &Limits::default());
        let root = file.root("root").unwrap();
        assert_eq!((root.u8(0).unwrap(), root.i64(1).unwrap(), root.f32(2).unwrap()), (3, Some(1 << 40), 1.5));
        assert_eq!((root.i32(3).unwrap(), root.i64(3).unwrap(), root.text(3).unwrap().is_set()), (0, None, false));
        assert_eq!(root.text(4).unwrap(), "text");
        assert_eq!(root.table(5, "inner").unwrap().unwrap().i64(2).unwrap(), Some(-7));
        assert_eq!(root.tables(6, "inner", |t| t.i64(2)).unwrap(), [Some(-7), None]);
        assert_eq!(root.i64s(7).unwrap(), [1, -2]);
        assert_eq!(root.texts(8).unwrap(), ["a", ""]);
        assert_eq!(root.bytes(9).unwrap(), Some(&b"weights"[..]));
        assert_eq!(root.f32s(10).unwrap(), [0.5]);
        assert!(root.table(99, "none").unwrap().is_none());
    }

    #[test]
    fn weights_and_numbers_are_aligned() {
        let bytes = bytes();
        let weights = bytes.windows(7).position(|w| w == b"weights").unwrap();
        assert!(weights.is_multiple_of(BYTES_ALIGNMENT));
        let number = bytes.windows(8).position(|w| w == (1i64 << 40).to_le_bytes()).unwrap();
        assert!(number.is_multiple_of(8));
    }

    #[test]
    fn shared_tables_and_deep_ones_stop_at_the_limit() {
        let limits = Limits { memory_floor: 1 << 10, memory_per_byte: 1, depth: 3 };
        // A vector whose offsets all lead to one table.
        let mut bytes = write(&TableSpec::default().tables(0, (0..100).map(|_| TableSpec::default()).collect()), b"TEST").unwrap();
        let file = File::new(&bytes, &limits);
        assert!(file.root("root").unwrap().tables(0, "t", |_| Ok(())).is_err());
        let mut deep = TableSpec::default();
        for _ in 0..4 {
            deep = TableSpec::default().table(0, deep);
        }
        bytes = write(&deep, b"TEST").unwrap();
        let file = File::new(&bytes, &limits);
        let mut table = file.root("root").unwrap();
        let error = loop {
            match table.table(0, "t") {
                Ok(next) => table = next.unwrap(),
                Err(e) => break e,
            }
        };
        assert!(error.detail().contains("tables nest too deeply"), "{error}");
    }
}
