//! Borrowed tensors: of a type known at run time ([`TensorRef`], [`TensorMut`]) or at compile time ([`View`], [`ViewMut`]).

use std::fmt;
use std::marker::PhantomData;

use crate::stored::Stored;
use crate::{DType, Element, Layout, Memory, Result, Shape, Strides, Strings, ensure};

/// A tensor borrowed for reading, its element type known at run time.
#[derive(Clone, Copy, Debug)]
pub struct TensorRef<'a> {
    dtype: DType,
    shape: &'a [usize],
    layout: &'a Layout,
    memory: Memory,
    place: Place<'a>,
}

/// Where elements are.
#[derive(Clone, Copy)]
enum Place<'a> {
    At(*const u8),
    Stored(&'a Stored),
    Strings(&'a Strings),
}

impl fmt::Debug for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(address) => write!(f, "{address:p}"),
            Self::Stored(_) => f.write_str("stored"),
            Self::Strings(_) => f.write_str("strings"),
        }
    }
}

impl<'a> TensorRef<'a> {
    /// A tensor of numbers whose first element is at `address`.
    ///
    /// # Safety
    /// For `'a`, `address` is aligned for `dtype` and every element that `shape` and `layout` reach lies in one live allocation
    /// of `memory`, initialized, valid for `dtype`, and written by nobody, except by the kernel that was given it in place.
    pub unsafe fn new(dtype: DType, shape: &'a [usize], layout: &'a Layout, memory: Memory, address: *const u8) -> Self {
        Self { dtype, shape, layout, memory, place: Place::At(address) }
    }

    /// A tensor of numbers that a file holds; its elements are copied when they are read.
    ///
    /// # Safety
    /// As for [`new`](Self::new), where the first element is the first of `stored`.
    pub(crate) unsafe fn of_stored(dtype: DType, shape: &'a [usize], layout: &'a Layout, stored: &'a Stored) -> Self {
        Self { dtype, shape, layout, memory: Memory::HOST, place: Place::Stored(stored) }
    }

    /// A tensor of strings.
    pub fn of_strings(shape: &'a [usize], strings: &'a Strings) -> Self {
        Self { dtype: DType::String, shape, layout: &Layout::Dense, memory: Memory::HOST, place: Place::Strings(strings) }
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The sizes of the axes, outermost first.
    pub fn shape(&self) -> &'a [usize] {
        self.shape
    }

    /// The number of axes.
    pub fn rank(&self) -> usize {
        self.shape.len()
    }

