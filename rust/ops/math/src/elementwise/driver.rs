//! Applying an inner loop to whole tensors, in chunks for threads.

use base::threads::parallel_ranges;
use base::{DType, Layout, Result, Shape, TensorMut, TensorRef, ensure, error};
use op::Run;

use super::blocked::{clear_padding, same_order, stored_len};
use super::loops::{Map, Source, Zip};
use super::operand::{Cache, Operand};

/// Bytes of the wider side that one chunk handles.
const CHUNK: usize = 32 * 1024;

/// Elements in a chunk when the widest element has `size` bytes.
pub(super) fn grain(size: usize) -> usize {
    CHUNK / size.max(1)
}

/// The address where chunks write, each its own part.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    address: *mut u8,
    size: usize,
}

// SAFETY: chunks write disjoint ranges of elements.
unsafe impl Sync for Target {}

impl Target {
    /// Elements of `size` bytes from `address` on, of which each chunk writes its own.
    pub(crate) fn new(address: *mut u8, size: usize) -> Self {
        Self { address, size }
    }

    /// Where element `i` goes.
    pub(crate) fn at(&self, i: usize) -> *mut u8 {
        self.address.wrapping_add(i * self.size)
    }
}

/// Bytes of an element of `dtype`, which loops can handle.
///
/// # Errors
/// `Fail` for strings and packed types.
pub(super) fn element_size(dtype: DType) -> Result<usize> {
    dtype.size().ok_or_else(|| error!(Fail, "no loop handles elements of {dtype}"))
}

/// Fails unless `output` and `input` are apart, or the same with elements of one size.
pub(super) fn check_overlap(input: &TensorRef<'_>, output: &Target, len: usize) -> Result<()> {
    let size = element_size(input.dtype())?;
    let (from, to) = (stored_len(input)? * size, len * output.size);
    check_apart((input.address(), from), (output.address, to), size == output.size)
}

/// Fails unless the bytes of an input and of an output are apart, or `same_size` and the same.
///
/// # Errors
/// `Fail`: a plan that laid them so cannot be run.
pub(crate) fn check_apart(input: (*const u8, usize), output: (*mut u8, usize), same_size: bool) -> Result<()> {
    let (a, b) = (input.0 as usize, output.0 as usize);
    let apart = a.saturating_add(input.1) <= b || b.saturating_add(output.1) <= a;
    ensure!(apart || (a == b && same_size), Fail, "an output of another size or place lies over an input");
    Ok(())
}

/// The target that `output` is, and its stored elements.
pub(super) fn target(output: &TensorMut<'_>) -> Result<Target> {
    ensure!(output.memory().is_host(), Fail, "an output on {} was given to code of the host", output.memory());
    Ok(Target::new(output.address(), element_size(output.dtype())?))
}

/// Computes output 0, of type `to`, as `f` of input 0, in whatever order its elements lie.
///
/// # Errors
/// `Fail` when the tensors are not as planned.
pub(crate) fn map(cx: &mut Run<'_>, f: &dyn Map, from: DType, to: DType) -> Result<()> {
    let shape = Shape::from(cx.input(0)?.shape());
    cx.allocate(0, to, shape)?;
    let (input, output) = (cx.input(0)?, cx.output(0)?);
    ensure!(input.dtype() == from, Fail, "input 0 is of type {}, not {from}", input.dtype());
    ensure!(
        input.shape() == output.shape() && same_order(&input, output.layout(), output.shape()),
        Fail,
        "{output:?} is not laid out as {input:?}"
    );
    let (len, source, to) = (stored_len(&input)?, element_size(from)?, target(&output)?);
    check_overlap(&input, &to, len)?;
    let operand = Operand::whole(input.address(), source, len);
    parallel_ranges(len, grain(source.max(to.size)), &|range| {
        // SAFETY: both tensors store `len` elements of the types of the loop; they are apart or the same.
        unsafe { f.run(operand.at(range.start), to.at(range.start), range.len()) };
    });
    // SAFETY: the output stores the elements of its layout and shape.
    unsafe { clear_padding(output.layout(), output.shape(), to.address, to.size) };
    Ok(())
}

