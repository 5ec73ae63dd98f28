//! Gathering what the iterations of a loop give, to be put together along a new axis.

use base::{DType, Result, Shape, Strings, Tensor, ensure, error, packed};
use op::Run;

use crate::slices::dense;

/// Tensors of one type and shape, gathered one by one.
#[derive(Default)]
pub(crate) struct Stack {
    like: Option<(DType, Shape)>,
    count: usize,
    /// Elements row by row; of packed types their codes, one to a byte.
    bytes: Vec<u8>,
    strings: Strings,
}

/// Where and how a stack becomes an output.
pub(crate) struct Target<'a> {
    /// Which output of the node.
    pub(crate) output: usize,
    /// The new axis, counted from the end when negative.
    pub(crate) axis: i64,
    /// The size of the new axis, or the sizes of several; together the number of tensors.
    pub(crate) sizes: &'a [usize],
    /// Whether the last tensor comes first.
    pub(crate) reverse: bool,
    /// Type and shape of a tensor, should there be none.
    pub(crate) like: (DType, &'a [usize]),
}

impl Stack {
    /// How many tensors there are.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Adds `tensor`.
    ///
    /// # Errors
    /// `InvalidArgument` when type or shape are not those of the first, `Fail` when there is no memory for it.
    pub(crate) fn push(&mut self, tensor: &Tensor) -> Result<()> {
        let tensor = &*dense(tensor)?;
        if self.like.is_none() {
            self.like = Some((tensor.dtype(), tensor.shape().clone()));
            self.fill(self.count)?;
        }
        let Some((dtype, shape)) = &self.like else { base::bail!(Fail, "a stack has no type") };
        ensure!(
            *dtype == tensor.dtype() && *shape == *tensor.shape(),
            InvalidArgument,
            "a scan output was {dtype}{shape} in the first iteration and is {}{} in iteration {}",
            tensor.dtype(),
            tensor.shape(),
            self.count
        );
        self.count += 1;
        if let Ok(strings) = tensor.as_ref().strings() {
            self.strings.reserve(strings.len(), strings.byte_len())?;
            strings.iter().for_each(|s| self.strings.push(s));
            return Ok(());
        }
        let len = dtype.size().unwrap_or(1) * tensor.len();
        base::ensure_room(len)?;
        self.bytes.try_reserve(len).map_err(|_| error!(Fail, "no memory for {} iterations of a scan output", self.count))?;
        if dtype.is_packed() {
            let start = self.bytes.len();
            self.bytes.resize(start + len, 0);
            return packed::unpack(*dtype, tensor.as_ref().bytes()?, 0, &mut self.bytes[start..]);
        }
        self.bytes.extend_from_slice(tensor.as_ref().bytes()?);
        Ok(())
    }

    /// Adds `count` tensors of zeros, or of empty strings.
    ///
    /// # Errors
    /// `Fail` when there is no memory for them.
    pub(crate) fn pad(&mut self, count: usize) -> Result<()> {
        self.fill(count)?;
        self.count += count;
        Ok(())
    }

    /// The elements of `count` tensors of zeros, once it is known what the tensors are like.
    fn fill(&mut self, count: usize) -> Result<()> {
        let Some((dtype, shape)) = &self.like else { return Ok(()) };
        let len = Shape::checked_len(shape).and_then(|n| n.checked_mul(count)).unwrap_or(usize::MAX);
        if *dtype == DType::String {
            self.strings.reserve(len, 0)?;
            (0..len).for_each(|_| self.strings.push(""));
            return Ok(());
        }
        let bytes = len.saturating_mul(dtype.size().unwrap_or(1));
        base::ensure_room(bytes)?;
        self.bytes.try_reserve(bytes).map_err(|_| error!(Fail, "no memory for {count} tensors of {dtype}{shape}"))?;
        self.bytes.resize(self.bytes.len() + bytes, 0);
        Ok(())
    }

    /// Writes the tensors as output `target.output`.
    ///
    /// # Errors
    /// `InvalidArgument` when the axis is out of range, `Fail` when the memory cannot be had.
    pub(crate) fn write(mut self, cx: &mut Run<'_>, target: &Target<'_>) -> Result<()> {
        if self.like.is_none() {
            self.like = Some((target.like.0, target.like.1.into()));
            self.fill(self.count)?;
        }
        let Some((dtype, like)) = self.like.clone() else { base::bail!(Fail, "a stack has no type") };
        let axis = base::axis_index(target.axis, like.len() + 1)?;
        let shape = Shape::from([&like[..axis], target.sizes, &like[axis..]].concat());
        ensure!(target.sizes.iter().product::<usize>() == self.count, Fail, "{} tensors are no {:?}", self.count, target.sizes);
        let rows =
            Rows { count: self.count, outer: like[..axis].iter().product(), inner: like[axis..].iter().product(), reverse: target.reverse };
        if dtype == DType::String {
            let strings = rows.places().flat_map(|r| r.map(|i| self.strings.get(i)));
            return cx.set_strings(target.output, shape, Strings::gather(strings)?);
        }
        if !cx.has_output(target.output) {
            return Ok(());
        }
        cx.allocate(target.output, dtype, shape)?;
        let output = cx.output(target.output)?.bytes()?;
        if dtype.is_packed() {
            let mut codes = vec![0; self.bytes.len()];
            rows.copy(&self.bytes, 1, &mut codes);
            output.copy_from_slice(&packed::pack(dtype, &codes)?);
            return Ok(());
        }
        rows.copy(&self.bytes, dtype.size().unwrap_or(1), output);
        Ok(())
    }
}

/// `count` tensors of `outer` rows of `inner` elements each, to be interleaved by rows.
struct Rows {
    count: usize,
    outer: usize,
    inner: usize,
    reverse: bool,
}

impl Rows {
    /// Where the rows of the output lie among the tensors, in elements.
    fn places(&self) -> impl Iterator<Item = std::ops::Range<usize>> + Clone + '_ {
        let outer = if self.inner == 0 { 0 } else { self.outer };
        let order = move |k: usize| if self.reverse { self.count - 1 - k } else { k };
        (0..outer)
            .flat_map(move |o| (0..self.count).map(move |k| (order(k) * self.outer + o) * self.inner))
            .map(|start| start..start + self.inner)
    }

    fn copy(&self, from: &[u8], size: usize, to: &mut [u8]) {
        if self.outer == 1 && !self.reverse {
            to.copy_from_slice(from);
            return;
        }
        for (to, place) in to.chunks_exact_mut((self.inner * size).max(1)).zip(self.places()) {
            to.copy_from_slice(&from[place.start * size..place.end * size]);
        }
    }
}
