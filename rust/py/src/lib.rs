//! The Python face of ort_rs: ONNX Runtime's names over the Rust runtime, and nothing that computes.

mod adapter;
mod affinities;
mod allocator;
mod array;
mod assignment;
mod background;
mod cli;
mod config;
mod core_session;
mod cuda_libraries;
mod cuda_value;
mod custom_op;
mod device;
mod dlpack;
mod doctor;
mod dtype;
mod element;
mod enums;
mod environment;
mod ep_device;
mod error;
mod feed;
mod fetch;
mod flag;
mod insight;
mod interrupt;
mod io_binding;
mod loaded;
mod locator;
mod memory_info;
mod model_config;
mod node_arg;
mod origin;
mod ort_value;
mod ort_value_vector;
mod pickle;
mod providers;
mod quantize;
mod refusals;
mod registry;
mod run_async;
mod run_options;
mod session;
mod session_options;
mod sparse;
mod text;
mod tuning;

use pyo3::prelude::*;

/// The native module of the package `ort_rs`.
#[pymodule(gil_used = false)]
mod _core {
    #[pymodule_export]
    use crate::adapter::{AdapterFormat, LoraAdapter};
    #[pymodule_export]
    use crate::allocator::{create_and_register_allocator, create_and_register_allocator_v2};
    #[pymodule_export]
    use crate::assignment::{OrtEpAssignedNode, OrtEpAssignedSubgraph};
    #[pymodule_export]
    use crate::cli::cli;
    #[pymodule_export]
    use crate::core_session::CoreSession;
    #[pymodule_export]
    use crate::custom_op::CustomOp;
    #[pymodule_export]
    use crate::device::OrtDevice;
    #[pymodule_export]
    use crate::doctor::diagnose;
    #[pymodule_export]
    use crate::environment::{
        get_all_providers, get_available_providers, get_build_info, get_device, get_version_string, model_metadata,
        set_default_logger_severity, set_default_logger_verbosity, set_global_thread_pool_sizes, set_seed,
    };
    #[pymodule_export]
    use crate::ep_device::{OrtEpDevice, OrtHardwareDevice, get_ep_devices};
    #[pymodule_export]
    use crate::error::{
        DeviceReset, EPFail, EngineError, Fail, InvalidArgument, InvalidGraph, InvalidProtobuf, ModelLoadCanceled, ModelLoaded,
        ModelRequiresCompilation, NoModel, NoSuchFile, NotFound, NotImplemented, RuntimeException,
    };
    #[pymodule_export]
    use crate::insight::{BadNode, ExplainedNode, Explanation, MemoryUse, Spending, Spent, Statistics};
    #[pymodule_export]
    use crate::io_binding::{IOBinding, SessionIOBinding};
    #[pymodule_export]
    use crate::memory_info::{OrtArenaCfg, OrtMemoryInfo};
    #[pymodule_export]
    use crate::node_arg::{ModelMetadata, NodeArg};
    #[pymodule_export]
    use crate::ort_value::{OrtValue, copy_tensors, is_dlpack_uint8_tensor};
    #[pymodule_export]
    use crate::ort_value_vector::OrtValueVector;
    #[pymodule_export]
    use crate::providers::check_and_normalize_provider_args;
    #[pymodule_export]
    use crate::quantize::{
        pack_fp4_weights_for_cuda_moe_gemm, quantize_matmul_2bits, quantize_matmul_4bits, quantize_matmul_8bits, quantize_matmul_bnb4,
        quantize_qdq_matmul_2bits, quantize_qdq_matmul_4bits,
    };
    #[pymodule_export]
    use crate::registry::registered_operators;
    #[pymodule_export]
    use crate::run_async::Running;
    #[pymodule_export]
    use crate::run_options::RunOptions;
    #[pymodule_export]
    use crate::session::{InferenceSession, Session};
    #[pymodule_export]
    use crate::session_options::SessionOptions;
    #[pymodule_export]
    use crate::sparse::{SparseBlockSparseView, SparseCooView, SparseCsrView, SparseTensor};

    #[pymodule_export]
    #[allow(non_upper_case_globals)] // The name that Python packages use.
    const __version__: &str = env!("CARGO_PKG_VERSION");
}
