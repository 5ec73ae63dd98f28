//! The parts that a face is made of: the environment that sessions share, sessions as the runtime knows them, storage.
//!
//! Programs use [`Session`](crate::Session); this is for who builds a face of their own, or shares one [`Environment`] between sessions.

use std::sync::{Arc, OnceLock};

pub use ::session::{
    Adapter, Destination, Environment, Given, Log, Node, Options, PASSES, Pass, Ran, Seen, Session, Severity, Source, text,
};
pub use base::{Buffer, Foreign, Layout, Memory, Places, check_bools, knobs, packed, threads};
pub use op::{OpDef, Provider, Registry};
pub use ops_misc::random::set_seed;

use base::Result;

/// CUDA devices and their memory, for values that no session made.
pub mod cuda {
    pub use ::cuda::{Commons, Device, Lent, device_of, look_in, memory_name, memory_of};
}

/// Every operator that is built in.
///
/// ```
/// assert!(ort_rs::runtime::operators().any(|o| o.name == "Gather" && o.domain.is_empty()));
/// ```
pub fn operators() -> impl Iterator<Item = &'static OpDef> {
    [ops_math::OPS, ops_tensor::OPS, ops_nn::OPS, ops_media::OPS, ops_misc::OPS, ops_ml::OPS].into_iter().flatten().copied()
}

/// An environment with every operator and provider that is built in, and the operators `more`.
///
/// # Errors
/// `Fail` when two operators have one name.
///
/// ```
/// use ort_rs::runtime::{Options, Session, Source, environment};
/// # let path = std::path::Path::new("examples/digits/digits.onnx");
/// let environment = environment([])?;
/// let session = Session::load(&environment, Source::File(path), Options::default())?;
/// assert_eq!(session.inputs()[0].name, "images");
/// # Ok::<(), ort_rs::Error>(())
/// ```
pub fn environment(more: impl IntoIterator<Item = OpDef>) -> Result<Environment> {
    let environment = Environment::new(Registry::new(operators())?)?.with_operators(more)?.with_block(ops_nn::channel_block());
    Ok(environment.with_factory(Arc::new(cuda_provider::CudaFactory)))
}

/// The environment of the process: the built-in operators and providers, made when it is first needed.
///
/// # Errors
/// As [`environment`].
///
/// ```
/// assert_eq!(ort_rs::runtime::shared()?.providers().pop().as_deref(), Some("CPUExecutionProvider"));
/// # Ok::<(), ort_rs::Error>(())
/// ```
pub fn shared() -> Result<&'static Environment> {
    static SHARED: OnceLock<Result<Environment>> = OnceLock::new();
    SHARED.get_or_init(|| environment([])).as_ref().map_err(Clone::clone)
}
