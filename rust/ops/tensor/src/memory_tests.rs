//! Tests of the memory that planners choose: strided inputs and outputs, and outputs in the place of inputs.

use std::sync::Arc;

use base::threads::Cancel;
use base::{DType, Layout, Strides, Tensor, Value};
use ir::{Attribute, Fact, Graph, Node, Symbols};
use op::{NoSubgraphs, OpDef, Packed, Prepare, Registry, Run, Slot, SlotTensor, Wires};
use testkit::single;

/// Every other column of a matrix of twelve numbers, `[[0, 2], [4, 6], [8, 10]]`, without a copy.
fn every_other() -> Tensor {
    let whole = Tensor::from_slice([3, 4], &(0..12).collect::<Vec<i32>>()).unwrap();
    let strides: Strides = [4, 2].into_iter().collect();
    Tensor::new(DType::I32, [3, 2].into(), Layout::Strided(strides), whole.buffer().clone(), 0).unwrap()
}

fn ints(t: &Tensor) -> &[i32] {
    t.slice().unwrap()
}

#[test]
fn inputs_may_be_strided() {
    let t = single(&crate::transpose::TRANSPOSE, 13).value(every_other()).tensor().unwrap();
    assert_eq!(ints(&t), [0, 4, 8, 2, 6, 10]);
    let t = single(&crate::reshape::RESHAPE, 13).value(every_other()).input([1], &[-1i64]).tensor().unwrap();
    assert_eq!(ints(&t), [0, 2, 4, 6, 8, 10]);
    let t = single(&crate::concat::CONCAT, 13).attr("axis", 1).value(every_other()).value(every_other()).tensor().unwrap();
    assert_eq!(ints(&t), [0, 2, 0, 2, 4, 6, 4, 6, 8, 10, 8, 10]);
    let slice = single(&crate::slice::SLICE, 13).value(every_other()).input([1], &[-1i64]).input([1], &[i64::MIN]);
    assert_eq!(ints(&slice.input([1], &[0i64]).input([1], &[-2i64]).tensor().unwrap()), [8, 10, 0, 2]);
    let parts = single(&crate::split::SPLIT, 13).attr("axis", 1).value(every_other()).run(2).unwrap();
    assert_eq!(ints(parts[1].tensor().unwrap()), [2, 6, 10]);
    let t = single(&crate::expand::EXPAND, 13).value(every_other()).input([3], &[2i64, 1, 1]).tensor().unwrap();
    assert_eq!(ints(&t), [0, 2, 4, 6, 8, 10].repeat(2));
    let t = single(&crate::tile::TILE, 13).value(every_other()).input([2], &[1i64, 2]).tensor().unwrap();
    assert_eq!(ints(&t), [0, 2, 0, 2, 4, 6, 4, 6, 8, 10, 8, 10]);
}

