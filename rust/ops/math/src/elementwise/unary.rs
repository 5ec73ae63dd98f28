//! Operators that are a function of each element of one tensor.

use base::{DType, Result};
use op::{Attrs, CpuKernel, Infer, Kernels, Layouts, Op, OpDef, Prepare, Prepared, Run};
use simd::VecFn;

use super::convert::float_map;
use super::driver::map;
use super::loops::{Map, each, each_wide, vector};

/// A function of each element of one tensor.
#[derive(Clone, Debug)]
pub(crate) struct Unary {
    /// The loop for a type, with the operator's parameters; `None` for types without one.
    pub(crate) function: fn(DType, [f32; 2]) -> Option<Box<dyn Map>>,
    /// The operator's attributes, if it has numbers for such.
    pub(crate) parameters: [f32; 2],
    /// The type of the output, if it is not that of the input.
    pub(crate) output: Option<DType>,
}

/// What operators start from that are a [`Unary`] whose output has the type of its input.
pub(crate) const SELF: OpDef =
    OpDef { kernels: Kernels::NONE.cpu::<Unary>().cuda::<Unary>(), in_place: &[(0, 0)], layouts: Layouts::Follows, ..OpDef::ONNX };

impl Op for Unary {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dtype = cx.dtype(0)?;
        let dims = cx.dims(0)?.map(Into::into);
        cx.tensor(0, self.output.unwrap_or(dtype), dims);
        Ok(())
    }
}

impl CpuKernel for Unary {
    fn prepare(&self, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        let from = cx.dtype(0)?;
        let function = (self.function)(from, self.parameters).ok_or_else(|| cx.no_kernel(from))?;
        Ok(Box::new(Kernel { function, from, to: self.output.unwrap_or(from) }))
    }
}

struct Kernel {
    function: Box<dyn Map>,
    from: DType,
    to: DType,
}

impl Prepared for Kernel {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        map(cx, &*self.function, self.from, self.to)
    }
}

/// What `load` gives for a function without attributes; `consumed_inputs`, which the first versions had, has no meaning.
///
/// # Errors
/// None.
pub(crate) fn plain(a: &Attrs<'_>, function: fn(DType, [f32; 2]) -> Option<Box<dyn Map>>) -> Result<Box<dyn Op>> {
    with(a, [0.0; 2], function)
}

/// What `load` gives for a function with parameters.
///
/// # Errors
/// None.
pub(crate) fn with(a: &Attrs<'_>, parameters: [f32; 2], function: fn(DType, [f32; 2]) -> Option<Box<dyn Map>>) -> Result<Box<dyn Op>> {
    consumed_inputs(a);
    Ok(Box::new(Unary { function, parameters, output: None }))
}

/// Drops `consumed_inputs`, an attribute of the first versions without meaning for the result.
pub(crate) fn consumed_inputs(a: &Attrs<'_>) {
    if a.since() < 6 {
        a.ignore("consumed_inputs");
    }
}

/// A float function: over vectors of `f32`, and one by one for `f64`.
pub(crate) fn floats(
    dtype: DType,
    single: impl VecFn + Send + Sync + 'static,
    double: impl Fn(f64) -> f64 + Copy + Send + Sync + 'static,
) -> Option<Box<dyn Map>> {
    float_map(dtype, false, vector(single), each(double))
}

/// A float function of a few instructions, for `f32` and for `f64`.
pub(crate) fn closures(
    dtype: DType,
    single: impl Fn(f32) -> f32 + Copy + Send + Sync + 'static,
    double: impl Fn(f64) -> f64 + Copy + Send + Sync + 'static,
) -> Option<Box<dyn Map>> {
    float_map(dtype, false, each_wide(single), each_wide(double))
}
