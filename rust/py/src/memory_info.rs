//! Descriptions of memory and of allocators, as ONNX Runtime has them.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::device::OrtDevice;
use crate::enums::{ORT_ALLOCATOR_TYPE, ORT_DEVICE_MEMORY_TYPE, ORT_MEM_TYPE, ORT_MEMORY_INFO_DEVICE_TYPE};
use crate::error::{Result, runtime_error};

/// The value of `OrtDeviceMemoryType.HOST_ACCESSIBLE`.
const HOST_ACCESSIBLE: i8 = 5;
/// The value of `OrtMemType.CPU_OUTPUT`.
const CPU_OUTPUT: i32 = -1;
/// The value of `OrtAllocatorType.ORT_ARENA_ALLOCATOR`.
const ARENA: i32 = 1;

/// Memories that are known by their name: kind of device, memory, vendor.
const KNOWN: [(&str, i8, i8, u32); 6] = [
    ("Cpu", 0, 0, 0),
    ("Cuda", 1, 0, 0x10DE),
    ("CudaPinned", 1, HOST_ACCESSIBLE, 0x10DE),
    ("DML", 1, 0, 0x1414),
    ("QnnHtpShared", 0, HOST_ACCESSIBLE, 0x5143),
    ("WebGPU_Buf", 1, 0, 0),
];

/// A description of memory: where it lies, and how it is handed out.
#[pyclass(module = "ort_rs", frozen, from_py_object)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OrtMemoryInfo {
    name: String,
    allocator: i32,
    mem_type: i32,
    pub(crate) device: OrtDevice,
    alignment: usize,
}

impl OrtMemoryInfo {
    /// The memory that feeds and results of the CPU lie in.
    pub(crate) fn cpu() -> Self {
        Self { name: "Cpu".to_owned(), allocator: ARENA, mem_type: 0, device: OrtDevice::CPU, alignment: 0 }
    }

    /// The description in words, as ONNX Runtime writes it.
    pub(crate) fn text(&self) -> String {
        let OrtDevice { kind, memory, vendor, id } = self.device;
        format!(
            "OrtMemoryInfo:[name:{} OrtMemType:{} OrtAllocatorType:{} \
             Device:[DeviceType:{kind} MemoryType:{memory} VendorId:{vendor} DeviceId:{id} Alignment:{}]]",
            self.name, self.mem_type, self.allocator, self.alignment
        )
    }
}

#[pymethods]
impl OrtMemoryInfo {
    /// The memory called `name` (`Cpu`, `Cuda`, `CudaPinned`, `DML` …) of the device `id`.
    #[new]
    fn new(name: String, allocator_type: &Bound<'_, PyAny>, id: i16, mem_type: &Bound<'_, PyAny>) -> Result<Self> {
        let (allocator, mem_type) = (ORT_ALLOCATOR_TYPE.number(allocator_type)?, ORT_MEM_TYPE.number(mem_type)?);
        // The full name of WebGPU's memory has an older spelling.
        let short = if name == "WebGPU_Buffer" { "WebGPU_Buf" } else { &name };
        let Some((name, kind, memory, vendor)) = KNOWN.iter().find(|(known, ..)| *known == short) else {
            return Err(runtime_error("Specified device is not supported. Try CreateMemoryInfo_V2."));
        };
        // There is one CPU, whatever its number is said to be.
        let id = if (*kind, *memory) == (0, 0) { 0 } else { id };
        let device = OrtDevice { kind: *kind, memory: *memory, vendor: *vendor, id };
        Ok(Self { name: (*name).to_owned(), allocator, mem_type, device, alignment: 0 })
    }

    /// Any memory of any device; `alignment` in bytes.
    #[staticmethod]
    fn create_v2(
        name: String,
        device_type: &Bound<'_, PyAny>,
        vendor_id: u32,
        device_id: i16,
        device_mem_type: &Bound<'_, PyAny>,
        alignment: usize,
        allocator_type: &Bound<'_, PyAny>,
    ) -> PyResult<Self> {
        let kind = ORT_MEMORY_INFO_DEVICE_TYPE.number(device_type)? as i8;
        let memory = ORT_DEVICE_MEMORY_TYPE.number(device_mem_type)? as i8;
        let mem_type = if memory == HOST_ACCESSIBLE { CPU_OUTPUT } else { 0 };
        let device = OrtDevice { kind, memory, vendor: vendor_id, id: device_id };
        Ok(Self { name, allocator: ORT_ALLOCATOR_TYPE.number(allocator_type)?, mem_type, device, alignment })
    }

