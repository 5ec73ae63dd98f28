//! What is done to each element of a product before it is stored: scaling, operands added or multiplied, an activation.

use base::{Result, ensure};
use simd::{MAX_LANES, Simd, VecFn, VecFn2, math};

use crate::matrix::{Mat, batch_offset, batch_reach, extent, goes_on};
use crate::scalar::Scalar;

/// An operand of the shape of the result, by strides: 0 where it is broadcast.
#[derive(Debug)]
pub struct Operand<'a, T> {
    data: &'a [T],
    row_stride: usize,
    col_stride: usize,
    batch: &'a [usize],
}

impl<T> Clone for Operand<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Operand<'_, T> {}

impl<'a, T> Operand<'a, T> {
    /// The first value of `data`, for every element.
    pub fn scalar(data: &'a [T]) -> Self {
        Self { data, row_stride: 0, col_stride: 0, batch: &[] }
    }

    /// One value for each column.
    pub fn per_column(data: &'a [T]) -> Self {
        Self { data, row_stride: 0, col_stride: 1, batch: &[] }
    }

    /// One value for each row.
    pub fn per_row(data: &'a [T]) -> Self {
        Self { data, row_stride: 1, col_stride: 0, batch: &[] }
    }

    /// One value for each element.
    pub fn matrix(m: Mat<'a, T>) -> Self {
        Self { data: m.data, row_stride: m.row_stride, col_stride: m.col_stride, batch: &[] }
    }

    /// Any strides; `batch` has one for each batch axis, or none if all products share the operand.
    pub fn strided(data: &'a [T], row_stride: usize, col_stride: usize, batch: &'a [usize]) -> Self {
        Self { data, row_stride, col_stride, batch }
    }

    /// Checks that every element of a batch of `m` by `n` results finds its value.
    fn check(&self, dims: &[usize], m: usize, n: usize) -> Result<()> {
        ensure!(
            self.batch.is_empty() || self.batch.len() == dims.len(),
            InvalidArgument,
            "{} batch axes, but {} strides for an operand of the epilogue",
            dims.len(),
            self.batch.len()
        );
        let own = extent(m, n, self.row_stride, self.col_stride);
        let needed = own.and_then(|e| e.checked_add(batch_reach(dims, self.batch)?));
        ensure!(
            needed.is_some_and(|e| e <= self.data.len()),
            InvalidArgument,
            "an operand of {} elements with strides {} and {} does not cover a {m}x{n} result",
            self.data.len(),
            self.row_stride,
            self.col_stride
        );
        Ok(())
    }

    /// Whether products one after the other may be taken for the rows of a single one: each has `m` rows.
    fn folds(&self, dims: &[usize], m: usize) -> bool {
        if self.batch.is_empty() {
            // All products share the operand: its rows may only be one and the same.
            return self.row_stride == 0;
        }
        goes_on(self.row_stride, m, dims, self.batch)
    }
}

