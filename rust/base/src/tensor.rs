//! Owned tensors: an element type, a shape, a layout, and a share of a buffer.

use std::fmt;
use std::sync::Arc;

use crate::{Buffer, DType, Element, Foreign, Layout, Memory, Result, Shape, Strings, TensorMut, TensorRef, ensure, error};

/// An array of elements of one type. Cloning shares the buffer.
#[derive(Clone)]
pub struct Tensor {
    dtype: DType,
    shape: Shape,
    layout: Layout,
    buffer: Arc<Buffer>,
    /// Where the first element lies in the buffer, in bytes.
    offset: usize,
}

impl Tensor {
    /// A tensor over a part of `buffer`, its first element at byte `offset`.
    ///
    /// # Errors
    /// `InvalidArgument` when the buffer does not hold every element or the address is not aligned for the type.
    pub fn new(dtype: DType, shape: Shape, layout: Layout, buffer: Arc<Buffer>, offset: usize) -> Result<Self> {
        let tensor = Self { dtype, shape, layout, buffer, offset };
        tensor.check()?;
        Ok(tensor)
    }

    fn check(&self) -> Result<()> {
        let Self { dtype, shape, layout, buffer, offset } = self;
        let overflow = || error!(InvalidArgument, "a {dtype} tensor of shape {shape} is too large");
        let len = Shape::checked_len(shape).ok_or_else(overflow)?;
        if let Some(strings) = buffer.strings() {
            ensure!(*dtype == DType::String, InvalidArgument, "a buffer of strings cannot hold {dtype}");
            ensure!(strings.len() == len && *offset == 0, InvalidArgument, "{} strings cannot fill shape {shape}", strings.len());
            return Ok(());
        }
        ensure!(*dtype != DType::String, InvalidArgument, "a string tensor needs a buffer of strings");
        let Some((low, high)) = layout.extent(shape) else { return Ok(()) };
        let (low, high) = (low.unsigned_abs(), high.unsigned_abs());
        let (before, after) = match dtype.size() {
            Some(size) => (low.checked_mul(size).ok_or_else(overflow)?, high.checked_add(1).and_then(|n| n.checked_mul(size))),
            None => (0, dtype.bytes_of(len)),
        };
        let end = after.and_then(|n| n.checked_add(*offset)).ok_or_else(overflow)?;
        ensure!(
            before <= *offset && end <= buffer.len(),
            InvalidArgument,
            "a {dtype} tensor of shape {shape} needs {} bytes at {offset} of a buffer that has {}",
            end - offset,
            buffer.len()
        );
        let align = dtype.size().unwrap_or(1).min(8);
        // The copy of what is stored will be aligned; asking for its address would make it.
        let start = if matches!(**buffer, Buffer::Stored(_)) { 0 } else { buffer.address() as usize };
        ensure!(
            start.wrapping_add(*offset).is_multiple_of(align),
            InvalidArgument,
            "the bytes of a {dtype} tensor are not aligned to {align}"
        );
        Ok(())
    }

    /// A dense tensor of zeros; a string tensor of empty strings.
    ///
    /// # Errors
    /// `Fail` when the memory cannot be had.
    pub fn zeros(dtype: DType, shape: impl Into<Shape>) -> Result<Self> {
        let shape = shape.into();
        if dtype == DType::String {
            let len = Shape::checked_len(&shape).unwrap_or(usize::MAX);
            return Self::from_strings(shape, Strings::gather(std::iter::repeat_n("", len))?);
        }
        let bytes = Self::byte_count(dtype, &shape)?;
        Self::new(dtype, shape, Layout::Dense, Arc::new(Buffer::zeroed(bytes)?), 0)
    }

    fn byte_count(dtype: DType, shape: &Shape) -> Result<usize> {
        Shape::checked_len(shape)
            .and_then(|len| dtype.bytes_of(len))
            .ok_or_else(|| error!(InvalidArgument, "a {dtype} tensor of shape {shape} is too large"))
    }

    /// A dense tensor that holds a copy of `data`.
    ///
    /// # Errors
    /// `InvalidArgument` when the number of elements is not that of the shape.
    pub fn from_slice<T: Element>(shape: impl Into<Shape>, data: &[T]) -> Result<Self> {
        // SAFETY: elements are plain data without padding, so they may be read as bytes.
        let bytes = unsafe { std::slice::from_raw_parts(data.as_ptr().cast::<u8>(), size_of_val(data)) };
        let shape = shape.into();
        ensure!(Shape::checked_len(&shape) == Some(data.len()), InvalidArgument, "{} elements cannot fill shape {shape}", data.len());
        Self::new(T::DTYPE, shape, Layout::Dense, Arc::new(Buffer::copy_of(bytes)?), 0)
    }

