//! Constant operands, packed once.

use std::fmt;

use base::Result;
use base::threads::parallel_for;
use simd::Isa;

use crate::matrix::Mat;
use crate::memory::{Aligned, Shared};
use crate::pack::{PackA, PackB};
use crate::panels::{RowPanels, TileShape};
use crate::scalar::Scalar;

/// Panels of B packed at a time: rows are read in runs of several panels.
pub(crate) const PANELS_AT_ONCE: usize = 8;

/// A right operand packed for one instruction set: the one format for few rows and for many. It keeps the element type.
pub struct PackedB<T> {
    pub(crate) isa: Isa,
    pub(crate) k: usize,
    pub(crate) n: usize,
    pub(crate) panels: Aligned,
    _element: std::marker::PhantomData<T>,
}

impl<T: Scalar> PackedB<T> {
    /// Packs `b` for the instruction set in use.
    ///
    /// # Errors
    /// `Fail` when there is no memory for the copy.
    pub fn new(b: Mat<'_, T>) -> Result<Self> {
        Self::on(simd::isa::best(), b)
    }

    /// Packs `b` for `isa`.
    ///
    /// # Errors
    /// `Fail` when there is no memory for the copy.
    pub fn on(isa: Isa, b: Mat<'_, T>) -> Result<Self> {
        let (k, n, width) = (b.rows(), b.cols(), TileShape::on::<T>(isa).cols);
        let count = n.div_ceil(width);
        let mut panels = Aligned::zeroed::<T>((count * width).saturating_mul(k))?;
        let dst = Shared(panels.as_mut_ptr::<T>());
        parallel_for(count.div_ceil(PANELS_AT_ONCE), &|chunk| {
            let first = chunk * PANELS_AT_ONCE;
            let panels = PANELS_AT_ONCE.min(count - first);
            // SAFETY: the buffer holds `count` panels of `width * k` values, and each chunk writes panels of its own.
            let dst = unsafe { dst.get().add(first * width * k) };
            T::pack_b(isa, PackB { b, offset: 0, col: first * width, panels, width, dst });
        });
        Ok(Self { isa, k, n, panels, _element: std::marker::PhantomData })
    }

    /// The rows of the operand, the length of the products.
    pub fn rows(&self) -> usize {
        self.k
    }

    /// The columns of the operand.
    pub fn cols(&self) -> usize {
        self.n
    }

    /// The instruction set it is packed for.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// The memory it takes.
    pub fn bytes(&self) -> usize {
        self.panels.bytes()
    }
}

impl<T> fmt::Debug for PackedB<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PackedB({}x{} for {})", self.k, self.n, self.isa.name())
    }
}

/// A left operand packed for one instruction set, widened to the accumulator.
pub struct PackedA<T> {
    pub(crate) isa: Isa,
    pub(crate) m: usize,
    pub(crate) k: usize,
    pub(crate) panels: Aligned,
    _element: std::marker::PhantomData<T>,
}

impl<T: Scalar> PackedA<T> {
    /// Packs `a` for the instruction set in use.
    ///
    /// # Errors
    /// `Fail` when there is no memory for the copy.
    pub fn new(a: Mat<'_, T>) -> Result<Self> {
        Self::on(simd::isa::best(), a)
    }

    /// Packs `a` for `isa`.
    ///
    /// # Errors
    /// `Fail` when there is no memory for the copy.
    pub fn on(isa: Isa, a: Mat<'_, T>) -> Result<Self> {
        let (m, k) = (a.rows(), a.cols());
        let rows = RowPanels::new(m, TileShape::on::<T>(isa).rows);
        let mut panels = Aligned::zeroed::<T::Acc>(m.saturating_mul(k))?;
        let dst = Shared(panels.as_mut_ptr::<T::Acc>());
        parallel_for(rows.count, &|i| {
            let row = rows.start(i);
            // SAFETY: the buffer holds `m * k` values, and each chunk writes rows of its own.
            let dst = unsafe { dst.get().add(row * k) };
            T::pack_a(isa, PackA { a, offset: 0, row, rows: rows.height(i), dst });
        });
        Ok(Self { isa, m, k, panels, _element: std::marker::PhantomData })
    }

    /// The rows of the operand.
    pub fn rows(&self) -> usize {
        self.m
    }

    /// The columns of the operand, the length of the products.
    pub fn cols(&self) -> usize {
        self.k
    }

    /// The instruction set it is packed for.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// The memory it takes.
    pub fn bytes(&self) -> usize {
        self.panels.bytes()
    }
}

impl<T> fmt::Debug for PackedA<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PackedA({}x{} for {})", self.m, self.k, self.isa.name())
    }
}
