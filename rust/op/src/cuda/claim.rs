//! What an operator sees when it is asked whether a device can run a node.

use base::{DType, Type};
use ir::{Fact, Node};

use super::MAX_RANK;

/// What an operator sees when it is asked whether a device can run a node.
pub struct CudaClaim<'a> {
    /// The node.
    pub node: &'a Node,
    /// The facts of its inputs.
    pub inputs: &'a [Option<&'a Fact>],
    /// The facts of its outputs.
    pub outputs: &'a [Option<&'a Fact>],
    /// Whether the device has a kernel of a name.
    pub has: &'a dyn Fn(&str) -> bool,
}

impl CudaClaim<'_> {
    /// The element type of input `i`.
    ///
    /// # Errors
    /// That it is not known or no tensor.
    pub fn dtype(&self, i: usize) -> Result<DType, String> {
        match self.inputs.get(i).copied().flatten().map(|f| &f.ty) {
            Some(Type::Tensor(dtype)) => Ok(*dtype),
            Some(other) => Err(format!("input {i} is {other}, no tensor")),
            None => Err(format!("the type of input {i} is not known")),
        }
    }

    /// Whether input `i` is given.
    pub fn has_input(&self, i: usize) -> bool {
        self.node.inputs.get(i).is_some_and(Option::is_some)
    }

    /// Fails unless the device has `kernel`.
    ///
    /// # Errors
    /// That it has not.
    pub fn needs(&self, kernel: &str) -> Result<(), String> {
        if (self.has)(kernel) { Ok(()) } else { Err(format!("there is no CUDA kernel {kernel}")) }
    }

    /// Fails unless the ranks of all tensors are known, and kernels take as many axes.
    ///
    /// # Errors
    /// Which tensor has more.
    pub fn ranks_fit(&self) -> Result<(), String> {
        for (i, fact) in self.inputs.iter().chain(self.outputs).enumerate().filter_map(|(i, f)| Some((i, (*f)?))) {
            match fact.rank() {
                Some(rank) if rank <= MAX_RANK => {}
                Some(rank) => return Err(format!("tensor {i} has {rank} axes; CUDA kernels take {MAX_RANK}")),
                None => return Err(format!("the number of axes of tensor {i} is not known")),
            }
        }
        Ok(())
    }

    /// The bytes of an element of input `i`, if kernels can move such.
    ///
    /// # Errors
    /// That they cannot.
    pub fn element_size(&self, i: usize) -> Result<usize, String> {
        let dtype = self.dtype(i)?;
        dtype.size().filter(|_| dtype != DType::String).ok_or_else(|| format!("CUDA kernels do not move {dtype}"))
    }
}

/// What names of kernels end with for elements of `dtype`.
pub fn suffix(dtype: DType) -> &'static str {
    match dtype {
        DType::F32 => "f32",
        DType::F64 => "f64",
        DType::F16 => "f16",
        DType::BF16 => "bf16",
        DType::I32 => "i32",
        DType::I64 => "i64",
        DType::U8 => "u8",
        DType::Bool => "bool",
        other => other.name(),
    }
}
