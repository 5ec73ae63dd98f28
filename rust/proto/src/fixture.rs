//! Models that the reference implementation of ONNX wrote, for tests: read as they were meant, and written back the same.

use crate::{
    AttributeType, DimensionValue, ExternalData, Message, ModelProto, ShardedDimValue, TensorData, TensorProto, TypeProto, TypeValue,
};

/// Every field of every message of IR version 14, once at least.
pub(crate) const EVERYTHING: &[u8] = include_bytes!("../fixtures/everything.onnx");
/// A Gemm and a Relu with their weights.
pub(crate) const MLP: &[u8] = include_bytes!("../fixtures/mlp.onnx");
/// A Loop with a body.
pub(crate) const LOOP: &[u8] = include_bytes!("../fixtures/loop.onnx");

pub(crate) const ALL: [&[u8]; 3] = [EVERYTHING, MLP, LOOP];

fn everything() -> ModelProto<'static> {
    ModelProto::decode(EVERYTHING).unwrap()
}

fn tensor(name: &str) -> TensorProto<'static> {
    let graph = everything().graph.unwrap();
    graph.initializer.into_iter().find(|t| t.name == name).unwrap()
}

fn tensor_type<'t>(r#type: &'t TypeProto<'static>) -> &'t crate::TensorType<'static> {
    match &r#type.value {
        Some(TypeValue::Tensor(tensor)) => tensor,
        other => panic!("{other:?}"),
    }
}

#[test]
fn reads_and_writes_the_same() {
    for bytes in ALL {
        let model = ModelProto::decode(bytes).unwrap();
        let written = model.encode();
        assert_eq!(written.len(), bytes.len());
        assert_eq!(written.len() as u64, model.fields_size());
        // Text, so that the NaN among the attributes equals itself.
        assert_eq!(format!("{:?}", ModelProto::decode(&written).unwrap()), format!("{model:?}"));
    }
    assert_eq!(ModelProto::decode(MLP).unwrap().encode(), MLP);
    assert_eq!(ModelProto::decode(LOOP).unwrap().encode(), LOOP);
}

#[test]
fn model_fields() {
    let model = everything();
    assert_eq!((model.ir_version, model.model_version), (Some(14), Some(-3)));
    assert_eq!(
        (&*model.producer_name, &*model.producer_version, &*model.domain, &*model.doc_string),
        ("maker", "1.2", "org.test", "h\u{e9}llo")
    );
    assert_eq!((&*model.opset_import[1].domain, model.opset_import[1].version), ("com.x", Some(1)));
    assert_eq!((model.configuration[0].num_devices, model.configuration[0].device.len()), (Some(2), 2));
    assert_eq!(model.training_info[0].algorithm.as_ref().unwrap().name, "step");
    assert_eq!(model.training_info[0].update_binding[0].value, "d");
    let function = &model.functions[0];
    assert_eq!((&*function.name, &*function.overload, &*function.attribute[0]), ("F", "o", "alpha"));
    assert_eq!(function.attribute_proto[0].i, Some(-5));
}

#[test]
fn types() {
    let graph = everything().graph.unwrap();
    let image = graph.input[0].r#type.as_ref().unwrap();
    assert_eq!(image.denotation, "IMAGE");
    let shape = tensor_type(image).shape.as_ref().unwrap();
    let values: Vec<_> = shape.dim.iter().map(|d| d.value.clone()).collect();
    let number = |n| Some(DimensionValue::Value(n));
    assert_eq!(values, [Some(DimensionValue::Param("N".into())), number(3), None, number(-1), number(0)]);
    assert_eq!(shape.dim[1].denotation, "DATA_CHANNEL");
    let Some(TypeValue::Sequence(sequence)) = &graph.input[1].r#type.as_ref().unwrap().value else { panic!() };
    let Some(TypeValue::Optional(optional)) = &sequence.elem_type.as_ref().unwrap().value else { panic!() };
    let Some(TypeValue::Map(map)) = &optional.elem_type.as_ref().unwrap().value else { panic!() };
    assert!(matches!(&map.value_type.as_ref().unwrap().value, Some(TypeValue::SparseTensor(t)) if t.elem_type == Some(11)));
    assert!(matches!(&graph.input[2].r#type.as_ref().unwrap().value, Some(TypeValue::Opaque(o)) if o.name == "n"));
    assert_eq!(tensor_type(graph.output[0].r#type.as_ref().unwrap()).shape, None, "no shape");
    assert_eq!(tensor_type(graph.value_info[0].r#type.as_ref().unwrap()).shape, Some(Default::default()), "a scalar");
}

#[test]
fn nodes_and_attributes() {
    let graph = everything().graph.unwrap();
    let node = &graph.node[0];
    assert_eq!(node.input, ["x", "", "c"]);
    assert!(node.domain.is_set() && node.domain.is_empty());
    for (attribute, number) in node.attribute.iter().zip(1..=14) {
        let t = attribute.attribute_type().unwrap();
        let described = format!("{number} {t:?} {}", attribute.name);
        assert!(AttributeType::from_proto(t as i32) == Some(t) && attribute.holds(t), "{described}");
    }
    let reference = node.attribute.last().unwrap();
    assert_eq!((&*reference.ref_attr_name, reference.f), ("alpha", None));
    assert_eq!(node.attribute[6].ints, [0, -1, 300]);
    let spec = &node.device_configurations[0].sharding_spec[0];
    assert_eq!(spec.index_to_device_group_map[0].value, [0, 1]);
    assert_eq!(spec.sharded_dim[0].simple_sharding[1].dim, Some(ShardedDimValue::Value(8)));
}

#[test]
fn tensors() {
    let bytes = |name: &str| match tensor(name).data().unwrap() {
        TensorData::Bytes(bytes) => bytes.into_owned(),
        other => panic!("{other:?}"),
    };
    assert_eq!(bytes("f32"), [1.5f32.to_le_bytes(), (-0f32).to_le_bytes()].concat());
    assert_eq!(bytes("raw"), [1f32.to_le_bytes(), 2f32.to_le_bytes()].concat());
    assert_eq!(bytes("i64"), [-1i64, 0, 1 << 40].map(i64::to_le_bytes).concat());
    assert_eq!(bytes("f16"), [0, 0x3c, 255, 255]);
    assert_eq!(bytes("u4"), [0x21, 3]);
    assert_eq!(bytes("f6"), [0x81, 0x30, 0xfc, 33]);
    assert_eq!(bytes("f64"), 2.5f64.to_le_bytes());
    assert_eq!(bytes("u32"), [255; 4]);
    assert_eq!(bytes("c64").len(), 8);
    assert_eq!(bytes("empty"), []);
    assert!(matches!(tensor("str").data().unwrap(), TensorData::Strings([a, b]) if **a == *b"a" && **b == *b"\xff"));
    let external = ExternalData { location: "w.bin", offset: 4096, length: Some(16), checksum: Some("abc") };
    assert_eq!(tensor("ext").data().unwrap(), TensorData::External(external));
    assert!(tensor("seg").data().is_err());
}
