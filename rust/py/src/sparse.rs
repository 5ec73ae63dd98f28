//! Sparse tensors, and views of where their elements stand.

use std::sync::Arc;

use numpy::PyUntypedArray;
use ort_rs::runtime::Places;
use ort_rs::{DType, Tensor, Value};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::device::OrtDevice;
use crate::dtype::descr;
use crate::element::shape_of;
use crate::enums::ORT_SPARSE_FORMAT;
use crate::error::{Result, runtime_error};
use crate::{feed, fetch};

/// An array of mostly zeros, kept as its other elements and their places.
#[pyclass(module = "ort_rs", frozen)]
pub(crate) struct SparseTensor(pub(crate) Arc<ort_rs::SparseTensor>);

impl SparseTensor {
    fn made(sparse: ort_rs::Result<ort_rs::SparseTensor>) -> Result<Self> {
        sparse.map(|s| Self(Arc::new(s))).map_err(|e| runtime_error(e.to_string()))
    }
}

/// The tensor that `values` is, an array of numbers or text.
fn values_of(values: &Bound<'_, PyAny>) -> Result<Tensor> {
    feed::tensor(values.cast::<PyUntypedArray>()?)
}

/// The tensor of indices that `object` is: an array, a list or a tuple of whole numbers.
fn indices_of(object: &Bound<'_, PyAny>, dtype: DType) -> Result<Tensor> {
    let py = object.py();
    let array = py.import("numpy")?.call_method1("asarray", (object, descr(py, dtype)?))?;
    feed::tensor(array.cast()?)
}

/// An array over `tensor` that cannot be written to.
fn read_only<'py>(py: Python<'py>, tensor: &Tensor) -> Result<Bound<'py, PyAny>> {
    fetch::view(py, tensor, false)
}

fn lacks(format: &str) -> crate::error::Failure {
    runtime_error(format!("This sparse tensor does not contain {format} format"))
}

#[pymethods]
impl SparseTensor {
    /// The sparse tensor that `sparse_tensor` is, shared.
    #[new]
    fn new(sparse_tensor: &Bound<'_, PyAny>) -> PyResult<Self> {
        match sparse_tensor.cast::<Self>() {
            Ok(other) => Ok(Self(other.get().0.clone())),
            Err(_) => Err(PyValueError::new_err("`Provided object` needs to be of type `SparseTensor`")),
        }
    }

    /// The tensor of `dense_shape` with `values` at `coo_indices`: flat ones, or one row of coordinates each; both `int64`.
    #[staticmethod]
    fn sparse_coo_from_numpy(
        dense_shape: &Bound<'_, PyAny>,
        values: &Bound<'_, PyAny>,
        coo_indices: &Bound<'_, PyAny>,
        ort_device: &OrtDevice,
    ) -> Result<Self> {
        ort_device.check_host("allocate memory")?;
        let (values, indices) = (values_of(values)?, indices_of(coo_indices, DType::I64)?);
        Self::made(ort_rs::SparseTensor::coo(values, indices, shape_of(dense_shape)?))
    }

    /// The matrix of `dense_shape` with `values` in the columns `inner_indices`, whose rows begin at `outer_indices`; both `int64`.
    #[staticmethod]
    fn sparse_csr_from_numpy(
        dense_shape: &Bound<'_, PyAny>,
        values: &Bound<'_, PyAny>,
        inner_indices: &Bound<'_, PyAny>,
        outer_indices: &Bound<'_, PyAny>,
        ort_device: &OrtDevice,
    ) -> Result<Self> {
        ort_device.check_host("allocate memory")?;
        let (inner, outer) = (indices_of(inner_indices, DType::I64)?, indices_of(outer_indices, DType::I64)?);
        Self::made(ort_rs::SparseTensor::csr(values_of(values)?, inner, outer, shape_of(dense_shape)?))
    }

    /// The tensor of `dense_shape` with the blocks `values` at `indices`, `int32` of shape `[2, blocks]`.
    #[staticmethod]
    fn blocksparse_from_numpy(
        dense_shape: &Bound<'_, PyAny>,
        values: &Bound<'_, PyAny>,
        indices: &Bound<'_, PyAny>,
        ort_device: &OrtDevice,
    ) -> Result<Self> {
        ort_device.check_host("allocate memory")?;
        let (values, indices) = (values_of(values)?, indices_of(indices, DType::I32)?);
        Self::made(ort_rs::SparseTensor::blocks(values, indices, shape_of(dense_shape)?))
    }

