//! Tensors of blocked channels: their stored elements, and the padding that must stay zero.

use base::{Layout, Result, Shape, TensorRef, ensure};

/// How many elements lie in the storage of `t`, padding included.
///
/// # Errors
/// `Fail` when it has gaps or does not lie in the host's memory.
pub(super) fn stored_len(t: &TensorRef<'_>) -> Result<usize> {
    ensure!(t.memory().is_host(), Fail, "a tensor on {} was given to code of the host", t.memory());
    let gaps = matches!(t.layout(), Layout::Strided(_)) && !t.layout().is_dense(t.shape());
    ensure!(!gaps, Fail, "a tensor without gaps is needed, not {:?}", t.layout());
    Ok(t.layout().stored_len(t.shape()).unwrap_or(0))
}

/// Whether the elements of both lie in the same order.
pub(super) fn same_order(a: &TensorRef<'_>, layout: &Layout, shape: &[usize]) -> bool {
    a.layout() == layout || (a.layout().is_dense(a.shape()) && layout.is_dense(shape))
}

/// Makes the padding of a tensor zero again, which a function has filled with its value at zero.
///
/// # Safety
/// `address` is good for writing the stored elements, of `size` bytes each, of a tensor of that layout and shape.
pub(super) unsafe fn clear_padding(layout: &Layout, shape: &[usize], address: *mut u8, size: usize) {
    let Layout::Blocked(block) = layout else { return };
    let block = usize::from(*block);
    let &[batch, channels, ref spatial @ ..] = shape else { return };
    let used = channels % block;
    if used == 0 {
        return;
    }
    let (blocks, places) = (channels.div_ceil(block), Shape::checked_len(spatial).unwrap_or(0));
    for image in 0..batch {
        let last = (image * blocks + blocks - 1) * places;
        for place in last..last + places {
            // SAFETY: a place has `block` lanes, of which those from `used` on are padding.
            unsafe { address.add((place * block + used) * size).write_bytes(0, (block - used) * size) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_lanes_become_zero() {
        let (layout, shape) = (Layout::Blocked(4), [2, 5, 3]);
        let mut data = vec![1u16; layout.stored_len(&shape).unwrap()];
        // SAFETY: the data has the stored elements of that shape.
        unsafe { clear_padding(&layout, &shape, data.as_mut_ptr().cast(), 2) };
        for (i, v) in data.iter().enumerate() {
            let (block, lane) = (i / 12 % 2, i % 4);
            assert_eq!(*v, u16::from(block * 4 + lane < 5), "{i}");
        }
    }
}
