//! The devices that providers can use, and who among them a session is to use.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use ort_rs::{Error, ErrorKind, Metadata};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::enums::{ORT_DEVICE_MEMORY_TYPE, ORT_HARDWARE_DEVICE_TYPE};
use crate::environment::environment;
use crate::error::{Result, runtime_error};
use crate::memory_info::OrtMemoryInfo;

/// How many devices a delegate may choose, as in ONNX Runtime.
const MOST: usize = 8;

/// A piece of hardware.
#[pyclass(module = "ort_rs", frozen)]
pub(crate) struct OrtHardwareDevice {
    kind: i32,
    vendor: String,
    vendor_id: u32,
}

#[pymethods]
impl OrtHardwareDevice {
    /// What kind of hardware it is, an `OrtHardwareDeviceType`.
    #[getter]
    fn r#type<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        ORT_HARDWARE_DEVICE_TYPE.member(py, self.kind)
    }

    /// Who made it.
    #[getter]
    fn vendor(&self) -> &str {
        &self.vendor
    }

    /// The number of its maker on the PCI bus; 0 when it is not known.
    #[getter]
    fn vendor_id(&self) -> u32 {
        self.vendor_id
    }

    /// Which device of its maker it is.
    #[getter]
    #[allow(clippy::unused_self)] // The property of an object in Python.
    fn device_id(&self) -> u32 {
        0
    }

    /// What else is known of it.
    #[getter]
    #[allow(clippy::unused_self)] // The property of an object in Python.
    fn metadata(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }
}

/// A piece of hardware as a provider uses it.
#[pyclass(module = "ort_rs", frozen)]
pub(crate) struct OrtEpDevice {
    provider: String,
    hardware: Py<OrtHardwareDevice>,
}

impl OrtEpDevice {
    /// The name of the provider.
    pub(crate) fn provider(&self) -> &str {
        &self.provider
    }
}

#[pymethods]
impl OrtEpDevice {
    /// The name of the provider.
    #[getter]
    fn ep_name(&self) -> &str {
        &self.provider
    }

    /// Who made the provider.
    #[getter]
    #[allow(clippy::unused_self)] // The property of an object in Python.
    fn ep_vendor(&self) -> &'static str {
        "ort_rs"
    }

    /// What else the provider says of itself: its `version`.
    #[getter]
    #[allow(clippy::unused_self)] // The property of an object in Python.
    fn ep_metadata(&self) -> BTreeMap<&'static str, &'static str> {
        BTreeMap::from([("version", env!("CARGO_PKG_VERSION"))])
    }

    /// The options that make the provider use the hardware.
    #[getter]
    #[allow(clippy::unused_self)] // The property of an object in Python.
    fn ep_options(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }

    /// The hardware.
    #[getter]
    fn device(&self, py: Python<'_>) -> Py<OrtHardwareDevice> {
        self.hardware.clone_ref(py)
    }

    /// The memory of the hardware that is of the given kind, an `OrtDeviceMemoryType`; `None` for the CPU, which has no other than the
    /// host's.
    #[allow(clippy::unused_self)] // The method of an object in Python.
    fn memory_info(&self, memory_type: &Bound<'_, PyAny>) -> PyResult<Option<OrtMemoryInfo>> {
        ORT_DEVICE_MEMORY_TYPE.number(memory_type)?;
        Ok(None)
    }

    /// A stream of work on the hardware; `RuntimeError`, for the CPU has none.
    #[allow(clippy::unused_self)] // The method of an object in Python.
    fn create_sync_stream(&self) -> Result<()> {
        Err(runtime_error("ep_device does not use DEFAULT memory of a non-CPU device."))
    }
}

/// The maker of the CPU and its number on the PCI bus.
fn cpu_vendor() -> (String, u32) {
    static VENDOR: OnceLock<(String, u32)> = OnceLock::new();
    let find = || {
        let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        match info.lines().find_map(|line| line.strip_prefix("vendor_id")?.split_once(':')).map(|(_, name)| name.trim()) {
            Some("GenuineIntel") => ("Intel".to_owned(), 0x8086),
            Some("AuthenticAMD") => ("AMD".to_owned(), 0x1022),
            Some(other) => (other.to_owned(), 0),
            None => (std::env::consts::ARCH.to_owned(), 0),
        }
    };
    VENDOR.get_or_init(find).clone()
}

/// The devices that the providers of this build can use.
#[pyfunction]
pub(crate) fn get_ep_devices(py: Python<'_>) -> Result<Vec<Py<OrtEpDevice>>> {
    let device = |provider: String| {
        let (vendor, vendor_id) = cpu_vendor();
        let hardware = Py::new(py, OrtHardwareDevice { kind: 0, vendor, vendor_id })?;
        Py::new(py, OrtEpDevice { provider, hardware })
    };
    let on_cpu = environment()?.providers().into_iter().filter(|name| name == "CPUExecutionProvider");
    Ok(on_cpu.map(device).collect::<PyResult<_>>()?)
}

/// Who chooses the devices of a session.
#[derive(Clone)]
pub(crate) enum Selection {
    /// The runtime, by a policy.
    Policy,
    /// A function of the program.
    Delegate(Arc<Py<PyAny>>),
}

impl Selection {
    /// The providers of the devices that are chosen for a model with `metadata`.
    ///
    /// # Errors
    /// `Fail` when the delegate fails, or chooses nothing.
    pub(crate) fn providers(&self, py: Python<'_>, metadata: &Metadata) -> Result<Vec<String>> {
        let Self::Delegate(delegate) = self else { return Ok(Vec::new()) };
        let failed = |text: String| Error::new(ErrorKind::Fail, text);
        let devices = PyList::new(py, get_ep_devices(py)?)?;
        let about = BTreeMap::from([
            ("doc_string", metadata.description.clone()),
            ("domain", metadata.domain.clone()),
            ("graph_description", metadata.graph_description.clone()),
            ("graph_name", metadata.graph_name.clone()),
            ("model_version", metadata.version.to_string()),
            ("producer_name", metadata.producer_name.clone()),
            ("producer_version", metadata.producer_version.clone()),
        ]);
        let chosen = delegate.bind(py).call1((devices, about, PyDict::new(py), MOST));
        let chosen = chosen.and_then(|c| c.extract::<Vec<Py<OrtEpDevice>>>());
        let chosen = chosen.map_err(|e| failed(format!("EP selection delegate failed: {e}")))?;
        if chosen.is_empty() {
            return Err(failed("EP selection delegate did not select anything.".to_owned()).into());
        }
        Ok(chosen.iter().map(|device| device.get().provider.clone()).collect())
    }
}