    /// How the elements lie.
    pub fn layout(&self) -> &'a Layout {
        self.layout
    }

    /// The memory it lies in.
    pub fn memory(&self) -> Memory {
        self.memory
    }

    /// The address of its first element in its memory.
    pub fn address(&self) -> *const u8 {
        match self.place {
            Place::At(address) => address,
            Place::Stored(stored) => stored.aligned().bytes().as_ptr(),
            Place::Strings(_) => std::ptr::NonNull::dangling().as_ptr(),
        }
    }

    /// The number of elements.
    #[allow(clippy::len_without_is_empty)] // `is_empty` follows.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it has no elements.
    pub fn is_empty(&self) -> bool {
        self.shape.contains(&0)
    }

    /// The stored bytes of a dense tensor, several elements to a byte for packed types.
    ///
    /// # Errors
    /// `Fail` when the tensor is not dense, lies on a device or holds strings.
    pub fn bytes(&self) -> Result<&'a [u8]> {
        self.check_host()?;
        ensure!(self.layout.is_dense(self.shape), Fail, "a dense tensor is needed, not {:?}", self.layout);
        let Some(len) = self.dtype.bytes_of(self.len()) else { crate::bail!(Fail, "a string tensor has no bytes") };
        // SAFETY: `new` demands that all elements of the shape lie in one live allocation.
        Ok(unsafe { std::slice::from_raw_parts(self.address(), len) })
    }

    /// The stored bytes of a tensor in dense or blocked layout, padding included.
    ///
    /// # Errors
    /// `Fail` when the tensor is strided, lies on a device or holds strings.
    pub fn stored<T: Element>(&self) -> Result<&'a [T]> {
        self.check::<T>()?;
        let strided = matches!(self.layout, Layout::Strided(_)) && !self.layout.is_dense(self.shape);
        ensure!(!strided, Fail, "a tensor without gaps is needed, not {:?}", self.layout);
        let len = self.layout.stored_len(self.shape).unwrap_or(0);
        // SAFETY: `new` demands that everything that shape and layout reach lies in one live allocation.
        Ok(unsafe { std::slice::from_raw_parts(self.address().cast(), len) })
    }

    /// The elements of a dense tensor.
    ///
    /// # Errors
    /// `Fail` when the type is not `T`, the tensor is not dense, or lies on a device.
    pub fn slice<T: Element>(&self) -> Result<&'a [T]> {
        self.check::<T>()?;
        ensure!(self.layout.is_dense(self.shape), Fail, "a dense tensor is needed, not {:?}", self.layout);
        // SAFETY: as for `bytes`; the type was checked.
        Ok(unsafe { std::slice::from_raw_parts(self.address().cast(), self.len()) })
    }

    /// The elements by index, strided or not.
    ///
    /// # Errors
    /// `Fail` when the type is not `T`, the layout is blocked, or the tensor lies on a device.
    pub fn view<T: Element>(&self) -> Result<View<'a, T>> {
        self.check::<T>()?;
        let Some(strides) = self.layout.strides(self.shape) else { crate::bail!(Fail, "a blocked tensor has no strides") };
        Ok(View { ptr: self.address().cast(), shape: self.shape, strides, lifetime: PhantomData })
    }

    /// The one element of a tensor that has exactly one.
    ///
    /// # Errors
    /// `InvalidArgument` when there are more or none, `Fail` when the type is not `T`.
    pub fn scalar<T: Element>(&self) -> Result<T> {
        ensure!(self.len() == 1, InvalidArgument, "one element is needed, not shape {}", Shape::from(self.shape));
        self.check::<T>()?;
        // SAFETY: there is one element and it is of type `T`.
        Ok(unsafe { self.address().cast::<T>().read() })
    }

    /// The elements of a tensor of integers (`int32` or `int64`) as `i64`.
    ///
    /// # Errors
    /// `Fail` when the type is neither, or the tensor is not dense or not the host's.
    pub fn ints(&self) -> Result<smallvec::SmallVec<[i64; 8]>> {
        match self.dtype {
            DType::I32 => Ok(self.slice::<i32>()?.iter().map(|&v| v.into()).collect()),
            _ => Ok(self.slice::<i64>()?.into()),
        }
    }

    /// The elements of a string tensor.
    ///
    /// # Errors
    /// `Fail` when the type is not string.
    pub fn strings(&self) -> Result<&'a Strings> {
        match self.place {
            Place::Strings(strings) => Ok(strings),
            _ => crate::bail!(Fail, "a tensor of strings is needed, not of {}", self.dtype),
        }
    }

    fn check_host(&self) -> Result<()> {
        ensure!(self.memory.is_host(), Fail, "a tensor on {} was given to code of the host", self.memory);
        Ok(())
    }

    fn check<T: Element>(&self) -> Result<()> {
        ensure!(self.dtype == T::DTYPE, Fail, "a tensor of {} is needed, not of {}", T::DTYPE, self.dtype);
        self.check_host()
    }
}

/// A tensor borrowed for writing, its element type known at run time.
#[derive(Debug)]
pub struct TensorMut<'a> {
    dtype: DType,
    shape: &'a [usize],
    layout: &'a Layout,
    memory: Memory,
    address: *mut u8,
    lifetime: PhantomData<&'a mut [u8]>,
}

impl<'a> TensorMut<'a> {
    /// A tensor of numbers whose first element is at `address`.
    ///
    /// # Safety
    /// As for [`TensorRef::new`], and nobody else reads or writes the elements for `'a`, except the kernel itself
    /// through an input that was given it in place.
    pub unsafe fn new(dtype: DType, shape: &'a [usize], layout: &'a Layout, memory: Memory, address: *mut u8) -> Self {
        Self { dtype, shape, layout, memory, address, lifetime: PhantomData }
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The sizes of the axes, outermost first.
    pub fn shape(&self) -> &'a [usize] {
        self.shape
    }

