//! How the threads of a session's runs work.

use std::time::Duration;

use super::affinities::Affinities;

/// How the threads of a session's runs work, where it is not as all others do.
#[derive(Debug, Default)]
pub struct Settings {
    /// Where helpers are kept.
    pub affinities: Option<Affinities>,
    /// How long threads that wait look out for work before they sleep.
    pub spin: Option<Duration>,
    /// Whether numbers too small for full precision count as zero.
    pub flush_denormals: bool,
}
