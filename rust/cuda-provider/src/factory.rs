//! Makes providers for sessions.

use std::sync::Arc;

use base::{Result, bail};
use op::{Provider, ProviderFactory};

use crate::{CudaOptions, CudaProvider, KERNELS, NAME};

/// Makes a [`CudaProvider`] for each session that asks for one.
#[derive(Clone, Copy, Debug, Default)]
pub struct CudaFactory;

impl ProviderFactory for CudaFactory {
    fn name(&self) -> &str {
        NAME
    }

    fn absent(&self) -> Option<String> {
        if KERNELS.0.is_empty() {
            return Some("ort_rs was built without CUDA kernels".into());
        }
        cuda::probe().err().map(ToString::to_string)
    }

    fn make(&self, options: &[(String, String)]) -> Result<Arc<dyn Provider>> {
        if let Some(why) = self.absent() {
            bail!(EpFail, "{NAME}: {why}");
        }
        Ok(Arc::new(CudaProvider::new(&CudaOptions::parse(options)?, KERNELS)?))
    }
}
