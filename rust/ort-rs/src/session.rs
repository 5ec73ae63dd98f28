//! A model, ready to run.

use std::fmt;

use base::{Result, Shape};

use crate::{BadNode, Builder, Explanation, Inputs, MemoryUse, Metadata, Outputs, Placement, Port, RunOptions, Spending, runtime};

/// A model, ready to run; from any number of threads at once.
///
/// ```
/// use ort_rs::{Session, inputs};
///
/// let session = Session::builder().from_file("examples/digits/digits.onnx")?;
/// let outputs = session.run(inputs![([1, 1, 8, 8], vec![0f32; 64])])?;
/// assert_eq!(outputs[0].elements::<f32>()?.0, [1, 10]);
/// # Ok::<(), ort_rs::Error>(())
/// ```
pub struct Session {
    core: runtime::Session,
}

impl Session {
    /// Options of a session to be.
    ///
    /// ```
    /// # use ort_rs::Session;
    /// let session = Session::builder().from_file("examples/digits/digits.onnx")?;
    /// # Ok::<(), ort_rs::Error>(())
    /// ```
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn new(core: runtime::Session) -> Self {
        Self { core }
    }

    /// What must be fed, in the model's order.
    ///
    /// ```
    /// # use ort_rs::{PortDim, Session};
    /// let session = Session::builder().from_file("examples/digits/digits.onnx")?;
    /// let images = &session.inputs()[0];
    /// assert_eq!((images.name.as_str(), images.ty.to_string().as_str()), ("images", "tensor(float)"));
    /// assert_eq!(images.shape.as_ref().unwrap()[0], PortDim::Named("batch".into()));
    /// # Ok::<(), ort_rs::Error>(())
    /// ```
    pub fn inputs(&self) -> &[Port] {
        self.core.inputs()
    }

    /// What the model gives, in its order.
    ///
    /// ```
    /// # use ort_rs::Session;
    /// let session = Session::builder().from_file("examples/digits/digits.onnx")?;
    /// assert_eq!(session.outputs()[0].name, "probabilities");
    /// # Ok::<(), ort_rs::Error>(())
    /// ```
    pub fn outputs(&self) -> &[Port] {
        self.core.outputs()
    }

    /// What may be fed in place of a default.
    ///
    /// ```
    /// # use ort_rs::Session;
    /// let session = Session::builder().from_file("examples/digits/digits.onnx")?;
    /// assert!(session.overridable_initializers().is_empty());
    /// # Ok::<(), ort_rs::Error>(())
    /// ```
    pub fn overridable_initializers(&self) -> &[Port] {
        self.core.overridable_initializers()
    }

    /// What the model says of itself.
    ///
    /// ```
    /// # use ort_rs::Session;
    /// let session = Session::builder().from_file("examples/digits/digits.onnx")?;
    /// assert_eq!(session.metadata().graph_name, "digits");
    /// assert_eq!(session.metadata().custom["classes"], "0 1 2 3 4 5 6 7 8 9");
    /// # Ok::<(), ort_rs::Error>(())
    /// ```
    pub fn metadata(&self) -> &Metadata {
        self.core.metadata()
    }

    /// The names of the providers, in order of preference.
    ///
    /// ```
    /// # use ort_rs::Session;
    /// let session = Session::builder().from_file("examples/digits/digits.onnx")?;
    /// assert_eq!(session.providers().last().unwrap(), "CPUExecutionProvider");
    /// # Ok::<(), ort_rs::Error>(())
    /// ```
    pub fn providers(&self) -> Vec<String> {
        self.core.providers()
    }

    /// What the providers say of how they run nodes, each after its name: such as where products are computed.
    ///
    /// ```
    /// # use ort_rs::Session;
    /// let session = Session::builder().from_file("examples/digits/digits.onnx")?;
    /// assert!(session.notes().is_empty(), "the CPU has nothing to add");
    /// # Ok::<(), ort_rs::Error>(())
    /// ```
    pub fn notes(&self) -> Vec<String> {
        self.core.notes()
    }

    /// Which provider runs each node of the optimized graph, and why.
    ///
    /// ```
    /// # use ort_rs::Session;
    /// let session = Session::builder().from_file("examples/digits/digits.onnx")?;
    /// assert!(session.placements().iter().all(|p| p.provider == "CPUExecutionProvider"));
    /// # Ok::<(), ort_rs::Error>(())
    /// ```
    pub fn placements(&self) -> &[Placement] {
        self.core.placements()
    }

    /// The optimized graph as text, one line a node.
    ///
    /// ```
    /// # use ort_rs::Session;
    /// let session = Session::builder().from_file("examples/digits/digits.onnx")?;
    /// assert!(session.graph_text().contains("Softmax"));
    /// # Ok::<(), ort_rs::Error>(())
    /// ```
    pub fn graph_text(&self) -> String {
        self.core.graph_text()
    }

    /// What became of each node when the model was loaded: its provider, its kernel, what was fused into it, and why.
    ///
    /// # Errors
    /// `Fail` when the optimized graph is not whole.
    ///
    /// ```
    /// # use ort_rs::Session;
    /// let session = Session::builder().from_file("examples/digits/digits.onnx")?;
    /// let explanation = session.explain()?;
    /// assert!(explanation.nodes.iter().any(|node| node.origins.len() > 1), "{explanation}");
    /// # Ok::<(), ort_rs::Error>(())
    /// ```
    pub fn explain(&self) -> Result<Explanation> {
        self.core.explain()
    }

