//! Test tools: running one operator, comparing tensors, building models, a mock device.

mod close;
mod single;

pub use close::{assert_close, assert_equal};
pub use single::{Single, single};
