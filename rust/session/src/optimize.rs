//! Applying the graph passes that the options ask for.

use base::Result;
use exec::Operators;
use ir::{Facts, Graph};

use crate::Options;

/// Rewrites `graph` by the passes of the level in `options`.
///
/// # Errors
/// What a pass or inference says.
pub(crate) fn optimize(_graph: &mut Graph, _facts: &mut Facts, _oracle: &Operators, _options: &Options) -> Result<()> {
    Ok(())
}
