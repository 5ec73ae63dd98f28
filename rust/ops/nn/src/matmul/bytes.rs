//! The kernel of products of 8-bit integers: packing of constants, zero points, and batches.

use std::sync::Arc;

use base::{DType, Result, Tensor, TensorRef, bail, ensure};
use gemm::{Batch, ByteMat, ByteOutput, ByteRhs, ByteTerms, Mat, PackedBytes, byte_gemm_batched, byte_scratch_len};
use op::{Prepare, Run};

use super::shape::{Form, Plan};

/// Where the operands of a product of bytes are among the inputs of the node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Places {
    pub(super) a: usize,
    pub(super) b: usize,
    pub(super) a_zero: usize,
    pub(super) b_zero: usize,
}

/// A product of bytes whose right operand may be packed.
pub(super) struct Bytes {
    places: Places,
    packed: Option<Arc<PackedBytes>>,
}

/// A matrix of bytes of either sign.
pub(super) fn matrix<'a>(t: TensorRef<'a>, rows: usize, cols: usize, strides: (usize, usize)) -> Result<ByteMat<'a>> {
    Ok(match t.dtype() {
        DType::I8 => Mat::new(t.slice::<i8>()?, rows, cols, strides.0, strides.1)?.into(),
        DType::U8 => Mat::new(t.slice::<u8>()?, rows, cols, strides.0, strides.1)?.into(),
        other => bail!(NotImplemented, "a product of bytes of type {other}"),
    })
}

impl Bytes {
    /// Packs a constant right operand that all products share.
    pub(super) fn prepare(cx: &Prepare<'_>, places: Places) -> Result<Self> {
        let packed = cx.constant(places.b).map(|b| pack(cx, b)).transpose()?.flatten();
        Ok(Self { places, packed })
    }

    /// The product of operands of shapes `a` and `b`.
    pub(super) fn plan(a: &[usize], b: &[usize]) -> Result<Plan> {
        Plan::new(a, Form::default(), b, Form::default())
    }

    /// Bytes of scratch memory that the product takes, zero points of rows and columns included.
    pub(super) fn scratch(&self, plan: &Plan) -> usize {
        let zeros = plan.count().saturating_mul(plan.m + plan.n).saturating_mul(size_of::<i32>()).next_multiple_of(64);
        zeros.saturating_add(byte_scratch_len(plan.count(), plan.m, plan.n, plan.k, self.packed.is_some()))
    }

    /// Multiplies all products of the batch into `output`.
    ///
    /// # Errors
    /// `NotImplemented` when zero points differ between the products of a batch.
    pub(super) fn multiply(&self, cx: &Run<'_>, plan: &Plan, scratch: &mut [u8], output: ByteOutput<'_>) -> Result<()> {
        let zeros_len = plan.count() * (plan.m + plan.n) * size_of::<i32>();
        ensure!(scratch.len() >= zeros_len, Fail, "{zeros_len} bytes of scratch memory are needed, not {}", scratch.len());
        let (zeros, scratch) = scratch.split_at_mut(zeros_len.next_multiple_of(64).min(scratch.len()));
        // SAFETY: scratch memory lies on a cache line; whole integers of any content are valid, and `align_to_mut` keeps inside of it.
        let (_, zeros, _) = unsafe { zeros.align_to_mut::<i32>() };
        let (a_zeros, b_zeros) = zeros.split_at_mut((plan.count() * plan.m).min(zeros.len()));
        let a_zeros = zero_points(cx.optional(self.places.a_zero)?, a_zeros, plan.m, plan.count())?;
        let b_zeros = zero_points(cx.optional(self.places.b_zero)?, b_zeros, plan.n, plan.count())?;
        let (a, b) = (cx.input(self.places.a)?, cx.input(self.places.b)?);
        let left = matrix(a, plan.m, plan.k, (plan.a.row_stride, plan.a.col_stride))?;
        let right = match &self.packed {
            Some(packed) => ByteRhs::Packed(packed),
            None => ByteRhs::Plain(matrix(b, plan.k, plan.n, (plan.b.row_stride, plan.b.col_stride))?),
        };
        ensure!(
            a_zeros.len() <= plan.m.max(1) && b_zeros.len() <= plan.n.max(1),
            NotImplemented,
            "zero points that differ between the products of a batch"
        );
        let batch = Batch { dims: &plan.dims, a: &plan.a.batch, b: &plan.b.batch, c: &plan.c };
        byte_gemm_batched(&batch, left, right, &ByteTerms { a: a_zeros, b: b_zeros, ..ByteTerms::default() }, output, scratch)
    }
}

fn pack(cx: &Prepare<'_>, b: &Tensor) -> Result<Option<Arc<PackedBytes>>> {
    let shape = b.shape();
    let rank = shape.len();
    if rank < 2 || b.is_empty() || shape[..rank - 2].iter().any(|d| *d != 1) {
        return Ok(None);
    }
    let format = format!("bytes {} {}", simd::isa::best().name(), b.dtype());
    let (rows, cols) = (shape[rank - 2], shape[rank - 1]);
    cx.packed.get(b, &format, |b| PackedBytes::new(matrix(b.as_ref(), rows, cols, (cols, 1))?)).map(Some)
}

/// Zero points as integers: none, one for all, one for each of `len` rows or columns, or as many for each product.
fn zero_points<'a>(t: Option<TensorRef<'_>>, to: &'a mut [i32], len: usize, count: usize) -> Result<&'a [i32]> {
    let Some(t) = t else { return Ok(&[]) };
    let have = t.len();
    ensure!(have == 1 || have == len || have == len * count, InvalidArgument, "{have} zero points for {len} rows or columns");
    ensure!(have <= to.len() || to.is_empty(), Fail, "no room for {have} zero points");
    let room = have.min(to.len());
    let to = &mut to[..room];
    match t.dtype() {
        DType::I8 => to.iter_mut().zip(t.slice::<i8>()?).for_each(|(to, z)| *to = (*z).into()),
        _ => to.iter_mut().zip(t.slice::<u8>()?).for_each(|(to, z)| *to = (*z).into()),
    }
    Ok(to)
}