    /// Its name.
    #[getter]
    fn name(&self) -> &str {
        &self.name
    }

    /// Which device of its kind it belongs to.
    #[getter]
    fn device_id(&self) -> i16 {
        self.device.id
    }

    /// What it is for, an `OrtMemType`.
    #[getter]
    fn mem_type<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        ORT_MEM_TYPE.member(py, self.mem_type)
    }

    /// How it is handed out, an `OrtAllocatorType`.
    #[getter]
    fn allocator_type<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        ORT_ALLOCATOR_TYPE.member(py, self.allocator)
    }

    /// Which memory of the device it is, an `OrtDeviceMemoryType`.
    #[getter]
    fn device_mem_type<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        ORT_DEVICE_MEMORY_TYPE.member(py, self.device.memory.into())
    }

    /// The number of the device's vendor on the PCI bus; 0 for none.
    #[getter]
    fn device_vendor_id(&self) -> u32 {
        self.device.vendor
    }

    fn __repr__(&self) -> String {
        self.text()
    }
}

/// How an arena grows; -1 leaves a choice to the runtime.
///
/// The values are kept and read back. Memory of the CPU comes from the system's allocator and from memory that sessions plan and
/// keep, which need none of them.
#[pyclass(module = "ort_rs")]
pub(crate) struct OrtArenaCfg {
    /// The most bytes that the arena may take; 0 for no limit.
    #[pyo3(get, set)]
    max_mem: usize,
    /// 0 to double, 1 to take as much as is asked for.
    #[pyo3(get, set)]
    arena_extend_strategy: i64,
    /// Bytes of the first chunk.
    #[pyo3(get, set)]
    initial_chunk_size_bytes: i64,
    /// Bytes that a chunk may leave unused.
    #[pyo3(get, set)]
    max_dead_bytes_per_chunk: i64,
    /// Bytes of the first chunk after the arena has shrunk.
    #[pyo3(get, set)]
    initial_growth_chunk_size_bytes: i64,
    /// The most bytes by which a doubling arena grows at once.
    #[pyo3(get, set)]
    max_power_of_two_extend_bytes: i64,
}

impl Default for OrtArenaCfg {
    fn default() -> Self {
        Self {
            max_mem: 0,
            arena_extend_strategy: -1,
            initial_chunk_size_bytes: -1,
            max_dead_bytes_per_chunk: -1,
            initial_growth_chunk_size_bytes: -1,
            max_power_of_two_extend_bytes: -1,
        }
    }
}

#[pymethods]
impl OrtArenaCfg {
    /// From a dictionary of settings, or from `max_mem`, `arena_extend_strategy`, `initial_chunk_size_bytes` and
    /// `max_dead_bytes_per_chunk`.
    #[new]
    #[pyo3(signature = (*args))]
    fn new(args: &Bound<'_, PyTuple>) -> Result<Self> {
        if args.len() != 1 {
            let refuse = |_| PyTypeError::new_err("OrtArenaCfg takes a dictionary, or four whole numbers");
            let (max_mem, arena_extend_strategy, initial_chunk_size_bytes, max_dead_bytes_per_chunk) = args.extract().map_err(refuse)?;
            let given = Self { max_mem, arena_extend_strategy, initial_chunk_size_bytes, max_dead_bytes_per_chunk, ..Self::default() };
            return Ok(given);
        }
        let mut this = Self::default();
        for (key, value) in args.get_item(0)?.cast::<PyDict>()?.iter() {
            let key: String = key.extract()?;
            let refuse = |_| runtime_error(format!("OrtArenaCfg option {key} takes a whole number, not {}", value.get_type()));
            let place = match key.as_str() {
                "max_mem" => {
                    this.max_mem = value.extract().map_err(refuse)?;
                    continue;
                }
                "arena_extend_strategy" => &mut this.arena_extend_strategy,
                "initial_chunk_size_bytes" => &mut this.initial_chunk_size_bytes,
                "max_dead_bytes_per_chunk" => &mut this.max_dead_bytes_per_chunk,
                "initial_growth_chunk_size_bytes" => &mut this.initial_growth_chunk_size_bytes,
                "max_power_of_two_extend_bytes" => &mut this.max_power_of_two_extend_bytes,
                _ => return Err(runtime_error(format!("Invalid OrtArenaCfg option: {key}"))),
            };
            *place = value.extract().map_err(refuse)?;
        }
        Ok(this)
    }
}
