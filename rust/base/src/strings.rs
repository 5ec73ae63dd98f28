//! The elements of a string tensor: one buffer of offsets, one of bytes.

use std::fmt;

use crate::threads::paced;
use crate::{Result, ensure_room, error};

/// UTF-8 strings, stored as one buffer of bytes and one of offsets.
#[derive(Clone, PartialEq, Eq)]
pub struct Strings {
    /// `offsets[i]..offsets[i + 1]` are the bytes of string `i`.
    offsets: Vec<usize>,
    bytes: String,
}

impl Default for Strings {
    fn default() -> Self {
        Self { offsets: vec![0], bytes: String::new() }
    }
}

impl Strings {
    /// No strings, with room for `count` of them that take `bytes` bytes together.
    ///
    /// # Errors
    /// `Fail` when the memory cannot be had.
    pub fn with_room(count: usize, bytes: usize) -> Result<Self> {
        let mut strings = Self::default();
        strings.reserve(count, bytes)?;
        Ok(strings)
    }

    /// Makes room for `count` more strings that take `bytes` bytes together.
    ///
    /// # Errors
    /// `Fail` when the memory cannot be had.
    pub fn reserve(&mut self, count: usize, bytes: usize) -> Result<()> {
        ensure_room(count.saturating_mul(size_of::<usize>()).saturating_add(bytes))?;
        let reserved = self.offsets.try_reserve(count).and_then(|()| self.bytes.try_reserve(bytes));
        reserved.map_err(|_| error!(Fail, "there is no memory for {count} strings of {bytes} bytes"))
    }

    /// A copy of `items`, which may be many more than what they were chosen from.
    ///
    /// # Errors
    /// `Fail` when the memory cannot be had.
    pub fn gather<'a>(items: impl Iterator<Item = &'a str> + Clone) -> Result<Self> {
        let mut strings = Self::with_room(items.size_hint().0, 0)?;
        let (count, bytes) = paced(items.clone(), 8).fold((0, 0usize), |(n, bytes), s| (n + 1, bytes.saturating_add(s.len())));
        strings.reserve(count, bytes)?;
        paced(items, 16).for_each(|s| strings.push(s));
        Ok(strings)
    }

    /// How many strings there are.
    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that all strings take together.
    pub fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    /// String `i`, which is less than [`len`](Self::len).
    pub fn get(&self, i: usize) -> &str {
        &self.bytes[self.offsets[i]..self.offsets[i + 1]]
    }

    /// Appends `s`.
    pub fn push(&mut self, s: &str) {
        self.bytes.push_str(s);
        self.offsets.push(self.bytes.len());
    }

    /// Appends one string made of `parts`, without an intermediate copy.
    pub fn push_parts(&mut self, parts: &[&str]) {
        parts.iter().for_each(|p| self.bytes.push_str(p));
        self.offsets.push(self.bytes.len());
    }

    /// The strings in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> + Clone {
        (0..self.len()).map(|i| self.get(i))
    }
}

/// For strings that are there already, one by one; [`Strings::gather`] is for copies of others.
impl<S: AsRef<str>> FromIterator<S> for Strings {
    fn from_iter<I: IntoIterator<Item = S>>(items: I) -> Self {
        let mut strings = Self::default();
        paced(items.into_iter(), 16).for_each(|s| strings.push(s.as_ref()));
        strings
    }
}

impl fmt::Debug for Strings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_empty_and_wide_strings() {
        let s: Strings = ["", "ä€", "x"].into_iter().collect();
        assert_eq!(s.iter().collect::<Vec<_>>(), ["", "ä€", "x"]);
        assert_eq!(s.byte_len(), 6);
        assert_eq!(Strings::gather(s.iter()).unwrap(), s);
    }

    #[test]
    fn more_than_fits_is_an_error() {
        assert!(Strings::with_room(usize::MAX, 0).is_err());
        assert!(Strings::with_room(1, usize::MAX).is_err());
        assert!(Strings::gather(std::iter::repeat_n("x", 1 << 60)).is_err());
    }
}
