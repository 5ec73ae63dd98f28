//! Element loops whose output may be the memory of their input.

use base::threads::{check, parallel_ranges};
use base::{Result, TensorMut, TensorRef, ensure};
use half::{bf16, f16};

/// A type of plain numbers, of which every bit pattern is valid.
///
/// # Safety
/// As it says.
pub(crate) unsafe trait Plain: Copy + Default + Send + Sync + 'static {}

// SAFETY: every bit pattern of these is valid.
unsafe impl Plain for u8 {}
// SAFETY: as above.
unsafe impl Plain for f32 {}
// SAFETY: as above.
unsafe impl Plain for f64 {}
// SAFETY: as above.
unsafe impl Plain for f16 {}
// SAFETY: as above.
unsafe impl Plain for bf16 {}

/// An address that threads share.
#[derive(Clone, Copy)]
struct Shared<T>(*mut T);

// SAFETY: each thread uses the elements of its own ranges only.
unsafe impl<T: Send> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// The address; a method, so that closures capture the whole.
    fn address(self) -> *mut T {
        self.0
    }
}

/// `output[i] = f(i, input[i])`. Both are dense, have the same shape and elements of the size of `T`, and may be the same memory.
///
/// # Errors
/// `Fail` when they are not so, or the run is cancelled.
pub(crate) fn map<T: Plain>(input: TensorRef<'_>, output: TensorMut<'_>, f: impl Fn(usize, T) -> T + Sync) -> Result<()> {
    let (len, size) = (input.len(), size_of::<T>());
    let dense = |layout: &base::Layout| layout.is_dense(input.shape());
    let fits = input.shape() == output.shape() && input.dtype() == output.dtype() && input.dtype().size() == Some(size);
    let host = input.memory().is_host() && output.memory().is_host();
    ensure!(fits && host && dense(input.layout()) && dense(output.layout()), Fail, "{input:?} cannot be mapped to {output:?}");
    let (from, to) = (Shared(input.address().cast::<T>().cast_mut()), Shared(output.address().cast::<T>()));
    parallel_ranges(len, (32 << 10) / size, &|range| {
        for i in range {
            // SAFETY: both tensors are dense, of the host, and hold `len` elements of this size and alignment; they are the same memory
            // or apart, and each element is read before it is written, by the one thread that has its range.
            unsafe { to.address().add(i).write(f(i, from.address().add(i).read())) };
        }
    });
    check()
}

/// Copies `input` to `output`, unless they are the same memory.
///
/// # Errors
/// As [`base::copy::copy`].
pub(crate) fn copy(input: TensorRef<'_>, output: TensorMut<'_>) -> Result<()> {
    if std::ptr::eq(input.address(), output.address()) {
        return Ok(());
    }
    base::copy::copy(input, output)
}

#[cfg(test)]
mod tests {
    use base::{Layout, Memory};

    use super::*;

    #[test]
    fn a_tensor_may_be_mapped_onto_itself() {
        let mut data: Vec<f32> = (0..20_000).map(|x| x as f32).collect();
        let (shape, address) = ([20_000], data.as_mut_ptr().cast::<u8>());
        // SAFETY: both are the same live memory, as a kernel has it that works in place.
        let (input, output) = unsafe {
            let input = TensorRef::new(base::DType::F32, &shape, &Layout::Dense, Memory::HOST, address);
            (input, TensorMut::new(base::DType::F32, &shape, &Layout::Dense, Memory::HOST, address))
        };
        map(input, output, |i, x: f32| x + i as f32).unwrap();
        assert!(data.iter().enumerate().all(|(i, x)| *x == 2.0 * i as f32));
    }
}
