//! What a session tells of itself and of its runs.

use std::collections::BTreeMap;

use ort_rs::Shape;
use pyo3::prelude::*;

use crate::error::Result;
use crate::interrupt;
use crate::loaded::Loaded;

/// What became of a model: a node of the optimized graph each, and the passes that worked.
#[pyclass(module = "ort_rs", frozen)]
pub(crate) struct Explanation {
    /// The nodes of the optimized graph, in the order they run.
    #[pyo3(get)]
    nodes: Vec<Py<ExplainedNode>>,
    /// The passes that changed the graph, with the number of their rewrites.
    #[pyo3(get)]
    passes: BTreeMap<String, usize>,
    /// What `str` gives.
    #[pyo3(get)]
    text: String,
}

/// What became of a node.
#[pyclass(module = "ort_rs", frozen, get_all)]
pub(crate) struct ExplainedNode {
    /// The operator, with its domain and version.
    op: String,
    /// The node's name.
    name: String,
    /// The provider that runs it.
    provider: String,
    /// The kernel that was built for it; empty where none runs.
    kernel: String,
    /// How its outputs lie, if not one element after the other in their order.
    layout: String,
    /// Names, types and shapes of its outputs.
    outputs: Vec<String>,
    /// The model's own nodes that it stands for: operator and name.
    origins: Vec<(String, String)>,
    /// How it does without work or memory.
    shortcut: String,
    /// Inputs that are copied from another memory before it runs.
    copies: Vec<String>,
    /// Providers that were asked before, and why they refused.
    refused: Vec<(String, String)>,
}

/// How much memory a session takes with one run, in bytes.
#[pyclass(module = "ort_rs", frozen, get_all)]
pub(crate) struct MemoryUse {
    /// What the model fixes, in memory of the session.
    weights: usize,
    /// What the model fixes and is read from its file when it is needed.
    mapped: usize,
    /// What kernels hold in a format of their own; sessions of one model share it.
    packed: usize,
    /// Memory that values take turns in; it is kept for the next run.
    arena: usize,
    /// What kernels work in; it is kept for the next run.
    scratch: usize,
    /// Values that have buffers of their own, outputs among them, when they are most.
    values: usize,
    /// What the caller is given.
    outputs: usize,
    /// The most that a run takes: arena, scratch memory and values together.
    run: usize,
    /// The most that the session takes: a run, weights and what is packed of them.
    peak: usize,
    /// Nodes that take more than that: what they write is known only when they run, or they run graphs.
    unknown: Vec<String>,
    /// What `str` gives.
    text: String,
}

/// The elements of a tensor of floats, in numbers.
#[pyclass(module = "ort_rs", frozen, get_all)]
pub(crate) struct Statistics {
    /// How many there are.
    elements: usize,
    /// How many are NaN.
    nan: usize,
    /// How many are infinite.
    infinite: usize,
    /// The least of the finite ones; 0 when there are none.
    min: f64,
    /// The greatest of the finite ones; 0 when there are none.
    max: f64,
    /// The mean of the finite ones; 0 when there are none.
    mean: f64,
    /// What `str` gives.
    text: String,
}

/// The first node that makes NaN or infinite elements of inputs that have none.
#[pyclass(module = "ort_rs", frozen, get_all)]
pub(crate) struct BadNode {
    /// The operator, with its domain and version.
    op: String,
    /// The node's name.
    name: String,
    /// The model's own nodes that it stands for: operator and name.
    origins: Vec<(String, String)>,
    /// The name of the output.
    output: String,
    /// What the output holds.
    statistics: Py<Statistics>,
    /// What its inputs hold, by name.
    inputs: BTreeMap<String, Py<Statistics>>,
    /// What `str` gives.
    text: String,
}

/// What the nodes of one operator took, in all runs together.
#[pyclass(module = "ort_rs", frozen, get_all)]
pub(crate) struct Spent {
    /// The operator, with its domain and version.
    op: String,
    /// How often nodes of it ran.
    calls: usize,
    /// How long they took, in seconds.
    seconds: f64,
    /// Its part of the time of all operators, between 0 and 1.
    share: f64,
    /// How long one call took, in seconds.
    mean: f64,
    /// Bytes of the tensors that they read and wrote.
    bytes: usize,
}

/// What runs took, by operator.
#[pyclass(module = "ort_rs", frozen, get_all)]
pub(crate) struct Spending {
    /// How many runs there were.
    runs: usize,
    /// How long all operators took, in seconds.
    seconds: f64,
    /// The operators of the optimized graph, first the one that took most time.
    operators: Vec<Py<Spent>>,
    /// What `str` gives.
    text: String,
}

