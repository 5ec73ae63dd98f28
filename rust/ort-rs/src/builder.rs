//! How a session is made.

use std::path::Path;
use std::sync::Arc;

use base::{Result, ensure};

use crate::runtime::{self, Environment, OpDef, Options, PASSES, Provider, Source};
use crate::{Level, Session};

/// How a [`Session`] is made: options, then the model by [`from_file`](Self::from_file) or [`from_bytes`](Self::from_bytes).
///
/// ```
/// use ort_rs::{Level, Session};
///
/// let session = Session::builder()
///     .level(Level::All)
///     .threads(1)
///     .free_dimension("batch", 4)
///     .from_file("examples/digits/digits.onnx")?;
/// assert_eq!(session.inputs()[0].shape.as_ref().unwrap()[0].to_string(), "4");
/// # Ok::<(), ort_rs::Error>(())
/// ```
#[derive(Clone, Default)]
#[must_use = "a builder does nothing until it is given a model"]
pub struct Builder {
    options: Options,
    operators: Vec<OpDef>,
    custom: Vec<Arc<dyn Provider>>,
}

impl Builder {
    /// Which graph passes are applied; all of them if it is not said.
    ///
    /// ```
    /// # use ort_rs::{Level, Session};
    /// let plain = Session::builder().level(Level::Disabled).from_file("examples/digits/digits.onnx")?;
    /// assert!(plain.graph_text().contains("Relu"));
    /// # Ok::<(), ort_rs::Error>(())
    /// ```
    pub fn level(mut self, level: Level) -> Self {
        self.options.level = level;
        self
    }

    /// How many threads a run may use, the caller's among them; 0, the default, for as many as the machine gives.
    ///
    /// ```
    /// # use ort_rs::Session;
    /// let session = Session::builder().threads(1).from_file("examples/digits/digits.onnx")?;
    /// # Ok::<(), ort_rs::Error>(())
    /// ```
    pub fn threads(mut self, threads: usize) -> Self {
        self.options.intra_op_threads = threads;
        self
    }

    /// Gives every input dimension called `name` the size `size`, so that passes and plans know it.
    ///
    /// ```
    /// # use ort_rs::Session;
    /// let session = Session::builder().free_dimension("batch", 4).from_file("examples/digits/digits.onnx")?;
    /// assert_eq!(session.outputs()[0].to_string(), "probabilities: tensor(float)[4,10]");
    /// assert_eq!(session.inputs()[0].to_string(), "images: tensor(float)[4,1,8,8]");
    /// # Ok::<(), ort_rs::Error>(())
    /// ```
    pub fn free_dimension(mut self, name: impl Into<String>, size: i64) -> Self {
        self.options.free_dimensions.push((name.into(), size));
        self
    }

    /// Leaves out the graph pass `name`, one of those in [`runtime::PASSES`].
    ///
    /// ```
    /// # use ort_rs::Session;
    /// let session = Session::builder().disable_pass("conv_activation").from_file("examples/digits/digits.onnx")?;
    /// let unknown = Session::builder().disable_pass("NoSuchPass").from_file("examples/digits/digits.onnx");
    /// assert!(unknown.is_err());
    /// # Ok::<(), ort_rs::Error>(())
    /// ```
    pub fn disable_pass(mut self, name: impl Into<String>) -> Self {
        self.options.disabled_passes.push(name.into());
        self
    }

    /// Asks for an execution provider by name, after those asked for before. The CPU runs whatever they leave.
    ///
    /// ```
    /// # use ort_rs::Session;
    /// let session = Session::builder().provider("CPUExecutionProvider").from_file("examples/digits/digits.onnx")?;
    /// assert_eq!(session.providers(), ["CPUExecutionProvider"]);
    /// let unknown = Session::builder().provider("AbacusExecutionProvider").from_file("examples/digits/digits.onnx");
    /// assert!(unknown.unwrap_err().detail().contains("AbacusExecutionProvider"));
    /// # Ok::<(), ort_rs::Error>(())
    /// ```
    pub fn provider(mut self, name: impl Into<String>) -> Self {
        self.options.providers.push(name.into());
        self
    }

    /// Adds an execution provider of one's own, and asks for it as [`provider`](Self::provider) does.
    ///
    /// ```
    /// # use {ort_rs::Session, std::sync::Arc, testkit::MockDevice};
    /// let device = Arc::new(MockDevice::new(&["Softmax"]));
    /// let session = Session::builder().custom_provider(device).from_file("examples/digits/digits.onnx")?;
    /// assert!(session.placements().iter().any(|p| p.provider == session.providers()[0]));
    /// # Ok::<(), ort_rs::Error>(())
    /// ```
    pub fn custom_provider(mut self, provider: Arc<dyn Provider>) -> Self {
        self.options.providers.push(provider.name().to_owned());
        self.custom.push(provider);
        self
    }

