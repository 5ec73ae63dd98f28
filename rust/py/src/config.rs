//! Settings by name, as session and run options carry them.

use std::collections::BTreeMap;

use crate::error::{Result, runtime_error};

/// The longest name of a setting, in bytes; the limit is ONNX Runtime's.
const LONGEST_KEY: usize = 1024;

/// The settings of `owner`, which error texts name.
#[derive(Clone)]
pub(crate) struct Config {
    owner: &'static str,
    entries: BTreeMap<String, String>,
}

impl Config {
    /// No settings.
    pub(crate) fn new(owner: &'static str) -> Self {
        Self { owner, entries: BTreeMap::new() }
    }

    /// Sets `key` to `value`.
    ///
    /// # Errors
    /// `RuntimeError` when the key is empty or too long.
    pub(crate) fn set(&mut self, key: String, value: String) -> Result<()> {
        if key.is_empty() || key.len() > LONGEST_KEY {
            return Err(runtime_error(format!("Config key is empty or longer than maximum length {LONGEST_KEY}")));
        }
        self.entries.insert(key, value);
        Ok(())
    }

    /// The value of `key`.
    ///
    /// # Errors
    /// `RuntimeError` when it was not set.
    pub(crate) fn get(&self, key: &str) -> Result<&str> {
        let unknown = || runtime_error(format!("{} does not have configuration with key: {key}", self.owner));
        self.entries.get(key).map(String::as_str).ok_or_else(unknown)
    }

    /// All settings.
    pub(crate) fn entries(&self) -> &BTreeMap<String, String> {
        &self.entries
    }
}
