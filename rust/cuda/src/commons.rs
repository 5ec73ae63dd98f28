//! Memory of a device that belongs to no session, for values that programs make themselves.

use std::sync::{Arc, Mutex, PoisonError};

use base::{Buffer, DType, Layout, Result, Shape, Tensor, TensorRef, bail, ensure, error};

use crate::memory::memory_name;
use crate::{Device, Extend, Pool, Staging, Stream, device_of};

/// Memory of a device that belongs to no session. What is done with it is done when a call returns.
pub struct Commons {
    stream: Arc<Stream>,
    pool: Arc<Pool>,
    staging: Staging,
}

impl Commons {
    /// That of device `ordinal`. It is made once, and kept as long as the process lives.
    ///
    /// # Errors
    /// As [`Device::open`].
    pub fn of(ordinal: u16) -> Result<Arc<Self>> {
        static MADE: Mutex<Vec<Arc<Commons>>> = Mutex::new(Vec::new());
        let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(commons) = made.iter().find(|c| c.device().ordinal() == ordinal) {
            return Ok(commons.clone());
        }
        let device = Device::open(ordinal)?;
        let stream = Arc::new(Stream::new(&device)?);
        let pool = Pool::new(&stream, usize::MAX, Extend::SameAsRequested);
        let commons = Arc::new(Self { stream, pool, staging: Staging::new(&device) });
        made.push(commons.clone());
        Ok(commons)
    }

    /// That of the device that `tensor` lies on.
    ///
    /// # Errors
    /// `InvalidArgument` when it lies on no CUDA device.
    pub fn around(tensor: &TensorRef<'_>) -> Result<Arc<Self>> {
        match device_of(tensor.memory()) {
            Some(ordinal) => Self::of(ordinal),
            None => bail!(InvalidArgument, "a tensor lies in {}, not on a CUDA device", memory_name(tensor.memory())),
        }
    }

    /// The device.
    pub fn device(&self) -> &Arc<Device> {
        self.stream.device()
    }

    /// The stream on which its work is done.
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// A tensor of zeros.
    ///
    /// # Errors
    /// `Fail` when the device has no room, `InvalidArgument` for strings.
    pub fn zeros(&self, dtype: DType, shape: Shape) -> Result<Tensor> {
        let (buffer, bytes) = self.room(dtype, &shape)?;
        if bytes > 0 {
            // SAFETY: the buffer is new and has that many bytes.
            unsafe { self.stream.clear(buffer.address() as u64, bytes)? };
            self.stream.synchronize()?;
        }
        Tensor::new(dtype, shape, Layout::Dense, buffer, 0)
    }

    /// A copy of a dense tensor of the host or of this device.
    ///
    /// # Errors
    /// As [`zeros`](Self::zeros), and as [`copy`](Self::copy).
    pub fn copy_of(&self, from: TensorRef<'_>) -> Result<Tensor> {
        let (dtype, shape) = (from.dtype(), Shape::from(from.shape()));
        let (buffer, _) = self.room(dtype, &shape)?;
        let tensor = Tensor::new(dtype, shape, Layout::Dense, buffer, 0)?;
        // SAFETY: the buffer is new, and nobody else has it.
        unsafe { self.copy(from, &tensor)? };
        Ok(tensor)
    }

    fn room(&self, dtype: DType, shape: &Shape) -> Result<(Arc<Buffer>, usize)> {
        let bytes = Shape::checked_len(shape).and_then(|n| dtype.bytes_of(n)).filter(|_| dtype != DType::String);
        let bytes = bytes.ok_or_else(|| error!(InvalidArgument, "a {dtype} tensor of shape {shape} cannot lie on a device"))?;
        Ok((Arc::new(self.pool.allocate(bytes)?), bytes))
    }

    /// Copies the elements of `from` to `to`, of the same number of bytes. Each is a dense tensor of the host or of this device.
    ///
    /// # Errors
    /// `InvalidArgument` when they do not fit each other or lie elsewhere; what the driver says.
    ///
    /// # Safety
    /// The memory of `to` may be written to, and nobody else uses it meanwhile.
    pub unsafe fn copy(&self, from: TensorRef<'_>, to: &Tensor) -> Result<()> {
        let target = to.as_ref();
        let dense = from.layout().is_dense(from.shape()) && target.layout().is_dense(target.shape());
        let sizes = (from.dtype().bytes_of(from.len()), target.dtype().bytes_of(target.len()));
        let (Some(bytes), true) = (sizes.0, dense && sizes.0 == sizes.1) else {
            bail!(InvalidArgument, "{from:?} cannot be copied to {target:?}")
        };
        for memory in [from.memory(), target.memory()] {
            ensure!(
                memory.is_host() || memory == self.device().memory(),
                InvalidArgument,
                "{} is not reached from CUDA device {}",
                memory_name(memory),
                self.device().ordinal()
            );
        }
        if bytes == 0 {
            return Ok(());
        }
        let (source, place) = (from.address() as u64, target.address() as u64);
        // SAFETY: both are dense tensors of that many bytes where their memory says, and the caller vouches for the target.
        unsafe {
            match (from.memory().is_host(), target.memory().is_host()) {
                (true, false) => self.staging.copy_in(&self.stream, from.bytes()?, place)?,
                (false, true) => {
                    let to = std::slice::from_raw_parts_mut(target.address().cast_mut(), bytes);
                    self.staging.copy_out(&self.stream, source, to)?;
                    only_booleans(target.dtype(), to);
                }
                (false, false) if source == place => {}
                (false, false) => self.stream.copy_within(source, place, bytes)?,
                (true, true) => std::ptr::copy(from.address(), target.address().cast_mut(), bytes),
            }
        }
        self.stream.synchronize()
    }

    /// A copy of a dense tensor of this device on the host.
    ///
    /// # Errors
    /// As [`copy`](Self::copy).
    pub fn to_host(&self, from: TensorRef<'_>) -> Result<Tensor> {
        let tensor = Tensor::zeros(from.dtype(), from.shape())?;
        // SAFETY: the tensor is new, and nobody else has it.
        unsafe { self.copy(from, &tensor)? };
        Ok(tensor)
    }
}

/// Makes booleans of bytes that came from a device, where anything but 0 is true: the host counts on 0 and 1.
pub fn only_booleans(dtype: DType, bytes: &mut [u8]) {
    if dtype == DType::Bool {
        bytes.iter_mut().for_each(|b| *b = u8::from(*b != 0));
    }
}
