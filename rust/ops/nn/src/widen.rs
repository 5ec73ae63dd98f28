//! Whole tensors between 16-bit floats and `f32`, on all threads.

use base::threads::{parallel_chunks_mut, parallel_ranges};

use crate::floats::{Floats, FloatsMut};

/// Elements that a chunk converts.
const CHUNK: usize = 16 * 1024;

/// `to = from`, widened.
///
/// # Panics
/// If `from` is shorter than `to`.
pub(crate) fn widen(from: Floats<'_>, to: &mut [f32]) {
    parallel_chunks_mut(to, CHUNK, &|chunk, part| from.read(chunk * CHUNK, part));
}

/// `to = from`, rounded.
///
/// # Panics
/// If `to` is shorter than `from`.
pub(crate) fn narrow(from: &[f32], to: &FloatsMut<'_>) {
    parallel_ranges(from.len(), CHUNK, &|range| {
        // SAFETY: the ranges of different chunks do not overlap.
        unsafe { to.write(range.start, &from[range]) }
    });
}

/// Splits off the first `len` elements of `rest`.
///
/// # Errors
/// `Fail` when there are fewer.
pub(crate) fn take<'a, T>(rest: &mut &'a mut [T], len: usize) -> base::Result<&'a mut [T]> {
    base::ensure!(len <= rest.len(), Fail, "{len} elements of scratch memory are needed, not {}", rest.len());
    let (head, tail) = std::mem::take(rest).split_at_mut(len);
    *rest = tail;
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::threads::SharedMut;
    use half::f16;

    #[test]
    fn there_and_back() {
        let data: Vec<f16> = (0..40_000).map(|i| f16::from_f32((i % 2048) as f32)).collect();
        let mut wide = vec![0.0; data.len()];
        widen(Floats::F16(&data), &mut wide);
        assert_eq!(wide[39_999], 39_999f32 % 2048.0);
        let mut back = vec![f16::ZERO; data.len()];
        narrow(&wide, &FloatsMut::F16(SharedMut::new(&mut back)));
        assert_eq!(back, data);
    }

    #[test]
    fn scratch_runs_out() {
        let mut memory = [0f32; 4];
        let mut rest = &mut memory[..];
        assert_eq!(take(&mut rest, 3).unwrap().len(), 3);
        assert!(take(&mut rest, 2).is_err());
    }
}
