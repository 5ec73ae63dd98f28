//! A model loaded, optimized, placed and ready to run.

mod environment;
mod export;
mod functions;
mod import;
mod options;
mod place;
mod port;
mod session;
mod weights;

pub use exec::Observer;
pub use environment::Environment;
pub use ir::Node;
pub use options::{Options, RunOptions, Source};
pub use passes::Level;
pub use place::Placement;
pub use port::{Port, PortDim};
pub use session::{Metadata, Session};
