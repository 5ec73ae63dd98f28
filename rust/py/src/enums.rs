//! The enumerations of the package, which are Python's own: their members come from `ort_rs._enums`.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

/// An enumeration of `ort_rs._enums`, by its name.
pub(crate) struct Enumeration {
    name: &'static str,
    class: PyOnceLock<Py<PyType>>,
}

/// How far a graph is optimized.
pub(crate) static GRAPH_OPTIMIZATION_LEVEL: Enumeration = Enumeration::named("GraphOptimizationLevel");
/// Whether nodes run one after the other.
pub(crate) static EXECUTION_MODE: Enumeration = Enumeration::named("ExecutionMode");
/// In which order nodes run.
pub(crate) static EXECUTION_ORDER: Enumeration = Enumeration::named("ExecutionOrder");

/// How an allocator hands out memory.
pub(crate) static ORT_ALLOCATOR_TYPE: Enumeration = Enumeration::named("OrtAllocatorType");
/// What memory is for.
pub(crate) static ORT_MEM_TYPE: Enumeration = Enumeration::named("OrtMemType");
/// Whose memory of a device is meant.
pub(crate) static ORT_DEVICE_MEMORY_TYPE: Enumeration = Enumeration::named("OrtDeviceMemoryType");
/// The kinds of devices.
pub(crate) static ORT_MEMORY_INFO_DEVICE_TYPE: Enumeration = Enumeration::named("OrtMemoryInfoDeviceType");
/// The makers of devices.
pub(crate) static ORT_DEVICE_VENDOR_ID: Enumeration = Enumeration::named("OrtDeviceVendorId");
/// How a sparse tensor keeps its places.
pub(crate) static ORT_SPARSE_FORMAT: Enumeration = Enumeration::named("OrtSparseFormat");

/// The kinds of hardware.
pub(crate) static ORT_HARDWARE_DEVICE_TYPE: Enumeration = Enumeration::named("OrtHardwareDeviceType");
/// What devices are chosen for.
pub(crate) static ORT_EXECUTION_PROVIDER_DEVICE_POLICY: Enumeration = Enumeration::named("OrtExecutionProviderDevicePolicy");

impl Enumeration {
    const fn named(name: &'static str) -> Self {
        Self { name, class: PyOnceLock::new() }
    }

    fn class<'py>(&self, py: Python<'py>) -> PyResult<&Bound<'py, PyType>> {
        self.class.import(py, "ort_rs._enums", self.name)
    }

    /// The member whose value is `number`.
    pub(crate) fn member<'py>(&self, py: Python<'py>, number: i32) -> PyResult<Bound<'py, PyAny>> {
        self.class(py)?.call1((number,))
    }

    /// The value of `member`.
    ///
    /// # Errors
    /// `TypeError` when it is no member: a plain number is not taken, as ONNX Runtime takes none.
    pub(crate) fn number(&self, member: &Bound<'_, PyAny>) -> PyResult<i32> {
        if !member.is_instance(self.class(member.py())?)? {
            return Err(PyTypeError::new_err(format!("a {} is needed, not {}", self.name, member.get_type())));
        }
        member.getattr("value")?.extract()
    }
}
