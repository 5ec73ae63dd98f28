//! The graph of ort_rs: nodes, facts, patches, the verifier.
#![forbid(unsafe_code)]

mod dim;
mod fact;
mod graph;
mod infer;
mod inline;
mod layouts;
mod list;
mod oracle;
mod patch;
mod print;
mod settle;
mod symbols;
mod verify;

pub use dim::Dim;
pub use fact::{Dims, Fact, Facts, SMALL};
pub use graph::{Attribute, Attributes, Function, Graph, Loaded, Node, NodeId, OpKey, Subgraph, ValueId, ValueInfo};
pub use infer::{infer, infer_node};
pub use layouts::Layouts;
pub use list::ValueList;
pub use oracle::Oracle;
pub use patch::{Applied, Patch};
pub use print::print;
pub use settle::infer_again;
pub use symbols::{Symbol, Symbols};
pub use verify::verify;
