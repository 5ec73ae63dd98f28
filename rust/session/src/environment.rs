//! What sessions of a process share: operators and providers.

use std::sync::Arc;

use base::Result;
use exec::Target;
use op::{OpDef, Provider, ProviderFactory, Registry};

use crate::Options;

/// The operators and providers that sessions are made of.
#[derive(Clone)]
pub struct Environment {
    registry: Arc<Registry>,
    providers: Vec<Arc<dyn Provider>>,
    factories: Vec<Arc<dyn ProviderFactory>>,
    block: u8,
}

impl Environment {
    /// An environment of `registry`, with the CPU as only provider.
    ///
    /// # Errors
    /// `Fail` when the registry has an operator of the name of a private one.
    pub fn new(mut registry: Registry) -> Result<Self> {
        registry.add(exec::COPY.clone())?;
        Ok(Self { registry: Arc::new(registry), providers: Vec::new(), factories: Vec::new(), block: 0 })
    }

    /// With another provider.
    #[must_use]
    pub fn with_provider(mut self, provider: Arc<dyn Provider>) -> Self {
        self.providers.push(provider);
        self
    }

    /// With providers that are made for each session that asks for them by name.
    #[must_use]
    pub fn with_factory(mut self, factory: Arc<dyn ProviderFactory>) -> Self {
        self.factories.push(factory);
        self
    }

    /// With kernels that like channels in blocks of `block`.
    #[must_use]
    pub fn with_block(mut self, block: u8) -> Self {
        self.block = block;
        self
    }

    /// With further operators.
    ///
    /// # Errors
    /// `Fail` when one has the name of another.
    pub fn with_operators(mut self, operators: impl IntoIterator<Item = OpDef>) -> Result<Self> {
        let registry = Arc::make_mut(&mut self.registry);
        operators.into_iter().try_for_each(|def| registry.add(def))?;
        Ok(self)
    }

    /// The operators.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The names of the providers that sessions can use here, the CPU last.
    pub fn providers(&self) -> Vec<String> {
        let fixed = self.providers.iter().map(|p| p.name());
        let made = self.factories.iter().filter(|f| f.absent().is_none()).map(|f| f.name());
        fixed.chain(made).chain([exec::CPU]).map(ToOwned::to_owned).collect()
    }

    /// Why provider `name` cannot be used here, if it is known and cannot.
    pub fn absent(&self, name: &str) -> Option<String> {
        self.factories.iter().find(|f| f.name() == name)?.absent()
    }

    /// The target for a session with `options`. Providers that are not here are left out. No name asks for all that there are without
    /// being made.
    ///
    /// # Errors
    /// What making a provider says.
    pub(crate) fn target(&self, options: &Options) -> Result<Arc<Target>> {
        let names = &options.providers;
        let mut providers: Vec<Arc<dyn Provider>> = if names.is_empty() { self.providers.clone() } else { Vec::new() };
        for name in names {
            if let Some(provider) = self.providers.iter().find(|p| p.name() == name) {
                providers.push(provider.clone());
            } else if let Some(factory) = self.factories.iter().find(|f| f.name() == name && f.absent().is_none()) {
                providers.push(factory.make(options.provider_options.get(name).map_or(&[], Vec::as_slice))?);
            }
        }
        Ok(Arc::new(Target::new(self.registry.clone(), providers, self.block)))
    }
}