    /// A dense tensor of the elements of `data`, which are not copied unless they lie where the runtime cannot read them.
    ///
    /// # Errors
    /// `InvalidArgument` when the number of elements is not that of the shape.
    pub fn from_vec<T: Element>(shape: impl Into<Shape>, data: Vec<T>) -> Result<Self> {
        let shape = shape.into();
        ensure!(Shape::checked_len(&shape) == Some(data.len()), InvalidArgument, "{} elements cannot fill shape {shape}", data.len());
        if !(data.as_ptr() as usize).is_multiple_of(size_of::<T>().min(8)) {
            return Self::from_slice(shape, &data);
        }
        let (address, bytes) = (data.as_ptr().cast(), size_of_val(data.as_slice()));
        // SAFETY: the vector, which nobody else can reach, keeps its elements where they are until the buffer drops it.
        let buffer = Buffer::Foreign(unsafe { Foreign::new(address, bytes, Box::new(data)) });
        Self::new(T::DTYPE, shape, Layout::Dense, Arc::new(buffer), 0)
    }

    /// A dense tensor that holds a copy of `bytes`, which are its elements as they are stored (little-endian, packed types packed).
    ///
    /// # Errors
    /// `InvalidArgument` when the number of bytes is not that of type and shape, or a boolean is neither 0 nor 1.
    pub fn from_bytes(dtype: DType, shape: impl Into<Shape>, bytes: &[u8]) -> Result<Self> {
        let shape = shape.into();
        let needed = Self::byte_count(dtype, &shape)?;
        ensure!(bytes.len() == needed, InvalidArgument, "a {dtype} tensor of shape {shape} takes {needed} bytes, not {}", bytes.len());
        if dtype == DType::Bool {
            check_bools(bytes)?;
        }
        Self::new(dtype, shape, Layout::Dense, Arc::new(Buffer::copy_of(bytes)?), 0)
    }

    /// A tensor of strings.
    ///
    /// # Errors
    /// `InvalidArgument` when their number is not that of the shape.
    pub fn from_strings(shape: impl Into<Shape>, strings: Strings) -> Result<Self> {
        Self::new(DType::String, shape.into(), Layout::Dense, Arc::new(Buffer::Strings(strings)), 0)
    }

    /// A tensor of no axes that holds `value`.
    pub fn scalar<T: Element>(value: T) -> Result<Self> {
        Self::from_slice(Shape::scalar(), &[value])
    }

    /// An owned, dense copy of a borrowed tensor of the host.
    ///
    /// # Errors
    /// `Fail` when it lies on a device, or has a blocked layout.
    pub fn copy_of(source: TensorRef<'_>) -> Result<Self> {
        if let Ok(strings) = source.strings() {
            return Self::from_strings(source.shape(), strings.clone());
        }
        if source.layout().is_dense(source.shape()) {
            let buffer = Buffer::copy_of(source.bytes()?)?;
            return Self::new(source.dtype(), source.shape().into(), Layout::Dense, Arc::new(buffer), 0);
        }
        let mut copy = Self::zeros(source.dtype(), source.shape())?;
        crate::copy::copy(source, copy.as_mut()?)?;
        Ok(copy)
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The sizes of the axes, outermost first.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// How the elements lie.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The storage that holds the elements, perhaps among others.
    pub fn buffer(&self) -> &Arc<Buffer> {
        &self.buffer
    }

    /// Where the first element lies in the buffer, in bytes.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// The memory it lies in.
    pub fn memory(&self) -> Memory {
        self.buffer.memory()
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it has no elements.
    pub fn is_empty(&self) -> bool {
        self.shape.contains(&0)
    }

    /// The address of the first element in its memory.
    pub fn address(&self) -> *const u8 {
        self.buffer.address().wrapping_add(self.offset)
    }

    /// The stored bytes of a dense tensor where they lie now, which need not be aligned for its type.
    ///
    /// # Errors
    /// As [`TensorRef::bytes`].
    pub fn unaligned_bytes(&self) -> Result<&[u8]> {
        match &*self.buffer {
            Buffer::Stored(stored) if stored.copied().is_none() && self.layout.is_dense(&self.shape) => {
                let bytes = self.dtype.bytes_of(self.len()).and_then(|len| stored.in_file().get(self.offset..)?.get(..len));
                bytes.ok_or_else(|| error!(Fail, "the file does not hold every element of {self:?}"))
            }
            _ => self.as_ref().bytes(),
        }
    }

    /// The tensor for whoever reads its elements once: with a copy of them that goes with it, if they would be copied to stay.
    ///
    /// # Errors
    /// `Fail` when the memory cannot be had.
    pub fn resident(&self) -> Result<Self> {
        match &*self.buffer {
            Buffer::Stored(stored) if stored.copied().is_none() => {
                let buffer = Arc::new(Buffer::copy_of(stored.in_file())?);
                Ok(Self { buffer, ..self.clone() })
            }
            _ => Ok(self.clone()),
        }
    }

    /// Lets go of the memory that a file's pages take for the elements; they are read anew when somebody needs them.
    pub fn release(&self) {
        if let Some(bytes) = self.dtype.bytes_of(self.len()).filter(|_| self.layout.is_dense(&self.shape)) {
            self.buffer.release(self.offset..self.offset.saturating_add(bytes));
        }
    }

    /// The tensor, borrowed for reading.
    pub fn as_ref(&self) -> TensorRef<'_> {
        match &*self.buffer {
            Buffer::Strings(strings) => TensorRef::of_strings(&self.shape, strings),
            Buffer::Stored(stored) if self.offset == 0 => {
                // SAFETY: `new` checked that every element lies in the buffer; its copy is aligned.
                unsafe { TensorRef::of_stored(self.dtype, &self.shape, &self.layout, stored) }
            }
            // SAFETY: `new` checked that every element lies in the buffer, aligned; the buffer is not written while shared.
            _ => unsafe { TensorRef::new(self.dtype, &self.shape, &self.layout, self.memory(), self.address()) },
        }
    }

    /// The tensor, borrowed for writing.
    ///
    /// # Errors
    /// `Fail` when its buffer is shared, or is not the host's own.
    pub fn as_mut(&mut self) -> Result<TensorMut<'_>> {
        let buffer = Arc::get_mut(&mut self.buffer).ok_or_else(|| error!(Fail, "a shared tensor cannot be written"))?;
        let kind = format!("{buffer:?}");
        let bytes = buffer.bytes_mut().ok_or_else(|| error!(Fail, "a {kind} cannot be written"))?;
        let address = bytes.as_mut_ptr().wrapping_add(self.offset);
        // SAFETY: `new` checked that every element lies in the buffer, which `get_mut` proved to be ours alone.
        Ok(unsafe { TensorMut::new(self.dtype, &self.shape, &self.layout, Memory::HOST, address) })
    }

