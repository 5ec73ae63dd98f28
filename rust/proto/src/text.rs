//! A text field, which may be absent.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

/// A `string` of a message. It reads as a `str`, empty when the field is absent; an empty one that was written stays distinct.
///
/// ONNX wants UTF-8, and old exporters did not always write it. A byte that is none reads as `\xNN`, so that the model still loads.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Text<'a>(Option<Cow<'a, str>>);

impl<'a> Text<'a> {
    /// Whether the field is present.
    pub fn is_set(&self) -> bool {
        self.0.is_some()
    }

    /// The text, empty when the field is absent.
    pub fn as_str(&self) -> &str {
        self.0.as_deref().unwrap_or_default()
    }

    /// The text without its presence.
    pub fn into_cow(self) -> Cow<'a, str> {
        self.0.unwrap_or_default()
    }

    /// The text that `bytes` hold.
    pub(crate) fn from_bytes(bytes: &'a [u8]) -> Self {
        Self(Some(match std::str::from_utf8(bytes) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => Cow::Owned(escape(bytes)),
        }))
    }
}

fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
    }
    text
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self)
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Self(Some(Cow::Borrowed(text)))
    }
}

impl From<String> for Text<'_> {
    fn from(text: String) -> Self {
        Self(Some(Cow::Owned(text)))
    }
}

impl<'a> From<Cow<'a, str>> for Text<'a> {
    fn from(text: Cow<'a, str>) -> Self {
        Self(Some(text))
    }
}

impl PartialEq<str> for Text<'_> {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Text<'_> {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_and_empty_differ_but_read_alike() {
        assert_ne!(Text::default(), Text::from(""));
        assert_eq!(Text::default(), "");
        assert_eq!(Text::from("").len(), 0);
        assert_eq!(format!("[{:>3}]", Text::from("x")), "[  x]");
    }

    #[test]
    fn bytes_that_are_no_utf8_are_escaped() {
        assert_eq!(Text::from_bytes(b"a\xffb\xc3"), "a\\xffb\\xc3");
        assert_eq!(Text::from_bytes("h\u{e9}".as_bytes()), "h\u{e9}");
        assert_ne!(Text::from_bytes(b"\xfe"), Text::from_bytes(b"\xff"));
    }
}
