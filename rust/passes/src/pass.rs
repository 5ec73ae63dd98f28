//! What a pass is, and the table of all passes.

use base::Result;
use ir::{NodeId, Patch};

use crate::{Context, Level, Rewriter};

/// One kind of rewrite of a graph.
#[derive(Clone, Copy, Debug)]
pub struct Pass {
    /// The name, under which it can be switched off.
    pub name: &'static str,
    /// The optimizers of ONNX Runtime that do the same, under whose names it can be switched off too.
    pub stands_for: &'static [&'static str],
    /// The level from which on it works.
    pub level: Level,
    /// What it does, in one line.
    pub what: &'static str,
    /// The rewrite.
    pub rule: Rule,
}

impl Pass {
    /// Whether it is known by `name`.
    pub fn is_named(&self, name: &str) -> bool {
        self.name == name || self.stands_for.contains(&name)
    }
}

/// How a pass looks at a graph.
#[derive(Clone, Copy, Debug)]
pub enum Rule {
    /// Node by node: what becomes of the graph around this one.
    Local(fn(&Context<'_>, NodeId) -> Result<Option<Patch>>),
    /// The whole graph at once.
    Global(fn(&mut Rewriter<'_>) -> Result<()>),
}

/// All passes, in the order they work.
pub static PASSES: &[Pass] = &[
    crate::cast_like::PASS,
    crate::identity::PASS,
    crate::fold::PASS,
    crate::inline_if::PASS,
    crate::cse::PASS,
    crate::dead::PASS,
    crate::reshape::PASS,
    crate::transpose::PASS,
    crate::conv_batch_norm::PASS,
    crate::conv_affine::PASS,
    crate::matmul_add::PASS,
    crate::layer_norm::PASS,
    crate::rms_norm::PASS,
    crate::skip_layer_norm::PASS,
    crate::gelu::PASS,
    crate::bias_gelu::PASS,
    crate::quick_gelu::PASS,
    crate::matmul_transpose::PASS,
    crate::attention::PASS,
    crate::gemm_activation::PASS,
    crate::conv_add::PASS,
    crate::conv_activation::PASS,
    crate::layout::PASS,
];

/// The table of passes as the documentation shows it.
pub fn table() -> String {
    let mut text = String::from("| pass | level | what it does | in ONNX Runtime |\n|---|---|---|---|\n");
    for pass in PASSES {
        let others: Vec<String> = pass.stands_for.iter().map(|name| format!("`{name}`")).collect();
        text += &format!("| `{}` | `{}` | {} | {} |\n", pass.name, pass.level.name(), pass.what, others.join(", "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documentation_holds_the_table() {
        let doc = include_str!("../../../docs/passes.md");
        assert!(doc.contains(&table()), "docs/passes.md should hold this table:\n{}", table());
    }

    #[test]
    fn names_are_unique_and_levels_ascend() {
        let mut names: Vec<_> = PASSES.iter().flat_map(|p| p.stands_for.iter().copied().chain([p.name])).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
        assert!(PASSES.is_sorted_by_key(|p| p.level));
    }
}
