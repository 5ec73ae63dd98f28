//! The one error type: what failed, where in the model, and the values that disagree.

use std::error;
use std::fmt;
use std::sync::Arc;

/// The result of every fallible function of the workspace.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of failure an [`Error`] is. Each kind is one status code of ONNX Runtime and one exception class of its Python package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ErrorKind {
    /// A general failure (`Fail`).
    Fail = 1,
    /// A feed, an option or an attribute that cannot be used (`InvalidArgument`).
    InvalidArgument = 2,
    /// A file that is not there (`NoSuchFile`).
    NoSuchFile = 3,
    /// No model where one is needed (`NoModel`).
    NoModel = 4,
    /// A failure inside the engine (`EngineError`).
    EngineError = 5,
    /// A failure while a node runs (`RuntimeException`).
    RuntimeException = 6,
    /// Bytes that are no ONNX protobuf (`InvalidProtobuf`).
    InvalidProtobuf = 7,
    /// A session that has its model already (`ModelLoaded`).
    ModelLoaded = 8,
    /// An operator or type without a kernel (`NotImplemented`).
    NotImplemented = 9,
    /// A model that breaks the ONNX specification (`InvalidGraph`).
    InvalidGraph = 10,
    /// A provider that failed (`EPFail`).
    EpFail = 11,
}

impl ErrorKind {
    /// The name in ONNX Runtime's messages, such as `INVALID_ARGUMENT`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fail => "FAIL",
            Self::InvalidArgument => "INVALID_ARGUMENT",
            Self::NoSuchFile => "NO_SUCHFILE",
            Self::NoModel => "NO_MODEL",
            Self::EngineError => "ENGINE_ERROR",
            Self::RuntimeException => "RUNTIME_EXCEPTION",
            Self::InvalidProtobuf => "INVALID_PROTOBUF",
            Self::ModelLoaded => "MODEL_LOADED",
            Self::NotImplemented => "NOT_IMPLEMENTED",
            Self::InvalidGraph => "INVALID_GRAPH",
            Self::EpFail => "EP_FAIL",
        }
    }
}

/// A failure: its kind, the operator and node it befell, and the detail.
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    op: Option<String>,
    node: Option<String>,
    detail: String,
    moment: Moment,
    cause: Option<Cause>,
}

/// What made something fail that is no [`Error`] of ours, such as an exception of Python.
pub type Cause = Arc<dyn error::Error + Send + Sync>;

/// When a node failed, of which the message speaks as ONNX Runtime does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    /// Any other time.
    Other,
    /// While what its outputs are was inferred.
    Inferring,
    /// While it ran.
    Running,
}

