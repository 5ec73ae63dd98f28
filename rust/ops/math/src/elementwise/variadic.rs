//! Operators that fold the elements of any number of tensors.

use base::threads::parallel_ranges;
use base::{DType, Result, Shape, Type, bail, ensure};
use ir::{Dim, Dims, Fact};
use op::{CpuKernel, Infer, Op, Prepare, Prepared, Run, broadcast_dims};
use smallvec::SmallVec;

use super::binary::values;
use super::blocked::clear_padding;
use super::convert::Convert;
use super::driver::{Target, check_overlap, element_size, grain, operand, target};
use super::loops::{Map, Source, Zip};
use super::operand::{BLOCK, Buffer, Cache, Operand};

/// A function of two elements that folds any number of tensors.
#[derive(Clone, Debug)]
pub(crate) struct Fold {
    /// The loop for a type, that of `f32` serving the 16-bit floats; `None` for types without one.
    pub(crate) step: fn(DType) -> Option<Box<dyn Zip>>,
    /// What is done to the result for this number of tensors, in the type of the loop.
    pub(crate) finish: fn(DType, usize) -> Option<Box<dyn Map>>,
    /// Whether the tensors are broadcast; before version 8 they have one shape.
    pub(crate) broadcast: bool,
    /// The same function of elements that are known as expressions.
    pub(crate) value: fn(&Dim, &Dim) -> Option<Dim>,
}

impl Op for Fold {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dtype = cx.dtype(0)?;
        let shapes = (0..cx.input_count()).map(|i| cx.dims(i)).collect::<Result<Vec<_>>>()?;
        let shape = broadcast_dims(&shapes)?;
        if let (false, Some(out)) = (self.broadcast, &shape) {
            for s in shapes.iter().flatten() {
                ensure!(fits(s, out), InvalidGraph, "Incompatible dimensions: shapes {shapes:?} are not one");
            }
        }
        let value = values(cx, dtype, shape.as_deref(), self.value);
        cx.set(0, Fact { shape, value, ..Fact::of(Type::Tensor(dtype)) });
        Ok(())
    }
}

fn fits(dims: &[Dim], out: &Dims) -> bool {
    dims.len() == out.len() && dims.iter().zip(out).all(|(a, b)| a.known().zip(b.known()).is_none_or(|(a, b)| a == b))
}

impl CpuKernel for Fold {
    fn prepare(&self, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        let dtype = cx.dtype(0)?;
        let load = Convert::widen(dtype);
        let inner = if load.is_some() { DType::F32 } else { dtype };
        let step = (self.step)(inner).ok_or_else(|| cx.no_kernel(dtype))?;
        let finish = (self.finish)(inner, cx.node.inputs.len());
        Ok(Box::new(Kernel { dtype, inner: element_size(inner)?, load, step, finish, store: Convert::narrow(dtype) }))
    }
}

struct Kernel {
    dtype: DType,
    /// Bytes of an element in the loop.
    inner: usize,
    load: Option<Convert>,
    step: Box<dyn Zip>,
    finish: Option<Box<dyn Map>>,
    store: Option<Convert>,
}

impl Prepared for Kernel {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let mut shape = Shape::from(cx.input(0)?.shape());
        for i in 1..cx.input_count() {
            let dims = cx.input(i)?.shape();
            if dims != &*shape {
                shape = base::broadcast(&shape, dims)?;
            }
        }
        cx.allocate(0, self.dtype, shape.clone())?;
        let output = cx.output(0)?;
        ensure!(output.shape() == &*shape, Fail, "the output has shape {}, not {shape}", Shape::from(output.shape()));
        let (to, len) = (target(&output)?, output.layout().stored_len(&shape).unwrap_or(0));
        let mut operands: SmallVec<[Operand; 4]> = SmallVec::new();
        for i in 0..cx.input_count() {
            let input = cx.input(i)?;
            ensure!(input.dtype() == self.dtype, Fail, "input {i} is of type {}, not {}", input.dtype(), self.dtype);
            check_overlap(&input, &to, len)?;
            operands.push(operand(&input, input.shape(), &output)?);
        }
        if operands.is_empty() {
            bail!(InvalidArgument, "there is nothing to fold");
        }
        parallel_ranges(len, grain(self.inner), &|range| {
            let mut work = Work::default();
            let mut at = range.start;
            while at < range.end {
                let n = operands.iter().fold(BLOCK.min(range.end - at), |n, o| o.run(at, n));
                // SAFETY: the operands were made for these inputs and the output's elements; the output is apart from each input or the
                // same, and all inputs of a block are read before it is written.
                unsafe { self.block(&operands, &to, at, n, &mut work) };
                at += n;
            }
        });
        // SAFETY: the output stores the elements of its layout and shape.
        unsafe { clear_padding(output.layout(), &shape, to.at(0), element_size(self.dtype)?) };
        Ok(())
    }
}

/// The buffers of a chunk.
#[derive(Default)]
struct Work {
    caches: [Cache; 2],
    loaded: [Buffer; 2],
    sum: Buffer,
}

impl Kernel {
    /// Folds the `n` elements from `at` on.
    ///
    /// # Safety
    /// They are in the range of the output, and no more than [`BLOCK`] and what each operand reads in one run.
    unsafe fn block(&self, operands: &[Operand], to: &Target, at: usize, n: usize, work: &mut Work) {
        let Work { caches: [first_cache, cache], loaded: [first_loaded, loaded], sum } = work;
        let (out, sum) = (to.at(at), sum.address());
        let direct = self.finish.is_none() && self.store.is_none();
        // SAFETY: as the caller vouches; the buffers have room for a block.
        unsafe {
            let load = |operand: &Operand, cache: &mut Cache, buffer: &mut Buffer| {
                let source = operand.read(at, n, cache);
                self.load.as_ref().map_or(source, |load| load.source(source, n, buffer))
            };
            let mut folded = load(&operands[0], first_cache, first_loaded);
            for (i, operand) in operands.iter().enumerate().skip(1) {
                let next = load(operand, cache, loaded);
                let target = if direct && i + 1 == operands.len() { out } else { sum };
                self.step.run(folded, next, target, n);
                folded = Source::many(target);
            }
            if let Some(finish) = &self.finish {
                let target = if self.store.is_some() { sum } else { out };
                finish.run(folded.address, target, n);
                folded = Source::many(target);
            }
            match &self.store {
                Some(store) => store.0.run(folded.address, out, n),
                None if folded.address != out.cast_const() => std::ptr::copy_nonoverlapping(folded.address, out, n * self.inner),
                None => {}
            }
        }
    }
}
