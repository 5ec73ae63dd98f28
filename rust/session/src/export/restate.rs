//! A node in terms of a newer version of its operator.
//!
//! What most operators need follows from their signatures and defaults: attributes that became inputs move there, and defaults that
//! changed are written out. The tables say the rest.

use base::{Tensor, Type};
use ir::{Attribute, Fact, Loaded, Node};
use op::{Arity, Registry, Since};

/// A node of a newer version.
pub(super) struct Restated {
    /// The node; at the places of `constants` it reads something else yet.
    pub(super) node: Node,
    /// What were attributes, and the inputs that they are now.
    pub(super) constants: Vec<(usize, Tensor)>,
}

/// The tensor that an attribute becomes.
#[derive(Clone, Copy)]
enum Form {
    /// A vector.
    List,
    /// A number.
    Scalar,
    /// A number of the type of the data.
    Like,
}

/// Attributes that became inputs, by name, in whatever operator.
const MOVED: &[(&str, &str, Form)] = &[
    ("axes", "axes", Form::List),
    ("axis", "axis", Form::Scalar),
    ("ends", "ends", Form::List),
    ("k", "K", Form::List),
    ("max", "max", Form::Like),
    ("min", "min", Form::Like),
    ("pads", "pads", Form::List),
    ("ratio", "ratio", Form::Scalar),
    ("scales", "scales", Form::List),
    ("shape", "shape", Form::List),
    ("split", "split", Form::List),
    ("starts", "starts", Form::List),
    ("value", "constant_value", Form::Like),
];

/// Attributes that went away, in whatever operator, and with which value nothing is lost by that.
const GONE: &[(&str, Option<i64>)] =
    &[("broadcast", None), ("consumed_inputs", None), ("is_test", Some(1)), ("output_sequence", None), ("spatial", Some(1))];

/// Operators that went on under another name: until which opset, and which took over.
const RENAMED: &[(&str, u32, &str)] = &[("Scatter", 11, "ScatterElements"), ("Upsample", 10, "Resize")];

/// Changes the attributes of a node, whose inputs have these facts, so that it means as before what it is. `None` where nothing does.
type Change = fn(&mut Node, &[Option<&Fact>]) -> Option<()>;

/// Versions from which on an operator means something else.
const CHANGED: &[(&str, u32, Change)] = &[
    ("Softmax", 13, softmax),
    ("LogSoftmax", 13, softmax),
    ("Hardmax", 13, softmax),
    ("Resize", 11, resize),
    ("RoiAlign", 16, roi_align),
    ("GridSample", 20, grid_sample),
    ("Split", 18, split),
    ("Pad", 2, pad),
    ("Dropout", 10, dropout),
    ("PRelu", 7, refuse),
    ("Tile", 6, refuse),
    ("GroupNormalization", 21, refuse),
    ("Scan", 9, refuse),
];

/// `node`, whose inputs have the facts `inputs`, as a node of opset `opset` that means the same; `None` if there is none.
pub(super) fn restate(registry: &Registry, node: &Node, inputs: &[Option<&Fact>], opset: u32) -> Option<Restated> {
    let renamed = RENAMED.iter().find(|(name, until, _)| node.is(name) && *until <= opset);
    let key = registry.resolve(&node.key.domain, renamed.map_or(&*node.key.name, |(.., name)| name), opset).ok()?;
    if renamed.is_none() && key.since <= node.key.since {
        return None;
    }
    let (from, to) = (*registry.def(node).ok()?.at(node.key.since)?, *registry.get(&key.domain, &key.name)?.at(key.since)?);
    let mut new = Node { key, loaded: Loaded::default(), ..node.clone() };
    write_defaults(registry, node, &mut new)?;
    let passed = |since: u32| node.key.since < since && since <= new.key.since;
    let changes: Vec<Change> = CHANGED.iter().filter(|(name, since, _)| *name == &*new.key.name && passed(*since)).map(|c| c.2).collect();
    changes.iter().try_for_each(|change| change(&mut new, inputs))?;
    drop_gone(&mut new)?;
    let places: Vec<Option<usize>> = place_inputs(&from, &to, &mut new);
    let constants = move_attributes(&from, &to, &mut new, inputs)?;
    to.check_types(&types(&new, &places, inputs, &constants).iter().map(Option::as_ref).collect::<Vec<_>>()).ok()?;
    registry.load(&new).is_ok().then_some(Restated { node: new, constants })
}

/// Gives `new` the attributes that `node` leaves out and whose defaults are others now, or that become inputs.
fn write_defaults(registry: &Registry, node: &Node, new: &mut Node) -> Option<()> {
    // Without its attributes a node may lack one that it must have; what is given has no default then.
    let now = registry.defaults(new).unwrap_or_default();
    for (name, default) in registry.defaults(node).ok()? {
        let moves = MOVED.iter().any(|(attribute, ..)| *attribute == name) && !now.contains_key(&name);
        let differs = now.get(&name).is_some_and(|other| format!("{other:?}") != format!("{default:?}"));
        if moves || differs {
            new.attributes.entry(name).or_insert(default);
        }
    }
    Some(())
}

/// Drops attributes that newer versions do not have. `None` where one meant something.
fn drop_gone(node: &mut Node) -> Option<()> {
    for (name, harmless) in GONE {
        match (node.attributes.remove(*name), harmless) {
            (Some(Attribute::Int(given)), Some(value)) if given != *value => return None,
            _ => {}
        }
    }
    Some(())
}

