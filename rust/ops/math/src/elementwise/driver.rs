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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use base::threads::Cancel;
    use base::{Buffer, Layout, Tensor, Value};
    use ir::{Fact, Graph, Node, Symbols};
    use op::{NoSubgraphs, OpDef, Packed, Prepare, Registry, Slot, SlotTensor, Wires, run_alone};

    use super::*;

    fn node(registry: &Registry, def: &OpDef, opset: u32, inputs: usize) -> Node {
        let mut graph = Graph::default();
        let mut node = Node::new(registry.resolve(def.domain, def.name, opset).unwrap());
        node.inputs = (0..inputs).map(|_| Some(graph.add_value(""))).collect();
        node.outputs = vec![Some(graph.add_value(""))];
        node
    }

    /// A tensor of five channels in blocks of four: lanes beyond the channels are zero.
    fn blocked(f: impl Fn(usize) -> f32) -> Tensor {
        let (layout, shape) = (Layout::Blocked(4), [2usize, 5, 3]);
        let lanes: Vec<f32> = (0..48).map(|i| if i / 12 % 2 * 4 + i % 4 < 5 { f(i) } else { 0.0 }).collect();
        let bytes: Vec<u8> = lanes.iter().flat_map(|x| x.to_le_bytes()).collect();
        Tensor::new(DType::F32, shape.into(), layout, Arc::new(Buffer::copy_of(&bytes).unwrap()), 0).unwrap()
    }

    fn run(def: &OpDef, opset: u32, inputs: &[Tensor]) -> Result<Tensor> {
        let registry = Registry::new([def])?;
        let values: Vec<Option<Value>> = inputs.iter().map(|t| Some(t.clone().into())).collect();
        let facts: Vec<Option<Fact>> = values.iter().map(|v| v.clone().map(Fact::constant)).collect();
        let facts: Vec<Option<&Fact>> = facts.iter().map(Option::as_ref).collect();
        let outputs =
            run_alone(&registry, &node(&registry, def, opset, inputs.len()), &values, &facts, &NoSubgraphs, &base::threads::Cancel::new())?;
        outputs[0].tensor().cloned()
    }

    #[test]
    fn blocked_channels_stay_blocked_and_padding_stays_zero() {
        let (x, y) = (blocked(|i| i as f32 - 20.0), blocked(|i| (i % 7) as f32 + 1.0));
        let same = |t: &Tensor, want: &Tensor| {
            assert_eq!(t.layout(), &Layout::Blocked(4));
            let (a, b) = (t.as_ref().stored::<f32>().unwrap(), want.as_ref().stored::<f32>().unwrap());
            assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6), "{a:?} {b:?}");
        };
        same(&run(&crate::sign::NEG, 13, std::slice::from_ref(&x)).unwrap(), &blocked(|i| 20.0 - i as f32));
        same(
            &run(&crate::activation::sigmoid::SIGMOID, 13, std::slice::from_ref(&x)).unwrap(),
            &blocked(|i| 1.0 / (1.0 + (20.0 - i as f32).exp())),
        );
        // Zero divided by zero in the padding is no number, but must be zero.
        same(&run(&crate::arithmetic::DIV, 14, &[x.clone(), y.clone()]).unwrap(), &blocked(|i| (i as f32 - 20.0) / ((i % 7) as f32 + 1.0)));
        let half = Tensor::from_slice([1, 1, 1], &[0.5f32]).unwrap();
        same(&run(&crate::arithmetic::ADD, 14, &[half.clone(), x.clone()]).unwrap(), &blocked(|i| i as f32 - 19.5));
        same(&run(&crate::variadic::MEAN, 13, &[half, x, y]).unwrap(), &blocked(|i| (i as f32 - 18.5 + (i % 7) as f32) / 3.0));
    }

    #[test]
    fn layouts_that_differ_are_refused() {
        let dense = Tensor::from_slice([2, 5, 3], &[1f32; 30]).unwrap();
        let row = Tensor::from_slice([3], &[1f32; 3]).unwrap();
        assert!(run(&crate::arithmetic::ADD, 14, &[blocked(|_| 1.0), dense]).unwrap_err().detail().contains("cannot be broadcast"));
        assert!(run(&crate::arithmetic::ADD, 14, &[blocked(|_| 1.0), row]).is_err());
    }

    /// Runs `def` on inputs of 5000 elements that lie at the given elements of one buffer, as does the output.
    fn in_one_buffer(def: &OpDef, inputs: &[usize], output: usize) -> Result<Vec<f32>> {
        let registry = Registry::new([def])?;
        let node = node(&registry, def, 13, inputs.len());
        let fact = Fact::tensor(DType::F32, [ir::Dim::Known(5000)]);
        let facts = vec![Some(&fact); inputs.len()];
        let outputs = registry.infer(&node, &facts, &mut Symbols::default(), &NoSubgraphs)?;
        let outputs: Vec<Option<&Fact>> = outputs.iter().map(Some).collect();
        let loaded = registry.load(&node)?;
        let def = registry.def(&node)?;
        let cx = Prepare { node: &node, def, inputs: &facts, outputs: &outputs, packed: Packed::shared(), subgraphs: &NoSubgraphs };
        let kernel = def.kernels.cpu.unwrap()(loaded, &cx)?;
        let mut memory: Vec<f32> = (0..15000).map(|i| i as f32).collect();
        let address = memory.as_mut_ptr();
        let slot = |start: usize| {
            let address = address.wrapping_add(start).cast();
            let (shape, memory) = ([5000].into(), base::Memory::HOST);
            Slot::Tensor(SlotTensor { dtype: DType::F32, shape, layout: Layout::Dense, memory, address, owner: None })
        };
        let mut slots: Vec<Slot> = inputs.iter().chain([&output]).map(|s| slot(*s)).collect();
        let count = inputs.len() as u32;
        let wires = Wires { inputs: (0..count).map(Some).collect(), given: inputs.len(), outputs: vec![Some(count)], ending: 0 };
        let cancel = Cancel::new();
        // SAFETY: the slots lie in `memory`; an output that lies over an input in another way than it may is refused, as tested.
        let mut run = unsafe { Run::new(&mut slots, &wires, (std::ptr::null_mut(), 0), &cancel) };
        kernel.run(&mut run)?;
        Ok(memory[output..output + 5000].to_vec())
    }

    #[test]
    fn an_output_may_take_the_memory_of_an_input() {
        let at = |f: fn(f32) -> f32| (0..5000).map(|i| f(i as f32)).collect::<Vec<_>>();
        assert_eq!(in_one_buffer(&crate::sign::NEG, &[0], 0).unwrap(), at(|i| -i));
        assert_eq!(in_one_buffer(&crate::arithmetic::SUB, &[0, 5000], 0).unwrap(), at(|_| -5000.0));
        assert_eq!(in_one_buffer(&crate::arithmetic::SUB, &[0, 5000], 5000).unwrap(), at(|_| -5000.0));
        assert_eq!(in_one_buffer(&crate::arithmetic::ADD, &[0, 0], 0).unwrap(), at(|i| i + i));
        assert_eq!(in_one_buffer(&crate::variadic::SUM, &[0, 5000, 0], 0).unwrap(), at(|i| 3.0 * i + 5000.0));
        assert_eq!(in_one_buffer(&crate::variadic::MEAN, &[0, 5000], 5000).unwrap(), at(|i| i + 2500.0));
    }

    #[test]
    fn an_output_may_not_lie_over_a_part_of_an_input() {
        assert!(in_one_buffer(&crate::sign::NEG, &[0], 100).unwrap_err().detail().contains("lies over an input"));
        assert!(in_one_buffer(&crate::arithmetic::ADD, &[0, 5000], 4999).is_err());
        assert!(in_one_buffer(&crate::variadic::SUM, &[0, 5000, 9000], 9001).is_err());
    }
}
