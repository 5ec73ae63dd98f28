//! Devices: where memory lies, as ONNX Runtime numbers them.

use ort_rs::runtime::Memory;
use pyo3::exceptions::{PyException, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::cuda_value;
use crate::enums::ORT_DEVICE_VENDOR_ID;
use crate::error::{Result, runtime_error};

/// A kind of device by the name that programs write: its number, and its vendor where the name says it.
struct Kind {
    name: &'static str,
    number: i8,
    vendor: Option<u32>,
}

const fn kind(name: &'static str, number: i8, vendor: Option<u32>) -> Kind {
    Kind { name, number, vendor }
}

const NVIDIA: u32 = 0x10DE;

/// All kinds that have a name.
const KINDS: [Kind; 7] = [
    kind("cpu", 0, None),
    kind("cuda", 1, Some(NVIDIA)),
    kind("dml", 1, Some(0x1414)),
    kind("webgpu", 1, Some(0)),
    kind("gpu", 1, None),
    kind("cann", 3, Some(0x19E5)),
    kind("npu", 3, None),
];

/// Where memory lies: the kind of device, its number, its vendor, and which of its memories.
#[pyclass(module = "ort_rs", frozen, from_py_object)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OrtDevice {
    pub(crate) kind: i8,
    pub(crate) memory: i8,
    pub(crate) vendor: u32,
    pub(crate) id: i16,
}

impl OrtDevice {
    /// The memory of the host.
    pub(crate) const CPU: Self = Self { kind: 0, memory: 0, vendor: 0, id: 0 };

    /// The memory that it is: that of the host, or of a CUDA device.
    ///
    /// # Errors
    /// `RuntimeError` that says what `action` would need.
    pub(crate) fn memory(&self, action: &str) -> Result<Memory> {
        match (self.kind, self.memory, self.vendor) {
            (0, ..) => Ok(Memory::HOST),
            (1, 0, NVIDIA | 0) => cuda_value::memory(self.id, action),
            _ => Err(runtime_error(format!("Can't {action} on {}: ort_rs reaches the CPU and CUDA devices.", self.__repr__()))),
        }
    }

    /// Fails unless it is the host.
    ///
    /// # Errors
    /// `RuntimeError` that says what `action` would need.
    pub(crate) fn check_host(&self, action: &str) -> Result<()> {
        if self.memory(action)?.is_host() {
            return Ok(());
        }
        Err(runtime_error(format!("Can't {action} on {}: that is for the memory of the host.", self.__repr__())))
    }

    /// The device that a program names.
    ///
    /// # Errors
    /// A plain `Exception` for a kind that does not exist, as ONNX Runtime has it.
    pub(crate) fn named(name: &str, id: i16, vendor: i64) -> PyResult<Self> {
        let found = KINDS.iter().find(|k| k.name == name);
        let kind = found.ok_or_else(|| PyException::new_err(format!("Unsupported device type: {name}")))?;
        let vendor = u32::try_from(vendor).ok().or(kind.vendor).unwrap_or(0);
        Ok(Self { kind: kind.number, memory: 0, vendor, id })
    }

    /// The device that an argument is: one at hand, or a name with its number and vendor.
    ///
    /// # Errors
    /// As [`named`](Self::named); `TypeError` for anything else.
    pub(crate) fn of(device: &Bound<'_, PyAny>, id: i16, vendor: i64) -> PyResult<Self> {
        match device.cast::<Self>() {
            Ok(device) => Ok(device.get().clone()),
            Err(_) => Self::named(&device.extract::<String>()?, id, vendor),
        }
    }
}

