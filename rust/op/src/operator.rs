//! The operator contract: what one file of an operator states.

use std::any::{Any, type_name};
use std::fmt;

use base::{Result, Strides, error};
use ir::{Fact, Graph, Layouts, Node};

use crate::cuda::CudaKernel;
use crate::{Attrs, Infer, Prepare, Run, Since};

/// An operator: its name, versions, loading, kernels, and what planners may do around it.
///
/// Built-in operators are statics that start from [`OpDef::ONNX`]; custom ones are made at run time.
#[derive(Clone, Debug)]
pub struct OpDef {
    /// The domain; empty for `ai.onnx`.
    pub domain: &'static str,
    /// The operator's name.
    pub name: &'static str,
    /// Its versions, oldest first.
    pub versions: &'static [Since],
    /// Reads the attributes of a node. Those it leaves unread are an error.
    pub load: fn(&Attrs<'_>) -> Result<Box<dyn Op>>,
    /// Its kernels, by provider.
    pub kernels: Kernels,
    /// The operator in terms of simpler ones, for whoever has no kernel for it or saves the graph.
    pub body: Option<Body>,
    /// Pairs `(input, output)`: the output may take the memory of the input when nobody else needs it.
    pub in_place: &'static [(usize, usize)],
    /// How outputs may share the memory of inputs without any work.
    pub alias: Alias,
    /// Which inputs and outputs may be strided; all others are dense.
    pub strided: Mask,
    /// For kernels of devices: which inputs are read and outputs written by the host (shapes, axes).
    pub host: Mask,
    /// How the operator treats blocked channels.
    pub layouts: Layouts,
    /// Whether inputs are kept beyond the run of the node (put into sequences, handed to graphs), so that their memory is their own.
    pub keeps_inputs: bool,
    /// Whether the same inputs give the same outputs.
    pub pure: bool,
    /// What an operator that is made at run time carries beside functions; its `load` finds it by [`Attrs::data`].
    pub data: Option<&'static (dyn Any + Send + Sync)>,
}

/// The operator in terms of simpler ones: a graph whose inputs and outputs are those of the node, in order.
pub type Body = fn(&Node, &[Option<&Fact>]) -> Result<Graph>;

impl OpDef {
    /// A pure operator of `ai.onnx` without kernels and privileges; what definitions start from.
    pub const ONNX: OpDef = OpDef {
        domain: "",
        name: "",
        versions: &[],
        load: |a| Err(error!(NotImplemented, "{} cannot be loaded", a.op())),
        kernels: Kernels::NONE,
        body: None,
        in_place: &[],
        alias: Alias::None,
        strided: Mask::NONE,
        host: Mask::NONE,
        layouts: Layouts::Plain,
        keeps_inputs: false,
        pure: true,
        data: None,
    };

    /// The same for operators of `com.microsoft`, which have one version.
    pub const MICROSOFT: OpDef = OpDef { domain: "com.microsoft", ..Self::ONNX };

    /// The version that opset `opset` of the domain has, unless it came later.
    pub fn at(&self, opset: u32) -> Option<&Since> {
        self.versions.iter().rev().find(|s| s.version <= opset)
    }
}

/// Inputs and outputs by number; those from 63 on share the last bit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mask {
    inputs: u64,
    outputs: u64,
}

impl Mask {
    /// No input, no output.
    pub const NONE: Mask = Mask { inputs: 0, outputs: 0 };
    /// Every input, no output.
    pub const INPUTS: Mask = Mask { inputs: u64::MAX, outputs: 0 };
    /// Every input and every output.
    pub const ALL: Mask = Mask { inputs: u64::MAX, outputs: u64::MAX };

    /// The given inputs and outputs, as bits: bit `i` for number `i`.
    pub const fn of(inputs: u64, outputs: u64) -> Self {
        Mask { inputs, outputs }
    }

    /// Whether input `i` is in it.
    pub fn input(self, i: usize) -> bool {
        self.inputs >> i.min(63) & 1 != 0
    }

    /// Whether output `i` is in it.
    pub fn output(self, i: usize) -> bool {
        self.outputs >> i.min(63) & 1 != 0
    }
}

/// How outputs may share the memory of inputs without any work. Where a planner cannot arrange it, the kernel copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alias {
    /// Not at all.
    None,
    /// Output 0 has the elements of input 0 in the same order under its own shape: Reshape, Squeeze, Identity.
    Same,
    /// Each output is a part of input 0, as [`Op::part`] says: Split, Slice, Transpose.
    Parts,
    /// Each input is a part of output 0, as [`Op::part`] says: Concat.
    Whole,
}

/// Where a part lies in a whole: element offset and strides, one for each axis of the part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The first element, counted in elements of the whole.
    pub offset: usize,
    /// Strides in elements of the whole, which is dense.
    pub strides: Strides,
}

