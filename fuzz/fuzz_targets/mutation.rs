//! Changes to a model that leave it a message: what bytes changed at random nearly never do.

use fastrand::Rng;
use proto::{
    AttributeProto, Dimension, DimensionValue, GraphProto, Message, ModelProto, NodeProto, TensorProto, TensorShapeProto, Text, TypeValue,
    ValueInfoProto,
};

/// Numbers at which sizes, axes and counts turn over.
const NUMBERS: [i64; 26] = [
    0,
    1,
    -1,
    2,
    3,
    4,
    5,
    -2,
    -3,
    7,
    8,
    16,
    63,
    65,
    127,
    255,
    1 << 12,
    1 << 16,
    1 << 24,
    (1 << 31) - 1,
    1 << 31,
    1 << 32,
    1 << 40,
    i64::MAX / 2,
    i64::MAX,
    i64::MIN,
];
const REALS: [f32; 9] = [0.0, 1.0, -1.0, 0.5, 1e-20, 3e38, f32::INFINITY, f32::NEG_INFINITY, f32::NAN];
/// The data types of ONNX have numbers from 1 to this; one more is none.
const TYPES: i32 = 28;
/// The newest operator set, and one more.
const OPSETS: i64 = 28;

/// The model in `bytes` with some random changes, if it is one.
pub fn mutated(bytes: &[u8], seed: u64, operators: &[(&'static str, &'static str)]) -> Option<Vec<u8>> {
    let mut model = ModelProto::decode(bytes).ok()?;
    let mut change = Change { rng: Rng::with_seed(seed), operators };
    for _ in 0..change.rng.usize(1..4) {
        change.model(&mut model);
    }
    Some(model.encode())
}

struct Change<'o> {
    rng: Rng,
    /// The domains and names of operators.
    operators: &'o [(&'static str, &'static str)],
}

