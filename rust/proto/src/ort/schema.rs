//! The slots of the tables in `ort.fbs`, and the numbers of its enumerations.

/// Declares the fields of a table, in the order of their slots; `_` for one that is not used.
macro_rules! slots {
    ($($table:ident { $($field:ident = $slot:literal),* $(,)? })*) => {$(
        pub(super) mod $table {
            $(pub(in crate::ort) const $field: usize = $slot;)*
        }
    )*};
}

slots! {
    session { VERSION = 0, MODEL = 1, KERNEL_TYPES = 3 }
    model {
        IR_VERSION = 0, OPSETS = 1, PRODUCER_NAME = 2, PRODUCER_VERSION = 3, DOMAIN = 4, MODEL_VERSION = 5, DOC = 6, GRAPH = 7,
        GRAPH_DOC = 8, METADATA = 9,
    }
    opset { DOMAIN = 0, VERSION = 1 }
    entry { KEY = 0, VALUE = 1 }
    graph {
        INITIALIZERS = 0, VALUES = 1, NODES = 2, MAX_NODE = 3, EDGES = 4, INPUTS = 5, OUTPUTS = 6, SPARSE = 7,
    }
    node {
        NAME = 0, DOC = 1, DOMAIN = 2, SINCE = 3, INDEX = 4, OP_TYPE = 5, PROVIDER = 7, INPUTS = 8, OUTPUTS = 9, ATTRIBUTES = 10,
        COUNTS = 11, CAPTURES = 12,
    }
    edges { NODE = 0, INPUTS = 1, OUTPUTS = 2 }
    attribute {
        NAME = 0, DOC = 1, TYPE = 2, F = 3, I = 4, S = 5, T = 6, G = 7, FLOATS = 8, INTS = 9, STRINGS = 10, TENSORS = 11, GRAPHS = 12,
    }
    tensor { NAME = 0, DOC = 1, DIMS = 2, DATA_TYPE = 3, RAW = 4, STRINGS = 5, EXTERNAL_OFFSET = 6 }
    sparse { VALUES = 0, INDICES = 1, DIMS = 2 }
    value { NAME = 0, DOC = 1, TYPE = 2 }
    ty { DENOTATION = 0, KIND = 1, VALUE = 2 }
    tensor_type { ELEMENT = 0, SHAPE = 1 }
    sequence_type { ELEMENT = 0 }
    map_type { KEY = 0, VALUE = 1 }
    shape { DIMS = 0 }
    dim { VALUE = 0, DENOTATION = 1 }
    dim_value { KIND = 0, SIZE = 1, NAME = 2 }
    resolver { OPERATORS = 0 }
    operator { ID = 0, TYPES = 1 }
    kernel_type { NAME = 0, ARGUMENTS = 1 }
    argument { KIND = 0, INDEX = 1 }
}

/// Members of the union `TypeInfoValue`.
pub(super) mod kind {
    pub(in crate::ort) const TENSOR: u8 = 1;
    pub(in crate::ort) const SEQUENCE: u8 = 2;
    pub(in crate::ort) const MAP: u8 = 3;
}

/// `DimensionValueType`.
pub(super) mod size {
    pub(in crate::ort) const KNOWN: u8 = 1;
    pub(in crate::ort) const NAMED: u8 = 2;
}

/// `ArgType`.
pub(super) mod side {
    pub(in crate::ort) const INPUT: u8 = 0;
    pub(in crate::ort) const OUTPUT: u8 = 1;
}
