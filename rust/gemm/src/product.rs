//! Matrix products: operands, and the checks of a batch of products.

use base::{Result, ensure};
use simd::Isa;

use crate::blocking::{Blocking, Form, is_direct};
use crate::epilogue::Epilogue;
use crate::matrix::{Batch, MAX_AXES, Mat, MatMut, batch_reach, check_disjoint, covers, extent, goes_on, is_shared};
use crate::memory::{Shared, padded};
use crate::packed::{PackedA, PackedB};
use crate::panels::TileShape;
use crate::scalar::Scalar;
use crate::source::Columns;

mod driver;

pub(crate) use driver::{Buffer, FinishTile, Run};

/// The left operand of a product.
#[derive(Clone, Copy, Debug)]
pub enum Lhs<'a, T: Scalar> {
    /// A matrix as it lies.
    Plain(Mat<'a, T>),
    /// One packed beforehand.
    Packed(&'a PackedA<T>),
}

/// The right operand of a product.
#[derive(Clone, Copy, Debug)]
pub enum Rhs<'a, T: Scalar> {
    /// A matrix as it lies.
    Plain(Mat<'a, T>),
    /// One packed beforehand.
    Packed(&'a PackedB<T>),
    /// One whose panels are made when they are needed. Its batch strides only tell products apart: 0 on all axes if they share it.
    Source(&'a dyn Columns<T>),
}

impl<'a, T: Scalar> From<Mat<'a, T>> for Lhs<'a, T> {
    fn from(m: Mat<'a, T>) -> Self {
        Self::Plain(m)
    }
}

impl<'a, T: Scalar> From<&'a PackedA<T>> for Lhs<'a, T> {
    fn from(m: &'a PackedA<T>) -> Self {
        Self::Packed(m)
    }
}

impl<'a, T: Scalar> From<Mat<'a, T>> for Rhs<'a, T> {
    fn from(m: Mat<'a, T>) -> Self {
        Self::Plain(m)
    }
}

impl<'a, T: Scalar> From<&'a PackedB<T>> for Rhs<'a, T> {
    fn from(m: &'a PackedB<T>) -> Self {
        Self::Packed(m)
    }
}

impl<T: Scalar> Lhs<'_, T> {
    fn shape(&self) -> (usize, usize) {
        match self {
            Self::Plain(m) => (m.rows, m.cols),
            Self::Packed(p) => (p.m, p.k),
        }
    }
}

impl<T: Scalar> Rhs<'_, T> {
    fn shape(&self) -> (usize, usize) {
        match self {
            Self::Plain(m) => (m.rows, m.cols),
            Self::Packed(p) => (p.k, p.n),
            Self::Source(s) => (s.rows(), s.cols()),
        }
    }
}

/// `c = epilogue(a * b)` for `a` of m by k, `b` of k by n and `c` of m by n. The old content of `c` is not read.
///
/// Each element is one chain of multiply-adds in the order of k, so its bits depend on its row and column only: not on the other rows, on
/// packing or on threads. `scratch` of [`scratch_len`] bytes makes the call allocate nothing; a shorter one (or none) is replaced.
///
/// # Errors
/// `InvalidArgument` when shapes disagree or an operand of the epilogue is too short, `NotImplemented` for an activation of a type that
/// has none, `Fail` when there is no memory for scratch.
pub fn gemm<'a, T: Scalar>(
    a: impl Into<Lhs<'a, T>>,
    b: impl Into<Rhs<'a, T>>,
    epilogue: &Epilogue<'_, T>,
    c: MatMut<'_, T>,
    scratch: &mut [u8],
) -> Result<()> {
    gemm_batched(&Batch::default(), a, b, epilogue, c, scratch)
}