    /// The elements of a dense tensor.
    ///
    /// # Errors
    /// As [`TensorRef::slice`].
    pub fn slice<T: Element>(&self) -> Result<&[T]> {
        self.as_ref().slice()
    }

    /// The same elements under another shape.
    ///
    /// # Errors
    /// `InvalidArgument` when the number of elements differs; `Fail` when the tensor is not dense.
    pub fn reshaped(&self, shape: impl Into<Shape>) -> Result<Self> {
        let shape = shape.into();
        ensure!(self.layout.is_dense(&self.shape), Fail, "only a dense tensor can be reshaped");
        ensure!(Shape::checked_len(&shape) == Some(self.len()), InvalidArgument, "shape {} cannot become {shape}", self.shape);
        Ok(Self { shape, layout: Layout::Dense, ..self.clone() })
    }
}

/// Fails unless every byte is a boolean: anything but 0 and 1 would be undefined behaviour in typed code.
///
/// # Errors
/// `InvalidArgument` that says which byte.
pub fn check_bools(bytes: &[u8]) -> Result<()> {
    match bytes.iter().position(|&b| b > 1) {
        Some(i) => Err(error!(InvalidArgument, "element {i} of a bool tensor is {}, neither 0 nor 1", bytes[i])),
        None => Ok(()),
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.dtype, self.shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejects_what_the_buffer_cannot_hold() {
        let buffer = Arc::new(Buffer::zeroed(16).unwrap());
        assert!(Tensor::new(DType::F32, [4].into(), Layout::Dense, buffer.clone(), 0).is_ok());
        assert!(Tensor::new(DType::F32, [4].into(), Layout::Dense, buffer.clone(), 4).is_err());
        assert!(Tensor::new(DType::F32, [2].into(), Layout::Dense, buffer.clone(), 2).is_err(), "not aligned");
        let backwards = Layout::Strided(smallvec::smallvec![-1]);
        assert!(Tensor::new(DType::F32, [4].into(), backwards.clone(), buffer.clone(), 12).is_ok());
        assert!(Tensor::new(DType::F32, [4].into(), backwards, buffer.clone(), 8).is_err());
        assert!(Tensor::new(DType::String, [0].into(), Layout::Dense, buffer, 0).is_err());
        assert!(Tensor::zeros(DType::F32, [usize::MAX, usize::MAX]).is_err());
    }

    #[test]
    fn booleans_are_checked() {
        assert!(Tensor::from_bytes(DType::Bool, [2], &[1, 2]).is_err());
        assert_eq!(Tensor::from_bytes(DType::Bool, [2], &[1, 0]).unwrap().slice::<bool>().unwrap(), [true, false]);
    }

    #[test]
    fn vectors_are_taken_over() {
        let data = vec![1f64, 2.0, 3.0];
        let address = data.as_ptr();
        let t = Tensor::from_vec([3], data).unwrap();
        assert_eq!(t.address(), address.cast());
        assert_eq!(t.slice::<f64>().unwrap(), [1.0, 2.0, 3.0]);
        assert!(Tensor::from_vec([2], vec![1u8]).is_err());
        assert!(Tensor::from_vec([0], Vec::<half::f16>::new()).unwrap().is_empty());
        let complex = vec![num_complex::Complex::new(1f32, 2.0); 3];
        assert_eq!(Tensor::from_vec([3], complex.clone()).unwrap().slice::<num_complex::Complex<f32>>().unwrap(), complex);
    }

    #[test]
    fn shared_tensors_are_read_only() {
        let mut t = Tensor::zeros(DType::F32, [2]).unwrap();
        let shared = t.clone();
        assert!(t.as_mut().is_err());
        drop(shared);
        assert!(t.as_mut().is_ok());
    }
}