impl Error {
    /// An error of `kind` that says `detail`.
    pub fn new(kind: ErrorKind, detail: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, op: None, node: None, detail: detail.into(), moment: Moment::Other, cause: None }))
    }

    /// The same error, said of `node` of operator `op`, unless it names a node already.
    pub fn at(mut self, op: &str, node: &str) -> Self {
        if self.0.op.is_none() {
            self.0.op = Some(op.to_owned());
            self.0.node = Some(node.to_owned());
        }
        self
    }

    /// The same error, said of sizes or types that an operator cannot take.
    pub fn inferring(mut self) -> Self {
        self.0.moment = Moment::Inferring;
        self
    }

    /// As [`at`](Self::at), while the model is loaded: what inference finds is then a failure, as ONNX Runtime has it.
    pub fn while_loading(self, op: &str, node: &str) -> Self {
        self.settled(ErrorKind::Fail).at(op, node)
    }

    /// As [`at`](Self::at), while the node runs: what inference finds then is the fault of the inputs.
    pub fn while_running(self, op: &str, node: &str) -> Self {
        let nested = self.0.op.is_some();
        let mut error = self.settled(ErrorKind::InvalidArgument).at(op, node);
        if !nested {
            error.0.moment = Moment::Running;
        }
        error
    }

    /// The same error, of kind `kind` where inference found a graph to be invalid.
    fn settled(self, kind: ErrorKind) -> Self {
        let open = self.0.moment == Moment::Inferring && self.0.kind == ErrorKind::InvalidGraph;
        if open { self.with_kind(kind) } else { self }
    }

    /// The same error with `kind`.
    pub fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.0.kind = kind;
        self
    }

    /// The same error, made by `cause`.
    #[must_use]
    pub fn caused_by(mut self, cause: Option<Cause>) -> Self {
        self.0.cause = cause;
        self
    }

    /// What made it, where that is no error of ours.
    pub fn cause(&self) -> Option<&Cause> {
        self.0.cause.as_ref()
    }

    /// What kind of failure this is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The operator that failed, if the failure belongs to a node.
    pub fn op(&self) -> Option<&str> {
        self.0.op.as_deref()
    }

    /// The name of the node that failed, if the failure belongs to one.
    pub fn node(&self) -> Option<&str> {
        self.0.node.as_deref()
    }

    /// What went wrong, without kind and place.
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// The message as ONNX Runtime writes it after its status code: place, then detail.
    pub fn message(&self) -> String {
        let Inner { detail, moment, .. } = &*self.0;
        match (&self.0.op, &self.0.node, moment) {
            (Some(op), Some(node), Moment::Running) => {
                format!("Non-zero status code returned while running {op} node. Name:'{node}' Status Message: {detail}")
            }
            (Some(op), Some(node), Moment::Inferring) => format!("Node ({node}) Op ({op}) [ShapeInferenceError] {detail}"),
            (Some(op), Some(node), Moment::Other) if node.is_empty() => format!("{op} node: {detail}"),
            (Some(op), Some(node), Moment::Other) => format!("{op} node '{node}': {detail}"),
            _ => detail.clone(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[ONNXRuntimeError] : {} : {} : {}", self.0.kind as u8, self.0.kind.name(), self.message())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        self.0.cause.as_ref().map(|cause| &**cause as _)
    }
}

/// Returns early with an [`Error`]: `bail!(InvalidArgument, "axis {axis} is out of range")`.
#[macro_export]
macro_rules! bail {
    ($kind:ident, $($arg:tt)+) => {
        return Err($crate::error!($kind, $($arg)+))
    };
}

/// Returns early with an [`Error`] unless the condition holds: `ensure!(a == b, InvalidGraph, "{a} is not {b}")`.
#[macro_export]
macro_rules! ensure {
    ($cond:expr, $kind:ident, $($arg:tt)+) => {
        if !$cond {
            return Err($crate::error!($kind, $($arg)+));
        }
    };
}

/// Makes an [`Error`]: `error!(Fail, "no value named {name}")`.
#[macro_export]
macro_rules! error {
    ($kind:ident, $($arg:tt)+) => {
        $crate::Error::new($crate::ErrorKind::$kind, format!($($arg)+))
    };
}

#[cfg(test)]
mod tests {
    #[test]
    fn reads_like_onnx_runtime() {
        let e = crate::error!(InvalidGraph, "bad {}", 3);
        assert_eq!(e.to_string(), "[ONNXRuntimeError] : 10 : INVALID_GRAPH : bad 3");
        let e = e.at("Add", "sum").at("Mul", "outer");
        assert_eq!(e.message(), "Add node 'sum': bad 3");
    }

    #[test]
    fn a_cause_stays() {
        let cause: super::Cause = std::sync::Arc::new(std::fmt::Error);
        let e = crate::error!(Fail, "bad").caused_by(Some(cause)).while_running("Add", "sum");
        assert!(e.cause().is_some_and(|c| c.is::<std::fmt::Error>()) && std::error::Error::source(&e).is_some());
    }

    #[test]
    fn the_moment_decides_on_text_and_kind() {
        let bad = || crate::error!(InvalidGraph, "bad");
        let e = bad().inferring().while_loading("Add", "sum");
        assert_eq!(e.to_string(), "[ONNXRuntimeError] : 1 : FAIL : Node (sum) Op (Add) [ShapeInferenceError] bad");
        let e = bad().inferring().while_running("Add", "sum");
        let text = "Non-zero status code returned while running Add node. Name:'sum' Status Message: bad";
        assert_eq!(e.to_string(), format!("[ONNXRuntimeError] : 2 : INVALID_ARGUMENT : {text}"));
        assert_eq!(e.while_running("Loop", "outer").message(), text);
        assert_eq!(bad().while_loading("Add", "sum").kind(), crate::ErrorKind::InvalidGraph);
    }
}