    /// How much memory a run takes, told before it runs: for inputs of `shapes`, by name, and for named dimensions of `sizes`.
    ///
    /// # Errors
    /// `InvalidArgument` for a name that the model has not, a dimension without a size, and sizes that disagree.
    ///
    /// ```
    /// # use ort_rs::Session;
    /// let session = Session::builder().from_file("examples/digits/digits.onnx")?;
    /// let (one, many) = (session.memory(&[], &[("batch", 1)])?, session.memory(&[("images", [64, 1, 8, 8].into())], &[])?);
    /// assert_eq!(many.outputs, 64 * one.outputs);
    /// assert!(many.run > one.run && one.peak > one.run);
    /// # Ok::<(), ort_rs::Error>(())
    /// ```
    pub fn memory(&self, shapes: &[(&str, Shape)], sizes: &[(&str, i64)]) -> Result<MemoryUse> {
        self.core.memory(shapes, sizes)
    }

    /// Runs the model and gives the first node that makes NaN or infinite elements of inputs that have none; `None` without one.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    ///
    /// ```
    /// # use ort_rs::{Session, inputs};
    /// let session = Session::builder().from_file("examples/digits/digits.onnx")?;
    /// assert!(session.find_nan(inputs![([1, 1, 8, 8], &[0f32; 64])])?.is_none());
    /// # Ok::<(), ort_rs::Error>(())
    /// ```
    pub fn find_nan<'n>(&self, inputs: impl Into<Inputs<'n>>) -> Result<Option<BadNode>> {
        self.core.find_nan(&inputs.into().named(self.core.inputs())?, &RunOptions::default())
    }

    /// Runs the model `runs` times and tells which operators took how long.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    ///
    /// ```
    /// # use ort_rs::{Session, inputs};
    /// let session = Session::builder().from_file("examples/digits/digits.onnx")?;
    /// let spending = session.profile(inputs![([1, 1, 8, 8], &[0f32; 64])], 3)?;
    /// assert!(spending.operators.iter().all(|operator| operator.calls % 3 == 0));
    /// println!("{spending}");
    /// # Ok::<(), ort_rs::Error>(())
    /// ```
    pub fn profile<'n>(&self, inputs: impl Into<Inputs<'n>>, runs: usize) -> Result<Spending> {
        self.core.profile(&inputs.into().named(self.core.inputs())?, runs, &RunOptions::default())
    }

    /// Runs the model on `inputs` and gives all outputs.
    ///
    /// # Errors
    /// `InvalidArgument` for unknown names, missing inputs, and types or shapes that are not the model's; what nodes say, each naming the
    /// node.
    ///
    /// ```
    /// # use ort_rs::{Session, inputs};
    /// let session = Session::builder().from_file("examples/digits/digits.onnx")?;
    /// let outputs = session.run(inputs!["images" => ([2, 1, 8, 8], &[0f32; 128])])?;
    /// assert_eq!(outputs["probabilities"].elements::<f32>()?.0, [2, 10]);
    ///
    /// let wrong = session.run(inputs!["images" => ([2, 1, 8, 8], &[0f64; 128])]);
    /// assert!(wrong.unwrap_err().detail().contains("expected: (tensor(float))"));
    /// # Ok::<(), ort_rs::Error>(())
    /// ```
    pub fn run<'n>(&self, inputs: impl Into<Inputs<'n>>) -> Result<Outputs> {
        self.run_with(inputs, &[], &RunOptions::default())
    }

    /// Runs the model on `inputs` as `options` say, and gives the values `names`, which may be any of the graph; none asks for all outputs.
    ///
    /// # Errors
    /// As [`run`](Self::run); `Fail` when `options.cancel` ends the run.
    ///
    /// ```
    /// # use ort_rs::{RunOptions, Session, inputs};
    /// let session = Session::builder().from_file("examples/digits/digits.onnx")?;
    /// let image = inputs![([1, 1, 8, 8], &[0f32; 64])];
    /// let outputs = session.run_with(image, &["scores", "pooled"], &RunOptions::default())?;
    /// assert_eq!(outputs["pooled"].elements::<f32>()?.0, [1, 32, 4, 4]);
    ///
    /// let options = RunOptions::default();
    /// options.cancel.cancel();
    /// assert!(session.run_with(inputs![([1, 1, 8, 8], &[0f32; 64])], &[], &options).is_err());
    /// # Ok::<(), ort_rs::Error>(())
    /// ```
    pub fn run_with<'n>(&self, inputs: impl Into<Inputs<'n>>, names: &[&str], options: &RunOptions) -> Result<Outputs> {
        let feeds = inputs.into().named(self.core.inputs())?;
        let values = self.core.run(&feeds, names, options)?;
        let names = match names {
            [] => self.core.outputs().iter().map(|p| p.name.clone()).collect(),
            names => names.iter().map(ToString::to_string).collect(),
        };
        Ok(Outputs::new(names, values))
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("inputs", &self.inputs()).field("outputs", &self.outputs()).finish_non_exhaustive()
    }
}