    /// The sparse tensor itself: there is one class for both of ONNX Runtime's.
    fn _get_c_tensor(slf: Py<Self>) -> Py<Self> {
        slf
    }

    /// The elements that are not zero, in an array that cannot be written to.
    fn values<'py>(&self, py: Python<'py>) -> Result<Bound<'py, PyAny>> {
        read_only(py, &self.0.values)
    }

    /// The places as coordinates; `RuntimeError` in another format.
    fn as_coo_view(&self) -> Result<SparseCooView> {
        match &self.0.places {
            Places::Coo(indices) => Ok(SparseCooView(indices.clone())),
            _ => Err(lacks("COO")),
        }
    }

    /// The places as rows of a matrix; `RuntimeError` in another format.
    fn as_csrc_view(&self) -> Result<SparseCsrView> {
        match &self.0.places {
            Places::Csr { inner, outer } => Ok(SparseCsrView(inner.clone(), outer.clone())),
            _ => Err(lacks("CSR(C)")),
        }
    }

    /// The places of blocks; `RuntimeError` in another format.
    fn as_blocksparse_view(&self) -> Result<SparseBlockSparseView> {
        match &self.0.places {
            Places::Blocks(indices) => Ok(SparseBlockSparseView(indices.clone())),
            _ => Err(lacks("BlockSparse")),
        }
    }

    /// As `as_coo_view`.
    fn get_coo_data(&self) -> Result<SparseCooView> {
        self.as_coo_view()
    }

    /// As `as_csrc_view`.
    fn get_csrc_data(&self) -> Result<SparseCsrView> {
        self.as_csrc_view()
    }

    /// As `as_blocksparse_view`.
    fn get_blocksparse_data(&self) -> Result<SparseBlockSparseView> {
        self.as_blocksparse_view()
    }

    /// A copy on a GPU; `RuntimeError`, for this build keeps sparse tensors on the host.
    #[allow(clippy::unused_self)] // The method of an object in Python.
    fn to_cuda(&self, ort_device: &OrtDevice) -> Result<Self> {
        Err(runtime_error(format!("Cuda is not available in this build for sparse tensors ({ort_device:?})")))
    }

    /// How it keeps its places, an `OrtSparseFormat`.
    fn format<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        ORT_SPARSE_FORMAT.member(
            py,
            match self.0.places {
                Places::Coo(_) => 1,
                Places::Csr { .. } => 2,
                Places::Blocks(_) => 4,
            },
        )
    }

    /// The shape of the whole array.
    fn dense_shape(&self) -> Vec<usize> {
        self.0.shape.to_vec()
    }

    /// Its type, such as `sparse_tensor(float)`.
    fn data_type(&self) -> String {
        Value::Sparse(self.0.clone()).ty().to_string()
    }

    /// The kind of device that it lies on.
    #[allow(clippy::unused_self)] // The method of an object in Python.
    fn device_name(&self) -> &'static str {
        "cpu"
    }
}

/// Where the elements of a sparse tensor stand, as coordinates.
#[pyclass(module = "ort_rs", frozen)]
pub(crate) struct SparseCooView(Tensor);

#[pymethods]
impl SparseCooView {
    /// Flat indices, or one row of coordinates for each element: `int64`, in an array that cannot be written to.
    fn indices<'py>(&self, py: Python<'py>) -> Result<Bound<'py, PyAny>> {
        read_only(py, &self.0)
    }
}

/// Where the elements of a sparse matrix stand, row by row.
#[pyclass(module = "ort_rs", frozen)]
pub(crate) struct SparseCsrView(Tensor, Tensor);

#[pymethods]
impl SparseCsrView {
    /// The column of each element: `int64`, in an array that cannot be written to.
    fn inner<'py>(&self, py: Python<'py>) -> Result<Bound<'py, PyAny>> {
        read_only(py, &self.0)
    }

    /// Where each row begins among the elements: `int64`, in an array that cannot be written to.
    fn outer<'py>(&self, py: Python<'py>) -> Result<Bound<'py, PyAny>> {
        read_only(py, &self.1)
    }
}

/// Where the blocks of a sparse matrix stand.
#[pyclass(module = "ort_rs", frozen)]
pub(crate) struct SparseBlockSparseView(Tensor);

#[pymethods]
impl SparseBlockSparseView {
    /// The rows of the blocks, then their columns: `int32`, in an array that cannot be written to.
    fn indices<'py>(&self, py: Python<'py>) -> Result<Bound<'py, PyAny>> {
        read_only(py, &self.0)
    }
}
