//! What sessions of a process share: operators and providers.

use std::sync::Arc;

use base::Result;
use exec::Target;
use op::{Provider, Registry};

/// The operators and providers that sessions are made of.
#[derive(Clone)]
pub struct Environment {
    registry: Arc<Registry>,
    providers: Vec<Arc<dyn Provider>>,
    block: u8,
}

impl Environment {
    /// An environment of `registry`, with the CPU as only provider.
    ///
    /// # Errors
    /// `Fail` when the registry has an operator of the name of a private one.
    pub fn new(mut registry: Registry) -> Result<Self> {
        registry.add(exec::COPY.clone())?;
        Ok(Self { registry: Arc::new(registry), providers: Vec::new(), block: 0 })
    }

    /// With another provider.
    #[must_use]
    pub fn with_provider(mut self, provider: Arc<dyn Provider>) -> Self {
        self.providers.push(provider);
        self
    }

    /// With kernels that like channels in blocks of `block`.
    #[must_use]
    pub fn with_block(mut self, block: u8) -> Self {
        self.block = block;
        self
    }

    /// The operators.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The names of the providers, the CPU last.
    pub fn providers(&self) -> Vec<String> {
        self.providers.iter().map(|p| p.name().to_owned()).chain([exec::CPU.to_owned()]).collect()
    }

    /// The target for a session that asks for the providers `names`; those that are not here are left out. No name asks for all.
    pub(crate) fn target(&self, names: &[String]) -> Arc<Target> {
        let wanted = |p: &&Arc<dyn Provider>| names.is_empty() || names.iter().any(|n| n == p.name());
        let mut providers: Vec<_> = self.providers.iter().filter(wanted).cloned().collect();
        providers.sort_by_key(|p| names.iter().position(|n| n == p.name()));
        Arc::new(Target::new(self.registry.clone(), providers, self.block))
    }
}
