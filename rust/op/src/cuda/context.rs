//! What a kernel of a device sees while it is launched.

use ::cuda::{Arguments, Gemm};
use base::{Layout, Result, Shape, TensorMut, TensorRef, ensure, error};

use super::axes::{strides, strides_of};
use super::swap::Swapped;
use super::{Axes, Report, Tools};
use crate::Run;

/// Threads of a block of kernels that go through elements.
const THREADS: u32 = 256;
/// Elements that a thread handles together, or one after the other.
const PACK: usize = 8;
/// More blocks than that are no use: each thread then goes through more elements.
const MOST_BLOCKS: usize = 1 << 20;

/// How many blocks go through `n` elements.
pub fn blocks_for(n: usize) -> u32 {
    n.div_ceil(THREADS as usize * PACK).clamp(1, MOST_BLOCKS) as u32
}

/// What a kernel of a device sees while it is launched: its inputs and outputs, and the stream.
pub struct Cuda<'a, 'r> {
    run: &'a mut Run<'r>,
    tools: &'a Tools,
    node: u32,
    op: &'a str,
}

impl<'a, 'r> Cuda<'a, 'r> {
    /// The launch of node number `node`, an `op`, whose values are those of `run`.
    pub fn new(run: &'a mut Run<'r>, tools: &'a Tools, node: u32, op: &'a str) -> Self {
        Self { run, tools, node, op }
    }

    /// The name of the operator.
    pub fn op(&self) -> &str {
        self.op
    }

    /// Where kernels report what is wrong in this run, and the number they report this node by.
    ///
    /// # Errors
    /// `Fail` when the run has no such place.
    pub fn fault(&self) -> Result<(u64, u32)> {
        let report = self.run.state::<Report>().ok_or_else(|| error!(Fail, "the run has no place for reports of kernels"))?;
        Ok((report.address(), self.node))
    }

