//! How much memory a run takes, told before it runs.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use base::{Buffer, Result, Shape, bail, ensure, error};
use ir::Graph;

use crate::text::{bytes, table};
use crate::{Port, PortDim, Session};

/// How much memory a session takes with one run: bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryUse {
    /// What the model fixes, in memory of the session.
    pub weights: usize,
    /// What the model fixes and is read from its file when it is needed; the system may take that memory back at any time.
    pub mapped: usize,
    /// What kernels hold in a format of their own. Sessions of one model share it.
    pub packed: usize,
    /// Memory that values take turns in; it is kept for the next run.
    pub arena: usize,
    /// What kernels work in; it is kept for the next run.
    pub scratch: usize,
    /// Values that have buffers of their own, outputs among them, when they are most.
    pub values: usize,
    /// What the caller is given.
    pub outputs: usize,
    /// The most that a run takes: arena, scratch memory and values together.
    pub run: usize,
    /// The most that the session takes: a run, weights and what is packed of them.
    pub peak: usize,
    /// Nodes that take more than that: what they write is known only when they run, or they run graphs.
    pub unknown: Vec<String>,
}

impl Session {
    /// How much memory a run takes for inputs of `shapes`, by name, and for named dimensions of `sizes`; every other dimension must be
    /// known.
    ///
    /// # Errors
    /// `InvalidArgument` for a name that the model has not, a dimension without a size, and sizes that disagree.
    pub fn memory(&self, shapes: &[(&str, Shape)], sizes: &[(&str, i64)]) -> Result<MemoryUse> {
        let ports: Vec<&Port> = self.ports().collect();
        for (name, _) in shapes {
            ensure!(ports.iter().any(|p| p.name == *name), InvalidArgument, "Invalid input name: {name}");
        }
        let sizes = Sizes::new(&ports, shapes, sizes)?;
        let mut feeds: Vec<Option<Shape>> = Vec::new();
        for (i, port) in ports.iter().enumerate() {
            let given = shapes.iter().find(|(name, _)| *name == port.name).map(|(_, shape)| shape.clone());
            let needed = i < self.inputs().len() && matches!(port.ty, base::Type::Tensor(_));
            feeds.push(if given.is_some() || !needed { given } else { Some(sizes.shape(port)?) });
        }
        let runner = self.runner();
        let graph = runner.program().graph();
        let default = |i: usize| graph.value(graph.inputs[i]).constant.as_ref().and_then(|c| Some(c.tensor().ok()?.shape().clone()));
        let feeds: Vec<Option<Shape>> =
            self.order().iter().enumerate().map(|(i, place)| feeds[*place].clone().or_else(|| default(i))).collect();
        let run = runner.estimate(&feeds)?;
        let mut weights = Weighed::default();
        weights.graph(graph);
        weights.graph(self.model_graph());
        let packed = runner.program().packed_bytes();
        let unknown =
            run.unknown.iter().map(|i| graph.nodes().find(|(id, _)| id.index() == *i)).map(|node| node.map_or_else(String::new, named));
        Ok(MemoryUse {
            weights: weights.owned,
            mapped: weights.mapped,
            packed,
            arena: run.arena,
            scratch: run.scratch,
            values: run.own,
            outputs: run.outputs,
            run: run.peak,
            peak: run.peak + weights.owned + packed,
            unknown: unknown.collect(),
        })
    }
}

fn named((_, node): (ir::NodeId, &ir::Node)) -> String {
    format!("{} '{}'", node.key, node.name)
}

/// The sizes of named dimensions.
struct Sizes<'a>(HashMap<&'a str, i64>);

impl<'a> Sizes<'a> {
    /// Those that are given, and those that the shapes of inputs tell.
    fn new(ports: &[&'a Port], shapes: &[(&str, Shape)], sizes: &[(&'a str, i64)]) -> Result<Self> {
        let mut known: HashMap<&str, i64> = sizes.iter().copied().collect();
        let named =
            ports.iter().flat_map(|p| p.shape.iter().flatten()).filter_map(|d| if let PortDim::Named(n) = d { Some(n) } else { None });
        let named: Vec<&String> = named.collect();
        for (name, _) in sizes {
            ensure!(named.iter().any(|n| n == name), InvalidArgument, "no input has a dimension '{name}'");
        }
        for port in ports {
            let given = shapes.iter().find(|(name, _)| *name == port.name);
            let (Some((_, shape)), Some(dims)) = (given, &port.shape) else { continue };
            let expected = dims.len();
            let got = shape.len();
            ensure!(got == expected, InvalidArgument, "Invalid rank for input: {} Got: {got} Expected: {expected}", port.name);
            for (dim, size) in dims.iter().zip(shape.iter()) {
                if let PortDim::Named(name) = dim {
                    known.entry(name).or_insert(*size as i64);
                }
            }
        }
        Ok(Self(known))
    }

    /// The shape of an input that is not given.
    fn shape(&self, port: &Port) -> Result<Shape> {
        let name = &port.name;
        let Some(dims) = &port.shape else { bail!(InvalidArgument, "the shape of input '{name}' is needed") };
        let size = |dim: &PortDim| match dim {
            PortDim::Known(n) => Ok(*n),
            PortDim::Named(d) => self
                .0
                .get(d.as_str())
                .copied()
                .ok_or_else(|| error!(InvalidArgument, "the size of dimension '{d}' of input '{name}' is needed")),
            PortDim::Unknown => Err(error!(InvalidArgument, "the shape of input '{name}' is needed: {port}")),
        };
        let sizes = dims.iter().map(|d| {
            size(d).and_then(|n| usize::try_from(n).map_err(|_| error!(InvalidArgument, "input '{name}' cannot have a dimension of {n}")))
        });
        Ok(Shape::from(sizes.collect::<Result<Vec<usize>>>()?))
    }
}

/// Bytes of constants, each buffer once.
#[derive(Default)]
struct Weighed {
    owned: usize,
    mapped: usize,
    seen: std::collections::HashSet<*const Buffer>,
}

impl Weighed {
    fn graph(&mut self, graph: &Graph) {
        for tensor in graph.values().filter_map(|(_, v)| v.constant.as_ref()?.tensor().ok()) {
            let buffer = tensor.buffer();
            if !self.seen.insert(Arc::as_ptr(buffer)) {
                continue;
            }
            match &**buffer {
                Buffer::Map(..) | Buffer::Stored(_) => self.mapped += tensor.dtype().bytes_of(tensor.len()).unwrap_or(0),
                Buffer::Foreign(_) | Buffer::Device(_) => {}
                Buffer::Heap(_) | Buffer::Strings(_) => self.owned += buffer.len(),
            }
        }
        for sub in graph.nodes().flat_map(|(_, node)| &node.subgraphs) {
            self.graph(&sub.graph);
        }
    }
}

/// A table of what takes how much.
impl fmt::Display for MemoryUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = [
            ("weights", self.weights),
            ("weights in the file", self.mapped),
            ("packed weights", self.packed),
            ("arena", self.arena),
            ("scratch", self.scratch),
            ("values of their own", self.values),
            ("outputs among them", self.outputs),
            ("a run, at most", self.run),
            ("all, at most", self.peak),
        ];
        let rows: Vec<Vec<String>> = rows.iter().map(|(what, n)| vec![(*what).to_owned(), bytes(*n)]).collect();
        let mut text = String::new();
        table(&mut text, &["memory", "size"], &rows);
        f.write_str(&text)?;
        if self.unknown.is_empty() { Ok(()) } else { writeln!(f, "More, known only at a run: {}", self.unknown.join(", ")) }
    }
}
