//! Test tools: running one operator, comparing tensors, building models, a mock device.

mod close;
mod device;
mod model;
mod single;

pub use close::{assert_close, assert_equal};
pub use device::{Counts, MOCK_MEMORY, MockDevice};
pub use model::{Builder, graph, model};
pub use single::{Single, single};
