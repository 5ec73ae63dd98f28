//! The tensors of a model file as tensors of ours, borrowed from the file where that can be.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use base::{Buffer, DType, ErrorKind, Layout, Result, Shape, SparseTensor, Strings, Tensor, bail, ensure, error};
use proto::{ModelFolder, SparseTensorProto, TensorData, TensorProto};

/// Tensors below this size are copied: a page of the file each would cost more.
const WORTH_BORROWING: usize = 4096;

/// Turns the tensors of a model into tensors of ours.
pub(crate) struct Weights {
    /// The file that the model was read from, if it was one.
    file: Option<Arc<Buffer>>,
    folder: Option<ModelFolder>,
    /// External files that are open.
    external: HashMap<PathBuf, Arc<Buffer>>,
    map: bool,
}

impl Weights {
    pub(crate) fn new(file: Option<Arc<Buffer>>, folder: Option<ModelFolder>, map: bool) -> Self {
        Self { file, folder, external: HashMap::new(), map }
    }

    /// The tensor that `proto` holds or points to.
    ///
    /// # Errors
    /// `Fail` and others when its data is not that of its type and shape, or lies outside the model's folder.
    pub(crate) fn tensor(&mut self, proto: &TensorProto<'_>) -> Result<Tensor> {
        let (dtype, shape) = (proto.dtype()?, Shape::from(proto.shape()?));
        match proto.data()? {
            TensorData::Bytes(bytes) => match self.place_in_file(&bytes) {
                Some((file, offset)) if can_borrow(dtype, &file, offset, bytes.len()) => {
                    Tensor::new(dtype, shape, Layout::Dense, file, offset)
                }
                _ => Tensor::from_bytes(dtype, shape, &bytes),
            },
            TensorData::Strings(strings) => {
                let text = |s: &[u8]| {
                    String::from_utf8(s.to_vec()).map_err(|_| error!(Fail, "tensor '{}' holds a string that is not UTF-8", proto.name))
                };
                let strings = strings.iter().map(|s| text(s)).collect::<Result<Vec<String>>>()?;
                Tensor::from_strings(shape, strings.iter().collect::<Strings>())
            }
            TensorData::External(_) => self.external(proto, dtype, shape),
        }
    }

    fn external(&mut self, proto: &TensorProto<'_>, dtype: DType, shape: Shape) -> Result<Tensor> {
        let Some(folder) = &self.folder else {
            bail!(Fail, "tensor '{}' has external data, but the model came as bytes and has no folder", proto.name);
        };
        let range = folder.locate(proto)?;
        let file = match self.external.get(&range.path) {
            Some(file) => file.clone(),
            None => {
                let file = base::file::open(&range.path, self.map)?;
                self.external.insert(range.path.clone(), file.clone());
                file
            }
        };
        let (offset, length) = (range.offset as usize, range.length as usize);
        let needed = Shape::checked_len(&shape).and_then(|n| dtype.bytes_of(n));
        ensure!(needed == Some(length), Fail, "tensor '{}' of {dtype}{shape} cannot have {length} bytes of external data", proto.name);
        if can_borrow(dtype, &file, offset, length) {
            return Tensor::new(dtype, shape, Layout::Dense, file, offset);
        }
        let bytes = file.bytes().and_then(|b| b.get(offset..offset.checked_add(length)?));
        let bytes = bytes.ok_or_else(|| error!(Fail, "external data of tensor '{}' lies outside its file", proto.name))?;
        Tensor::from_bytes(dtype, shape, bytes)
    }

    /// The sparse tensor that `proto` holds.
    ///
    /// # Errors
    /// As [`tensor`](Self::tensor); `InvalidGraph` when values and indices disagree.
    pub(crate) fn sparse(&mut self, proto: &SparseTensorProto<'_>) -> Result<SparseTensor> {
        let (Some(values), Some(indices)) = (&proto.values, &proto.indices) else {
            bail!(InvalidGraph, "a sparse tensor needs values and indices");
        };
        let size = |&d: &i64| usize::try_from(d).map_err(|_| error!(InvalidGraph, "a sparse tensor has dimension {d}"));
        let shape = proto.dims.iter().map(size).collect::<Result<Shape>>()?;
        let sparse = SparseTensor::coo(self.tensor(values)?, self.tensor(indices)?, shape);
        sparse.map_err(|e| e.with_kind(ErrorKind::InvalidGraph))
    }

    /// Where `bytes` lie in the model file, if they do.
    fn place_in_file(&self, bytes: &[u8]) -> Option<(Arc<Buffer>, usize)> {
        let file = self.file.as_ref()?;
        let whole = file.bytes()?;
        let offset = (bytes.as_ptr() as usize).checked_sub(whole.as_ptr() as usize)?;
        (offset.checked_add(bytes.len())? <= whole.len()).then(|| (file.clone(), offset))
    }
}

/// Whether a tensor may use the bytes of a file as they lie: aligned, worth it, and of a type that every bit pattern is valid for.
fn can_borrow(dtype: DType, file: &Buffer, offset: usize, length: usize) -> bool {
    let align = dtype.size().unwrap_or(1).min(8);
    length >= WORTH_BORROWING && dtype != DType::Bool && (file.address() as usize).wrapping_add(offset).is_multiple_of(align)
}