/// Runs `def` with its output in the memory of input `shared`.
fn in_place(def: &OpDef, opset: u32, attributes: &[(&str, Attribute)], inputs: &[Tensor], shared: usize) -> Tensor {
    let registry = Registry::new([def]).unwrap();
    let mut graph = Graph::default();
    let mut node = Node::new(registry.resolve("", def.name, opset).unwrap());
    node.attributes = attributes.iter().map(|(name, a)| ((*name).to_owned(), a.clone())).collect();
    node.inputs = inputs.iter().map(|_| Some(graph.add_value(""))).collect();
    node.outputs = vec![Some(graph.add_value(""))];
    let facts: Vec<Fact> = inputs.iter().map(|t| Fact::constant(t.clone().into())).collect();
    let facts: Vec<Option<&Fact>> = facts.iter().map(Some).collect();
    let outputs = registry.infer(&node, &facts, &mut Symbols::default(), &NoSubgraphs).unwrap();
    let outputs: Vec<Option<&Fact>> = outputs.iter().map(Some).collect();
    let packed = Packed::shared();
    let cx = Prepare { node: &node, def, inputs: &facts, outputs: &outputs, packed, subgraphs: &NoSubgraphs };
    let kernel = def.kernels.cpu.unwrap()(registry.load(&node).unwrap(), &cx).unwrap();

    let mut slots: Vec<Slot> = inputs.iter().map(|t| Slot::Value(Value::Tensor(t.clone()))).collect();
    let mut place = SlotTensor::allocate(inputs[shared].dtype(), inputs[shared].shape().clone(), Layout::Dense).unwrap();
    let bytes = inputs[shared].as_ref().bytes().unwrap();
    // SAFETY: the memory was just allocated for a tensor of this type and shape.
    unsafe { place.address.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
    let owner = place.owner.take();
    slots[shared] = Slot::Tensor(place.clone());
    slots.push(Slot::Tensor(place.clone()));
    let count = inputs.len() as u32;
    let wires = Wires { inputs: (0..count).map(Some).collect(), given: inputs.len(), outputs: vec![Some(count)], ending: 0 };
    let cancel = Cancel::new();
    // SAFETY: the output shares memory with an input that the operator takes in place; `owner` keeps it.
    let mut run = unsafe { Run::new(&mut slots, &wires, (std::ptr::null_mut(), 0), &cancel) };
    kernel.run(&mut run).unwrap();
    let (buffer, offset) = owner.unwrap();
    Tensor::new(place.dtype, place.shape, Layout::Dense, Arc::clone(&buffer), offset).unwrap()
}

#[test]
fn choices_in_the_place_of_a_choice() {
    let n = 1000;
    let condition = Tensor::from_slice([n], &(0..n).map(|i| i % 3 == 0).collect::<Vec<_>>()).unwrap();
    let x = Tensor::from_slice([n], &(0..n as i32).collect::<Vec<_>>()).unwrap();
    let y = Tensor::from_slice([n], &(0..n as i32).map(|i| -i).collect::<Vec<_>>()).unwrap();
    let one = Tensor::from_slice([1], &[7i32]).unwrap();
    let def = &crate::r#where::WHERE;
    let choose = |inputs: [&Tensor; 2], shared| in_place(def, 16, &[], &[condition.clone(), inputs[0].clone(), inputs[1].clone()], shared);
    let expected = |f: &dyn Fn(i32) -> (i32, i32)| (0..n as i32).map(|i| if i % 3 == 0 { f(i).0 } else { f(i).1 }).collect::<Vec<_>>();
    assert_eq!(ints(&choose([&x, &y], 1)), expected(&|i| (i, -i)));
    assert_eq!(ints(&choose([&x, &y], 2)), expected(&|i| (i, -i)));
    assert_eq!(ints(&choose([&x, &one], 1)), expected(&|i| (i, 7)));
    assert_eq!(ints(&choose([&one, &y], 2)), expected(&|i| (7, -i)));
}

#[test]
fn updates_in_the_place_of_the_data() {
    let data = Tensor::from_slice([2, 2], &[1i32, 2, 3, 4]).unwrap();
    let updates = Tensor::from_slice([1, 2], &[10i32, 20]).unwrap();
    let indices = Tensor::from_slice([1, 2], &[1i64, 0]).unwrap();
    let add = [("reduction", Attribute::from("add"))];
    let t = in_place(&crate::scatter::elements::SCATTER_ELEMENTS, 18, &add, &[data.clone(), indices, updates.clone()], 0);
    assert_eq!(ints(&t), [1, 22, 13, 4]);
    let row = Tensor::from_slice([1, 1], &[1i64]).unwrap();
    let t = in_place(&crate::scatter::nd::SCATTER_ND, 18, &[], &[data, row, updates], 0);
    assert_eq!(ints(&t), [1, 2, 10, 20]);
}

#[test]
fn a_cache_is_updated_in_its_place() {
    let def = &crate::tensor_scatter::TENSOR_SCATTER;
    let past = Tensor::from_bytes(DType::U4, [1, 3, 1], &[0x21, 0x03]).unwrap();
    let update = Tensor::from_bytes(DType::U4, [1, 1, 1], &[0x0f]).unwrap();
    let place = Tensor::from_slice([1], &[1i64]).unwrap();
    let t = in_place(def, 24, &[], &[past, update, place], 0);
    assert_eq!(t.as_ref().bytes().unwrap(), [0xf1, 0x03]);
}