/// `c = c + a * b`, for types that are their own accumulators: the sums go on from what `c` holds.
///
/// # Errors
/// As [`gemm`]; `NotImplemented` for other types.
pub fn gemm_onto<'a, T: Scalar>(a: impl Into<Lhs<'a, T>>, b: &PackedB<T>, c: MatMut<'_, T>, scratch: &mut [u8]) -> Result<()> {
    ensure!(T::IS_ACC, NotImplemented, "adding products to a result of {}", T::DTYPE);
    let epilogue = Epilogue::default();
    let job = Job::new(b.isa, &Batch::default(), a.into(), b.into(), &epilogue, c)?;
    if job.is_empty() {
        return Ok(());
    }
    T::run(b.isa, Run { job: Job { onto: true, ..job }, scratch })
}

/// [`gemm`] for each product of a batch; the matrices given are those of the first product, their slices those of all.
///
/// # Errors
/// As [`gemm`]; also `InvalidArgument` when a slice is too short for the batch, products write the same element, or a packed operand has a
/// stride other than 0.
pub fn gemm_batched<'a, T: Scalar>(
    batch: &Batch<'_>,
    a: impl Into<Lhs<'a, T>>,
    b: impl Into<Rhs<'a, T>>,
    epilogue: &Epilogue<'_, T>,
    c: MatMut<'_, T>,
    scratch: &mut [u8],
) -> Result<()> {
    let (a, b) = (a.into(), b.into());
    let isa = match (&a, &b) {
        (Lhs::Packed(p), _) => p.isa,
        (_, Rhs::Packed(p)) => p.isa,
        _ => simd::isa::best(),
    };
    gemm_on(isa, batch, a, b, epilogue, c, scratch)
}

/// [`gemm_batched`] on a chosen instruction set.
///
/// # Errors
/// As [`gemm_batched`]; also `InvalidArgument` when an operand is packed for another instruction set.
pub fn gemm_on<T: Scalar>(
    isa: Isa,
    batch: &Batch<'_>,
    a: Lhs<'_, T>,
    b: Rhs<'_, T>,
    epilogue: &Epilogue<'_, T>,
    c: MatMut<'_, T>,
    scratch: &mut [u8],
) -> Result<()> {
    let job = Job::new(isa, batch, a, b, epilogue, c)?;
    if job.is_empty() {
        return Ok(());
    }
    T::run(isa, Run { job: job.folded(), scratch })
}

/// The most scratch that a batch of products takes on the instruction set in use, in bytes. `packed_a` and `packed_b` say which operands
/// are packed beforehand.
pub fn scratch_len<T: Scalar>(batch: usize, m: usize, n: usize, k: usize, packed_a: bool, packed_b: bool) -> usize {
    let tile = TileShape::on::<T>(simd::isa::best());
    let a = if packed_a { 0 } else { Blocking::most_a(tile, batch, m, k, size_of::<T::Acc>()) };
    let b = if packed_b { 0 } else { Blocking::most_b(tile, batch, n, k, size_of::<T>()) };
    padded::<T::Acc>(a).saturating_add(padded::<T>(b))
}

/// A checked batch of products.
struct Job<'a, T: Scalar> {
    isa: Isa,
    dims: &'a [usize],
    a_batch: &'a [usize],
    b_batch: &'a [usize],
    c_batch: &'a [usize],
    count: usize,
    m: usize,
    n: usize,
    k: usize,
    a: Lhs<'a, T>,
    b: Rhs<'a, T>,
    epilogue: &'a Epilogue<'a, T>,
    c: Shared<T>,
    ldc: usize,
    /// Whether the products are added to what the result holds.
    onto: bool,
}

impl<'a, T: Scalar> Job<'a, T> {
    fn new(isa: Isa, batch: &Batch<'a>, a: Lhs<'a, T>, b: Rhs<'a, T>, epilogue: &'a Epilogue<'a, T>, c: MatMut<'a, T>) -> Result<Self> {
        batch.check()?;
        let ((m, k), (k2, n)) = (a.shape(), b.shape());
        ensure!(k == k2, InvalidArgument, "a {m}x{k} matrix cannot be multiplied by a {k2}x{n} one");
        ensure!(c.rows == m && c.cols == n, InvalidArgument, "a {m}x{n} product does not fit a {}x{} result", c.rows, c.cols);
        let count = batch.count();
        ensure!(count.is_some(), InvalidArgument, "the number of products overflows: batch axes {:?}", batch.dims);
        let job = Self {
            isa,
            dims: batch.dims,
            a_batch: batch.a,
            b_batch: batch.b,
            c_batch: batch.c,
            count: count.unwrap_or(0),
            m,
            n,
            k,
            a,
            b,
            epilogue,
            c: Shared(c.data.as_mut_ptr()),
            ldc: c.row_stride,
            onto: false,
        };
        if !job.is_empty() {
            job.check(c.data.len())?;
        }
        Ok(job)
    }

