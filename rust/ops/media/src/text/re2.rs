//! Patterns of RE2 as patterns of the `regex` crate, which differ in a few places.
//!
//! In RE2, `\d`, `\s`, `\w` and their opposites know ASCII only; a class has no sets within it, so that `[`, `&` and `~` are plain there;
//! and `\Q..\E` quotes.

use std::iter::Peekable;
use std::str::Chars;

use base::{Result, bail, error};
use regex::{Regex, RegexBuilder};

/// A matcher of `pattern`, around which `wrap` puts more once it is translated. Matching takes time in proportion to the text, whatever
/// the pattern.
///
/// # Errors
/// `InvalidGraph` for what is no pattern, or has no counterpart.
pub(super) fn compile(pattern: &str, wrap: impl FnOnce(String) -> String) -> Result<Regex> {
    let translated = wrap(translate(pattern)?);
    let regex = RegexBuilder::new(&translated).octal(true).build();
    regex.map_err(|e| error!(InvalidGraph, "Invalid regex pattern: {pattern}: {e}"))
}

/// The pattern of the `regex` crate that matches what `pattern` matches in RE2.
///
/// # Errors
/// `InvalidGraph` for what has no counterpart.
fn translate(pattern: &str) -> Result<String> {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => escape(&mut chars, &mut out, false)?,
            '[' => class(&mut chars, &mut out)?,
            c => out.push(c),
        }
    }
    Ok(out)
}

/// A class, whose `[` has been read.
fn class(chars: &mut Peekable<Chars<'_>>, out: &mut String) -> Result<()> {
    out.push('[');
    if chars.next_if_eq(&'^').is_some() {
        out.push('^');
    }
    // A bracket that comes first is an element, not the end.
    if chars.next_if_eq(&']').is_some() {
        out.push_str("\\]");
    }
    while let Some(c) = chars.next() {
        match c {
            ']' => {
                out.push(']');
                return Ok(());
            }
            '\\' => escape(chars, out, true)?,
            '[' if chars.peek() == Some(&':') => named(chars, out),
            '[' | '&' | '~' => out.extend(['\\', c]),
            // Two in a row would be a difference of sets.
            '-' if chars.peek() == Some(&'-') => out.push_str("\\-"),
            c => out.push(c),
        }
    }
    bail!(InvalidGraph, "the pattern lacks a closing ]")
}

/// A class by name, such as `[:alpha:]`, whose `[` has been read. What is none is an element `[`.
fn named(chars: &mut Peekable<Chars<'_>>, out: &mut String) {
    let mut name = String::new();
    let mut ahead = chars.clone();
    ahead.next();
    for c in ahead.by_ref() {
        if c == ':' {
            break;
        }
        name.push(c);
    }
    let word = name.strip_prefix('^').unwrap_or(&name);
    if !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase()) && ahead.next() == Some(']') {
        *chars = ahead;
        out.push_str("[:");
        out.push_str(&name);
        out.push_str(":]");
    } else {
        out.push_str("\\[");
    }
}

/// An escape, whose `\` has been read.
fn escape(chars: &mut Peekable<Chars<'_>>, out: &mut String, in_class: bool) -> Result<()> {
    let Some(c) = chars.next() else { bail!(InvalidGraph, "the pattern ends with a backslash") };
    let members = match c.to_ascii_lowercase() {
        'd' => Some("0-9"),
        's' => Some("\\t\\n\\f\\r\\x20"),
        'w' => Some("0-9A-Za-z_"),
        _ => None,
    };
    match (members, c) {
        (Some(members), 'd' | 's' | 'w') if in_class => out.push_str(members),
        (Some(members), c) => {
            let not = if c.is_ascii_uppercase() { "^" } else { "" };
            out.push_str(&format!("[{not}{members}]"));
        }
        (_, 'b') if !in_class => out.push_str("(?-u:\\b)"),
        (_, 'B') if !in_class => bail!(NotImplemented, "\\B in a pattern"),
        (_, 'C') if !in_class => bail!(NotImplemented, "\\C in a pattern"),
        (_, 'Q') if !in_class => quote(chars, out),
        (_, c) => out.extend(['\\', c]),
    }
    Ok(())
}

/// Text up to `\E` or the end, to be taken as it is.
fn quote(chars: &mut Peekable<Chars<'_>>, out: &mut String) {
    let mut text = String::new();
    while let Some(c) = chars.next() {
        if c == '\\' && chars.next_if_eq(&'E').is_some() {
            break;
        }
        text.push(c);
    }
    out.push_str(&regex::escape(&text));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn translates_what_differs() {
        let cases = [
            (r"a\d+\S", r"a[0-9]+[^\t\n\f\r\x20]"),
            (r"[\w.-]+@x", r"[0-9A-Za-z_.-]+@x"),
            (r"[^]a[b&&c]", r"[^\]a\[b\&\&c]"),
            (r"[[:alpha:][:x]", r"[[:alpha:]\[:x]"),
            (r"\Qa.b\E.\Q(", r"a\.b.\("),
            (r"\pN\x{20}\.", r"\pN\x{20}\."),
            (r"[\D5]", r"[[^0-9]5]"),
        ];
        for (pattern, expected) in cases {
            assert_eq!(translate(pattern).unwrap(), expected);
            assert!(regex::Regex::new(expected).is_ok(), "{expected}");
        }
        for pattern in ["[a", "a\\", "\\C", "[\\"] {
            assert!(translate(pattern).is_err(), "{pattern}");
        }
    }
}