/// An activation function.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation {
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, low), high)`.
    Clip {
        /// The lower bound.
        low: f32,
        /// The upper bound.
        high: f32,
    },
    /// `x` where positive, else `alpha x`.
    LeakyRelu(f32),
    /// `x` where positive, else `alpha (e^x - 1)`.
    Elu(f32),
    /// `1 / (1 + e^-x)`.
    Sigmoid,
    /// `max(0, min(1, alpha x + beta))`.
    HardSigmoid {
        /// The slope.
        alpha: f32,
        /// The value at zero.
        beta: f32,
    },
    /// `tanh x`.
    Tanh,
    /// The Gaussian gate by the error function, or by its approximation with tanh.
    Gelu {
        /// Whether the approximation is meant.
        approximate: bool,
    },
    /// `x sigmoid(alpha x)`.
    QuickGelu(f32),
    /// `x sigmoid(x)`.
    Silu,
    /// `x max(0, min(1, x / 6 + 1 / 2))`.
    HardSwish,
    /// `ln(1 + e^x)`.
    Softplus,
    /// `x / (1 + |x|)`.
    Softsign,
}

impl VecFn for Activation {
    #[inline(always)]
    fn eval<S: Simd>(self, s: S, x: S::F) -> S::F {
        match self {
            Self::Relu => math::Relu.eval(s, x),
            Self::Clip { low, high } => math::Clip { low, high }.eval(s, x),
            Self::LeakyRelu(alpha) => math::LeakyRelu(alpha).eval(s, x),
            Self::Elu(alpha) => math::Elu(alpha).eval(s, x),
            Self::Sigmoid => math::Sigmoid.eval(s, x),
            Self::HardSigmoid { alpha, beta } => math::HardSigmoid { alpha, beta }.eval(s, x),
            Self::Tanh => math::Tanh.eval(s, x),
            Self::Gelu { approximate: false } => math::Gelu.eval(s, x),
            Self::Gelu { approximate: true } => math::GeluTanh.eval(s, x),
            Self::QuickGelu(alpha) => math::QuickGelu(alpha).eval(s, x),
            Self::Silu => math::Silu.eval(s, x),
            Self::HardSwish => math::HardSwish.eval(s, x),
            Self::Softplus => math::Softplus.eval(s, x),
            Self::Softsign => math::Softsign.eval(s, x),
        }
    }
}

/// One step of an [`Epilogue`].
#[derive(Clone, Copy, Debug)]
pub enum Step<'a, T: Scalar> {
    /// `x + factor * operand`.
    Add {
        /// What is added: a bias, a residual.
        operand: Operand<'a, T>,
        /// Its factor.
        factor: T::Acc,
    },
    /// `x * operand`.
    Mul(Operand<'a, T>),
    /// The activation of `x`; for `f32`, `f16` and `bf16` only.
    Activate(Activation),
}

impl<'a, T: Scalar> Step<'a, T> {
    /// `x + operand`.
    pub fn add(operand: Operand<'a, T>) -> Self {
        Self::Add { operand, factor: T::ONE }
    }
}

/// `steps`, in order, on `alpha` times the product. Steps are computed in the accumulator's precision and rounded once, when stored.
#[derive(Clone, Copy, Debug)]
pub struct Epilogue<'a, T: Scalar> {
    /// The factor of the product.
    pub alpha: T::Acc,
    /// What follows.
    pub steps: &'a [Step<'a, T>],
}

impl<T: Scalar> Default for Epilogue<'_, T> {
    fn default() -> Self {
        Self { alpha: T::ONE, steps: &[] }
    }
}

impl<'a, T: Scalar> Epilogue<'a, T> {
    /// `steps` on the product itself.
    pub fn new(steps: &'a [Step<'a, T>]) -> Self {
        Self { alpha: T::ONE, steps }
    }

    /// Whether the product is stored as it is.
    pub(crate) fn is_plain(&self) -> bool {
        self.alpha == T::ONE && self.steps.is_empty()
    }

    pub(crate) fn check(&self, dims: &[usize], m: usize, n: usize) -> Result<()> {
        for step in self.steps {
            match step {
                Step::Add { operand, .. } | Step::Mul(operand) => operand.check(dims, m, n)?,
                Step::Activate(a) => ensure!(T::ACTIVATES, NotImplemented, "activation {a:?} of {}", T::DTYPE),
            }
        }
        Ok(())
    }

    pub(crate) fn folds(&self, dims: &[usize], m: usize) -> bool {
        self.steps.iter().all(|step| match step {
            Step::Add { operand, .. } | Step::Mul(operand) => operand.folds(dims, m),
            Step::Activate(_) => true,
        })
    }
}

/// One tile to be finished: `rows` by `cols` values of `tile` (rows of whole vectors, `ldt` apart), which are lost, become elements
/// `(row, col)` on of product `item`.
/// `c` points to the first of them.
#[doc(hidden)]
pub struct Finish<'a, T: Scalar> {
    pub(crate) tile: *mut T::Acc,
    pub(crate) ldt: usize,
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    pub(crate) c: *mut T,
    pub(crate) ldc: usize,
    pub(crate) epilogue: &'a Epilogue<'a, T>,
    pub(crate) dims: &'a [usize],
    pub(crate) item: usize,
    pub(crate) row: usize,
    pub(crate) col: usize,
}

impl<T: Scalar> Finish<'_, T> {
    /// The offset of the tile's first element in `operand`.
    #[inline(always)]
    fn origin(&self, operand: &Operand<'_, T>) -> usize {
        let item = if operand.batch.is_empty() { 0 } else { batch_offset(self.item, self.dims, operand.batch) };
        item + self.row * operand.row_stride + self.col * operand.col_stride
    }
}

/// Loads up to a vector of `operand`: `n` values from `offset` on.
///
/// # Safety
/// The operand covers them.
#[inline(always)]
unsafe fn load_operand<S: Simd, T: Scalar<Acc = f32, V<S> = S::F>>(s: S, operand: &Operand<'_, T>, offset: usize, n: usize) -> S::F {
    // SAFETY: the caller's values lie in the slice.
    unsafe {
        let p = operand.data.as_ptr().add(offset);
        match operand.col_stride {
            0 => s.splat((*p).widen()),
            1 if n == S::LANES => T::load(s, p),
            stride => {
                let mut lanes = [0.0f32; MAX_LANES];
                for (i, lane) in lanes.iter_mut().enumerate().take(n) {
                    *lane = (*p.add(i * stride)).widen();
                }
                s.load(lanes.as_ptr())
            }
        }
    }
}

/// Finishes a tile of `f32` accumulators, one step after the other, so that each is chosen once for all values.
///
/// # Safety
/// The pointers of `args` are good for the tile, and the operands cover the result.
#[inline(always)]
pub(crate) unsafe fn finish_f32<S: Simd, T>(s: S, args: Finish<'_, T>)
where
    T: Scalar<Acc = f32, V<S> = S::F>,
{
    // SAFETY: as the caller says.
    unsafe {
        if args.epilogue.alpha != 1.0 {
            each_vector(s, &args, Scale(args.epilogue.alpha));
        }
        for step in args.epilogue.steps {
            match step {
                Step::Add { operand, factor } if *factor == 1.0 => with_operand(s, &args, operand, math::Add),
                Step::Add { operand, factor } => with_operand(s, &args, operand, PlusTimes(*factor)),
                Step::Mul(operand) => with_operand(s, &args, operand, math::Mul),
                Step::Activate(activation) => each_vector(s, &args, *activation),
            }
        }
        for i in 0..args.rows {
            for j in (0..args.cols).step_by(S::LANES) {
                let (x, c, n) = (s.load(args.tile.add(i * args.ldt + j)), args.c.add(i * args.ldc + j), S::LANES.min(args.cols - j));
                if n == S::LANES { T::store(s, c, x) } else { store_partial::<S, T>(s, c, n, x) }
            }
        }
    }
}

/// `x` times a factor.
#[derive(Clone, Copy)]
struct Scale(f32);

impl VecFn for Scale {
    #[inline(always)]
    fn eval<S: Simd>(self, s: S, x: S::F) -> S::F {
        s.mul(x, s.splat(self.0))
    }
}

/// The operand times a factor is added.
#[derive(Clone, Copy)]
struct PlusTimes(f32);

impl VecFn2 for PlusTimes {
    #[inline(always)]
    fn eval<S: Simd>(self, s: S, x: S::F, y: S::F) -> S::F {
        s.fma(y, s.splat(self.0), x)
    }
}

/// Replaces each vector of the tile by what `f` makes of it. No closure, since what is not inlined is not compiled for the instruction
/// set.
///
/// # Safety
/// As [`finish_f32`].
#[inline(always)]
unsafe fn each_vector<S: Simd, T: Scalar<Acc = f32, V<S> = S::F>>(s: S, args: &Finish<'_, T>, f: impl VecFn) {
    for i in 0..args.rows {
        for j in (0..args.cols).step_by(S::LANES) {
            // SAFETY: the tile has whole vectors in each row.
            unsafe {
                let x = args.tile.add(i * args.ldt + j);
                s.store(x, f.eval(s, s.load(x)));
            }
        }
    }
}

/// Replaces each vector of the tile by what `f` makes of it and of the values of `operand` there.
///
/// # Safety
/// As [`finish_f32`].
#[inline(always)]
unsafe fn with_operand<S, T>(s: S, args: &Finish<'_, T>, operand: &Operand<'_, T>, f: impl VecFn2)
where
    S: Simd,
    T: Scalar<Acc = f32, V<S> = S::F>,
{
    let origin = args.origin(operand);
    for i in 0..args.rows {
        for j in (0..args.cols).step_by(S::LANES) {
            let (n, offset) = (S::LANES.min(args.cols - j), origin + i * operand.row_stride + j * operand.col_stride);
            // SAFETY: the tile has whole vectors in each row; the operand covers the result.
            unsafe {
                let x = args.tile.add(i * args.ldt + j);
                s.store(x, f.eval(s, s.load(x), load_operand(s, operand, offset, n)));
            }
        }
    }
}

/// Stores the first `n` values.
///
/// # Safety
/// `c` is good for `n` values.
#[inline(always)]
unsafe fn store_partial<S: Simd, T: Scalar<Acc = f32, V<S> = S::F>>(s: S, c: *mut T, n: usize, x: S::F) {
    let mut lanes = [T::default(); MAX_LANES];
    // SAFETY: the array holds a vector, and `c` holds `n` values.
    unsafe {
        T::store(s, lanes.as_mut_ptr(), x);
        std::ptr::copy_nonoverlapping(lanes.as_ptr(), c, n);
    }
}

/// Finishes a tile of any other type, element by element.
///
/// # Safety
/// As [`finish_f32`].
#[inline(always)]
pub(crate) unsafe fn finish_plain<T: Scalar>(args: Finish<'_, T>) {
    for i in 0..args.rows {
        for j in 0..args.cols {
            // SAFETY: tile, operands and result hold the element.
            unsafe {
                let mut x = *args.tile.add(i * args.ldt + j);
                if args.epilogue.alpha != T::ONE {
                    x = T::mul_acc(args.epilogue.alpha, x);
                }
                for step in args.epilogue.steps {
                    x = apply_plain(&args, step, x, i, j);
                }
                args.c.add(i * args.ldc + j).write(T::narrow(x));
            }
        }
    }
}

/// One step on the value at `(i, j)` of the tile. Activations were refused when the product was checked.
///
/// # Safety
/// As [`finish_f32`].
#[inline(always)]
unsafe fn apply_plain<T: Scalar>(args: &Finish<'_, T>, step: &Step<'_, T>, x: T::Acc, i: usize, j: usize) -> T::Acc {
    // SAFETY: the operand covers the result.
    let value = |o: &Operand<'_, T>| unsafe { o.data.get_unchecked(args.origin(o) + i * o.row_stride + j * o.col_stride).widen() };
    match step {
        Step::Add { operand, factor } => T::add_acc(x, T::mul_acc(*factor, value(operand))),
        Step::Mul(operand) => T::mul_acc(x, value(operand)),
        Step::Activate(_) => x,
    }
}
