//! What a session is made with.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base::threads::Cancel;
use exec::Observer;
use passes::Level;

/// Where a model comes from.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// A file; external data is looked for beside it.
    File(&'a Path),
    /// The bytes of a model; it cannot have external data.
    Bytes(&'a [u8]),
}

/// What a session is made with, named as in ONNX Runtime's `SessionOptions`.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Which graph passes are applied.
    pub level: Level,
    /// How many threads a run may use; 0 for as many as the machine gives.
    pub intra_op_threads: usize,
    /// Passes that are left out, by name.
    pub disabled_passes: Vec<String>,
    /// Where the optimized model is saved.
    pub optimized_model_path: Option<PathBuf>,
    /// Sizes for named dimensions of the inputs.
    pub free_dimensions: Vec<(String, i64)>,
    /// The providers to use, first the preferred; the CPU is always there.
    pub providers: Vec<String>,
    /// Further settings by name (`session.*`).
    pub config: BTreeMap<String, String>,
}

/// What a run is made with, named as in ONNX Runtime's `RunOptions`.
#[derive(Clone, Debug, Default)]
pub struct RunOptions {
    /// Ends the run early.
    pub cancel: Cancel,
    /// Is told of each node of the optimized graph that ran.
    pub observer: Option<Observer>,
}
