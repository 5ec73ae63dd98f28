//! What a session is made with.

use std::path::PathBuf;

use ort_rs::{Level, Options};
use pyo3::prelude::*;

use crate::config::Config;
use crate::enums::{EXECUTION_MODE, EXECUTION_ORDER, GRAPH_OPTIMIZATION_LEVEL};
use crate::error::Result;

/// `GraphOptimizationLevel.ORT_ENABLE_ALL`.
const ALL: i32 = 99;

/// What a session is made with.
#[pyclass(module = "ort_rs", weakref, from_py_object)]
#[derive(Clone)]
pub(crate) struct SessionOptions {
    level: i32,
    mode: i32,
    order: i32,
    config: Config,
    free_dimensions: Vec<(String, i64)>,
    /// How many threads a node may use; 0 for as many as the machine gives.
    #[pyo3(get, set)]
    intra_op_num_threads: i32,
    /// How many nodes may run at once; they run one after the other here.
    #[pyo3(get, set)]
    inter_op_num_threads: i32,
    /// Where the optimized model is saved; empty for nowhere.
    #[pyo3(get, set)]
    optimized_model_filepath: String,
    /// A name for the session in logs.
    #[pyo3(get, set)]
    logid: String,
    /// From which severity on the session logs; -1 for the default.
    #[pyo3(get, set)]
    log_severity_level: i32,
    /// How much the session logs at the lowest severity.
    #[pyo3(get, set)]
    log_verbosity_level: i32,
    /// Whether a profile is written.
    #[pyo3(get, set)]
    enable_profiling: bool,
    /// How the name of the profile begins.
    #[pyo3(get, set)]
    profile_file_prefix: String,
    /// Whether memory is planned ahead; it always is here.
    #[pyo3(get, set)]
    enable_mem_pattern: bool,
    /// Whether values take turns in memory; they always do here.
    #[pyo3(get, set)]
    enable_mem_reuse: bool,
    /// Whether freed memory is kept for later runs; it always is here.
    #[pyo3(get, set)]
    enable_cpu_mem_arena: bool,
    /// Whether results have the same bits in every run; they always have here.
    #[pyo3(get, set)]
    use_deterministic_compute: bool,
    /// Whether the session has threads of its own; sessions share the threads of the process here.
    #[pyo3(get, set)]
    use_per_session_threads: bool,
}

impl SessionOptions {
    /// The options as the runtime takes them.
    pub(crate) fn to_core(&self, providers: Vec<String>, disabled_passes: Vec<String>) -> Options {
        let path = &self.optimized_model_filepath;
        Options {
            level: level(self.level),
            intra_op_threads: usize::try_from(self.intra_op_num_threads).unwrap_or(0),
            disabled_passes,
            optimized_model_path: (!path.is_empty()).then(|| PathBuf::from(path)),
            free_dimensions: self.free_dimensions.clone(),
            providers,
            config: self.config.entries().clone(),
        }
    }
}

/// The level that a value of `GraphOptimizationLevel` stands for.
fn level(number: i32) -> Level {
    match number {
        0 => Level::Disabled,
        1 => Level::Basic,
        2 => Level::Extended,
        3 => Level::Layout,
        _ => Level::All,
    }
}

#[pymethods]
impl SessionOptions {
    #[new]
    pub(crate) fn new() -> Self {
        Self {
            level: ALL,
            mode: 0,
            order: 0,
            config: Config::new("SessionOptions"),
            free_dimensions: Vec::new(),
            intra_op_num_threads: 0,
            inter_op_num_threads: 0,
            optimized_model_filepath: String::new(),
            logid: String::new(),
            log_severity_level: -1,
            log_verbosity_level: 0,
            enable_profiling: false,
            profile_file_prefix: "onnxruntime_profile_".to_owned(),
            enable_mem_pattern: true,
            enable_mem_reuse: true,
            enable_cpu_mem_arena: true,
            use_deterministic_compute: false,
            use_per_session_threads: true,
        }
    }

    /// How far the graph is optimized, a `GraphOptimizationLevel`.
    #[getter]
    fn graph_optimization_level<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        GRAPH_OPTIMIZATION_LEVEL.member(py, self.level)
    }

    #[setter]
    fn set_graph_optimization_level(&mut self, level: &Bound<'_, PyAny>) -> PyResult<()> {
        self.level = GRAPH_OPTIMIZATION_LEVEL.number(level)?;
        Ok(())
    }

    /// Whether nodes may run at the same time, an `ExecutionMode`; they run one after the other in both modes.
    #[getter]
    fn execution_mode<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        EXECUTION_MODE.member(py, self.mode)
    }

    #[setter]
    fn set_execution_mode(&mut self, mode: &Bound<'_, PyAny>) -> PyResult<()> {
        self.mode = EXECUTION_MODE.number(mode)?;
        Ok(())
    }

    /// In which order nodes run, an `ExecutionOrder`; it is the model's in all of them.
    #[getter]
    fn execution_order<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        EXECUTION_ORDER.member(py, self.order)
    }

    #[setter]
    fn set_execution_order(&mut self, order: &Bound<'_, PyAny>) -> PyResult<()> {
        self.order = EXECUTION_ORDER.number(order)?;
        Ok(())
    }

    /// Sets a further option by name (`session.*`).
    fn add_session_config_entry(&mut self, key: String, value: String) -> Result<()> {
        self.config.set(key, value)
    }

    /// A further option by name.
    fn get_session_config_entry(&self, key: &str) -> Result<String> {
        self.config.get(key).map(str::to_owned)
    }

    /// Fixes every input dimension of the given name.
    fn add_free_dimension_override_by_name(&mut self, name: String, size: i64) {
        self.free_dimensions.push((name, size));
    }
}
