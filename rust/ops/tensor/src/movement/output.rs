//! The output of an operator that moves elements.

use std::marker::PhantomData;

use base::threads::paced;
use base::{DType, Result, Shape, Strings, TensorMut, TensorRef, ensure, error};
use op::Run;

use super::strided::{self, paired};
use super::{Region, packed};

/// An output while it is written.
pub(crate) struct Output<'a> {
    dtype: DType,
    whole: Region,
    pub(super) storage: Storage<'a>,
}

/// Where the elements of an output go.
pub(super) enum Storage<'a> {
    /// Elements of this many bytes at this address; the tensor is lent for `'a`.
    Sized(*mut u8, usize, PhantomData<&'a mut [u8]>),
    /// Elements that share bytes.
    Packed(&'a mut [u8]),
    /// Strings, in order.
    Strings(Vec<&'a str>),
}

/// Makes output `i` of `cx` a tensor of `dtype` and `shape`, which `fill` writes completely.
///
/// # Errors
/// What `fill` says; `Fail` when memory cannot be had.
pub(crate) fn write<F>(cx: &mut Run<'_>, i: usize, dtype: DType, shape: Shape, fill: F) -> Result<()>
where
    F: for<'a> FnOnce(&'a Run<'_>, &mut Output<'a>) -> Result<()>,
{
    if !cx.has_output(i) {
        return Ok(());
    }
    if dtype == DType::String {
        let strings = {
            let mut output = Output::strings(&shape)?;
            fill(cx, &mut output)?;
            output.into_strings()?
        };
        return cx.set_strings(i, shape, strings);
    }
    cx.allocate(i, dtype, shape)?;
    let cx = &*cx;
    fill(cx, &mut Output::of(cx.output(i)?)?)
}

impl<'a> Output<'a> {
    fn of(tensor: TensorMut<'a>) -> Result<Self> {
        let (dtype, whole) = (tensor.dtype(), Region::of_output(&tensor)?);
        ensure!(tensor.memory().is_host(), Fail, "the host cannot write to {}", tensor.memory());
        let storage = match dtype.size() {
            Some(size) => Storage::Sized(tensor.address(), size, PhantomData),
            None => {
                let bytes = tensor.bytes()?;
                // What is left of the last byte belongs to no element; it is zero by convention.
                if let (Some(last), used @ 1..) = (bytes.last_mut(), whole.len() * dtype.bits() % 8) {
                    *last &= (1 << used) - 1;
                }
                Storage::Packed(bytes)
            }
        };
        Ok(Self { dtype, whole, storage })
    }

    fn strings(shape: &Shape) -> Result<Self> {
        let mut list = Vec::new();
        let len = Shape::checked_len(shape).unwrap_or(usize::MAX);
        base::ensure_room(len.saturating_mul(size_of::<&str>()))?;
        list.try_reserve_exact(len).map_err(|_| error!(Fail, "there is no memory for strings of shape {shape}"))?;
        list.extend(paced(std::iter::repeat_n("", len), 2));
        Ok(Self { dtype: DType::String, whole: Region::dense(shape), storage: Storage::Strings(list) })
    }

    fn into_strings(self) -> Result<Strings> {
        match self.storage {
            Storage::Strings(list) => Strings::gather(list.into_iter()),
            _ => Ok(Strings::default()),
        }
    }

    /// All of it.
    pub(crate) fn whole(&self) -> Region {
        self.whole.clone()
    }

    /// Copies the elements `source` of `input` to `target`, a region of this output with the same sizes.
    ///
    /// # Errors
    /// `Fail` when types or sizes differ, or a region lies outside of its tensor.
    pub(crate) fn copy(&mut self, input: &TensorRef<'a>, source: &Region, target: &Region) -> Result<()> {
        self.check(input, source, target)?;
        if source.len() == 0 {
            return Ok(());
        }
        match &mut self.storage {
            Storage::Strings(list) => {
                let strings = input.strings()?;
                paced(source.elements().zip(target.elements()), 16).for_each(|(f, t)| list[t] = strings.get(f));
                Ok(())
            }
            _ => self.copy_numbers(input, source, target),
        }
    }

    /// Fails unless `source` of `input` may be copied to `target`: same type, same sizes, all inside.
    fn check(&self, input: &TensorRef<'_>, source: &Region, target: &Region) -> Result<()> {
        let same = source.axes().iter().map(|a| a.len).eq(target.axes().iter().map(|a| a.len));
        ensure!(same, Fail, "{} cannot be copied to {}", source.dims(), target.dims());
        ensure!(input.dtype() == self.dtype, Fail, "{} cannot be copied to {}", input.dtype(), self.dtype);
        let repeats = target.axes().iter().any(|a| a.by[0] == 0 && a.len > 1);
        ensure!(!repeats, Fail, "a region that repeats cannot be written");
        if source.len() > 0 {
            inside(source, &Region::of(input)?)?;
            inside(target, &self.whole)?;
        }
        Ok(())
    }

    /// [`copy`](Self::copy) for everything but strings, where the input need not outlive the output. Not empty, and checked.
    fn copy_numbers(&mut self, input: &TensorRef<'_>, source: &Region, target: &Region) -> Result<()> {
        match &mut self.storage {
            Storage::Sized(to, size, _) => {
                ensure!(input.memory().is_host(), Fail, "the host cannot read {}", input.memory());
                let start = [source.offset(), target.offset()].map(|o| o * *size as isize);
                let axes = paired(source.axes(), target.axes(), *size);
                // SAFETY: `check` found both regions inside of their tensors; the output is ours alone and repeats no element.
                unsafe { strided::copy(axes, *size, input.address().wrapping_offset(start[0]), to.wrapping_offset(start[1])) };
                Ok(())
            }
            Storage::Packed(to) => packed::copy(self.dtype, input.bytes()?, source, to, target),
            Storage::Strings(_) => Err(error!(Fail, "strings are no numbers")),
        }
    }

    /// Copies all of `input`, which has as many elements, in row-major order. The output is dense.
    ///
    /// # Errors
    /// `InvalidArgument` when the numbers of elements differ.
    pub(crate) fn copy_all(&mut self, input: &TensorRef<'a>) -> Result<()> {
        ensure!(self.is_dense(), Fail, "only a dense output can take another shape");
        ensure!(input.len() == self.whole.len(), InvalidArgument, "{} elements cannot fill {}", input.len(), self.whole.dims());
        self.copy(input, &Region::of(input)?, &Region::dense(input.shape()))
    }

    /// Copies all of `input`, which has the same shape, unless the plan gave its memory to the output already.
    ///
    /// # Errors
    /// As [`copy`](Self::copy).
    pub(crate) fn start_from(&mut self, input: &TensorRef<'a>) -> Result<()> {
        if self.is_in_place_of(input) {
            return Ok(());
        }
        self.copy(input, &Region::of(input)?, &self.whole())
    }

    fn is_in_place_of(&self, input: &TensorRef<'_>) -> bool {
        let address = match &self.storage {
            Storage::Sized(to, ..) => to.cast_const(),
            Storage::Packed(to) => to.as_ptr(),
            Storage::Strings(_) => return false,
        };
        address == input.address() && !input.is_empty()
    }

    /// Sets every element of `target` to element `at` of `value`, which is dense.
    ///
    /// # Errors
    /// `Fail` when there is no such element, or as [`copy`](Self::copy).
    pub(crate) fn fill(&mut self, value: &TensorRef<'a>, at: usize, target: &Region) -> Result<()> {
        self.copy(value, &element(value, at)?.broadcast(&target.dims())?, target)
    }

    /// Sets every element of `target` to the only element of `value`, which is no string.
    ///
    /// # Errors
    /// As [`copy`](Self::copy).
    pub(crate) fn fill_number(&mut self, value: &TensorRef<'_>, target: &Region) -> Result<()> {
        let source = element(value, 0)?.broadcast(&target.dims())?;
        self.check(value, &source, target)?;
        if source.len() == 0 { Ok(()) } else { self.copy_numbers(value, &source, target) }
    }

    /// Sets every element of `target` to zero, or to the empty string.
    ///
    /// # Errors
    /// As [`copy`](Self::copy).
    pub(crate) fn zero(&mut self, target: &Region) -> Result<()> {
        static ZEROS: [u64; 2] = [0; 2];
        if let Storage::Strings(list) = &mut self.storage {
            inside(target, &self.whole).map(|()| paced(target.elements(), 8).for_each(|t| list[t] = ""))?;
            return Ok(());
        }
        // SAFETY: sixteen aligned zero bytes are one element of every type that is not a string.
        let zero = unsafe { TensorRef::new(self.dtype, &[], &base::Layout::Dense, base::Memory::HOST, ZEROS.as_ptr().cast()) };
        self.fill_number(&zero, target)
    }

    /// Sets element `to` of this output to element `from` of `input`, both dense.
    ///
    /// # Errors
    /// `Fail` when there is no such element.
    pub(crate) fn put(&mut self, input: &TensorRef<'a>, from: usize, to: usize) -> Result<()> {
        ensure!(input.dtype() == self.dtype && self.is_dense(), Fail, "{input:?} has no elements for an output of {}", self.dtype);
        ensure!(from < input.len() && to < self.whole.len(), Fail, "element {from} cannot be put at {to}");
        match &mut self.storage {
            Storage::Sized(out, size, _) => {
                let bytes = &input.bytes()?[from * *size..][..*size];
                // SAFETY: the output is dense, and element `to` is one of it.
                unsafe { out.add(to * *size).copy_from_nonoverlapping(bytes.as_ptr(), *size) };
                Ok(())
            }
            Storage::Packed(out) => packed::run(self.dtype, input.bytes()?, from, out, to, 1),
            Storage::Strings(list) => {
                list[to] = input.strings()?.get(from);
                Ok(())
            }
        }
    }

    /// The bytes of a dense output whose elements have whole bytes, and how many one element has; `None` for strings and packed types.
    pub(crate) fn bytes(&mut self) -> Option<(&mut [u8], usize)> {
        let len = self.whole.len();
        match &self.storage {
            // SAFETY: the output is dense, so that its elements are that many bytes, lent to `self` alone.
            Storage::Sized(to, size, _) if self.is_dense() => Some((unsafe { std::slice::from_raw_parts_mut(*to, len * *size) }, *size)),
            _ => None,
        }
    }

    pub(super) fn dtype(&self) -> DType {
        self.dtype
    }

    pub(super) fn is_dense(&self) -> bool {
        self.whole == Region::dense(&self.whole.dims()) || self.whole.len() < 2
    }
}

/// The region that is just element `at` of a dense tensor.
fn element(tensor: &TensorRef<'_>, at: usize) -> Result<Region> {
    ensure!(at < tensor.len(), InvalidArgument, "element {at} is needed of a tensor of shape {}", Shape::from(tensor.shape()));
    Ok(Region::element(at))
}

/// Fails unless `part` reaches nothing that `whole` does not.
pub(super) fn inside(part: &Region, whole: &Region) -> Result<()> {
    let fits = match (part.extent(), whole.extent()) {
        (Some(p), Some(w)) => w.0 <= p.0 && p.1 <= w.1,
        _ => false,
    };
    ensure!(fits, Fail, "{part:?} reaches out of {whole:?}");
    Ok(())
}