    /// How the elements lie.
    pub fn layout(&self) -> &'a Layout {
        self.layout
    }

    /// The memory it lies in.
    pub fn memory(&self) -> Memory {
        self.memory
    }

    /// The address of its first element in its memory.
    pub fn address(&self) -> *mut u8 {
        self.address
    }

    /// The number of elements.
    #[allow(clippy::len_without_is_empty)] // `is_empty` follows.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it has no elements.
    pub fn is_empty(&self) -> bool {
        self.shape.contains(&0)
    }

    /// The stored bytes of a dense tensor.
    ///
    /// # Errors
    /// As [`TensorRef::bytes`].
    pub fn bytes(self) -> Result<&'a mut [u8]> {
        let len = self.reader().bytes()?.len();
        // SAFETY: `new` demands that nobody else touches the elements; the reader found them dense and the host's.
        Ok(unsafe { std::slice::from_raw_parts_mut(self.address, len) })
    }

    /// The stored elements of a tensor in dense or blocked layout, padding included.
    ///
    /// # Errors
    /// As [`TensorRef::stored`].
    pub fn stored<T: Element>(self) -> Result<&'a mut [T]> {
        let len = self.reader().stored::<T>()?.len();
        // SAFETY: as for `bytes`; the reader checked type and layout.
        Ok(unsafe { std::slice::from_raw_parts_mut(self.address.cast(), len) })
    }

    /// The elements of a dense tensor.
    ///
    /// # Errors
    /// As [`TensorRef::slice`].
    pub fn slice<T: Element>(self) -> Result<&'a mut [T]> {
        let len = self.reader().slice::<T>()?.len();
        // SAFETY: as for `bytes`; the reader checked the type.
        Ok(unsafe { std::slice::from_raw_parts_mut(self.address.cast(), len) })
    }

    /// The elements by index, strided or not.
    ///
    /// # Errors
    /// As [`TensorRef::view`].
    pub fn view<T: Element>(self) -> Result<ViewMut<'a, T>> {
        let strides = self.reader().view::<T>()?.strides;
        Ok(ViewMut { ptr: self.address.cast(), shape: self.shape, strides, lifetime: PhantomData })
    }

    fn reader(&self) -> TensorRef<'a> {
        // SAFETY: the reader is used only for its checks and dies before anything is written.
        unsafe { TensorRef::new(self.dtype, self.shape, self.layout, self.memory, self.address) }
    }
}

/// Elements of type `T` by index, borrowed for reading.
#[derive(Clone, Debug)]
pub struct View<'a, T> {
    ptr: *const T,
    shape: &'a [usize],
    strides: Strides,
    lifetime: PhantomData<&'a [T]>,
}

// SAFETY: a `View` is a shared borrow of its elements, as `&[T]` is.
unsafe impl<T: Sync> Send for View<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for View<'_, T> {}

impl<'a, T: Element> View<'a, T> {
    /// The sizes of the axes, outermost first.
    pub fn shape(&self) -> &'a [usize] {
        self.shape
    }

    /// The stride of each axis, in elements.
    pub fn strides(&self) -> &[isize] {
        &self.strides
    }

    /// The address of the first element.
    pub fn as_ptr(&self) -> *const T {
        self.ptr
    }

    /// The number of elements.
    #[allow(clippy::len_without_is_empty)] // Emptiness is a matter of the shape.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// The elements as a slice, if they are dense.
    pub fn as_slice(&self) -> Option<&'a [T]> {
        // SAFETY: dense elements lie one after another from `ptr`.
        Layout::Strided(self.strides.clone()).is_dense(self.shape).then(|| unsafe { std::slice::from_raw_parts(self.ptr, self.len()) })
    }
}

/// Elements of type `T` by index, borrowed for writing.
#[derive(Debug)]
pub struct ViewMut<'a, T> {
    ptr: *mut T,
    shape: &'a [usize],
    strides: Strides,
    lifetime: PhantomData<&'a mut [T]>,
}

// SAFETY: a `ViewMut` is an exclusive borrow of its elements, as `&mut [T]` is.
unsafe impl<T: Send> Send for ViewMut<'_, T> {}
// SAFETY: shared access to it gives only its address and shape.
unsafe impl<T: Sync> Sync for ViewMut<'_, T> {}

impl<'a, T: Element> ViewMut<'a, T> {
    /// The sizes of the axes, outermost first.
    pub fn shape(&self) -> &'a [usize] {
        self.shape
    }

    /// The stride of each axis, in elements.
    pub fn strides(&self) -> &[isize] {
        &self.strides
    }

    /// The address of the first element.
    pub fn as_mut_ptr(&mut self) -> *mut T {
        self.ptr
    }

    /// The number of elements.
    #[allow(clippy::len_without_is_empty)] // Emptiness is a matter of the shape.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// The elements as a slice, if they are dense.
    pub fn as_mut_slice(&mut self) -> Option<&mut [T]> {
        let len = self.len();
        // SAFETY: dense elements lie one after another from `ptr`, and `self` borrows them alone.
        Layout::Strided(self.strides.clone()).is_dense(self.shape).then(|| unsafe { std::slice::from_raw_parts_mut(self.ptr, len) })
    }
}
