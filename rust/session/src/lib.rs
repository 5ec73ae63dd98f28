//! A model loaded, optimized, placed and ready to run.

mod adapter;
mod environment;
mod export;
mod external;
mod format;
mod functions;
mod import;
mod inside;
mod options;
mod place;
mod port;
mod profile;
mod session;
mod survey;
mod weights;

pub use adapter::Adapter;
pub use environment::Environment;
pub use exec::{Destination, Observer, Ran, Seen};
pub use external::{External, Locator};
pub use ir::Node;
pub use options::{Given, Options, RunOptions, Source};
pub use passes::{Level, PASSES, Pass};
pub use place::Placement;
pub use port::{Port, PortDim};
pub use session::{Metadata, Session};
pub use survey::{Amount, ModelFunction, Operator, Problem, Survey};