    /// The values as kernels of the host see them: for inputs and outputs that the host mask names.
    pub fn host(&mut self) -> &mut Run<'r> {
        self.run
    }

    /// How many inputs the node lists.
    pub fn input_count(&self) -> usize {
        self.run.input_count()
    }

    /// Whether output `i` is asked for.
    pub fn has_output(&self, i: usize) -> bool {
        self.run.has_output(i)
    }

    /// Input `i`, a tensor on the device.
    ///
    /// # Errors
    /// `InvalidArgument` when it is left out or lies elsewhere.
    pub fn input(&self, i: usize) -> Result<TensorRef<'_>> {
        let input = self.run.input(i)?;
        self.tools.stream.check_memory(input.memory()).map_err(|e| error!(InvalidArgument, "input {i}: {}", e.detail()))?;
        Ok(input)
    }

    /// Input `i`, dense.
    ///
    /// # Errors
    /// As [`input`](Self::input), and `Fail` when it is strided.
    pub fn dense(&self, i: usize) -> Result<TensorRef<'_>> {
        let input = self.input(i)?;
        ensure!(input.layout().is_dense(input.shape()), Fail, "input {i} is not dense");
        Ok(input)
    }

    /// Input `i`, dense, unless it is left out.
    ///
    /// # Errors
    /// As [`dense`](Self::dense).
    pub fn optional(&self, i: usize) -> Result<Option<TensorRef<'_>>> {
        if self.run.has_input(i) { self.dense(i).map(Some) } else { Ok(None) }
    }

    /// Output `i`, a tensor on the device whose sizes are known.
    ///
    /// # Errors
    /// `Fail` when it is not asked for, lies elsewhere, or has no memory yet.
    pub fn output(&self, i: usize) -> Result<TensorMut<'_>> {
        let output = self.run.output(i)?;
        self.tools.stream.check_memory(output.memory()).map_err(|e| error!(Fail, "output {i}: {}", e.detail()))?;
        Ok(output)
    }

    /// Output `i`, which must have the shape `shape`.
    ///
    /// # Errors
    /// As [`output`](Self::output), and `Fail` when the shape is another.
    pub fn output_of(&self, i: usize, shape: &[usize]) -> Result<TensorMut<'_>> {
        let output = self.output(i)?;
        let fits = output.shape() == shape && output.layout().is_dense(shape);
        ensure!(fits, Fail, "output {i} is {output:?}, where the kernel makes shape {}", Shape::from(shape));
        Ok(output)
    }

    /// Whether the device has `kernel`.
    pub fn has(&self, kernel: &str) -> bool {
        self.tools.modules.has(kernel)
    }

    /// Whether products of f32 may round their factors to TF32.
    pub fn tf32(&self) -> bool {
        self.tools.tf32
    }

    /// Lets cuBLASLt compute a product, where it is installed and has an algorithm for it. Whether it does.
    ///
    /// # Errors
    /// What cuBLASLt says.
    ///
    /// # Safety
    /// The product stays inside of the node's inputs and output.
    pub unsafe fn multiply(&self, gemm: &Gemm) -> Result<bool> {
        let Ok(blas) = self.tools.blas() else { return Ok(false) };
        // SAFETY: as for `launch`.
        unsafe { blas.multiply(&self.tools.stream, &self.tools.pool, gemm) }
    }

    /// Starts `kernel` in `blocks` blocks of `threads` threads.
    ///
    /// # Errors
    /// `NotImplemented` when there is no such kernel; what the driver says.
    ///
    /// # Safety
    /// The kernel takes such arguments, and stays with these inside of the node's inputs and outputs.
    pub unsafe fn launch(&self, kernel: &str, blocks: usize, threads: u32, arguments: impl Arguments) -> Result<()> {
        if blocks == 0 {
            return Ok(());
        }
        let blocks = u32::try_from(blocks).ok().filter(|b| *b <= i32::MAX as u32);
        let blocks = blocks.ok_or_else(|| error!(NotImplemented, "{kernel} would need more blocks than CUDA has"))?;
        let function = self.tools.modules.function(kernel)?;
        // SAFETY: the caller vouches for the arguments. The plan keeps inputs and outputs until the stream has come by: their memory is
        // handed out again only for work behind this on the same stream.
        unsafe { self.tools.stream.launch(function, kernel, blocks, threads, arguments) }
    }

    /// Starts `kernel`, which goes through `n` elements.
    ///
    /// # Errors
    /// As [`launch`](Self::launch).
    ///
    /// # Safety
    /// As for [`launch`](Self::launch).
    pub unsafe fn for_each(&self, kernel: &str, n: usize, arguments: impl Arguments) -> Result<()> {
        if n == 0 {
            return Ok(());
        }
        // SAFETY: as the caller says.
        unsafe { self.launch(kernel, blocks_for(n) as usize, THREADS, arguments) }
    }

    /// Copies elements of `size` bytes: of shape `dims`, from and to addresses, by strides in elements.
    ///
    /// # Errors
    /// `NotImplemented` when there are more axes than kernels take.
    ///
    /// # Safety
    /// Every element lies in an input, or in an output that nobody else writes.
    pub unsafe fn copy(&self, size: usize, dims: &[usize], from: (u64, &[isize]), to: (u64, &[isize])) -> Result<()> {
        let n: usize = dims.iter().product();
        if n == 0 {
            return Ok(());
        }
        let dense = base::dense_strides(dims);
        let even = |strides: &[isize]| Layout::Strided(strides.into()).is_dense(dims) && strides.len() == dense.len();
        if even(from.1) && even(to.1) {
            // SAFETY: as the caller says.
            return unsafe { self.tools.stream.copy_within(from.0, to.0, n * size) };
        }
        let (axes, size) = Axes::<2>::new(dims, [from.1, to.1])?.joined(size, [from.0, to.0]);
        if let Some(Swapped { others, swap, blocks }) = axes.swapped(size) {
            // SAFETY: as the caller says; the kernel goes through the same axes.
            return unsafe { self.launch(&format!("swap_{size}"), blocks, THREADS, (others, swap, from.0, to.0)) };
        }
        // SAFETY: as the caller says; joined elements are the same bytes.
        unsafe { self.for_each(&format!("copy_{size}"), axes.len(), (axes, from.0, to.0, axes.len() as u64)) }
    }

    /// Copies the elements of input 0 to output 0 in their order, under the shape that the output has.
    ///
    /// # Errors
    /// `InvalidArgument` when the numbers of elements differ.
    pub fn relabel(&self) -> Result<()> {
        let (input, output) = (self.input(0)?, self.output(0)?);
        let (have, want) = (Shape::from(input.shape()), Shape::from(output.shape()));
        ensure!(input.len() == output.len(), InvalidArgument, "Input shape:{have}, requested shape:{want}: the numbers of elements differ");
        ensure!(output.layout().is_dense(output.shape()), Fail, "output 0 is not dense");
        let size = input.dtype().size().ok_or_else(|| error!(NotImplemented, "CUDA kernels do not move {}", input.dtype()))?;
        let (dims, from) = (input.shape(), strides_of(&input)?);
        let to = strides(&Layout::Dense, dims)?;
        // SAFETY: both tensors have that many elements; the output is ours.
        unsafe { self.copy(size, dims, (input.address() as u64, &from), (output.address() as u64, &to)) }
    }
}
