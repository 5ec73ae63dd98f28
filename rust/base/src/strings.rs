//! The elements of a string tensor: one buffer of offsets, one of bytes.

use std::fmt;

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
    /// No strings, with room for `count` of them.
    pub fn with_capacity(count: usize) -> Self {
        let mut offsets = Vec::with_capacity(count.saturating_add(1));
        offsets.push(0);
        Self { offsets, bytes: String::new() }
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

impl<S: AsRef<str>> FromIterator<S> for Strings {
    fn from_iter<I: IntoIterator<Item = S>>(items: I) -> Self {
        let items = items.into_iter();
        let mut strings = Self::with_capacity(items.size_hint().0);
        items.for_each(|s| strings.push(s.as_ref()));
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
    }
}
