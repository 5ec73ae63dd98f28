//! Environment variables that the runtime reads, each declared once: name, values, default and meaning.
//!
//! A value that a knob does not take leaves the default in place and is reported by [`complaints`], as is a name that no knob has.

use std::env;
use std::ffi::OsString;
use std::fmt::{Display, Write};

/// An environment variable that holds a `T`.
#[derive(Debug)]
pub struct Knob<T: 'static> {
    name: &'static str,
    takes: &'static str,
    default: T,
    parse: fn(&str) -> Option<T>,
    doc: &'static str,
}

/// What can be said of a knob whatever its type.
pub trait Described: Sync {
    /// The name of the environment variable.
    fn name(&self) -> &'static str;
    /// The values it takes, in words.
    fn takes(&self) -> &'static str;
    /// The default, as it would be written.
    fn default_text(&self) -> String;
    /// What it does.
    fn doc(&self) -> &'static str;
    /// Whether the knob takes `value`.
    fn accepts(&self, value: &str) -> bool;
}

/// Threads that a session uses if it does not say.
pub static THREADS: Knob<Count> = Knob {
    name: "ORT_RS_THREADS",
    takes: "a whole number, 0 for automatic",
    default: Count(0),
    parse: count,
    doc: "Threads of a session that sets no count of its own. Automatic means as many as CPU affinity and cgroup quota leave the process.",
};

/// How long an idle helper thread looks for work before it sleeps.
pub static SPIN_US: Knob<Count> = Knob {
    name: "ORT_RS_SPIN_US",
    takes: "microseconds, a whole number",
    default: Count(100),
    parse: count,
    doc: "How long a helper thread that has run out of work keeps looking for more before it sleeps. Read when helper threads first start.",
};

/// The widest instruction set that kernels may use.
pub static ISA: Knob<&'static str> = Knob {
    name: "ORT_RS_ISA",
    takes: "`auto`, `portable` (or `scalar`), `avx2` or `avx512`",
    default: "auto",
    parse: isa,
    doc: "The widest instruction set that CPU kernels may use. One that the machine lacks caps nothing.",
};

/// Whether weights are mapped from their file.
pub static MMAP: Knob<Switch> = Knob {
    name: "ORT_RS_MMAP",
    takes: "`on` or `off` (also `1`, `0`, `true`, `false`)",
    default: Switch(true),
    parse: switch,
    doc: "Whether weights are mapped from their file, not read into memory. Turn it off where the file may change while a session uses it.",
};

/// Every knob, in the order of the documentation.
pub static KNOBS: &[&dyn Described] = &[&THREADS, &SPIN_US, &ISA, &MMAP];

/// A whole number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count(pub usize);

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switch(pub bool);

impl<T: Copy> Knob<T> {
    /// The value now: what the environment says if that is well-formed, else the default. An empty variable counts as unset.
    pub fn get(&self) -> T {
        env::var(self.name).ok().and_then(|text| self.read(&text)).unwrap_or(self.default)
    }

    fn read(&self, text: &str) -> Option<T> {
        (self.parse)(text.trim())
    }
}

impl<T: Copy + Display + Sync> Described for Knob<T> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn takes(&self) -> &'static str {
        self.takes
    }

    fn default_text(&self) -> String {
        self.default.to_string()
    }

    fn doc(&self) -> &'static str {
        self.doc
    }

    fn accepts(&self, value: &str) -> bool {
        self.read(value).is_some()
    }
}

impl Display for Count {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl Display for Switch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0 { "on" } else { "off" })
    }
}

fn count(text: &str) -> Option<Count> {
    text.parse().ok().map(Count)
}

fn switch(text: &str) -> Option<Switch> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "on" | "true" | "yes" => Some(Switch(true)),
        "0" | "off" | "false" | "no" => Some(Switch(false)),
        _ => None,
    }
}

fn isa(text: &str) -> Option<&'static str> {
    ["auto", "portable", "scalar", "avx2", "avx512"].into_iter().find(|name| name.eq_ignore_ascii_case(text))
}

