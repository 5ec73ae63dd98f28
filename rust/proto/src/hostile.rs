//! Inputs made to do harm: reading them ends in a value or an error, soon and in bounded memory.

use std::borrow::Cow;

use crate::fixture::ALL;
use crate::message::Message;
use crate::wire::{put_header, put_varint};
use crate::{GraphProto, Limits, ModelProto, TensorProto};

/// Reads `bytes`, and whatever can be asked of the result.
fn exercise(bytes: &[u8]) {
    let Ok(model) = ModelProto::decode(bytes) else { return };
    let _ = format!("{model:?}");
    let written = model.encode();
    assert!(ModelProto::decode(&written).is_ok(), "what was read and written reads again");
    if let Some(graph) = &model.graph {
        visit(graph);
    }
}

fn visit(graph: &GraphProto<'_>) {
    // Any answer will do: it must come without a panic.
    let ask = |tensor: &TensorProto<'_>| drop((tensor.data(), tensor.byte_size(), tensor.shape()));
    graph.initializer.iter().for_each(ask);
    for attribute in graph.node.iter().flat_map(|node| &node.attribute) {
        drop(attribute.attribute_type());
        attribute.t.as_deref().into_iter().chain(&attribute.tensors).for_each(ask);
        attribute.g.as_deref().into_iter().chain(&attribute.graphs).for_each(visit);
    }
}

/// A small deterministic generator: xorshift.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}

#[test]
fn truncated_anywhere() {
    for bytes in ALL {
        for end in 0..bytes.len() {
            exercise(&bytes[..end]);
            exercise(&bytes[end..]);
        }
    }
}

#[test]
fn flipped_bits_and_bytes() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for bytes in ALL {
        for position in 0..bytes.len() {
            for change in [1, 0x80, 0xff] {
                let mut changed = bytes.to_vec();
                changed[position] ^= change;
                exercise(&changed);
            }
        }
        for _ in 0..3000 {
            let mut changed = bytes.to_vec();
            for _ in 0..=random.below(8) {
                let position = random.below(changed.len());
                changed[position] = random.next() as u8;
            }
            exercise(&changed);
        }
    }
}

#[test]
fn spliced_and_random() {
    let mut random = Random(7);
    for _ in 0..3000 {
        let (a, b) = (ALL[random.below(3)], ALL[random.below(3)]);
        exercise(&[&a[..random.below(a.len())], &b[random.below(b.len())..]].concat());
        let noise: Vec<u8> = (0..random.below(200)).map(|_| random.next() as u8).collect();
        exercise(&noise);
    }
}

/// `inner` as field `number` of a message.
fn wrap(number: u32, inner: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_header(&mut out, number, inner.len() as u64);
    out.extend_from_slice(inner);
    out
}

#[test]
fn deep_graphs_stop_at_the_limit() {
    let nested = |levels| {
        let mut graph = Vec::new();
        for _ in 0..levels {
            // A graph in an attribute of a node of a graph.
            graph = wrap(1, &wrap(5, &wrap(6, &graph)));
        }
        wrap(7, &graph)
    };
    assert!(ModelProto::decode(&nested(33)).is_ok());
    for levels in [34, 10_000] {
        let bytes = nested(levels);
        let error = ModelProto::decode(&bytes).unwrap_err();
        assert!(error.detail().contains("messages nest too deeply at byte"), "{error}");
    }
    let shallow = Limits { depth: 3, ..Limits::default() };
    assert!(ModelProto::decode_within(&nested(1), &shallow).is_err());
    assert!(ModelProto::decode_within(&nested(0), &shallow).is_ok());
}

