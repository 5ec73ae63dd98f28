//! An input as the output sees it: broadcast, and read in runs.

use std::mem::MaybeUninit;

use base::{Result, Shape, bail};
use smallvec::SmallVec;

use super::loops::Source;

/// Elements that are gathered at once where an input has no long runs.
pub(crate) const BLOCK: usize = 1024;

/// Runs shorter than this are gathered.
const SHORT: usize = 64;

/// Room for [`BLOCK`] elements of up to eight bytes.
pub(crate) struct Buffer([MaybeUninit<u64>; BLOCK]);

impl Default for Buffer {
    fn default() -> Self {
        Self([const { MaybeUninit::uninit() }; BLOCK])
    }
}

impl Buffer {
    /// The first byte.
    pub(crate) fn address(&mut self) -> *mut u8 {
        self.0.as_mut_ptr().cast()
    }
}

/// Neighbouring axes of the output that an input steps through evenly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Axis {
    len: usize,
    /// In elements; 0 repeats. That of the innermost axis is 0 or 1, since inputs are dense.
    stride: usize,
}

/// A dense input, addressed by the flat index of the output that it is broadcast to.
#[derive(Debug)]
pub(crate) struct Operand {
    address: *const u8,
    /// Bytes of an element.
    size: usize,
    /// Outermost first; none of length 1, and no two neighbours that could be one.
    axes: SmallVec<[Axis; 6]>,
}

// SAFETY: an operand only reads, and whoever made it vouches for its memory for as long as it is used.
unsafe impl Sync for Operand {}

impl Operand {
    /// The dense input of shape `dims` at `address`, elements of `size` bytes, broadcast to the shape `out`.
    ///
    /// # Errors
    /// `InvalidArgument` when it does not broadcast to that shape.
    pub(crate) fn new(address: *const u8, size: usize, dims: &[usize], out: &[usize]) -> Result<Self> {
        if dims.len() > out.len() {
            bail!(InvalidArgument, "shape {} does not broadcast to {}", Shape::from(dims), Shape::from(out));
        }
        let mut axes: SmallVec<[Axis; 6]> = SmallVec::new();
        let mut stride = 1;
        // From the innermost axis outwards, turned around at the end.
        for (i, &len) in out.iter().enumerate().rev() {
            let dim = (i + dims.len()).checked_sub(out.len()).map_or(1, |j| dims[j]);
            if dim != len && dim != 1 {
                bail!(InvalidArgument, "shape {} does not broadcast to {}", Shape::from(dims), Shape::from(out));
            }
            if len == 1 {
                continue;
            }
            let step = if dim == 1 { 0 } else { stride };
            stride *= dim;
            match axes.last_mut() {
                Some(inner) if step == inner.stride * inner.len => inner.len *= len,
                _ => axes.push(Axis { len, stride: step }),
            }
        }
        axes.reverse();
        Ok(Self { address, size, axes })
    }

    /// An input that has exactly the elements of the output.
    pub(crate) fn whole(address: *const u8, size: usize, len: usize) -> Self {
        Self { address, size, axes: SmallVec::from_slice(&[Axis { len, stride: 1 }]) }
    }

    /// Bytes of an element.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// The address of element `i`, if it has the elements of the output in their order.
    pub(crate) fn at(&self, i: usize) -> *const u8 {
        self.address.wrapping_add(i * self.size)
    }

    /// Whether it has the elements of the output in their order.
    fn is_whole(&self) -> bool {
        matches!(self.axes[..], [] | [Axis { stride: 1, .. }])
    }

    /// How many elements from `start` on are best read at once, at most `n`.
    pub(crate) fn run(&self, start: usize, n: usize) -> usize {
        match self.axes[..] {
            [] | [_] => n,
            [.., Axis { len, .. }] if len >= SHORT => n.min(len - start % len),
            // A whole number of repeats keeps the phase, so that a gathered block can serve again.
            [.., Axis { len, .. }] => n.min(BLOCK - BLOCK % len),
        }
    }

    /// The `n` elements from `start` on, gathered in `buffer` if they do not lie side by side.
    ///
    /// # Safety
    /// The elements are in the output's range, the memory of the operand is live, and `n` is at most what [`run`](Self::run) said.
    pub(crate) unsafe fn read(&self, start: usize, n: usize, buffer: &mut Cache) -> Source {
        if self.is_whole() {
            return Source::many(self.at(start));
        }
        let place = self.seek(start);
        let (inner, index) = (self.axes[self.axes.len() - 1], place.indices[self.axes.len() - 1]);
        if n <= inner.len - index {
            return Source { address: self.at(place.offset), single: inner.stride == 0 };
        }
        let key = (self.is_periodic().then_some(index), n);
        if key.0.is_none() || buffer.key != key {
            // SAFETY: as the caller vouches; `run` keeps `n` within the buffer when runs are short.
            unsafe { self.gather(place, n, &mut buffer.buffer) };
            buffer.key = key;
        }
        Source::many(buffer.buffer.address())
    }

