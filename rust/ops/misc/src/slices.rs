//! Cutting tensors along an axis and putting parts together again.

use std::borrow::Cow;
use std::ops::Range;

use base::threads::{Pace, pieces};
use base::{Layout, Result, Shape, Strings, Tensor, TensorMut, ensure, packed};

/// A tensor seen along one axis: `outer` rows of `len` slices of `inner` elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Along {
    pub(crate) outer: usize,
    pub(crate) len: usize,
    pub(crate) inner: usize,
}

impl Along {
    /// A tensor of shape `dims` along `axis`, which is less than its rank.
    pub(crate) fn new(dims: &[usize], axis: usize) -> Self {
        // Of a tensor without elements, the other sizes may be anything.
        let product = |dims| Shape::checked_len(dims).unwrap_or(usize::MAX);
        Self { outer: product(&dims[..axis]), len: dims[axis], inner: product(&dims[axis + 1..]) }
    }

    /// Where the elements of slices `range` lie, one range for each outer row.
    fn rows(self, range: &Range<usize>) -> impl Iterator<Item = Range<usize>> + Clone + use<> {
        let (start, len) = (range.start * self.inner, range.len() * self.inner);
        (0..self.outer).map(move |o| o * self.len * self.inner + start).map(move |at| at..at + len)
    }
}

/// `tensor`, or a dense copy of it.
///
/// # Errors
/// `Fail` when it lies on a device or has a blocked layout.
pub(crate) fn dense(tensor: &Tensor) -> Result<Cow<'_, Tensor>> {
    if tensor.layout().is_dense(tensor.shape()) { Ok(Cow::Borrowed(tensor)) } else { Tensor::copy_of(tensor.as_ref()).map(Cow::Owned) }
}

/// The slices `range` of a dense `tensor` along `axis`, as a tensor of shape `shape`. It shares the buffer where they lie together.
///
/// # Errors
/// `InvalidArgument` when the slices do not lie in the tensor or do not fill the shape.
pub(crate) fn part(tensor: &Tensor, axis: usize, range: Range<usize>, shape: Shape) -> Result<Tensor> {
    let whole = Along::new(tensor.shape(), axis);
    ensure!(
        range.start <= range.end && range.end <= whole.len,
        InvalidArgument,
        "slices {range:?} do not lie in axis {axis} of shape {}",
        tensor.shape()
    );
    if shape.contains(&0) {
        return Tensor::zeros(tensor.dtype(), shape);
    }
    if let Ok(strings) = tensor.as_ref().strings() {
        let chosen = whole.rows(&range).flatten().map(|i| strings.get(i));
        return Tensor::from_strings(shape, Strings::gather(chosen)?);
    }
    let dtype = tensor.dtype();
    let Some(size) = dtype.size() else {
        let mut codes = vec![0; whole.outer * range.len() * whole.inner];
        let row = (range.len() * whole.inner).max(1);
        for (out, from) in codes.chunks_exact_mut(row).zip(whole.rows(&range)) {
            packed::unpack(dtype, tensor.as_ref().bytes()?, from.start, out)?;
        }
        return Tensor::from_bytes(dtype, shape, &packed::pack(dtype, &codes)?);
    };
    if whole.outer == 1 {
        let offset = tensor.offset() + range.start * whole.inner * size;
        return Tensor::new(dtype, shape, Layout::Dense, tensor.buffer().clone(), offset);
    }
    let bytes = tensor.as_ref().bytes()?;
    let mut out = Vec::with_capacity(whole.outer * range.len() * whole.inner * size);
    whole.rows(&range).for_each(|r| out.extend_from_slice(&bytes[r.start * size..r.end * size]));
    Tensor::from_bytes(dtype, shape, &out)
}

/// Slice `index` of a dense `tensor` along `axis`, without that axis.
///
/// # Errors
/// As [`part`].
pub(crate) fn slice(tensor: &Tensor, axis: usize, index: usize) -> Result<Tensor> {
    let mut shape = tensor.shape().clone();
    shape.remove(axis);
    part(tensor, axis, index..index + 1, shape)
}