macro_rules! shown {
    ($($class:ident),*) => {
        $(
            #[pymethods]
            impl $class {
                fn __str__(&self) -> &str {
                    &self.text
                }

                fn __repr__(&self) -> &str {
                    &self.text
                }
            }
        )*
    };
}

shown!(Explanation, MemoryUse, Statistics, BadNode, Spending);

/// What became of each node.
pub(crate) fn explain(py: Python<'_>, loaded: &Loaded) -> Result<Explanation> {
    let told = py.detach(|| loaded.core.explain())?;
    let text = told.to_string();
    let node = |n: ort_rs::Explained| {
        let ort_rs::Explained { op, name, provider, kernel, layout, outputs, origins, shortcut, copies, refused } = n;
        Py::new(py, ExplainedNode { op, name, provider, kernel, layout, outputs, origins, shortcut, copies, refused })
    };
    Ok(Explanation {
        nodes: told.nodes.into_iter().map(node).collect::<PyResult<_>>()?,
        passes: told.passes.into_iter().map(|(name, count)| (name.to_owned(), count)).collect(),
        text,
    })
}

/// How much memory a run takes.
pub(crate) fn memory(loaded: &Loaded, shapes: &BTreeMap<String, Vec<usize>>, sizes: &BTreeMap<String, i64>) -> Result<MemoryUse> {
    let shapes: Vec<(&str, Shape)> = shapes.iter().map(|(name, shape)| (name.as_str(), Shape::from(shape.as_slice()))).collect();
    let sizes: Vec<(&str, i64)> = sizes.iter().map(|(name, size)| (name.as_str(), *size)).collect();
    let told = loaded.core.memory(&shapes, &sizes)?;
    let text = told.to_string();
    let ort_rs::MemoryUse { weights, mapped, packed, arena, scratch, values, outputs, run, peak, unknown } = told;
    Ok(MemoryUse { weights, mapped, packed, arena, scratch, values, outputs, run, peak, unknown, text })
}

fn statistics(py: Python<'_>, told: &ort_rs::Statistics) -> PyResult<Py<Statistics>> {
    let ort_rs::Statistics { elements, nan, infinite, min, max, mean } = *told;
    Py::new(py, Statistics { elements, nan, infinite, min, max, mean, text: told.to_string() })
}

/// The first node that makes NaN or infinite elements.
pub(crate) fn find_nan(
    py: Python<'_>,
    loaded: &Loaded,
    input_feed: &Bound<'_, PyAny>,
    run_options: Option<&Bound<'_, crate::run_options::RunOptions>>,
) -> Result<Option<BadNode>> {
    let request = loaded.request(None, input_feed, run_options, None)?;
    let feeds = loaded.named(&request);
    let Some(told) = interrupt::attended(py, &request.options, || loaded.core.find_nan(&feeds, &request.options))? else {
        return Ok(None);
    };
    let text = told.to_string();
    let inputs = told.inputs.iter().map(|(name, s)| Ok((name.clone(), statistics(py, s)?)));
    Ok(Some(BadNode {
        inputs: inputs.collect::<PyResult<_>>()?,
        statistics: statistics(py, &told.statistics)?,
        op: told.op,
        name: told.name,
        origins: told.origins,
        output: told.output,
        text,
    }))
}

/// What runs take, by operator.
pub(crate) fn profile(py: Python<'_>, loaded: &Loaded, input_feed: Option<&Bound<'_, PyAny>>, runs: usize) -> Result<Spending> {
    let options = loaded.run_options.clone();
    let told = match input_feed {
        Some(feed) => {
            let request = loaded.request(None, feed, None, None)?;
            let feeds = loaded.named(&request);
            interrupt::attended(py, &options, || loaded.core.profile(&feeds, runs, &options))?
        }
        None => {
            let feeds = ort_rs::cli::random_feeds(loaded.core.inputs())?;
            interrupt::attended(py, &options, || loaded.core.profile(&feeds, runs, &options))?
        }
    };
    let text = told.to_string();
    let total = told.total().as_secs_f64();
    let spent = |s: &ort_rs::Spent| {
        let seconds = s.time.as_secs_f64();
        let (share, mean) = (seconds / total.max(f64::MIN_POSITIVE), seconds / s.calls.max(1) as f64);
        Py::new(py, Spent { op: s.op.clone(), calls: s.calls, seconds, share, mean, bytes: s.bytes })
    };
    Ok(Spending { runs: told.runs, seconds: total, operators: told.operators.iter().map(spent).collect::<PyResult<_>>()?, text })
}
