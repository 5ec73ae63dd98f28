//! What became of each node of a model: which kernel of which provider runs it, what was fused into it, and why.

use std::collections::BTreeMap;
use std::fmt;

use base::{Layout, Result};
use exec::{Action, StepInfo, Target};
use ir::{Fact, Graph, Node, ValueId};

use crate::Session;
use crate::ports::inferred_port;
use crate::text::table;

/// What became of a model.
#[derive(Clone, Debug, Default)]
pub struct Explanation {
    /// The nodes of the optimized graph, in the order they run.
    pub nodes: Vec<Explained>,
    /// The passes that changed the graph, with the number of their rewrites.
    pub passes: Vec<(&'static str, usize)>,
}

/// What became of a node.
#[derive(Clone, Debug)]
pub struct Explained {
    /// The operator, with its domain and version.
    pub op: String,
    /// The node's name.
    pub name: String,
    /// The provider that runs it.
    pub provider: String,
    /// The kernel that was built for it; empty where none runs.
    pub kernel: String,
    /// How its outputs lie, if it is not one element after the other in their order.
    pub layout: String,
    /// Names, types and shapes of its outputs.
    pub outputs: Vec<String>,
    /// The model's own nodes that it stands for: operator and name.
    pub origins: Vec<(String, String)>,
    /// How it does without work or memory: a view of its input, a result over its input.
    pub shortcut: String,
    /// Inputs that are copied from another memory before it runs.
    pub copies: Vec<String>,
    /// Providers that were asked before, and why they refused.
    pub refused: Vec<(String, String)>,
}

impl Session {
    /// What became of each node when the model was loaded, and why.
    ///
    /// # Errors
    /// `Fail` when the graph is not whole.
    pub fn explain(&self) -> Result<Explanation> {
        let runner = self.runner();
        let (graph, facts) = (runner.program().graph(), runner.program().facts());
        let explain = |step: &StepInfo| {
            let node = graph.node(step.node);
            let around = |values: &[Option<ValueId>]| values.iter().map(|v| v.and_then(|v| facts.get(v))).collect::<Vec<_>>();
            let (inputs, outputs) = (around(&node.inputs), around(&node.outputs));
            let written = node.outputs.iter().flatten().zip(outputs.iter().flatten());
            Explained {
                op: node.key.to_string(),
                name: node.name.clone(),
                provider: node.provider.as_deref().unwrap_or(exec::CPU).to_owned(),
                kernel: if step.action == Action::Kernel { short(step.kernel) } else { String::new() },
                layout: outputs.iter().flatten().map(|f| layout(&f.layout)).find(|l| !l.is_empty()).unwrap_or_default(),
                outputs: written.map(|(v, fact)| inferred_port(&graph.value(*v).name, fact, facts).to_string()).collect(),
                origins: node.origins.iter().map(|(op, name)| (op.to_string(), name.to_string())).collect(),
                shortcut: shortcut(step),
                copies: copies(graph, node),
                refused: refused(self.target(), node, &inputs, &outputs),
            }
        };
        let nodes = runner.steps()?.iter().map(explain).collect();
        Ok(Explanation { nodes, passes: self.report().applied().to_vec() })
    }
}

fn layout(layout: &Layout) -> String {
    match layout {
        Layout::Dense => String::new(),
        Layout::Strided(strides) => format!("strides {strides:?}"),
        Layout::Blocked(block) => format!("channels in blocks of {block}"),
    }
}

fn shortcut(step: &StepInfo) -> String {
    match (step.action, step.over) {
        (Action::Share, _) => "a view of input 0".to_owned(),
        (Action::Nothing, _) => "its inputs are written in place".to_owned(),
        (Action::Kernel, Some(input)) => format!("over input {input}"),
        (Action::Kernel, None) => String::new(),
    }
}

/// The inputs of `node` that a copy gives it, by the names of what is copied.
fn copies(graph: &Graph, node: &Node) -> Vec<String> {
    let source = |v: &ValueId| {
        let (_, copy) = graph.producer(*v).filter(|(_, producer)| exec::is_copy(producer))?;
        Some(graph.value(copy.input(0)?).name.to_string())
    };
    node.inputs.iter().flatten().filter_map(source).collect()
}

/// The providers before that of `node`, and why they do not run it.
fn refused(target: &Target, node: &Node, inputs: &[Option<&Fact>], outputs: &[Option<&Fact>]) -> Vec<(String, String)> {
    if exec::is_copy(node) {
        return Vec::new();
    }
    // Asked again as if it were not placed yet.
    let node = Node { provider: None, ..node.clone() };
    exec::claimant(target, &node, inputs, outputs).map_or_else(|_| Vec::new(), |claim| claim.refused)
}

/// The path of a type without its crates: `conv::winograd::Winograd` of `ops_nn::conv::winograd::Winograd`.
fn short(path: &str) -> String {
    let part = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let mut text = String::new();
    let mut rest = path;
    while let Some(c) = rest.chars().next() {
        let length = rest.find(|c| !part(c)).unwrap_or(rest.len());
        if length == 0 {
            text.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        }
        let (word, after) = rest.split_at(length);
        text += word.split_once("::").map_or(word, |(_, inside)| inside);
        rest = after;
    }
    text
}

impl Explained {
    /// What stands in the last column of the table.
    fn notes(&self) -> String {
        let mut notes: Vec<String> = Vec::new();
        if self.origins.len() > 1 {
            let names = self.origins.iter().map(|(op, name)| if name.is_empty() { op.clone() } else { format!("{op} '{name}'") });
            notes.push(format!("from {}", names.collect::<Vec<_>>().join(" + ")));
        }
        notes.extend((!self.shortcut.is_empty()).then(|| self.shortcut.clone()));
        notes.extend((!self.copies.is_empty()).then(|| format!("copied: {}", self.copies.join(", "))));
        notes.extend(self.refused.iter().map(|(provider, reason)| format!("not {provider}: {reason}")));
        notes.join("; ")
    }
}

/// A table with a line for each node, then the passes and the providers.
impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut providers: BTreeMap<&str, usize> = BTreeMap::new();
        let mut rows = Vec::new();
        for (i, node) in self.nodes.iter().enumerate() {
            *providers.entry(&node.provider).or_default() += 1;
            let provider = node.provider.trim_end_matches("ExecutionProvider").to_owned();
            let (op, name) = (node.op.clone(), node.name.clone());
            rows.push(vec![i.to_string(), op, name, provider, node.kernel.clone(), node.layout.clone(), node.notes()]);
        }
        let mut text = String::new();
        table(&mut text, &["", "operator", "name", "provider", "kernel", "layout", "notes"], &rows);
        f.write_str(&text)?;
        let passes: Vec<String> = self.passes.iter().map(|(name, count)| format!("{name} {count}")).collect();
        let providers: Vec<String> = providers.iter().map(|(name, count)| format!("{name} {count}")).collect();
        writeln!(f, "\nPasses: {}", if passes.is_empty() { "none changed anything".to_owned() } else { passes.join(", ") })?;
        writeln!(f, "Nodes: {}", providers.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_lose_their_crates() {
        assert_eq!(short("ops_nn::conv::Winograd"), "conv::Winograd");
        assert_eq!(short("op::Wrap<ops_math::unary::Map<f32, ops_math::Relu>>"), "Wrap<unary::Map<f32, Relu>>");
        assert_eq!(short("f32"), "f32");
    }
}
