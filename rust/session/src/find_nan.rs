//! Where numbers go bad: the first node that gives NaN or infinite elements while it reads none.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use base::{DType, Layout, Result, Tensor, TensorRef, Value};
use exec::{Observer, Ran};
use ir::ValueId;

use crate::{RunOptions, Session};

/// The elements of a tensor of floats in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Statistics {
    /// How many there are.
    pub elements: usize,
    /// How many are NaN.
    pub nan: usize,
    /// How many are infinite, of either sign.
    pub infinite: usize,
    /// The least of the finite ones; 0 when there are none.
    pub min: f64,
    /// The greatest of the finite ones; 0 when there are none.
    pub max: f64,
    /// The mean of the finite ones; 0 when there are none.
    pub mean: f64,
}

/// The first node that gives NaN or infinite elements while its inputs have none.
#[derive(Clone, Debug)]
pub struct BadNode {
    /// The operator, with its domain and version.
    pub op: String,
    /// The node's name.
    pub name: String,
    /// The model's own nodes that it stands for: operator and name.
    pub origins: Vec<(String, String)>,
    /// The name of the output.
    pub output: String,
    /// What the output holds.
    pub statistics: Statistics,
    /// The names of its inputs, and what they hold.
    pub inputs: Vec<(String, Statistics)>,
}

impl Statistics {
    /// Those of `tensor`; `None` for elements that cannot be NaN, and for memory that the host does not read.
    ///
    /// # Errors
    /// `Fail` when memory for a copy cannot be had.
    pub fn of(tensor: TensorRef<'_>) -> Result<Option<Self>> {
        if !tensor.memory().is_host() || !matches!(tensor.dtype(), DType::F32 | DType::F64 | DType::F16 | DType::BF16) {
            return Ok(None);
        }
        if let Layout::Blocked(block) = tensor.layout() {
            return Ok(Some(Self::count(in_blocks(tensor, usize::from(*block))?.map(f64::from))));
        }
        // A copy has its elements one after the other, and no padding between.
        let dense = Tensor::copy_of(tensor)?;
        Ok(Some(match dense.dtype() {
            DType::F32 => Self::count(dense.slice::<f32>()?.iter().map(|x| f64::from(*x))),
            DType::F64 => Self::count(dense.slice::<f64>()?.iter().copied()),
            DType::F16 => Self::count(dense.slice::<half::f16>()?.iter().map(|x| x.to_f64())),
            _ => Self::count(dense.slice::<half::bf16>()?.iter().map(|x| x.to_f64())),
        }))
    }

    fn count(numbers: impl Iterator<Item = f64>) -> Self {
        let mut s = Self { min: f64::INFINITY, max: f64::NEG_INFINITY, ..Self::default() };
        let mut sum = 0.0;
        for x in numbers {
            s.elements += 1;
            s.nan += usize::from(x.is_nan());
            s.infinite += usize::from(x.is_infinite());
            if x.is_finite() {
                (s.min, s.max) = (s.min.min(x), s.max.max(x));
                sum += x;
            }
        }
        match s.elements - s.nan - s.infinite {
            0 => Self { min: 0.0, max: 0.0, ..s },
            finite => Self { mean: sum / finite as f64, ..s },
        }
    }

    /// Whether any element is NaN or infinite.
    pub fn is_bad(&self) -> bool {
        self.nan + self.infinite > 0
    }
}

/// `4 elements: 1 NaN, 0 infinite, min 0, mean 1, max 2`.
impl fmt::Display for Statistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { elements, nan, infinite, min, max, mean } = self;
        write!(f, "{elements} elements: {nan} NaN, {infinite} infinite, min {min}, mean {mean}, max {max}")
    }
}

/// The node, its output and its inputs, a line each.
impl fmt::Display for BadNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} '{}' gives elements that are no finite numbers", self.op, self.name)?;
        if self.origins.len() > 1 {
            let origins: Vec<String> = self.origins.iter().map(|(op, name)| format!("{op} '{name}'")).collect();
            writeln!(f, "  it stands for {}", origins.join(", "))?;
        }
        writeln!(f, "  output '{}': {}", self.output, self.statistics)?;
        self.inputs.iter().try_for_each(|(name, statistics)| writeln!(f, "  input '{name}': {statistics}"))
    }
}