    fn is_empty(&self) -> bool {
        self.count == 0 || self.m == 0 || self.n == 0
    }

    /// Checks that operands and result hold all products, and that the result holds them apart.
    fn check(&self, c_len: usize) -> Result<()> {
        match self.a {
            Lhs::Plain(a) => covers("A", &a, self.dims, self.a_batch)?,
            Lhs::Packed(p) => self.check_packed("A", p.isa, self.a_batch)?,
        }
        match self.b {
            Rhs::Plain(b) => covers("B", &b, self.dims, self.b_batch)?,
            Rhs::Packed(p) => self.check_packed("B", p.isa, self.b_batch)?,
            Rhs::Source(_) => {}
        }
        let needed = extent(self.m, self.n, self.ldc, 1).and_then(|e| e.checked_add(batch_reach(self.dims, self.c_batch)?));
        ensure!(
            needed.is_some_and(|e| e <= c_len),
            InvalidArgument,
            "a result of {c_len} elements does not hold {} products of {}x{}",
            self.count,
            self.m,
            self.n
        );
        let mut axes = [(0, 1); MAX_AXES + 2];
        for (axis, (&dim, &stride)) in axes.iter_mut().zip(self.dims.iter().zip(self.c_batch)) {
            *axis = (stride, dim);
        }
        axes[self.dims.len()] = (self.ldc, self.m);
        axes[self.dims.len() + 1] = (1, self.n);
        check_disjoint(&mut axes[..self.dims.len() + 2])?;
        self.epilogue.check(self.dims, self.m, self.n)
    }

    fn check_packed(&self, name: &str, isa: Isa, strides: &[usize]) -> Result<()> {
        let (want, have) = (self.isa.name(), isa.name());
        ensure!(isa == self.isa, InvalidArgument, "{name} is packed for {have}, but the product runs on {want}");
        let still = self.dims.iter().zip(strides).all(|(&d, &s)| d == 1 || s == 0);
        ensure!(still, InvalidArgument, "{name} is packed, so its batch strides must be 0, not {strides:?}");
        Ok(())
    }

    /// The same products as a single one, if all share B and the rows of A, of the result and of the epilogue go on evenly from one product
    /// to the next.
    fn folded(self) -> Self {
        let Lhs::Plain(a) = self.a else { return self };
        let even = |stride, batch| goes_on(stride, self.m, self.dims, batch);
        let shared = is_shared(self.dims, self.b_batch);
        let folds = self.count > 1
            && shared
            && even(a.row_stride, self.a_batch)
            && even(self.ldc, self.c_batch)
            && self.epilogue.folds(self.dims, self.m);
        if !folds {
            return self;
        }
        let m = self.m * self.count;
        let a = Lhs::Plain(Mat { rows: m, ..a });
        Self { dims: &[], a_batch: &[], b_batch: &[], c_batch: &[], count: 1, m, a, ..self }
    }

    fn form_a(&self) -> Form {
        match self.a {
            Lhs::Packed(_) => Form::Packed,
            Lhs::Plain(a) if self.m == 1 && (a.col_stride == 1 || self.k <= 1) && T::IS_ACC => Form::Direct,
            Lhs::Plain(_) => Form::Pack,
        }
    }

    fn form_b(&self, tile: TileShape) -> Form {
        match self.b {
            Rhs::Packed(_) => Form::Packed,
            Rhs::Plain(b) if b.col_stride == 1 && is_direct(self.m, tile) => Form::Direct,
            Rhs::Plain(_) | Rhs::Source(_) => Form::Pack,
        }
    }
}

#[cfg(test)]
mod tests;
