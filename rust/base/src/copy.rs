//! Copying between layouts, by element size.

use crate::threads::{Pace, pieces};
use crate::{Result, TensorMut, TensorRef, bail, ensure};

/// Bytes that are copied at a time.
const PIECE: usize = 1 << 20;

/// Copies `from` to `to`, which has the same type and shape; either may be strided.
///
/// # Errors
/// `Fail` when types or shapes differ, or a layout is blocked, or a packed type is strided.
pub fn copy(from: TensorRef<'_>, to: TensorMut<'_>) -> Result<()> {
    ensure!(from.dtype() == to.dtype() && from.shape() == to.shape(), Fail, "{from:?} cannot be copied to {to:?}");
    if from.is_empty() {
        return Ok(());
    }
    if from.layout().is_dense(from.shape()) && to.layout().is_dense(to.shape()) {
        let (to, from) = (to.bytes()?, from.bytes()?);
        pieces(to.len(), PIECE).for_each(|piece| to[piece.clone()].copy_from_slice(&from[piece]));
        return Ok(());
    }
    ensure!(from.memory().is_host() && to.memory().is_host(), Fail, "the host cannot copy on a device");
    match from.dtype().size() {
        Some(1) => strided::<u8>(from, to),
        Some(2) => strided::<u16>(from, to),
        Some(4) => strided::<u32>(from, to),
        Some(8) => strided::<u64>(from, to),
        Some(16) => strided::<[u64; 2]>(from, to),
        _ => bail!(Fail, "{} cannot be copied with strides", from.dtype()),
    }
}

fn strided<T: Copy>(from: TensorRef<'_>, to: TensorMut<'_>) -> Result<()> {
    let (Some(source), Some(target)) = (from.layout().strides(from.shape()), to.layout().strides(to.shape())) else {
        bail!(Fail, "a blocked tensor cannot be copied with strides");
    };
    // SAFETY: both tensors hold every element that their strides reach; the types have the same size, and 16-byte
    // elements are read as pairs of 8-byte words, the alignment that tensors guarantee.
    unsafe { copy_strided::<T>(from.shape(), from.address().cast(), &source, to.address().cast(), &target, &Pace::default()) };
    Ok(())
}

/// Copies elements of shape `dims` from `from` to `to`, each with its strides in elements, at a `pace`.
///
/// # Safety
/// Every element that shape and strides reach may be read and written respectively, and the two do not overlap.
unsafe fn copy_strided<T: Copy>(dims: &[usize], from: *const T, source: &[isize], to: *mut T, target: &[isize], pace: &Pace) {
    let Some((&n, outer)) = dims.split_first() else {
        // SAFETY: a scalar is one element, which the caller vouches for.
        unsafe { to.write(from.read()) };
        return;
    };
    let (s, t) = (source[0], target[0]);
    pace.spend(n);
    if outer.is_empty() && s == 1 && t == 1 {
        // SAFETY: the caller vouches for `n` neighbouring elements that do not overlap.
        unsafe { std::ptr::copy_nonoverlapping(from, to, n) };
        return;
    }
    for i in 0..n as isize {
        // SAFETY: index `i` of this axis is inside the shape.
        unsafe { copy_strided(outer, from.offset(i * s), &source[1..], to.offset(i * t), &target[1..], pace) };
    }
}