/// The strings of several tensors, one after another along an axis that has `outer` rows before it.
///
/// # Errors
/// `Fail` when a tensor lies on a device.
pub(crate) fn join_strings(parts: &[&Tensor], outer: usize) -> Result<Strings> {
    let parts = parts.iter().map(|t| t.as_ref().strings()).collect::<Result<Vec<_>>>()?;
    if parts.iter().all(|p| p.is_empty()) {
        return Ok(Strings::default());
    }
    let rows = (0..outer).flat_map(|o| parts.iter().flat_map(move |p| row(p.len(), outer, o).map(move |i| p.get(i))));
    Strings::gather(rows)
}

/// Writes the elements of several dense tensors of numbers, all of one type, one after another along an axis that has `outer` rows
/// before it.
///
/// # Errors
/// `Fail` when types or sizes do not fit.
pub(crate) fn join(parts: &[&Tensor], outer: usize, output: TensorMut<'_>) -> Result<()> {
    let (dtype, len) = (output.dtype(), output.len());
    ensure!(parts.iter().all(|p| p.dtype() == dtype), Fail, "parts are not of type {dtype}");
    let total: usize = parts.iter().map(|p| p.len()).sum();
    ensure!(total == len, Fail, "{total} elements cannot fill an output of {len}");
    if len == 0 {
        return Ok(());
    }
    let mut at = 0;
    if let Some(size) = dtype.size() {
        let output = output.bytes()?;
        let pace = Pace::default();
        for o in 0..outer {
            for part in parts {
                let row = row(part.len(), outer, o);
                let bytes = &part.as_ref().bytes()?[row.start * size..row.end * size];
                for piece in pieces(bytes.len(), 1 << 20) {
                    pace.spend(piece.len() / 8 + 16);
                    output[at + piece.start..at + piece.end].copy_from_slice(&bytes[piece]);
                }
                at += bytes.len();
            }
        }
        return Ok(());
    }
    let mut codes = vec![0; len];
    for o in 0..outer {
        for part in parts {
            let row = row(part.len(), outer, o);
            packed::unpack(dtype, part.as_ref().bytes()?, row.start, &mut codes[at..at + row.len()])?;
            at += row.len();
        }
    }
    output.bytes()?.copy_from_slice(&packed::pack(dtype, &codes)?);
    Ok(())
}

fn row(len: usize, outer: usize, index: usize) -> Range<usize> {
    let row = len / outer.max(1);
    index * row..(index + 1) * row
}

#[cfg(test)]
mod tests {
    use base::DType;

    use super::*;

    #[test]
    fn parts_share_the_buffer_where_they_can() {
        let t = Tensor::from_slice([3, 2], &[1i32, 2, 3, 4, 5, 6]).unwrap();
        let row = slice(&t, 0, 1).unwrap();
        assert_eq!((row.slice::<i32>().unwrap(), &**row.shape()), (&[3, 4][..], &[2][..]));
        assert!(std::ptr::eq(row.address(), t.address().wrapping_add(8)));
        let column = part(&t, 1, 1..2, [3, 1].into()).unwrap();
        assert_eq!(column.slice::<i32>().unwrap(), [2, 4, 6]);
        assert!(part(&t, 0, 2..4, [2, 2].into()).is_err());
    }

    #[test]
    fn packed_and_strings_come_back() {
        let codes: Vec<u8> = (0..15).collect();
        let t = Tensor::from_bytes(DType::U4, [3, 5], &packed::pack(DType::U4, &codes).unwrap()).unwrap();
        let parts: Vec<Tensor> = [0..2, 2..5].map(|r| part(&t, 1, r.clone(), [3, r.len()].into()).unwrap()).into();
        let mut whole = Tensor::zeros(DType::U4, [3, 5]).unwrap();
        join(&parts.iter().collect::<Vec<_>>(), 3, whole.as_mut().unwrap()).unwrap();
        testkit::assert_equal(&whole.into(), &t.into());

        let t = Tensor::from_strings([2, 2], ["a", "b", "c", "d"].into_iter().collect()).unwrap();
        let (left, right) = (slice(&t, 1, 0).unwrap(), slice(&t, 1, 1).unwrap());
        let joined = join_strings(&[&right, &left], 2).unwrap();
        assert_eq!(joined.iter().collect::<Vec<_>>(), ["b", "a", "d", "c"]);
    }
}