/// Computes output 0, of type `to`, as `f` of inputs 0 and 1 of the given types, if all three are dense, of one shape, and small enough
/// for one chunk; otherwise does nothing and says so. This is [`zip`] without what only others need.
///
/// # Errors
/// `Fail` when the tensors are not as planned.
pub(crate) fn zip_alike(cx: &Run<'_>, f: &dyn Zip, from: [DType; 2], to: DType) -> Result<bool> {
    let (a, b) = (cx.input(0)?, cx.input(1)?);
    let dense = |t: &TensorRef<'_>, dtype| t.dtype() == dtype && *t.layout() == Layout::Dense && t.memory().is_host();
    let alike = a.shape() == b.shape() && cx.planned_output(0) == Some((to, a.shape(), &Layout::Dense));
    let (size, len) = (element_size(from[0])?.max(element_size(from[1])?).max(element_size(to)?), a.len());
    if !alike || !dense(&a, from[0]) || !dense(&b, from[1]) || len > grain(size) {
        return Ok(false);
    }
    let out = target(&cx.output(0)?)?;
    for (input, dtype) in [(&a, from[0]), (&b, from[1])] {
        let source = element_size(dtype)?;
        check_apart((input.address(), len * source), (out.address, len * out.size), source == out.size)?;
    }
    // SAFETY: all three hold `len` elements of the types of the loop, and the output is apart from each input or the same.
    unsafe { f.run(Source::many(a.address()), Source::many(b.address()), out.address, len) };
    Ok(true)
}

/// Computes output 0, of type `to`, as `f` of inputs 0 and 1 of the given types, seen in the given shapes and broadcast to `shape`.
///
/// # Errors
/// `InvalidArgument` when the shapes do not broadcast, `Fail` when the tensors are not as planned.
pub(crate) fn zip(cx: &mut Run<'_>, f: &dyn Zip, from: [DType; 2], to: DType, dims: [&[usize]; 2], shape: &Shape) -> Result<()> {
    cx.allocate(0, to, shape.clone())?;
    let (a, b, output) = (cx.input(0)?, cx.input(1)?, cx.output(0)?);
    for (input, dtype) in [(&a, from[0]), (&b, from[1])] {
        ensure!(input.dtype() == dtype, Fail, "an input is of type {}, not {dtype}", input.dtype());
    }
    ensure!(output.shape() == &**shape, Fail, "the output has shape {}, not {shape}", Shape::from(output.shape()));
    let to = target(&output)?;
    let (len, a, b) = (output.layout().stored_len(shape).unwrap_or(0), operand(&a, dims[0], &output)?, operand(&b, dims[1], &output)?);
    check_overlap(&cx.input(0)?, &to, len)?;
    check_overlap(&cx.input(1)?, &to, len)?;
    parallel_ranges(len, grain(a.size().max(b.size()).max(to.size)), &|range| {
        let (mut at, mut caches) = (range.start, (Cache::default(), Cache::default()));
        while at < range.end {
            let n = b.run(at, a.run(at, range.end - at));
            // SAFETY: the operands were made for these inputs and the output's elements, of the types of the loop; `zip` has checked
            // that the output is apart from each input or the same.
            unsafe { f.run(a.read(at, n, &mut caches.0), b.read(at, n, &mut caches.1), to.at(at), n) };
            at += n;
        }
    });
    // SAFETY: the output stores the elements of its layout and shape.
    unsafe { clear_padding(output.layout(), output.shape(), to.address, to.size) };
    Ok(())
}

/// `input`, seen in the shape `dims`, as an operand of `output`: element by element where both are laid out alike, else broadcast.
pub(super) fn operand(input: &TensorRef<'_>, dims: &[usize], output: &TensorMut<'_>) -> Result<Operand> {
    let (len, size) = (stored_len(input)?, element_size(input.dtype())?);
    if dims == output.shape() && same_order(input, output.layout(), output.shape()) {
        return Ok(Operand::whole(input.address(), size, len));
    }
    let dense = input.layout().is_dense(input.shape()) && (output.layout().is_dense(output.shape()) || len == 1);
    ensure!(dense, Fail, "{input:?} in layout {:?} cannot be broadcast to layout {:?}", input.layout(), output.layout());
    match output.layout().is_dense(output.shape()) {
        true => Operand::new(input.address(), size, dims, output.shape()),
        false => Operand::new(input.address(), size, &[], &[output.layout().stored_len(output.shape()).unwrap_or(0)]),
    }
}