/// The elements of a tensor of `f32` whose channels lie in blocks; lanes of no channel are none.
///
/// # Errors
/// `Fail` for other types.
fn in_blocks(tensor: TensorRef<'_>, block: usize) -> Result<impl Iterator<Item = f32> + '_> {
    let channels = tensor.shape().get(1).copied().unwrap_or(1);
    let plane: usize = tensor.shape().iter().skip(2).product();
    let channel = move |i: usize| i / (plane * block) % channels.div_ceil(block) * block + i % block;
    let stored = tensor.stored::<f32>()?.iter().enumerate();
    Ok(stored.filter(move |(i, _)| channel(*i) < channels).map(|(_, x)| *x))
}

impl Session {
    /// Runs the model on `feeds`, by name, and gives the first node that makes NaN or infinite elements of inputs that have none; `None`
    /// when there is no such node.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn find_nan(&self, feeds: &[(&str, Value)], options: &RunOptions) -> Result<Option<BadNode>> {
        let search: Arc<Mutex<Search>> = Arc::default();
        let told = search.clone();
        let observer = Observer::of_values(move |ran| told.lock().unwrap_or_else(PoisonError::into_inner).node(ran));
        let graph = self.runner().program().graph();
        for v in &graph.inputs {
            let fed = feeds.iter().find(|(name, _)| **name == *graph.value(*v).name);
            if let Some((_, Value::Tensor(tensor))) = fed {
                search.lock().unwrap_or_else(PoisonError::into_inner).see(*v, tensor.as_ref());
            }
        }
        self.run(feeds, &[], &RunOptions { observer: Some(observer), ..options.clone() })?;
        let mut search = search.lock().unwrap_or_else(PoisonError::into_inner);
        search.failed.take().map_or(Ok(search.found.take()), Err)
    }
}

/// What a search has seen so far.
#[derive(Default)]
struct Search {
    seen: HashMap<ValueId, Statistics>,
    found: Option<BadNode>,
    failed: Option<base::Error>,
}

impl Search {
    fn see(&mut self, v: ValueId, tensor: TensorRef<'_>) {
        match Statistics::of(tensor) {
            Ok(statistics) => drop(statistics.map(|s| self.seen.insert(v, s))),
            Err(e) => drop(self.failed.get_or_insert(e)),
        }
    }

    fn node(&mut self, ran: &Ran<'_>) {
        if self.found.is_some() {
            return;
        }
        let (graph, node) = (ran.graph(), ran.node);
        for v in node.reads().filter(|v| !self.seen.contains_key(v)).collect::<Vec<_>>() {
            if let Some(Value::Tensor(tensor)) = &graph.value(v).constant {
                self.see(v, tensor.as_ref());
            }
        }
        for (i, v) in node.outputs.iter().enumerate().filter_map(|(i, v)| Some((i, (*v)?))) {
            if let Some(tensor) = ran.output(i) {
                self.see(v, tensor);
            }
        }
        let bad = |v: &ValueId| self.seen.get(v).is_some_and(Statistics::is_bad);
        let output = node.outputs.iter().flatten().find(|v| bad(v));
        if let (Some(v), false) = (output, node.reads().any(|v| bad(&v))) {
            let name = |v: ValueId| graph.value(v).name.to_string();
            let inputs = node.reads().filter_map(|v| Some((name(v), *self.seen.get(&v)?)));
            self.found = Some(BadNode {
                op: node.key.to_string(),
                name: node.name.clone(),
                origins: node.origins.iter().map(|(op, name)| (op.to_string(), name.to_string())).collect(),
                output: name(*v),
                statistics: self.seen[v],
                inputs: inputs.collect(),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_of_no_channel_are_no_elements() {
        // Two positions of three channels in blocks of eight.
        let stored: Vec<f32> = (0..16).map(|i| if i % 8 < 3 { i as f32 } else { f32::NAN }).collect();
        let flat = Tensor::from_slice([16], &stored).unwrap();
        let blocked = Tensor::new(DType::F32, [1, 3, 1, 2].into(), Layout::Blocked(8), flat.buffer().clone(), 0).unwrap();
        let statistics = Statistics::of(blocked.as_ref()).unwrap().unwrap();
        assert_eq!(statistics, Statistics { elements: 6, nan: 0, infinite: 0, min: 0.0, max: 10.0, mean: 5.0 });
    }
}