/// One sentence for each variable of the environment that is meant for a knob and cannot be used, in the order of their names.
pub fn complaints() -> Vec<String> {
    complaints_in(env::vars_os())
}

fn complaints_in(variables: impl Iterator<Item = (OsString, OsString)>) -> Vec<String> {
    let mut found: Vec<String> = variables
        .filter_map(|(name, value)| {
            let name = name.into_string().ok().filter(|name| name.starts_with("ORT_RS_"))?;
            complaint(&name, value)
        })
        .collect();
    found.sort();
    found
}

fn complaint(name: &str, value: OsString) -> Option<String> {
    let Some(knob) = KNOBS.iter().find(|knob| knob.name() == name) else {
        return Some(format!("{name} is no setting of this version"));
    };
    let problem = match value.into_string() {
        Ok(text) if text.is_empty() || knob.accepts(&text) => return None,
        Ok(text) => format!("{name}={text}"),
        Err(bytes) => format!("{name}={} (not Unicode)", bytes.display()),
    };
    Some(format!("{problem} is ignored: it takes {}; {} is used", knob.takes(), knob.default_text()))
}

/// The table of all knobs for the documentation, in Markdown.
pub fn markdown() -> String {
    let mut table = String::from("| Variable | Values | Default | Meaning |\n| --- | --- | --- | --- |\n");
    for knob in KNOBS {
        // Writing to a string cannot fail.
        let _ = writeln!(table, "| `{}` | {} | `{}` | {} |", knob.name(), knob.takes(), knob.default_text(), knob.doc());
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complain(pairs: &[(&str, &str)]) -> Vec<String> {
        complaints_in(pairs.iter().map(|(n, v)| (n.into(), v.into())))
    }

    #[test]
    fn defaults_are_values_and_names_are_unique() {
        for (i, knob) in KNOBS.iter().enumerate() {
            assert!(knob.accepts(&knob.default_text()), "{}", knob.name());
            assert!(knob.name().starts_with("ORT_RS_") && !knob.doc().is_empty() && !knob.takes().is_empty());
            assert!(KNOBS[..i].iter().all(|other| other.name() != knob.name()));
        }
    }

    #[test]
    fn good_values_pass() {
        assert_eq!(THREADS.read(" 4 "), Some(Count(4)));
        assert_eq!(MMAP.read("OFF"), Some(Switch(false)));
        assert_eq!(ISA.read("AVX2"), Some("avx2"));
        assert!(
            complain(&[("ORT_RS_THREADS", "0"), ("ORT_RS_MMAP", ""), ("ORT_RS_ISA", "auto"), ("PATH", "x"), ("ORT_HOME", "y")]).is_empty()
        );
    }

    #[test]
    fn bad_values_are_reported() {
        let found = complain(&[("ORT_RS_THREADS", "-1"), ("ORT_RS_MMAP", "maybe"), ("ORT_RS_TREADS", "4")]);
        assert_eq!(
            found,
            [
                "ORT_RS_MMAP=maybe is ignored: it takes `on` or `off` (also `1`, `0`, `true`, `false`); on is used",
                "ORT_RS_THREADS=-1 is ignored: it takes a whole number, 0 for automatic; 0 is used",
                "ORT_RS_TREADS is no setting of this version",
            ]
        );
    }

    #[cfg(unix)]
    #[test]
    fn bytes_that_are_no_text_are_reported() {
        use std::os::unix::ffi::OsStringExt;
        let found = complaints_in([("ORT_RS_ISA".into(), OsString::from_vec(vec![0xff]))].into_iter());
        assert!(found[0].contains("not Unicode"), "{found:?}");
    }

    #[test]
    fn the_table_has_a_row_for_each() {
        let table = markdown();
        assert_eq!(table.lines().count(), KNOBS.len() + 2);
        assert!(table.contains("| `ORT_RS_MMAP` | `on` or `off`"));
        assert!(table.lines().all(|line| line.matches('|').count() == 5));
    }
}
