//! What programs run on: the operators that are known and the providers that run them.

use std::sync::Arc;

use base::{Buffer, Layout, Memory, Result, Shape, Tensor, TensorMut, TensorRef, Value, bail};
use ir::{Fact, Node};
use op::{Claim, Mask, OpDef, Prepare, Prepared, Provider, Registry};

/// The name of the provider that is always there.
pub const CPU: &str = "CPUExecutionProvider";

/// What programs run on: the operators that are known, and providers in the user's order, the CPU last.
pub struct Target {
    /// The operators.
    pub registry: Arc<Registry>,
    /// The number of channels that kernels like in a block; 0 when they do not work on blocks.
    pub block: u8,
    providers: Vec<Arc<dyn Provider>>,
}

impl Target {
    /// A target with `providers`; the CPU is appended when it is not among them.
    pub fn new(registry: Arc<Registry>, mut providers: Vec<Arc<dyn Provider>>, block: u8) -> Self {
        if providers.iter().all(|p| p.name() != CPU) {
            providers.push(Arc::new(CpuProvider));
        }
        Self { registry, block, providers }
    }

    /// The providers, in the user's order.
    pub fn providers(&self) -> &[Arc<dyn Provider>] {
        &self.providers
    }

    /// The provider that `node` was placed on: the CPU unless it says otherwise.
    ///
    /// # Errors
    /// `Fail` when it was placed on a provider that is not here.
    pub fn provider_of(&self, node: &Node) -> Result<&Arc<dyn Provider>> {
        let name = node.provider.as_deref().unwrap_or(CPU);
        let found = self.providers.iter().find(|p| p.name() == name);
        found.ok_or_else(|| base::error!(Fail, "the node is placed on {name}, which this session does not have"))
    }

    /// The provider that owns `memory`.
    ///
    /// # Errors
    /// `Fail` when none does.
    pub fn owner_of(&self, memory: Memory) -> Result<&Arc<dyn Provider>> {
        let found = self.providers.iter().find(|p| p.memory() == memory);
        found.ok_or_else(|| base::error!(Fail, "no provider of the session reaches {}", op::cuda::memory_name(memory)))
    }

    /// A copy of a dense tensor in `memory`.
    ///
    /// # Errors
    /// `Fail` when the memory cannot be had, or no provider reaches both.
    pub fn copy_to(&self, from: TensorRef<'_>, memory: Memory) -> Result<Tensor> {
        let (dtype, shape) = (from.dtype(), Shape::from(from.shape()));
        let bytes = dtype.bytes_of(from.len()).ok_or_else(|| base::error!(InvalidArgument, "{dtype} cannot lie on a device"))?;
        let buffer = Arc::new(self.owner_of(memory)?.allocate(bytes)?);
        // SAFETY: the buffer is new, and as large as the tensor.
        let to = unsafe { TensorMut::new(dtype, &shape, &Layout::Dense, memory, buffer.address().cast_mut()) };
        self.copy(from, to)?;
        Tensor::new(dtype, shape, Layout::Dense, buffer, 0)
    }

    /// Lets `value` lie in `memory`, if it is a tensor that lies elsewhere.
    ///
    /// # Errors
    /// As [`copy_to`](Self::copy_to).
    pub fn bring(&self, value: &mut Value, memory: Memory) -> Result<()> {
        if let Value::Tensor(tensor) = &*value
            && tensor.memory() != memory
        {
            *value = self.copy_to(tensor.as_ref(), memory)?.into();
        }
        Ok(())
    }

    /// Copies a tensor between the memories of this target.
    ///
    /// # Errors
    /// `Fail` when no provider reaches both.
    pub fn copy(&self, from: TensorRef<'_>, to: TensorMut<'_>) -> Result<()> {
        let device = if from.memory().is_host() { to.memory() } else { from.memory() };
        self.owner_of(device)?.copy(from, to)
    }
}

/// Who runs a node.
pub struct Claimant {
    /// The provider.
    pub provider: Arc<dyn Provider>,
    /// Which inputs and outputs the host reads and writes.
    pub host: Mask,
    /// Providers that were asked before, and why they refused.
    pub refused: Vec<(String, String)>,
}

/// The first provider of `target` that runs `node`, or the one that it was placed on.
///
/// # Errors
/// `NotImplemented` that names each provider and its reason when nobody does.
pub fn claimant(target: &Target, node: &Node, inputs: &[Option<&Fact>], outputs: &[Option<&Fact>]) -> Result<Claimant> {
    let def = target.registry.get(&node.key.domain, &node.key.name);
    let mut refused = Vec::new();
    let placed = |p: &&Arc<dyn Provider>| node.provider.as_deref().is_none_or(|name| name == p.name());
    for provider in target.providers.iter().filter(placed) {
        match provider.claim(node, def.map(|d| &**d), inputs, outputs) {
            Claim::Yes(host) => return Ok(Claimant { provider: provider.clone(), host, refused }),
            Claim::No(reason) => refused.push((provider.name().to_owned(), reason)),
        }
    }
    let reasons: Vec<String> = refused.iter().map(|(name, reason)| format!("{name}: {reason}")).collect();
    Err(base::error!(NotImplemented, "Could not find an implementation for {} ({})", node.key, reasons.join("; ")))
}

/// The provider that runs kernels on the CPU.
struct CpuProvider;

impl Provider for CpuProvider {
    fn name(&self) -> &str {
        CPU
    }

    fn memory(&self) -> Memory {
        Memory::HOST
    }

    fn claim(&self, node: &Node, def: Option<&OpDef>, _: &[Option<&Fact>], _: &[Option<&Fact>]) -> Claim {
        match def {
            Some(def) if def.kernels.cpu.is_some() => Claim::Yes(Mask::ALL),
            Some(_) => Claim::No(format!("{} has no kernel for the CPU", node.key)),
            None => Claim::No(format!("{} is a function of the model", node.key)),
        }
    }

    fn prepare(&self, op: &dyn op::Op, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        match cx.def.kernels.cpu {
            Some(prepare) => prepare(op, cx),
            None => bail!(NotImplemented, "Could not find an implementation for {}", cx.node.key),
        }
    }

    fn allocate(&self, bytes: usize) -> Result<Buffer> {
        Buffer::uninit(bytes)
    }

    fn copy(&self, from: TensorRef<'_>, to: TensorMut<'_>) -> Result<()> {
        base::copy::copy(from, to)
    }
}
