//! Models that ONNX Runtime wrote: read as they were meant, written and read again as the same, and mutated without harm.

use base::Result;

use super::schema::node;
use super::{OrtOperator, OrtParameter, decode_ort, encode_ort, is_ort};
use crate::flat::{TableSpec, Vector, write};
use crate::{DimensionValue, GraphProto, ModelProto, NodeProto, TensorData, TypeValue, ValueInfoProto};

/// A Loop whose body reads a constant of the graph around it.
const LOOP: &[u8] = include_bytes!("../../fixtures/loop.ort");
/// Strings, sequences, maps, a sparse and a packed initializer, attributes of most kinds.
const VALUES: &[u8] = include_bytes!("../../fixtures/values.ort");

fn graph(bytes: &'static [u8]) -> Box<GraphProto<'static>> {
    decode_ort(bytes).unwrap().graph.unwrap()
}

/// One parameter that takes everything.
fn anything(node: &NodeProto<'_>) -> Result<OrtOperator> {
    let parameter = || vec![OrtParameter { kernel_type: "T".into(), variadic: true }];
    Ok(OrtOperator { since: node.since_version()?.unwrap_or(1), inputs: parameter(), outputs: parameter() })
}

#[test]
fn the_model_and_its_graph() {
    let model = decode_ort(VALUES).unwrap();
    let texts = [&model.producer_name, &model.producer_version, &model.domain, &model.doc_string].map(|t| t.as_str());
    assert_eq!(texts, ["maker", "2", "org.test", "doc"]);
    assert_eq!((model.ir_version, model.model_version), (Some(10), Some(5)));
    assert_eq!(model.metadata_props[0].value, "value");
    let onnx = model.opset_import.iter().find(|o| o.domain.is_empty()).unwrap();
    assert_eq!(onnx.version, Some(21));
    let graph = model.graph.unwrap();
    assert_eq!(graph.doc_string, "of values");
    let kinds: Vec<&str> = graph.node.iter().map(|n| &*n.op_type).collect();
    assert_eq!(kinds[..3], ["SequenceConstruct", "LabelEncoder", "MatMul"]);
    assert_eq!(graph.node[1].since_version().unwrap(), Some(2));
}

#[test]
fn types_and_weights() {
    let graph = graph(VALUES);
    let ty = |v: &ValueInfoProto<'static>| v.r#type.clone().unwrap().value.unwrap();
    let TypeValue::Tensor(x) = ty(&graph.input[0]) else { panic!() };
    let dims: Vec<_> = x.shape.unwrap().dim.into_iter().map(|d| d.value).collect();
    assert_eq!(dims, [Some(DimensionValue::Param("N".into())), Some(DimensionValue::Value(2))]);
    let TypeValue::Sequence(maps) = ty(graph.output.iter().find(|v| v.name == "maps").unwrap()) else { panic!() };
    assert!(matches!(maps.elem_type.unwrap().value, Some(TypeValue::Map(m)) if m.key_type == Some(8)));
    let tensor = |name: &str| graph.initializer.iter().find(|t| t.name == name).unwrap();
    assert!(matches!(tensor("suffix").data().unwrap(), TensorData::Strings([s]) if **s == *"\u{fc}!".as_bytes()));
    assert!(matches!(tensor("q4").data().unwrap(), TensorData::Bytes(b) if *b == [0xe1, 7]));
    let sparse = &graph.sparse_initializer[0];
    assert_eq!((&*sparse.values.as_ref().unwrap().name, &sparse.dims[..]), ("sw", &[2, 3][..]));
    let label = |name: &str| graph.node[1].attribute.iter().find(|a| a.name == name).unwrap();
    assert_eq!(label("values_int64s").ints, [3, -4]);
    assert_eq!(*label("keys_strings").strings[1], *"b\u{e9}".as_bytes());
    assert_eq!(graph.node[5].attribute[0].f, Some(0.25));
}

#[test]
fn graphs_within_graphs() {
    let graph = graph(LOOP);
    let body = graph.node[2].attribute[0].g.as_ref().unwrap();
    let names: Vec<&str> = body.input.iter().map(|v| &*v.name).collect();
    assert_eq!(names, ["i", "cond_in", "x_in"]);
    assert_eq!((body.initializer.len(), body.node.len()), (1, 3));
    assert_eq!(graph.node[2].input, ["n", "", "x0"]);
}

#[test]
fn what_is_written_is_read_again() {
    for bytes in [LOOP, VALUES] {
        let mut model = decode_ort(bytes).unwrap();
        // What is in between has no place in the messages that are read, but needs a type to be written.
        let graph = model.graph.as_mut().unwrap();
        let float = graph.output.iter().find(|v| matches!(v.name.as_str(), "o" | "act")).unwrap().r#type.clone();
        let info = |name: &'static str| ValueInfoProto { name: name.into(), r#type: float.clone(), ..Default::default() };
        graph.value_info = ["c", "x0", "xf", "m"].map(info).into();
        let mut expected = model.clone();
        expected.graph.as_mut().unwrap().value_info.clear();
        let written = encode_ort(&model, &anything).unwrap();
        assert!(is_ort(&written));
        // A text that is left out is written as an empty one.
        let shown = |model: &ModelProto<'_>| format!("{model:?}").replace("Some(\"\")", "None");
        assert_eq!(shown(&decode_ort(&written).unwrap()), shown(&expected));
    }
}

#[test]
fn what_the_format_cannot_hold_is_named() {
    let mut model = decode_ort(LOOP).unwrap();
    let error = encode_ort(&model, &anything).unwrap_err();
    assert_eq!(error.detail(), "the type of value 'c' is not known");
    model.functions.push(Default::default());
    assert!(encode_ort(&model, &anything).unwrap_err().detail().contains("functions"));
    assert!(encode_ort(&ModelProto::default(), &anything).is_err());
}

#[test]
fn other_files_are_refused() {
    for bytes in [&b""[..], b"ORTM", b"\x18\0\0\0ORTM", crate::fixture::MLP] {
        assert!(!is_ort(bytes));
        assert!(decode_ort(bytes).unwrap_err().detail().contains("ORT model verification failed"));
    }
    let newer = write(&TableSpec::default().text(0, "7"), super::IDENTIFIER).unwrap();
    assert!(decode_ort(&newer).unwrap_err().detail().contains("version [7] is not supported"));
    let empty = write(&TableSpec::default().text(0, "6").table(1, TableSpec::default()), super::IDENTIFIER).unwrap();
    assert!(decode_ort(&empty).unwrap_err().detail().contains("Model: the model has no graph"));
}

/// A file of `count` nodes that are one and the same, with `inputs` inputs.
fn shared_nodes(count: u32, inputs: usize) -> Vec<u8> {
    let name = "a name that all of them share";
    let heavy = || TableSpec::default().vector(node::INPUTS, Vector::texts((0..inputs).map(|_| name)));
    let root = |nodes: Vec<TableSpec<'_>>| {
        let graph = TableSpec::default().tables(super::schema::graph::NODES, nodes);
        let model = TableSpec::default().table(super::schema::model::GRAPH, graph);
        write(&TableSpec::default().text(0, "6").table(1, model), super::IDENTIFIER).unwrap()
    };
    // The nodes are written, all but the first empty; then their offsets are made to lead to the first.
    let mut nodes = vec![heavy()];
    nodes.resize_with(count as usize, TableSpec::default);
    let mut bytes = root(nodes);
    let start = bytes.windows(4).position(|w| w == count.to_le_bytes()).unwrap() + 4;
    let offset = |bytes: &[u8], at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let first = start as u32 + offset(&bytes, start);
    for at in (start..start + 4 * count as usize).step_by(4) {
        bytes[at..at + 4].copy_from_slice(&(first - at as u32).to_le_bytes());
    }
    bytes
}

