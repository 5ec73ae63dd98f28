//! Any bytes decode to a model or an error; a model that was read is written and read again as the same one.

#![no_main]

use libfuzzer_sys::fuzz_target;
use proto::{GraphProto, Message, ModelProto, TensorProto};

fuzz_target!(|bytes: &[u8]| {
    let Ok(model) = ModelProto::decode(bytes) else { return };
    let written = model.encode();
    let again = ModelProto::decode(&written).expect("what was written reads again");
    // Encoding is compared, because NaN differs from itself.
    assert_eq!(again.encode(), written);
    if let Some(graph) = &model.graph {
        visit(graph);
    }
});

/// Asks every tensor and attribute for what it holds: any answer will do.
fn visit(graph: &GraphProto<'_>) {
    let ask = |tensor: &TensorProto<'_>| drop((tensor.data(), tensor.byte_size()));
    graph.initializer.iter().for_each(ask);
    for attribute in graph.node.iter().flat_map(|node| &node.attribute) {
        drop(attribute.attribute_type());
        attribute.t.as_deref().into_iter().chain(&attribute.tensors).for_each(ask);
        attribute.g.as_deref().into_iter().chain(&attribute.graphs).for_each(visit);
    }
}