    /// Adds an operator of one's own; see [`operator`](crate::operator) for how one is written.
    ///
    /// ```
    /// # use ort_rs::{Session, operator::OpDef, runtime};
    /// let another: OpDef = runtime::operators().find(|o| o.name == "Relu").unwrap().clone();
    /// let session = Session::builder().operator(OpDef { domain: "my.domain", ..another }).from_file("examples/digits/digits.onnx")?;
    /// # Ok::<(), ort_rs::Error>(())
    /// ```
    pub fn operator(mut self, operator: OpDef) -> Self {
        self.operators.push(operator);
        self
    }

    /// Saves the optimized model at `path`.
    ///
    /// ```
    /// # use ort_rs::Session;
    /// let folder = tempfile::tempdir().unwrap();
    /// let path = folder.path().join("optimized.onnx");
    /// Session::builder().save_optimized(&path).from_file("examples/digits/digits.onnx")?;
    /// assert_eq!(Session::builder().from_file(&path)?.inputs().len(), 1);
    /// # Ok::<(), ort_rs::Error>(())
    /// ```
    pub fn save_optimized(mut self, path: impl AsRef<Path>) -> Self {
        self.options.optimized_model_path = Some(path.as_ref().to_owned());
        self
    }

    /// Sets a further option by name, as ONNX Runtime's session configuration has them (`session.*`).
    ///
    /// ```
    /// # use ort_rs::Session;
    /// let session = Session::builder().config("session.set_denormal_as_zero", "0").from_file("examples/digits/digits.onnx")?;
    /// # Ok::<(), ort_rs::Error>(())
    /// ```
    pub fn config(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.options.config.insert(key.into(), value.into());
        self
    }

    /// Loads the model in the file at `path`; external data is looked for beside it.
    ///
    /// # Errors
    /// `NoSuchFile`, `InvalidProtobuf`, `InvalidGraph`, `NotImplemented` and others; each names the node or value at fault.
    /// `InvalidArgument` for a provider or a pass that does not exist.
    ///
    /// ```
    /// # use ort_rs::{ErrorKind, Session};
    /// let missing = Session::builder().from_file("no such file.onnx");
    /// assert_eq!(missing.unwrap_err().kind(), ErrorKind::NoSuchFile);
    /// ```
    pub fn from_file(self, path: impl AsRef<Path>) -> Result<Session> {
        self.load(Source::File(path.as_ref()))
    }

    /// Loads the model whose bytes are `bytes`; it cannot have external data.
    ///
    /// # Errors
    /// As [`from_file`](Self::from_file).
    ///
    /// ```
    /// # use ort_rs::{ErrorKind, Session};
    /// let bytes = std::fs::read("examples/digits/digits.onnx").unwrap();
    /// assert_eq!(Session::builder().from_bytes(&bytes)?.inputs().len(), 1);
    /// assert_eq!(Session::builder().from_bytes(&bytes[..99]).unwrap_err().kind(), ErrorKind::InvalidProtobuf);
    /// # Ok::<(), ort_rs::Error>(())
    /// ```
    pub fn from_bytes(self, bytes: impl AsRef<[u8]>) -> Result<Session> {
        self.load(Source::Bytes(bytes.as_ref()))
    }

    fn load(self, source: Source<'_>) -> Result<Session> {
        let unknown = self.options.disabled_passes.iter().find(|name| PASSES.iter().all(|p| p.name != **name));
        ensure!(unknown.is_none(), InvalidArgument, "there is no graph pass '{}'", unknown.map_or("", String::as_str));
        let environment = self.environment()?;
        let known = environment.providers();
        for name in &self.options.providers {
            let why = || environment.absent(name).map_or_else(String::new, |why| format!(": {why}"));
            ensure!(known.contains(name), InvalidArgument, "there is no provider '{name}' here, only {}{}", known.join(", "), why());
        }
        Ok(Session::new(runtime::Session::load(&environment, source, self.options)?))
    }

    /// The environment of the process, or one with the operators and providers that were added.
    fn environment(&self) -> Result<Environment> {
        let environment = match self.operators.is_empty() {
            true => runtime::shared()?.clone(),
            false => runtime::environment(self.operators.iter().cloned())?,
        };
        Ok(self.custom.iter().cloned().fold(environment, Environment::with_provider))
    }
}
