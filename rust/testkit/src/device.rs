//! A device that is not there: memory that the host cannot touch, and a provider whose kernels run in it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use base::{Buffer, DeviceBuffer, Layout, Memory, Result, Tensor, TensorMut, TensorRef, Value, bail, ensure, error};
use ir::{Fact, Node};
use op::{Claim, Mask, Op, OpDef, Prepare, Prepared, Provider, Run, Sizes};

/// The memory of the mock device.
pub const MOCK_MEMORY: Memory = Memory(7);

/// Where addresses of the mock device begin; nothing of the host lies there.
const BASE: usize = 0x7000_0000_0000_0000;

/// What the mock device holds, by address.
#[derive(Default)]
struct Store {
    blocks: Mutex<HashMap<usize, Vec<u8>>>,
    next: AtomicUsize,
}

impl Store {
    fn with<T>(&self, address: usize, len: usize, f: impl FnOnce(&mut [u8]) -> T) -> Result<T> {
        let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        for (start, bytes) in blocks.iter_mut() {
            if let Some(offset) = address.checked_sub(*start).filter(|o| o + len <= bytes.len()) {
                return Ok(f(&mut bytes[offset..offset + len]));
            }
        }
        bail!(Fail, "address {address:#x} is not on the mock device")
    }
}

struct Block {
    store: Arc<Store>,
    address: usize,
    len: usize,
}

impl DeviceBuffer for Block {
    fn memory(&self) -> Memory {
        MOCK_MEMORY
    }

    fn address(&self) -> usize {
        self.address
    }

    fn len(&self) -> usize {
        self.len
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        self.store.blocks.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.address);
    }
}

/// How often the mock device was used.
#[derive(Debug, Default)]
pub struct Counts {
    /// Copies from the host.
    pub to_device: AtomicUsize,
    /// Copies to the host.
    pub to_host: AtomicUsize,
    /// Kernels run.
    pub kernels: AtomicUsize,
}

/// A provider that claims the operators it is told to. Its kernels are those of the CPU, run on copies of what lies on the device;
/// inputs and outputs that an operator's `host` mask names stay with the host.
pub struct MockDevice {
    store: Arc<Store>,
    operators: Vec<String>,
    /// How often it was used.
    pub counts: Arc<Counts>,
}

impl MockDevice {
    /// A device that runs `operators`.
    pub fn new(operators: &[&str]) -> Self {
        let operators = operators.iter().map(ToString::to_string).collect();
        Self { store: Arc::default(), operators, counts: Arc::default() }
    }

    /// How many buffers are alive on it.
    pub fn live_buffers(&self) -> usize {
        self.store.blocks.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl Provider for MockDevice {
    fn name(&self) -> &str {
        "MockExecutionProvider"
    }

    fn memory(&self) -> Memory {
        MOCK_MEMORY
    }

    fn claim(&self, node: &Node, def: Option<&OpDef>, _: &[Option<&Fact>], _: &[Option<&Fact>]) -> Claim {
        match def {
            Some(def) if self.operators.iter().any(|o| o == def.name) => Claim::Yes(def.host),
            _ => Claim::No(format!("the mock device has no {}", node.key.name)),
        }
    }

    fn prepare(&self, op: &dyn Op, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        let Some(prepare) = cx.def.kernels.cpu else { bail!(NotImplemented, "{} has no kernel to mock", cx.node.key) };
        let inner = prepare(op, cx)?;
        Ok(Box::new(MockKernel { inner, host: cx.def.host, store: self.store.clone(), counts: self.counts.clone() }))
    }

    fn allocate(&self, bytes: usize) -> Result<Buffer> {
        let address = BASE + self.store.next.fetch_add((bytes + 64).next_multiple_of(64), Relaxed);
        self.store.blocks.lock().unwrap_or_else(PoisonError::into_inner).insert(address, vec![0xAB; bytes]);
        Ok(Buffer::Device(Box::new(Block { store: self.store.clone(), address, len: bytes })))
    }

    fn copy(&self, from: TensorRef<'_>, to: TensorMut<'_>) -> Result<()> {
        match (from.memory().is_host(), to.memory().is_host()) {
            (true, false) => {
                self.counts.to_device.fetch_add(1, Relaxed);
                write(&self.store, &to, from.bytes()?)
            }
            (false, true) => {
                self.counts.to_host.fetch_add(1, Relaxed);
                let bytes = read(&self.store, from)?;
                to.bytes()?.copy_from_slice(&bytes);
                Ok(())
            }
            _ => bail!(Fail, "the mock device copies only from and to the host"),
        }
    }
}

fn read(store: &Store, from: TensorRef<'_>) -> Result<Vec<u8>> {
    ensure!(from.memory() == MOCK_MEMORY && *from.layout() == Layout::Dense, Fail, "{from:?} is no dense tensor of the mock device");
    let len = from.dtype().bytes_of(from.len()).ok_or_else(|| error!(Fail, "strings cannot lie on the mock device"))?;
    if len == 0 { Ok(Vec::new()) } else { store.with(from.address() as usize, len, |bytes| bytes.to_vec()) }
}

fn write(store: &Store, to: &TensorMut<'_>, bytes: &[u8]) -> Result<()> {
    ensure!(to.memory() == MOCK_MEMORY && *to.layout() == Layout::Dense, Fail, "{to:?} is no dense tensor of the mock device");
    if bytes.is_empty() { Ok(()) } else { store.with(to.address() as usize, bytes.len(), |b| b.copy_from_slice(bytes)) }
}

struct MockKernel {
    inner: Box<dyn Prepared>,
    host: Mask,
    store: Arc<Store>,
    counts: Arc<Counts>,
}

impl Prepared for MockKernel {
    fn scratch(&self, sizes: &Sizes<'_>) -> usize {
        self.inner.scratch(sizes)
    }

    /// Runs the kernel of the CPU on host copies of the inputs, and puts its outputs where the device wants them.
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        self.counts.kernels.fetch_add(1, Relaxed);
        let inputs = (0..cx.input_count()).map(|i| self.fetch(cx, i)).collect::<Result<Vec<_>>>()?;
        let outputs = op::run_kernel(&*self.inner, &inputs, cx)?;
        let asked: Vec<usize> = (0..cx.output_count()).filter(|i| cx.has_output(*i)).collect();
        for (i, value) in asked.into_iter().zip(outputs) {
            let tensor = value.tensor()?;
            if self.host.output(i) {
                cx.allocate(i, tensor.dtype(), tensor.shape().clone())?;
                cx.output(i)?.bytes()?.copy_from_slice(tensor.as_ref().bytes()?);
            } else {
                let output = cx.output(i)?;
                ensure!(output.shape() == &**tensor.shape(), Fail, "the plan and the kernel disagree on a shape");
                write(&self.store, &output, tensor.as_ref().bytes()?)?;
            }
        }
        Ok(())
    }
}

impl MockKernel {
    fn fetch(&self, cx: &Run<'_>, i: usize) -> Result<Option<Value>> {
        let Some(input) = cx.optional(i)? else { return Ok(None) };
        if self.host.input(i) {
            ensure!(input.memory().is_host(), Fail, "input {i} was promised to the host");
            return Tensor::copy_of(input).map(|t| Some(t.into()));
        }
        ensure!(!input.memory().is_host(), Fail, "input {i} was not copied to the device");
        Tensor::from_bytes(input.dtype(), input.shape(), &read(&self.store, input)?).map(|t| Some(t.into()))
    }
}
