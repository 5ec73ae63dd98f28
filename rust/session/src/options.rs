//! What a session is made with.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::threads::Cancel;
use base::{Buffer, Value};
use exec::{Observer, Order};
use passes::Level;

use crate::{Adapter, Locator, Log};

/// Where a model comes from.
#[derive(Clone, Copy)]
pub enum Source<'a> {
    /// A file; external data is looked for beside it.
    File(&'a Path),
    /// The bytes of a model; it cannot have external data.
    Bytes(&'a [u8]),
    /// The bytes of a model, which the session may keep and use its weights from where they lie; it cannot have external data.
    Buffer(&'a Arc<Buffer>),
}

/// What a session is made with, named as in ONNX Runtime's `SessionOptions`.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Which graph passes are applied.
    pub level: Level,
    /// How many threads a run may use; 0 for as many as the machine gives.
    pub intra_op_threads: usize,
    /// For each thread of a run but the caller's, the processors that it is kept on, counted from 0; threads beyond these run anywhere.
    pub affinities: Vec<Vec<usize>>,
    /// Passes that are left out, by name.
    pub disabled_passes: Vec<String>,
    /// Where the optimized model is saved.
    pub optimized_model_path: Option<PathBuf>,
    /// Who says where the data of the initializers of the saved model goes.
    pub initializer_locator: Option<Locator>,
    /// Sizes for named dimensions of the inputs.
    pub free_dimensions: Vec<(String, i64)>,
    /// Sizes for dimensions of the inputs by their denotation.
    pub free_denotations: Vec<(String, i64)>,
    /// Whether nodes that do not wait for each other run at the same time.
    pub parallel: bool,
    /// How many nodes may run at the same time; 0 for as many as there are threads.
    pub inter_op_threads: usize,
    /// How the name of the profile begins, if one is written: a Chrome trace of all that the session does.
    pub profile: Option<String>,
    /// Ends loading early.
    pub cancel: Cancel,
    /// Weights that stand in for others, or for data that is not at hand.
    pub given: Given,
    /// The providers to use, first the preferred; the CPU is always there.
    pub providers: Vec<String>,
    /// The options of each provider, by its name.
    pub provider_options: BTreeMap<String, Vec<(String, String)>>,
    /// Further settings by name (`session.*`).
    pub config: BTreeMap<String, String>,
    /// What the session says of its work.
    pub log: Log,
}

/// Weights that a caller gives beside the model.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// In place of initializers of these names, if the model has them.
    pub initializers: BTreeMap<String, Value>,
    /// For initializers of these names, whose external data is then not read; the model must have them.
    pub external: BTreeMap<String, Value>,
    /// The content of external files, by the location that the model names.
    pub files: BTreeMap<String, Arc<Buffer>>,
}

impl Options {
    /// What a log says of them.
    pub(crate) fn summary(&self) -> String {
        let order = if self.order() == Order::Waves { "parallel" } else { "sequential" };
        let providers = if self.providers.is_empty() { exec::CPU.to_owned() } else { self.providers.join(", ") };
        let (threads, level) = (self.intra_op_threads, self.level.name());
        format!(
            "Session Options {{ intra_op_num_threads:{threads} graph_optimization_level:{level} execution:{order} providers:{providers} }}"
        )
    }

    /// In which order nodes run.
    pub(crate) fn order(&self) -> Order {
        if self.parallel && self.inter_op_threads != 1 { Order::Waves } else { Order::Serial }
    }
}

/// What a run is made with, named as in ONNX Runtime's `RunOptions`.
#[derive(Clone, Debug, Default)]
pub struct RunOptions {
    /// Ends the run early.
    pub cancel: Cancel,
    /// Is told of each node of the optimized graph that ran.
    pub observer: Option<Observer>,
    /// Whether memory that is kept for later runs is let go after the run.
    pub shrink: bool,
    /// What is fed for inputs that the caller does not feed.
    pub adapters: Vec<Arc<Adapter>>,
    /// What the run says of its work; that of the session if it is not said. The name of the session stands before that of the run.
    pub log: Option<Log>,
}