impl Change<'_> {
    fn model(&mut self, model: &mut ModelProto<'_>) {
        match self.rng.u8(..16) {
            0 => {
                let version = Some(self.rng.i64(0..=OPSETS));
                if let Some(set) = self.pick(&mut model.opset_import) {
                    set.version = version;
                }
            }
            1 => {
                if let Some(function) = self.pick(&mut model.functions)
                    && let Some(node) = self.pick(&mut function.node)
                {
                    self.node(node, &[]);
                }
            }
            _ => {
                if let Some(graph) = &mut model.graph {
                    self.graph(graph, &[]);
                }
            }
        }
    }

    /// Changes `graph`, in which the values `outer` are seen too.
    fn graph(&mut self, graph: &mut GraphProto<'_>, outer: &[Text<'static>]) {
        let mut names = outer.to_vec();
        names.extend(values(graph).map(|name| owned(name)));
        match self.rng.u8(..12) {
            0 => self.info_of(&mut graph.input),
            1 => self.info_of(&mut graph.output),
            2 => self.info_of(&mut graph.value_info),
            3 | 4 => {
                if let Some(tensor) = self.pick(&mut graph.initializer) {
                    self.tensor(tensor);
                }
            }
            5 => self.list(&mut graph.node),
            6 => match self.rng.u8(..3) {
                0 => self.list(&mut graph.input),
                1 => self.list(&mut graph.output),
                _ => self.list(&mut graph.initializer),
            },
            _ => {
                if let Some(node) = self.pick(&mut graph.node) {
                    self.node(node, &names);
                }
            }
        }
    }

    fn node(&mut self, node: &mut NodeProto<'_>, names: &[Text<'static>]) {
        match self.rng.u8(..12) {
            0 => {
                let (domain, name) = self.operators[self.rng.usize(..self.operators.len())];
                (node.domain, node.op_type) = (domain.into(), name.into());
            }
            1 => self.list(&mut node.input),
            2 => self.list(&mut node.output),
            3 => {
                let name = self.name(names);
                if let Some(input) = self.pick(&mut node.input) {
                    *input = name;
                }
            }
            4 => {
                let name = self.name(names);
                match self.pick(&mut node.output) {
                    Some(output) if self.rng.bool() => *output = name,
                    _ => node.input.push(name),
                }
            }
            5 => self.list(&mut node.attribute),
            _ => {
                if let Some(attribute) = self.pick(&mut node.attribute) {
                    self.attribute(attribute, names);
                }
            }
        }
    }

    fn attribute(&mut self, attribute: &mut AttributeProto<'_>, names: &[Text<'static>]) {
        if self.rng.u8(..24) == 0 {
            attribute.r#type = Some(self.rng.i32(0..16));
        }
        if let Some(i) = &mut attribute.i {
            *i = self.number();
        }
        if let Some(f) = &mut attribute.f {
            *f = self.real();
        }
        if let Some(text) = &mut attribute.s
            && !text.is_empty()
        {
            let at = self.rng.usize(..text.len());
            text.to_mut()[at] = self.rng.u8(..);
        }
        if let Some(tensor) = &mut attribute.t {
            self.tensor(tensor);
        }
        if let Some(graph) = &mut attribute.g {
            self.graph(graph, names);
        }
        if let Some(graph) = self.pick(&mut attribute.graphs) {
            self.graph(graph, names);
        }
        if let Some(tensor) = self.pick(&mut attribute.tensors) {
            self.tensor(tensor);
        }
        if !attribute.ints.is_empty() {
            self.numbers(&mut attribute.ints);
        }
        if !attribute.floats.is_empty() {
            let real = self.real();
            match self.pick(&mut attribute.floats) {
                Some(f) if self.rng.bool() => *f = real,
                _ => self.list(&mut attribute.floats),
            }
        }
        if !attribute.strings.is_empty() {
            self.list(&mut attribute.strings);
        }
    }

    fn tensor(&mut self, tensor: &mut TensorProto<'_>) {
        match self.rng.u8(..6) {
            0 => self.numbers(&mut tensor.dims),
            1 => tensor.data_type = Some(self.rng.i32(0..=TYPES)),
            _ => self.data(tensor),
        }
    }

    /// Changes an element, which may be a size, an axis or an index.
    fn data(&mut self, tensor: &mut TensorProto<'_>) {
        if let Some(raw) = tensor.raw_data.as_mut().filter(|raw| !raw.is_empty()) {
            let width = if raw.len() % 8 == 0 && self.rng.u8(..4) != 0 { 8 } else { 1 };
            let at = self.rng.usize(..raw.len() / width) * width;
            let bytes = self.number().to_le_bytes();
            raw.to_mut()[at..at + width].copy_from_slice(&bytes[..width]);
        } else if !tensor.int64_data.is_empty() {
            let mut list: Vec<i64> = tensor.int64_data.iter().collect();
            self.numbers(&mut list);
            tensor.int64_data = list.into();
        } else if !tensor.int32_data.is_empty() {
            let mut list: Vec<i32> = tensor.int32_data.iter().collect();
            let at = self.rng.usize(..list.len());
            list[at] = self.number() as i32;
            tensor.int32_data = list.into();
        } else if !tensor.float_data.is_empty() {
            let mut list: Vec<f32> = tensor.float_data.iter().collect();
            let at = self.rng.usize(..list.len());
            list[at] = self.real();
            tensor.float_data = list.into();
        } else {
            self.list(&mut tensor.string_data);
        }
    }

    fn info_of(&mut self, list: &mut [ValueInfoProto<'_>]) {
        let Some(info) = self.pick(list) else { return };
        let Some(ty) = &mut info.r#type else { return };
        let (elem, number) = (self.rng.i32(0..=TYPES), self.number());
        let Some(TypeValue::Tensor(tensor)) = &mut ty.value else { return };
        if self.rng.u8(..4) == 0 {
            tensor.elem_type = Some(elem);
        }
        match &mut tensor.shape {
            Some(shape) if self.rng.u8(..8) != 0 => self.shape(shape, number),
            shape => *shape = None,
        }
    }

    fn shape(&mut self, shape: &mut TensorShapeProto<'_>, number: i64) {
        if self.rng.u8(..4) == 0 {
            return self.list(&mut shape.dim);
        }
        let value = match self.rng.u8(..3) {
            0 => None,
            1 => Some(DimensionValue::Param("n".into())),
            _ => Some(DimensionValue::Value(number)),
        };
        if let Some(dim) = self.pick(&mut shape.dim) {
            *dim = Dimension { value, ..Dimension::default() };
        }
    }

    fn numbers(&mut self, list: &mut Vec<i64>) {
        let number = self.number();
        match self.pick(list) {
            Some(i) if self.rng.u8(..3) != 0 => *i = number,
            _ => self.list(list),
        }
    }

    /// Takes one of `list` away, puts it in again, or exchanges two.
    fn list<T: Clone>(&mut self, list: &mut Vec<T>) {
        if list.is_empty() {
            return;
        }
        let (i, j) = (self.rng.usize(..list.len()), self.rng.usize(..list.len()));
        match self.rng.u8(..3) {
            0 => drop(list.remove(i)),
            1 => list.insert(i, list[j].clone()),
            _ => list.swap(i, j),
        }
    }

    fn pick<'l, T>(&mut self, list: &'l mut [T]) -> Option<&'l mut T> {
        if list.is_empty() {
            return None;
        }
        let at = self.rng.usize(..list.len());
        list.get_mut(at)
    }

    fn name(&mut self, names: &[Text<'static>]) -> Text<'static> {
        match names.len() {
            0 => Text::default(),
            len => names.get(self.rng.usize(..len + 1)).cloned().unwrap_or_default(),
        }
    }

    fn number(&mut self) -> i64 {
        NUMBERS[self.rng.usize(..NUMBERS.len())]
    }

    fn real(&mut self) -> f32 {
        REALS[self.rng.usize(..REALS.len())]
    }
}

/// The names of the values of `graph`.
fn values<'g>(graph: &'g GraphProto<'_>) -> impl Iterator<Item = &'g str> {
    let inputs = graph.input.iter().map(|i| i.name.as_str());
    let constants = graph.initializer.iter().map(|i| i.name.as_str());
    inputs.chain(constants).chain(graph.node.iter().flat_map(|n| &n.output).map(Text::as_str))
}

fn owned(name: &str) -> Text<'static> {
    name.to_owned().into()
}
