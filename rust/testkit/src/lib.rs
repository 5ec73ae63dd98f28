//! Test tools: running one operator, comparing tensors, building models, a mock device.

mod close;
mod device;
mod fake_cuda;
mod model;
mod single;

pub use close::{assert_close, assert_equal};
pub use device::{Counts, MOCK_MEMORY, MockDevice};
pub use fake_cuda::on_fake_cuda;
pub use model::{Builder, graph, model};
pub use single::{Single, single};
