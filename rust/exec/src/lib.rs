//! Plans of a graph, their binding to sizes, and their run.

mod allowance;
mod bind;
mod copy;
mod destination;
mod estimate;
mod frame;
mod observer;
mod oracle;
mod plan;
mod program;
mod replace;
mod run;
mod stand_in;
mod step_info;
mod storage;
mod subprogram;
mod target;
mod waves;

pub use copy::{COPY, PRIVATE, copy_node, is_copy};
pub use destination::Destination;
pub use estimate::Estimate;
pub use observer::{Observer, Ran, Seen};
pub use oracle::Operators;
pub use plan::{Action, Order, Plan};
pub use program::{Program, check_kernel};
pub use run::Runner;
pub use step_info::StepInfo;
pub use subprogram::SubProgram;
pub use target::{CPU, Claimant, Target, claimant};