#[test]
fn nodes_that_share_much_are_bounded() {
    let model = decode_ort(Box::leak(shared_nodes(1003, 10).into_boxed_slice())).unwrap();
    let graph = model.graph.unwrap();
    assert_eq!((graph.node.len(), graph.node[1002].input.len()), (1003, 10));
    let bytes = shared_nodes(10_003, 10_000);
    assert!(decode_ort(&bytes).unwrap_err().detail().contains("bytes of memory allowed"));
}

/// A small deterministic generator: xorshift.
fn next(state: &mut u64) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    (*state >> 16) as usize
}

#[test]
fn mutated_files_are_models_or_errors() {
    let exercise = |bytes: &[u8]| {
        let Ok(model) = decode_ort(bytes) else { return };
        // Any answer will do: it must come without a panic, soon.
        drop(format!("{model:?}"));
        drop(encode_ort(&model, &anything));
    };
    let mut state = 0x9e37_79b9_7f4a_7c15;
    for bytes in [LOOP, VALUES] {
        for end in 0..bytes.len() {
            exercise(&bytes[..end]);
        }
        for position in 0..bytes.len() {
            for change in [4, 0xff] {
                let mut changed = bytes.to_vec();
                changed[position] ^= change;
                exercise(&changed);
            }
        }
        for _ in 0..1000 {
            let mut changed = bytes.to_vec();
            for _ in 0..=next(&mut state) % 8 {
                let position = next(&mut state) % changed.len();
                changed[position] = next(&mut state) as u8;
            }
            exercise(&changed);
        }
    }
}
