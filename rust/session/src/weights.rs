//! The tensors of a model file as tensors of ours, borrowed from the file where that can be.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use base::{Buffer, DType, ErrorKind, Layout, Result, Shape, SparseTensor, Strings, Tensor, Value, bail, ensure, error};
use proto::{ExternalData, ModelFolder, SparseTensorProto, TensorData, TensorProto};

use crate::Given;
use crate::external::{External, Places};

/// Tensors below this size are copied: a page of the file each would cost more.
const WORTH_BORROWING: usize = 4096;

/// Turns the tensors of a model into tensors of ours.
pub(crate) struct Weights {
    /// The file that the model was read from, if it was one.
    file: Option<Arc<Buffer>>,
    folder: Option<ModelFolder>,
    /// External files that are open.
    external: HashMap<PathBuf, Arc<Buffer>>,
    /// Tensors of attributes that were made already, by the address of their message.
    attributes: HashMap<usize, Tensor>,
    map: bool,
    given: Given,
    /// Which of the given external weights the model has.
    taken: HashSet<String>,
    /// Where the data of tensors lies that have it in files of their own, by their names.
    places: Places,
}

impl Weights {
    pub(crate) fn new(file: Option<Arc<Buffer>>, folder: Option<ModelFolder>, map: bool) -> Self {
        Self {
            file,
            folder,
            external: HashMap::new(),
            attributes: HashMap::new(),
            map,
            given: Given::default(),
            taken: HashSet::new(),
            places: Places::new(),
        }
    }

    /// Where the data of tensors lies that have it in files of their own.
    pub(crate) fn take_places(&mut self) -> Places {
        std::mem::take(&mut self.places)
    }

    /// With weights that the caller gives beside the model.
    pub(crate) fn with_given(self, given: Given) -> Self {
        Self { given, ..self }
    }

    /// The initializer that `proto` is, or what the caller gives in its place.
    ///
    /// # Errors
    /// As [`tensor`](Self::tensor); `InvalidArgument` when what is given is of another type or shape.
    pub(crate) fn initializer(&mut self, proto: &TensorProto<'_>) -> Result<Value> {
        let name = proto.name.as_str();
        let Some(given) = self.given.external.get(name).or_else(|| self.given.initializers.get(name)).cloned() else {
            return self.tensor(proto).map(Value::Tensor);
        };
        self.taken.insert(name.to_owned());
        let (dtype, shape) = (proto.dtype()?, Shape::from(proto.shape()?));
        let tensor = given.tensor()?;
        let fits = tensor.dtype() == dtype && *tensor.shape() == shape;
        ensure!(fits, InvalidArgument, "initializer '{name}' is {dtype}{shape}, but {tensor:?} is given in its place");
        Ok(given)
    }

    /// Fails unless the model has every initializer whose external data was given.
    ///
    /// # Errors
    /// `Fail` that names one it has not got.
    pub(crate) fn check_taken(&self) -> Result<()> {
        match self.given.external.keys().find(|name| !self.taken.contains(*name)) {
            Some(name) => bail!(Fail, "Custom external initializer: {name} is not found in the graph"),
            None => Ok(()),
        }
    }

    /// The tensor that `proto` holds or points to.
    ///
    /// # Errors
    /// `Fail` and others when its data is not that of its type and shape, or lies outside the model's folder.
    pub(crate) fn tensor(&mut self, proto: &TensorProto<'_>) -> Result<Tensor> {
        let (dtype, shape) = (proto.dtype()?, Shape::from(proto.shape()?));
        match proto.data()? {
            TensorData::Bytes(bytes) => match self.place_in_file(&bytes) {
                Some((file, offset)) if can_borrow(dtype, bytes.len()) => borrowed(dtype, shape, file, offset, bytes.len()),
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

    /// The tensor of an attribute, made once however often the function that it belongs to is called. The message outlives this.
    ///
    /// # Errors
    /// As [`tensor`](Self::tensor).
    pub(crate) fn attribute(&mut self, proto: &TensorProto<'_>) -> Result<Tensor> {
        let address = std::ptr::from_ref(proto) as usize;
        if let Some(made) = self.attributes.get(&address) {
            return Ok(made.clone());
        }
        let tensor = self.tensor(proto)?;
        self.attributes.insert(address, tensor.clone());
        Ok(tensor)
    }

    fn external(&mut self, proto: &TensorProto<'_>, dtype: DType, shape: Shape) -> Result<Tensor> {
        let data = ExternalData::of(proto)?;
        if let Some(file) = self.given.files.get(data.location).cloned() {
            let range = data.range(proto, file.len() as u64)?;
            return in_file(proto, dtype, shape, &file, range.start as usize, (range.end - range.start) as usize);
        }
        let Some(folder) = &self.folder else {
            bail!(Fail, "tensor '{}' has external data, but the model came as bytes and has no folder", proto.name);
        };
        let range = folder.locate(proto)?;
        let place = External { location: data.location.to_owned(), offset: range.offset, length: range.length };
        self.places.insert(proto.name.to_string(), place);
        let file = match self.external.get(&range.path) {
            Some(file) => file.clone(),
            None => {
                let file = base::file::open(&range.path, self.map)?;
                self.external.insert(range.path.clone(), file.clone());
                file
            }
        };
        in_file(proto, dtype, shape, &file, range.offset as usize, range.length as usize)
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

/// The tensor `proto` over `length` bytes of its external `file` from `offset` on.
fn in_file(proto: &TensorProto<'_>, dtype: DType, shape: Shape, file: &Arc<Buffer>, offset: usize, length: usize) -> Result<Tensor> {
    let needed = Shape::checked_len(&shape).and_then(|n| dtype.bytes_of(n));
    ensure!(needed == Some(length), Fail, "tensor '{}' of {dtype}{shape} cannot have {length} bytes of external data", proto.name);
    let bytes = file.bytes().and_then(|b| b.get(offset..offset.checked_add(length)?));
    let bytes = bytes.ok_or_else(|| error!(Fail, "external data of tensor '{}' lies outside its file", proto.name))?;
    if can_borrow(dtype, length) { borrowed(dtype, shape, file.clone(), offset, length) } else { Tensor::from_bytes(dtype, shape, bytes) }
}

/// Whether a tensor may use the bytes of a file: worth it, and of a type that every bit pattern is valid for.
fn can_borrow(dtype: DType, length: usize) -> bool {
    length >= WORTH_BORROWING && dtype != DType::Bool
}

/// The tensor whose elements are `length` bytes of `file`, used as they lie if they are aligned.
fn borrowed(dtype: DType, shape: Shape, file: Arc<Buffer>, offset: usize, length: usize) -> Result<Tensor> {
    let align = dtype.size().unwrap_or(1).min(8);
    if (file.address() as usize).wrapping_add(offset).is_multiple_of(align) {
        return Tensor::new(dtype, shape, Layout::Dense, file, offset);
    }
    let end = offset.checked_add(length).ok_or_else(|| error!(InvalidProtobuf, "a tensor ends beyond any file"))?;
    Tensor::new(dtype, shape, Layout::Dense, Arc::new(Buffer::stored(file, offset..end)?), 0)
}