    /// Whether the same row is repeated throughout.
    fn is_periodic(&self) -> bool {
        matches!(self.axes[..], [Axis { stride: 0, .. }, Axis { stride: 1, .. }])
    }

    /// The place of element `start`.
    fn seek(&self, start: usize) -> Place {
        let mut place = Place { offset: 0, indices: SmallVec::from_elem(0, self.axes.len()) };
        let mut rest = start;
        for (axis, index) in self.axes.iter().zip(&mut place.indices).rev() {
            *index = rest % axis.len;
            rest /= axis.len;
            place.offset += *index * axis.stride;
        }
        place
    }

    /// Moves to the start of the next run.
    fn next_run(&self, place: &mut Place) {
        let inner = self.axes.len() - 1;
        place.offset -= place.indices[inner] * self.axes[inner].stride;
        place.indices[inner] = 0;
        for (axis, index) in self.axes.iter().zip(&mut place.indices).rev().skip(1) {
            *index += 1;
            place.offset += axis.stride;
            if *index < axis.len {
                return;
            }
            place.offset -= axis.len * axis.stride;
            *index = 0;
        }
    }

    /// Copies the `n` elements from `place` on.
    ///
    /// # Safety
    /// As for [`read`](Self::read), and the buffer has room for `n`.
    unsafe fn gather(&self, place: Place, n: usize, buffer: &mut Buffer) {
        assert!(n <= BLOCK, "{n} elements are no block");
        // SAFETY: as the caller vouches; elements are aligned to their size.
        unsafe {
            match self.size {
                1 => self.gather_as::<u8>(place, n, buffer.address().cast()),
                2 => self.gather_as::<u16>(place, n, buffer.address().cast()),
                4 => self.gather_as::<u32>(place, n, buffer.address().cast()),
                8 => self.gather_as::<u64>(place, n, buffer.address().cast()),
                size => unreachable!("no loop has elements of {size} bytes"),
            }
        }
    }

    /// # Safety
    /// As for [`gather`](Self::gather), with `T` of the size of an element.
    unsafe fn gather_as<T: Copy>(&self, mut place: Place, n: usize, to: *mut T) {
        let from = self.address.cast::<T>();
        if let [Axis { stride: 1, .. }, Axis { len, stride: 0 }] = self.axes[..] {
            // SAFETY: as the caller vouches.
            return unsafe { repeat(from, (place.indices[0], place.indices[1]), len, std::slice::from_raw_parts_mut(to, n)) };
        }
        let inner = self.axes.len() - 1;
        let Axis { len: run, stride } = self.axes[inner];
        let mut done = 0;
        while done < n {
            let len = (run - place.indices[inner]).min(n - done);
            // SAFETY: a place is inside the input, and so is the rest of its run; `to` has room for `n`.
            unsafe {
                let from = from.add(place.offset);
                let to = std::slice::from_raw_parts_mut(to.add(done), len);
                match stride {
                    0 => to.fill(from.read()),
                    _ => to.iter_mut().zip(std::slice::from_raw_parts(from, len)).for_each(|(to, from)| *to = *from),
                }
            }
            done += len;
            self.next_run(&mut place);
        }
    }
}

/// Each element from `from` on `len` times, beginning with repeat `start.1` of element `start.0`.
///
/// # Safety
/// There are elements for all of `to`.
unsafe fn repeat<T: Copy>(from: *const T, start: (usize, usize), len: usize, to: &mut [T]) {
    let (head, rest) = to.split_at_mut(((len - start.1) % len).min(to.len()));
    let first = start.0 + usize::from(start.1 > 0);
    // SAFETY: as the caller vouches: each element that is read has a place in `to`.
    unsafe {
        if !head.is_empty() {
            head.fill(from.add(start.0).read());
        }
        match len {
            2 => repeat_whole::<T, 2>(from.add(first), rest),
            3 => repeat_whole::<T, 3>(from.add(first), rest),
            4 => repeat_whole::<T, 4>(from.add(first), rest),
            8 => repeat_whole::<T, 8>(from.add(first), rest),
            _ => rest.chunks_mut(len).enumerate().for_each(|(i, to)| to.fill(from.add(first + i).read())),
        }
    }
}

/// # Safety
/// As for [`repeat`].
unsafe fn repeat_whole<T: Copy, const N: usize>(from: *const T, to: &mut [T]) {
    let (whole, rest) = to.as_chunks_mut::<N>();
    // SAFETY: as the caller vouches.
    unsafe {
        let last = from.add(whole.len());
        whole.iter_mut().enumerate().for_each(|(i, to)| *to = [from.add(i).read(); N]);
        if !rest.is_empty() {
            rest.fill(last.read());
        }
    }
}

