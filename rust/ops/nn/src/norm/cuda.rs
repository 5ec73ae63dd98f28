//! Normalization of rows on CUDA devices.

use base::{DType, Result, TensorRef, ensure};
use op::cuda::{Argument, Cuda, CudaClaim, Rows, suffix};

use super::row::RowNorm;

/// `Row` of `normalize.cuh`; 0 for what is left out.
#[derive(Clone, Copy)]
#[repr(C)]
struct Row {
    x: u64,
    skip: u64,
    skip_len: u64,
    bias: u64,
    gamma: u64,
    beta: u64,
    y: u64,
    sum: u64,
    mean: u64,
    inverse: u64,
    rows: u64,
    len: u64,
    epsilon: f32,
    simplified: u32,
}

// SAFETY: the kernel declares the same structure.
unsafe impl Argument for Row {}

impl RowNorm {
    /// The inputs that hold one number for each element of a row.
    fn parameters(&self) -> impl Iterator<Item = usize> {
        [Some(self.gamma), self.beta, self.bias].into_iter().flatten()
    }

    /// Whether a device can run the node: parameters are rows, and outputs have the types that kernels write.
    pub(super) fn claim(&self, cx: &CudaClaim<'_>) -> std::result::Result<(), String> {
        let dtype = cx.dtype(0)?;
        cx.needs(&format!("normalize_{}", suffix(dtype)))?;
        let moments = [self.mean_output, self.inverse_output].into_iter().flatten();
        let asked = moments.into_iter().any(|i| cx.node.outputs.get(i).is_some_and(Option::is_some));
        if asked && (self.stash != DType::F32 || dtype == DType::F64) {
            return Err(format!("mean and deviation of {dtype} are not written as {}", self.stash));
        }
        let dims = cx.inputs[0].and_then(|f| f.shape.as_deref()).ok_or("the shape of input 0 is not known")?;
        let axis = self.axis(dims.len()).map_err(|e| e.to_string())?;
        let row = dims[axis..].iter().map(|d| d.size()).product::<Option<usize>>().ok_or("the size of a row is not known")?;
        for i in self.parameters().filter(|i| cx.has_input(*i)) {
            let shape = cx.inputs[i].and_then(|f| f.known_shape());
            let fits = shape.is_some_and(|s| s.iter().product::<usize>() == row && s.len() <= dims.len() - axis);
            if !fits || cx.dtype(i)? != dtype {
                return Err(format!("input {i} is no row of {row} elements of {dtype}"));
            }
        }
        if cx.dtype(self.output_like)? != dtype { Err(format!("the output is not of type {dtype}")) } else { Ok(()) }
    }

    /// Starts the kernel.
    pub(super) fn launch(&self, cx: &Cuda<'_, '_>) -> Result<()> {
        let x = cx.dense(0)?;
        let axis = self.axis(x.rank())?;
        let (rows, len) = (x.shape()[..axis].iter().product::<usize>(), x.shape()[axis..].iter().product::<usize>());
        if rows * len == 0 {
            return Ok(());
        }
        let row_of = |i: Option<usize>| -> Result<u64> {
            let Some(t) = i.map_or(Ok(None), |i| cx.optional(i))? else { return Ok(0) };
            ensure!(t.len() == len && t.dtype() == x.dtype(), InvalidArgument, "{t:?} is no row of {len} elements of {}", x.dtype());
            Ok(t.address() as u64)
        };
        let output = |i: Option<usize>, n: usize, dtype: DType| -> Result<u64> {
            let Some(i) = i.filter(|i| cx.has_output(*i)) else { return Ok(0) };
            let y = cx.output(i)?;
            let fits = y.len() == n && y.dtype() == dtype && y.layout().is_dense(y.shape());
            ensure!(fits, Fail, "output {i} is {y:?}, where the kernel makes {n} elements of {dtype}");
            Ok(y.address() as u64)
        };
        let skip = if self.skip { Some(self.skip_of(cx, &x, len)?) } else { None };
        let row = Row {
            x: x.address() as u64,
            skip: skip.map_or(0, |s| s.address() as u64),
            skip_len: skip.map_or(1, |s| s.len() as u64),
            bias: row_of(self.bias)?,
            gamma: row_of(Some(self.gamma))?,
            beta: row_of(self.beta)?,
            y: output(Some(0), rows * len, x.dtype())?,
            sum: output(self.sum_output, rows * len, x.dtype())?,
            mean: output(self.mean_output, rows, DType::F32)?,
            inverse: output(self.inverse_output, rows, DType::F32)?,
            rows: rows as u64,
            len: len as u64,
            epsilon: self.epsilon,
            simplified: self.simplified.into(),
        };
        let spread = Rows::new(rows, len, x.dtype());
        // SAFETY: inputs and outputs have the sizes that were checked above; `normalize.cu` declares this argument.
        unsafe { cx.launch(&spread.kernel("normalize", suffix(x.dtype())), spread.blocks, Rows::THREADS, (row,)) }
    }

    /// What is added to `x`, which it must fit into a whole number of times.
    fn skip_of<'a>(&self, cx: &'a Cuda<'_, '_>, x: &TensorRef<'_>, len: usize) -> Result<TensorRef<'a>> {
        let skip = cx.dense(1)?;
        let (have, want) = (skip.len(), x.len());
        let fits = have > 0 && want % have == 0 && have % len == 0 && skip.dtype() == x.dtype();
        ensure!(fits, InvalidArgument, "a skip of {have} elements does not fit {want}");
        Ok(skip)
    }
}

/// Lets an operator that is nothing but a [`RowNorm`] run on CUDA devices.
macro_rules! rows_on_cuda {
    ($operator:ty) => {
        impl op::cuda::CudaKernel for $operator {
            fn claim(&self, cx: &op::cuda::CudaClaim<'_>) -> std::result::Result<(), String> {
                self.0.claim(cx)
            }

            fn launch(&self, cx: &mut op::cuda::Cuda<'_, '_>) -> base::Result<()> {
                self.0.launch(cx)
            }
        }
    };
}

pub(super) use rows_on_cuda;