/// Puts the inputs of `node` at the places that the parameters of their names have. Gives where each input stood before.
fn place_inputs(from: &Since, to: &Since, node: &mut Node) -> Vec<Option<usize>> {
    let old: Vec<_> = from.inputs().collect();
    let many = |p: &op::Param| matches!(p.arity, Arity::Variadic | Arity::Heterogeneous);
    let given = std::mem::take(&mut node.inputs);
    let mut places = Vec::new();
    for (i, v) in given.into_iter().enumerate() {
        let name = old.get(i).filter(|p| !many(p)).map(|p| p.name);
        let place = name.and_then(|name| to.inputs().position(|p| p.name == name)).unwrap_or(i);
        let len = node.inputs.len().max(place + 1);
        node.inputs.resize(len, None);
        places.resize(len, None);
        (node.inputs[place], places[place]) = (v, Some(i));
    }
    places
}

/// Moves attributes to the inputs that they are in version `to`, where the node reads its first input for now. `None` where one has no
/// such form.
fn move_attributes(from: &Since, to: &Since, node: &mut Node, inputs: &[Option<&Fact>]) -> Option<Vec<(usize, Tensor)>> {
    let mut constants = Vec::new();
    for (attribute, parameter, form) in MOVED {
        let Some(place) = to.inputs().position(|p| p.name == *parameter) else { continue };
        if from.inputs().any(|p| p.name == *parameter) {
            continue;
        }
        let Some(value) = node.attributes.remove(*attribute) else { continue };
        constants.push((place, tensor(&value, *form, inputs.first().copied().flatten())?));
        node.inputs.resize(node.inputs.len().max(place + 1), None);
        node.inputs[place] = node.input(0);
    }
    Some(constants)
}

/// `attribute` as a tensor, in an operator on `data`.
fn tensor(attribute: &Attribute, form: Form, data: Option<&Fact>) -> Option<Tensor> {
    let made = match (attribute, form) {
        (Attribute::Ints(v), Form::List) => Tensor::from_slice([v.len()], v),
        (Attribute::Floats(v), Form::List) => Tensor::from_slice([v.len()], v),
        (Attribute::Int(i), Form::List) => Tensor::from_slice([1], &[*i]),
        (Attribute::Int(i), Form::Scalar) => Tensor::scalar(*i),
        (Attribute::Float(x), Form::Scalar) => Tensor::scalar(*x),
        (Attribute::Float(x), Form::Like) => passes::tensor_of(data?.dtype()?, [], &[(*x).into()]),
        _ => return None,
    };
    made.ok()
}

/// The types of the inputs of `node`, which stood at `places` and had the facts `inputs`, or are `constants`.
fn types(node: &Node, places: &[Option<usize>], inputs: &[Option<&Fact>], constants: &[(usize, Tensor)]) -> Vec<Option<Type>> {
    let constant = |i: usize| constants.iter().find(|(place, _)| *place == i).map(|(_, t)| Type::Tensor(t.dtype()));
    let before = |i: usize| places.get(i).copied().flatten().and_then(|i| inputs.get(i).copied().flatten()).map(|f| f.ty.clone());
    (0..node.inputs.len()).map(|i| constant(i).or_else(|| before(i))).collect()
}

fn refuse(_: &mut Node, _: &[Option<&Fact>]) -> Option<()> {
    None
}

/// All axes from the given one on were one; now it is that axis alone. Both are the last axis, if it is.
fn softmax(node: &mut Node, inputs: &[Option<&Fact>]) -> Option<()> {
    let rank = inputs.first().copied().flatten()?.rank()? as i64;
    match node.attributes.get("axis") {
        Some(Attribute::Int(axis)) if *axis == rank - 1 || *axis == -1 => Some(()),
        _ => None,
    }
}

/// Resize, and Upsample before it, had one rule for where an element comes from. Nearest elements were found by another when shrinking.
fn resize(node: &mut Node, inputs: &[Option<&Fact>]) -> Option<()> {
    let enlarges = |scales: &[f32]| scales.iter().all(|s| *s >= 1.0);
    let known = match node.attributes.get("scales") {
        Some(Attribute::Floats(scales)) => enlarges(scales),
        _ => enlarges(inputs.get(1).copied().flatten()?.constant_tensor()?.slice().ok()?),
    };
    if !known {
        return None;
    }
    node.attributes.insert("coordinate_transformation_mode".into(), "asymmetric".into());
    node.attributes.insert("nearest_mode".into(), "floor".into());
    Some(())
}

/// There was one rule for where the middle of a pixel is, and no attribute to say so.
fn roi_align(node: &mut Node, _: &[Option<&Fact>]) -> Option<()> {
    node.attributes.insert("coordinate_transformation_mode".into(), "output_half_pixel".into());
    Some(())
}

/// Interpolations were named as for images of two axes.
fn grid_sample(node: &mut Node, _: &[Option<&Fact>]) -> Option<()> {
    const NAMES: [(&[u8], &str); 2] = [(b"bilinear", "linear"), (b"bicubic", "cubic")];
    if let Some(Attribute::String(mode)) = node.attributes.get("mode")
        && let Some((_, other)) = NAMES.iter().find(|(name, _)| **name == **mode)
    {
        node.attributes.insert("mode".into(), (*other).into());
    }
    Some(())
}

/// Who leaves the sizes out says how many parts there are.
fn split(node: &mut Node, _: &[Option<&Fact>]) -> Option<()> {
    if !node.attributes.contains_key("split") && node.input(1).is_none() {
        node.attributes.insert("num_outputs".into(), Attribute::Int(node.outputs.len() as i64));
    }
    Some(())
}

fn pad(node: &mut Node, _: &[Option<&Fact>]) -> Option<()> {
    let pads = node.attributes.remove("paddings")?;
    node.attributes.insert("pads".into(), pads);
    Some(())
}

/// The mask was of the type of the data.
fn dropout(node: &mut Node, _: &[Option<&Fact>]) -> Option<()> {
    node.output(1).is_none().then_some(())
}
