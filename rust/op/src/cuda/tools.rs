//! What the kernels of a provider share.

use std::sync::{Arc, OnceLock};

use ::cuda::{Blas, Modules, Pool, Stream};

use super::Faults;

/// What the kernels of a provider share.
pub struct Tools {
    /// The stream on which everything is done.
    pub stream: Arc<Stream>,
    /// The kernels.
    pub modules: Modules,
    /// The memory, whose users work on the stream.
    pub pool: Arc<Pool>,
    /// Where kernels report.
    pub faults: Arc<Faults>,
    /// Whether products of f32 may round their factors to TF32.
    pub tf32: bool,
    /// cuBLASLt, looked for when a product is first launched; or why it is not used.
    pub blas: OnceLock<Result<Blas, String>>,
}

impl Tools {
    /// cuBLASLt, or why it is not used.
    ///
    /// # Errors
    /// The reason.
    pub fn blas(&self) -> Result<&Blas, &str> {
        self.blas.get_or_init(|| Blas::open(self.stream.device())).as_ref().map_err(String::as_str)
    }
}