/// Concrete sizes around a node, while a plan is bound.
#[derive(Clone, Copy, Debug)]
pub struct Sizes<'a> {
    /// The shape of each input, if it is a tensor that is given.
    pub inputs: &'a [Option<&'a [usize]>],
    /// The shape of each output.
    pub outputs: &'a [Option<&'a [usize]>],
    /// The elements of each input that is a small integer tensor known by then.
    pub ints: &'a [Option<&'a [i64]>],
}

impl Sizes<'_> {
    /// The shape of input `i`.
    ///
    /// # Errors
    /// `Fail` when it is not given.
    pub fn input(&self, i: usize) -> Result<&[usize]> {
        self.inputs.get(i).copied().flatten().ok_or_else(|| error!(Fail, "the shape of input {i} is not known"))
    }

    /// The shape of output `i`.
    ///
    /// # Errors
    /// `Fail` when it is not given.
    pub fn output(&self, i: usize) -> Result<&[usize]> {
        self.outputs.get(i).copied().flatten().ok_or_else(|| error!(Fail, "the shape of output {i} is not known"))
    }
}

/// A loaded operator: one node's attributes, understood.
pub trait Op: Any + fmt::Debug + Send + Sync {
    /// States the facts of the outputs from those of the inputs.
    ///
    /// # Errors
    /// `InvalidGraph` when the inputs cannot be: shapes that disagree, an axis out of range.
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()>;

    /// For [`Alias::Parts`] and [`Alias::Whole`]: where part `index` (an output, or an input) lies in the whole.
    ///
    /// # Errors
    /// `Fail` when sizes are missing that the answer needs.
    fn part(&self, _sizes: &Sizes<'_>, _index: usize) -> Result<Part> {
        Err(error!(Fail, "{self:?} has no parts"))
    }
}

/// The kernels of an operator, by provider.
#[derive(Clone, Copy, Debug)]
pub struct Kernels {
    /// For `CPUExecutionProvider`.
    pub cpu: Option<PrepareFn>,
    /// For `CUDAExecutionProvider`.
    pub cuda: Option<CudaFn>,
}

/// The kernels of a loaded operator for CUDA devices.
pub type CudaFn = fn(&dyn Op) -> Result<Box<dyn CudaKernel>>;

/// Builds the kernel of a loaded operator for one node.
pub type PrepareFn = fn(&dyn Op, &Prepare<'_>) -> Result<Box<dyn Prepared>>;

impl Kernels {
    /// No kernel.
    pub const NONE: Kernels = Kernels { cpu: None, cuda: None };

    /// With `T`'s CPU kernel. `T` is what the operator's `load` gives.
    pub const fn cpu<T: Op + CpuKernel>(self) -> Self {
        Kernels { cpu: Some(|op, cx| loaded::<T>(op)?.prepare(cx)), ..self }
    }

    /// With `T`'s CPU kernel, which prepares nothing.
    pub const fn stateless<T: Op + Stateless + Clone>(self) -> Self {
        Kernels { cpu: Some(|op, _| Ok(Box::new(StatelessKernel(loaded::<T>(op)?.clone())))), ..self }
    }

    /// With `T`'s kernels for CUDA devices.
    pub const fn cuda<T: Op + CudaKernel + Clone>(self) -> Self {
        Kernels { cuda: Some(|op| Ok(Box::new(loaded::<T>(op)?.clone()))), ..self }
    }
}

fn loaded<T: Op>(op: &dyn Op) -> Result<&T> {
    (op as &dyn Any).downcast_ref().ok_or_else(|| error!(Fail, "{op:?} is not the operator of this kernel"))
}

/// An operator with a CPU kernel that is built once for each node.
pub trait CpuKernel {
    /// Builds the kernel: chooses by type, packs constants.
    ///
    /// # Errors
    /// `NotImplemented` for types without a kernel.
    fn prepare(&self, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>>;
}

/// An operator whose CPU kernel needs nothing but its attributes.
pub trait Stateless: Send + Sync {
    /// Computes the outputs.
    ///
    /// # Errors
    /// `InvalidArgument` when the inputs cannot be, with their values.
    fn run(&self, cx: &mut Run<'_>) -> Result<()>;
}

struct StatelessKernel<T>(T);

impl<T: Stateless> Prepared for StatelessKernel<T> {
    fn name(&self) -> &'static str {
        type_name::<T>()
    }

    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        self.0.run(cx)
    }
}

/// A kernel, built for one node and ready to run, perhaps on several threads at once.
pub trait Prepared: Send + Sync {
    /// Which kernel it is: the path of its type, unless that says nothing.
    fn name(&self) -> &'static str {
        type_name::<Self>()
    }

    /// Bytes of scratch memory that a run with these sizes needs.
    fn scratch(&self, _sizes: &Sizes<'_>) -> usize {
        0
    }

    /// Computes the outputs.
    ///
    /// # Errors
    /// `InvalidArgument` when the inputs cannot be, with their values.
    fn run(&self, cx: &mut Run<'_>) -> Result<()>;
}
