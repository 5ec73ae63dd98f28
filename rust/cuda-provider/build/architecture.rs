//! What kernels are compiled for.

use std::fmt;

/// A capability, as in `compute_80`; or, with an `a`, all that devices of that capability alone have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Architecture {
    pub(crate) capability: u32,
    pub(crate) exact: bool,
}

/// How a file says what it is compiled for: `// compute: 80 90a`.
const MARK: &str = "// compute:";
/// What files are compiled for that do not say.
const USUAL: [Architecture; 2] = [Architecture { capability: 75, exact: false }, Architecture { capability: 80, exact: false }];

impl Architecture {
    /// What the kernels in `source` are compiled for, ascending.
    pub(crate) fn wanted(source: &str) -> Result<Vec<Self>, String> {
        let Some(told) = source.lines().find_map(|line| line.strip_prefix(MARK)) else { return Ok(USUAL.to_vec()) };
        let mut wanted = told.split_whitespace().map(Self::named).collect::<Result<Vec<_>, _>>()?;
        wanted.sort_unstable();
        wanted.dedup();
        if wanted.is_empty() { Err(format!("'{MARK}' names no architecture")) } else { Ok(wanted) }
    }

    fn named(name: &str) -> Result<Self, String> {
        let number = name.strip_suffix('a').unwrap_or(name);
        let capability = number.parse().map_err(|_| format!("'{name}' after '{MARK}' is no architecture such as 80 or 90a"))?;
        Ok(Self { capability, exact: number.len() < name.len() })
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.capability, if self.exact { "a" } else { "" })
    }
}
