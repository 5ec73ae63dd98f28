//! Plans of a graph, their binding to sizes, and their run.

mod allowance;
mod bind;
mod copy;
mod destination;
mod frame;
mod observer;
mod oracle;
mod plan;
mod program;
mod run;
mod stand_in;
mod storage;
mod subprogram;
mod target;
mod waves;

pub use copy::{COPY, PRIVATE, copy_node};
pub use destination::Destination;
pub use observer::{Observer, Ran, Seen};
pub use oracle::Operators;
pub use plan::{Order, Plan};
pub use program::{Program, check_kernel};
pub use run::Runner;
pub use subprogram::SubProgram;
pub use target::{CPU, Claimant, Target, claimant};