#[pymethods]
impl OrtDevice {
    /// A device from another one, or from the numbers of its kind, its memory, (its vendor,) and itself.
    #[new]
    #[pyo3(signature = (*args))]
    fn new(args: &Bound<'_, PyTuple>) -> PyResult<Self> {
        let device = match args.len() {
            1 => match args.get_item(0)?.cast::<Self>() {
                Ok(device) => return Ok(device.get().clone()),
                Err(_) => return Err(PyValueError::new_err("`Provided object` needs to be of type `OrtDevice`")),
            },
            3 => {
                let (kind, memory, id) = args.extract()?;
                Self { kind, memory, vendor: 0, id }
            }
            4 => {
                let (kind, memory, vendor, id) = args.extract()?;
                Self { kind, memory, vendor, id }
            }
            n => return Err(PyTypeError::new_err(format!("OrtDevice is made of 1, 3 or 4 arguments, not {n}"))),
        };
        let known = matches!(device.memory, 0 | 5);
        if known { Ok(device) } else { Err(PyValueError::new_err(format!("Invalid memory type: {}", device.memory))) }
    }

    /// The device of the kind `ort_device_name` (`cpu`, `cuda`, `dml`, `cann`, `webgpu`, `gpu`, `npu`) with the number `device_id`.
    #[staticmethod]
    #[pyo3(
        signature = (ort_device_name, device_id, vendor_id=-1),
        text_signature = "(ort_device_name, device_id, vendor_id=-1)"
    )]
    fn make(ort_device_name: &str, device_id: i16, vendor_id: i64) -> PyResult<Self> {
        Self::named(ort_device_name, device_id, vendor_id)
    }

    /// The device itself: there is one class for both of ONNX Runtime's.
    fn _get_c_device(slf: Py<Self>) -> Py<Self> {
        slf
    }

    /// Which device of its kind it is.
    fn device_id(&self) -> i16 {
        self.id
    }

    /// The number of its kind: 0 for the CPU, 1 for a GPU, 2 for an FPGA, 3 for an NPU.
    fn device_type(&self) -> i8 {
        self.kind
    }

    /// Its vendor, an `OrtDeviceVendorId` where there is one.
    fn device_vendor_id<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match ORT_DEVICE_VENDOR_ID.member(py, self.vendor as i32) {
            Ok(member) => Ok(member),
            Err(_) => Ok(self.vendor.into_pyobject(py)?.into_any()),
        }
    }

    /// The number of its vendor on the PCI bus; 0 for none.
    fn vendor_id(&self) -> u32 {
        self.vendor
    }

    /// Which of its memories: 0 for its own, 5 for one that the host can touch.
    fn device_mem_type(&self) -> i8 {
        self.memory
    }

    /// Which of its memories: 0 for its own, 5 for one that the host can touch.
    fn mem_type(&self) -> i8 {
        self.memory
    }

    /// The number of the kind of CPUs.
    #[staticmethod]
    fn cpu() -> i8 {
        0
    }

    /// The number of the kind of GPUs, as a CUDA device.
    #[staticmethod]
    fn cuda() -> i8 {
        1
    }

    /// The number of the kind of GPUs.
    #[staticmethod]
    fn gpu() -> i8 {
        1
    }

    /// The number of the kind of GPUs, as a WebGPU device.
    #[staticmethod]
    fn webgpu() -> i8 {
        1
    }

    /// The number of the kind of FPGAs.
    #[staticmethod]
    fn fpga() -> i8 {
        2
    }

    /// The number of the kind of NPUs.
    #[staticmethod]
    fn npu() -> i8 {
        3
    }

    /// The number of the kind of NPUs, as a CANN device.
    #[staticmethod]
    fn cann() -> i8 {
        3
    }

    /// The number that ONNX Runtime has for DirectML devices.
    #[staticmethod]
    fn dml() -> i8 {
        4
    }

    /// The number of a device's own memory.
    #[staticmethod]
    fn default_memory() -> i8 {
        0
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other.cast::<Self>().is_ok_and(|other| other.get() == self)
    }

    fn __hash__(&self) -> isize {
        (self.kind as isize) << 24 | (self.id as isize) << 8 | self.memory as isize
    }

    fn __repr__(&self) -> String {
        format!("OrtDevice(type={}, memory={}, vendor=0x{:04X}, id={})", self.kind, self.memory, self.vendor, self.id)
    }
}
