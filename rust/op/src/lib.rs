//! The operator contract: definitions, signatures, kernels, providers, the registry.

mod alone;
mod attributes;
pub mod body;
pub mod cuda;
mod digest;
mod infer;
mod inquiry;
mod operator;
mod packed;
mod prepare;
mod provider;
mod registry;
mod run;
mod signature;
mod subplan;
pub mod types;

pub use alone::{NoSubgraphs, Subgraphs, known_output, run_alone, run_kernel};
pub use attributes::{Asked, Attrs};
pub use infer::{Infer, InferSubgraph, MAX_RANK, broadcast_dims};
pub use ir::Layouts;
pub use operator::{Alias, Body, CpuKernel, CudaFn, Kernels, Mask, Op, OpDef, Part, PrepareFn, Prepared, Sizes, Stateless};
pub use packed::Packed;
pub use prepare::{PlanSubgraph, Prepare};
pub use provider::{Claim, Provider, ProviderFactory, RunState};
pub use registry::Registry;
pub use run::{Run, Slot, SlotTensor, Wires};
pub use signature::{Arity, Param, Since, deprecated, since};
pub use subplan::SubPlan;
pub use types::TypeSet;