#[test]
fn deep_groups_and_types_stop_too() {
    let groups = vec![0x1b; 1 << 20];
    assert!(ModelProto::decode(&groups).unwrap_err().detail().contains("groups nest too deeply"));
    let mut r#type = Vec::new();
    for _ in 0..1000 {
        r#type = wrap(4, &wrap(1, &r#type));
    }
    assert!(crate::TypeProto::decode(&r#type).unwrap_err().detail().contains("messages nest too deeply"));
}

#[test]
fn crowds_of_empty_messages_stop_at_the_limit() {
    let limits = Limits { memory_floor: 1 << 20, ..Limits::default() };
    // Nodes, initializers and inputs.
    for field in [1, 5, 11] {
        let graph = [(field << 3) as u8 | 2, 0].repeat(1 << 20);
        let bytes = wrap(7, &graph);
        let error = ModelProto::decode_within(&bytes, &limits).err().unwrap();
        assert!(error.detail().contains("of memory allowed at byte"), "{error}");
    }
    let invalid = wrap(2, &[0xff; 1000]).repeat(1000);
    assert!(ModelProto::decode_within(&invalid, &Limits { memory_per_byte: 1, ..limits }).is_err());
}

#[test]
fn claimed_sizes_take_no_memory() {
    let mut dims = Vec::new();
    for dim in [1u64 << 40, 1 << 20] {
        put_varint(&mut dims, dim);
    }
    for dtype in 0..30 {
        let bytes = [wrap(1, &dims), vec![0x10, dtype]].concat();
        assert!(TensorProto::decode(&bytes).unwrap().data().is_err());
        let raw = [bytes, wrap(9, b"few")].concat();
        assert!(TensorProto::decode(&raw).unwrap().data().is_err());
    }
}

#[test]
fn repeated_single_fields_merge() {
    // The graph comes in two parts, the name twice, and the type of an input as one member of its oneof, then another.
    let bytes = [
        wrap(7, &wrap(2, b"first")),
        wrap(7, &[wrap(2, b"second"), wrap(11, &wrap(2, &[wrap(1, &[8, 1]), wrap(4, &[]), wrap(1, &[8, 7])].concat()))].concat()),
        wrap(7, &wrap(5, &[wrap(9, b"a"), wrap(9, b"b")].concat())),
    ]
    .concat();
    let graph = ModelProto::decode(&bytes).unwrap().graph.unwrap();
    assert_eq!(graph.name, "second");
    let value = graph.input[0].r#type.as_ref().unwrap().value.as_ref().unwrap();
    assert!(matches!(value, crate::TypeValue::Tensor(t) if t.elem_type == Some(7)));
    assert_eq!(graph.initializer[0].raw_data, Some(Cow::Borrowed(&b"b"[..])));
}

#[test]
fn fields_of_another_wire_type_are_unknown() {
    // graph as a varint, ir_version as bytes, producer_name as fixed32; then ir_version as it should be.
    let bytes = [0x38, 1, 0x0a, 1, 9, 0x15, 0, 0, 0, 0, 0x08, 4];
    let model = ModelProto::decode(&bytes).unwrap();
    assert_eq!(model, ModelProto { ir_version: Some(4), ..Default::default() });
}

#[test]
fn errors_name_message_field_and_byte() {
    let detail = |bytes: &[u8]| ModelProto::decode(bytes).unwrap_err().detail().to_owned();
    assert_eq!(detail(&[8, 4, 0x3a, 99, 0]), "field 7 (graph) of ModelProto: length 99 exceeds the 1 bytes left at byte 4");
    let inner = wrap(7, &wrap(1, &[0x22, 5, b'A']));
    assert_eq!(detail(&inner), "field 4 (op_type) of NodeProto: length 5 exceeds the 1 bytes left at byte 6");
    assert_eq!(detail(b"\x00"), "ModelProto: field number 0 is out of range at byte 0");
    assert_eq!(detail(&[8, 0x80]), "field 1 (ir_version) of ModelProto: truncated varint at byte 1");
    assert_eq!(detail(b"garbage"), "ModelProto: unknown wire type 7 at byte 0");
    assert_eq!(ModelProto::decode(b"").unwrap(), ModelProto::default());
}
