//! How far a graph is optimized.

/// How far a graph is optimized, as ONNX Runtime's `GraphOptimizationLevel` names it. Each level holds those before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// `ORT_DISABLE_ALL`: the graph stays as it is.
    Disabled = 0,
    /// `ORT_ENABLE_BASIC`: what is redundant goes.
    Basic = 1,
    /// `ORT_ENABLE_EXTENDED`: several nodes become one of another operator.
    Extended = 2,
    /// `ORT_ENABLE_LAYOUT`: values lie in memory as kernels like it.
    Layout = 3,
    /// `ORT_ENABLE_ALL`.
    #[default]
    All = 99,
}

impl Level {
    /// The name in ONNX Runtime's API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Disabled => "ORT_DISABLE_ALL",
            Self::Basic => "ORT_ENABLE_BASIC",
            Self::Extended => "ORT_ENABLE_EXTENDED",
            Self::Layout => "ORT_ENABLE_LAYOUT",
            Self::All => "ORT_ENABLE_ALL",
        }
    }
}
