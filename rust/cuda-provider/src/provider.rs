//! The provider: which nodes it runs, its memory, and copies to and from it.

use std::sync::{Arc, OnceLock};

use base::{Buffer, DType, Layout, Memory, Result, TensorMut, TensorRef, bail, ensure, error};
use cuda::{Device, Kernels, Modules, Pool, Staging, Stream, only_booleans};
use ir::{Fact, Node};
use op::cuda::{CudaClaim, CudaKernel, Faults, Tools};
use op::{Attrs, Claim, Mask, Op, OpDef, Prepare, Prepared, Provider, RunState};

use crate::kernel::Launch;
use crate::{CudaOptions, NAME};

/// Runs nodes on one CUDA device. All work of a provider is done on one stream, in order.
pub struct CudaProvider {
    memory: Memory,
    tools: Arc<Tools>,
    staging: Staging,
}

impl CudaProvider {
    /// A provider for the device and with the limits that `options` say.
    ///
    /// # Errors
    /// `InvalidArgument` when there is no such device; what the driver says.
    pub fn new(options: &CudaOptions, kernels: Kernels) -> Result<Self> {
        let device = Device::open(options.device_id)?;
        let stream = match options.user_compute_stream {
            // SAFETY: whoever gives the address of a stream says that it is one of this device, and keeps it; as in ONNX Runtime.
            Some(raw) => unsafe { Stream::foreign(&device, raw) },
            None => Stream::new(&device)?,
        };
        let stream = Arc::new(stream);
        let faults = Faults::new(&stream);
        let pool = Pool::new(&stream, options.gpu_mem_limit, options.extend);
        let modules = Modules::new(&device, kernels);
        let blas = if options.use_cublas { OnceLock::new() } else { OnceLock::from(Err("use_cublas is 0".to_owned())) };
        let tools = Tools { stream, modules, pool, faults, tf32: options.use_tf32, blas };
        Ok(Self { memory: device.memory(), staging: Staging::new(&device), tools: Arc::new(tools) })
    }

    /// Bytes that were taken from the device, and those of them that are in use.
    pub fn memory_use(&self) -> (usize, usize) {
        (self.tools.pool.taken(), self.tools.pool.used())
    }

    fn kernel(&self, op: &dyn Op, def: &OpDef) -> Result<Box<dyn CudaKernel>> {
        match def.kernels.cuda {
            Some(make) => make(op),
            None => bail!(NotImplemented, "{} has no kernel for CUDA", def.name),
        }
    }

    /// The mask of what the host reads and writes, or why the device does not run the node.
    fn claimed(&self, node: &Node, def: &OpDef, inputs: &[Option<&Fact>], outputs: &[Option<&Fact>]) -> Result<Mask, String> {
        if def.kernels.cuda.is_none() {
            return Err(format!("{} has no kernel for CUDA", node.key));
        }
        if outputs.iter().flatten().any(|f| f.value.is_some()) && !def.host.output(0) {
            return Err("sizes are computed on the host".into());
        }
        let plain = |f: &&Fact| f.layout == Layout::Dense;
        if !inputs.iter().chain(outputs).flatten().all(plain) {
            return Err("CUDA kernels take no blocked channels".into());
        }
        let op = (def.load)(&Attrs::new(node)).map_err(|e| e.to_string())?;
        let kernel = self.kernel(&*op, def).map_err(|e| e.to_string())?;
        let has = |name: &str| self.tools.modules.has(name);
        kernel.claim(&CudaClaim { node, inputs, outputs, has: &has })?;
        Ok(def.host)
    }
}

impl Provider for CudaProvider {
    fn name(&self) -> &str {
        NAME
    }

    fn memory(&self) -> Memory {
        self.memory
    }

    fn claim(&self, node: &Node, def: Option<&OpDef>, inputs: &[Option<&Fact>], outputs: &[Option<&Fact>]) -> Claim {
        let Some(def) = def else { return Claim::No(format!("{} is a function of the model", node.key)) };
        match self.claimed(node, def, inputs, outputs) {
            Ok(host) => Claim::Yes(host),
            Err(why) => Claim::No(why),
        }
    }

    fn prepare(&self, op: &dyn Op, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        let kernel = self.kernel(op, cx.def)?;
        let node = self.tools.faults.number(&cx.node.key.name, &cx.node.name);
        Ok(Box::new(Launch { kernel, tools: self.tools.clone(), op: cx.node.key.name.to_string(), node }))
    }

    /// Attention is left in its parts, which have kernels; channels stay where the model has them.
    fn unwanted_passes(&self) -> &'static [&'static str] {
        &["attention", "layout"]
    }

    fn notes(&self) -> Vec<String> {
        match self.tools.blas() {
            Ok(blas) => vec![format!("products by cuBLASLt {}", blas.version())],
            Err(why) => vec![format!("products by own kernels, without cuBLASLt: {why}")],
        }
    }

    fn begin(&self) -> Result<Option<Arc<dyn RunState>>> {
        Ok(Some(Arc::new(self.tools.faults.report()?)))
    }

    fn synchronize(&self) -> Result<()> {
        self.tools.stream.device().synchronize()
    }

    fn allocate(&self, bytes: usize) -> Result<Buffer> {
        self.tools.pool.allocate(bytes)
    }

    fn copy(&self, from: TensorRef<'_>, to: TensorMut<'_>) -> Result<()> {
        ensure!(from.dtype() == to.dtype() && from.shape() == to.shape(), Fail, "{from:?} cannot be copied to {to:?}");
        let dense = from.layout().is_dense(from.shape()) && to.layout().is_dense(to.shape());
        ensure!(dense, Fail, "only dense tensors are copied between memories");
        let dtype = from.dtype();
        let bytes = dtype.bytes_of(from.len()).filter(|_| dtype != DType::String);
        let bytes = bytes.ok_or_else(|| error!(InvalidArgument, "{dtype} cannot lie on a device"))?;
        if bytes == 0 {
            return Ok(());
        }
        let (stream, staging) = (&self.tools.stream, &self.staging);
        match (from.memory().is_host(), to.memory().is_host()) {
            (true, false) => {
                stream.check_memory(to.memory())?;
                // SAFETY: the target is a dense tensor of that many bytes on this device.
                unsafe { staging.copy_in(stream, from.bytes()?, to.address() as u64) }
            }
            (false, true) => {
                stream.check_memory(from.memory())?;
                let to = to.bytes()?;
                // SAFETY: the source is a dense tensor of that many bytes on this device.
                unsafe { staging.copy_out(stream, from.address() as u64, to)? };
                only_booleans(dtype, to);
                Ok(())
            }
            (false, false) => {
                stream.check_memory(from.memory())?;
                stream.check_memory(to.memory())?;
                // SAFETY: both are dense tensors of that many bytes on this device, and the target is written by nobody else.
                unsafe { stream.copy_within(from.address() as u64, to.address() as u64, bytes) }
            }
            (true, true) => base::copy::copy(from, to),
        }
    }
}