/// Which element of an input of shape `dims` belongs to each element of an output of shape `out`, in order.
///
/// # Errors
/// As [`Operand::new`].
pub(crate) fn indices(dims: &[usize], out: &[usize]) -> Result<impl Iterator<Item = usize>> {
    let operand = Operand::new(std::ptr::null(), 0, dims, out)?;
    let mut place = Place { offset: 0, indices: SmallVec::from_elem(0, operand.axes.len()) };
    let len = out.iter().product();
    Ok((0..len).map(move |_| {
        let Some((axis, index)) = operand.axes.last().zip(place.indices.last_mut()) else { return 0 };
        let at = place.offset;
        *index += 1;
        place.offset += axis.stride;
        if *index == axis.len {
            operand.next_run(&mut place);
        }
        at
    }))
}

/// Where an element of the output lies in an input.
struct Place {
    offset: usize,
    indices: SmallVec<[usize; 6]>,
}

/// A buffer that knows what was gathered last.
#[derive(Default)]
pub(crate) struct Cache {
    buffer: Buffer,
    /// The phase of a repeated row, if it was one, and the number of elements.
    key: (Option<usize>, usize),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(dims: &[usize], out: &[usize]) -> Vec<u32> {
        let data: Vec<u32> = (0..dims.iter().product::<usize>() as u32).collect();
        let operand = Operand::new(data.as_ptr().cast(), 4, dims, out).unwrap();
        let (total, mut cache, mut all) = (out.iter().product::<usize>(), Cache::default(), Vec::new());
        while all.len() < total {
            let n = operand.run(all.len(), total - all.len());
            // SAFETY: the elements are below `total` and the data is live.
            unsafe {
                let source = operand.read(all.len(), n, &mut cache);
                let p = source.address.cast::<u32>();
                (0..n).for_each(|i| all.push(p.add(if source.single { 0 } else { i }).read()));
            }
        }
        all
    }

    /// The flat index in `dims` of each element of `out`, by the definition of broadcasting.
    fn expected(dims: &[usize], out: &[usize]) -> Vec<u32> {
        let pad = out.len() - dims.len();
        let index = |mut flat: usize| {
            let (mut offset, mut stride) = (0, 1);
            for axis in (0..out.len()).rev() {
                let i = flat % out[axis];
                flat /= out[axis];
                let dim = axis.checked_sub(pad).map_or(1, |j| dims[j]);
                offset += if dim == 1 { 0 } else { i * stride };
                stride *= dim;
            }
            offset as u32
        };
        (0..out.iter().product()).map(index).collect()
    }

    #[test]
    fn reads_what_broadcasting_says() {
        let cases: [(&[usize], &[usize]); 17] = [
            (&[], &[]),
            (&[1], &[7]),
            (&[], &[3, 500]),
            (&[500], &[3, 500]),
            (&[3], &[900, 3]),
            (&[7], &[900, 7]),
            (&[900, 1], &[900, 7]),
            (&[9, 1], &[9, 700]),
            (&[4000, 1], &[4000, 4]),
            (&[4000, 1], &[4000, 5]),
            (&[700, 1], &[700, 63]),
            (&[2, 1, 5], &[2, 300, 5]),
            (&[2, 1, 1, 5], &[2, 3, 40, 5]),
            (&[4, 1, 3, 1], &[4, 5, 3, 6]),
            (&[4, 1, 3, 1], &[4, 5, 3, 160]),
            (&[2, 3, 4], &[2, 3, 4]),
            (&[0], &[3, 0]),
        ];
        for (dims, out) in cases {
            assert_eq!(read_all(dims, out), expected(dims, out), "{dims:?} {out:?}");
            assert!(indices(dims, out).unwrap().eq(expected(dims, out).iter().map(|i| *i as usize)), "{dims:?} {out:?}");
        }
    }

    #[test]
    fn axes_merge() {
        let axes = |dims: &[usize], out: &[usize]| Operand::new([0u8; 8].as_ptr(), 1, dims, out).unwrap().axes.to_vec();
        let axis = |len, stride| Axis { len, stride };
        assert_eq!(axes(&[2, 1, 3], &[2, 1, 3]), [axis(6, 1)]);
        assert_eq!(axes(&[1, 1], &[5, 6]), [axis(30, 0)]);
        assert_eq!(axes(&[4, 1, 1], &[3, 4, 5, 6]), [axis(3, 0), axis(4, 1), axis(30, 0)]);
        assert!(Operand::new([0u8; 8].as_ptr(), 1, &[2], &[3]).is_err());
        assert!(Operand::new([0u8; 8].as_ptr(), 1, &[1, 1], &[1]).is_err());
    }
}
