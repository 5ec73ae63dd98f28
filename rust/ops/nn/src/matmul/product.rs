//! The kernel of matrix products: `activation(alpha * a * b + beta * c)` over batches.

use std::sync::Arc;

use base::{DType, Result, Shape, Tensor, bail, ensure};
use gemm::{Activation, Batch, Epilogue, Mat, MatMut, Operand, PackedB, Rhs, Scalar, Step, gemm_batched, scratch_len};
use half::{bf16, f16};
use op::{Prepare, Prepared, Run, Sizes};

use super::shape::{Form, Plan};

/// A product of inputs 0 and 1, and what becomes of it.
#[derive(Clone, Debug)]
pub(crate) struct Product {
    pub(crate) a: Form,
    pub(crate) b: Form,
    pub(crate) alpha: f32,
    /// The factor of input 2, which is broadcast to the result, if the operator has one.
    pub(crate) beta: Option<f32>,
    pub(crate) activation: Option<Activation>,
}

impl Product {
    /// The kernel for the element type at hand.
    ///
    /// # Errors
    /// `NotImplemented` for types without a kernel.
    pub(crate) fn prepare(&self, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        match cx.dtype(0)? {
            DType::F32 => self.prepare_as::<f32>(cx),
            DType::F64 => self.prepare_as::<f64>(cx),
            DType::F16 => self.prepare_as::<f16>(cx),
            DType::BF16 => self.prepare_as::<bf16>(cx),
            DType::I32 => self.prepare_as::<i32>(cx),
            DType::I64 => self.prepare_as::<i64>(cx),
            DType::U32 => self.prepare_as::<u32>(cx),
            DType::U64 => self.prepare_as::<u64>(cx),
            other => Err(cx.no_kernel(other)),
        }
    }

    fn prepare_as<T: Factor>(&self, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>>
    where
        T::Acc: Factor,
    {
        let packed = match cx.constant(1) {
            Some(b) => pack_b::<T>(cx, b, self.b)?,
            None => None,
        };
        Ok(Box::new(Kernel::<T> { product: self.clone(), packed }))
    }

    pub(super) fn plan(&self, a: &[usize], b: &[usize]) -> Result<Plan> {
        Plan::new(a, self.a, b, self.b)
    }
}

/// A constant right operand packed, if all products share it.
fn pack_b<T: Scalar>(cx: &Prepare<'_>, b: &Tensor, form: Form) -> Result<Option<Arc<PackedB<T>>>> {
    let shape = b.shape();
    let rank = shape.len();
    if rank < 2 || b.is_empty() || shape[..rank - 2].iter().any(|d| *d != 1) || (rank > 2 && form.rows_first) {
        return Ok(None);
    }
    let (rows, cols) = (shape[rank - 2], shape[rank - 1]);
    let isa = simd::isa::best();
    let format = format!("b {} {}", isa.name(), if form.transposed { "transposed" } else { "plain" });
    let pack = |b: &Tensor| {
        let b = Mat::row_major(b.slice::<T>()?, rows, cols)?;
        PackedB::on(isa, if form.transposed { b.transposed() } else { b })
    };
    cx.packed.get(b, &format, pack).map(Some)
}

/// A type whose factors `alpha` and `beta` can be given as `f32`.
pub(crate) trait Factor: Scalar {
    /// The factor as an accumulator. Fractions of integers are dropped.
    fn factor(x: f32) -> Self;
}

macro_rules! factors {
    ($($t:ty: $convert:expr),*) => { $(
        impl Factor for $t {
            fn factor(x: f32) -> Self {
                $convert(x)
            }
        }
    )* };
}

factors! { f32: |x| x, f64: f64::from, f16: f16::from_f32, bf16: bf16::from_f32 }
factors! { i32: |x| x as i32, i64: |x| x as i64, u32: |x| x as u32, u64: |x| x as u64 }

struct Kernel<T> {
    product: Product,
    packed: Option<Arc<PackedB<T>>>,
}

/// The strides that broadcast `shape` to an m by n result.
pub(crate) fn broadcast_to(shape: &[usize], m: usize, n: usize) -> Result<(usize, usize)> {
    Ok(match *shape {
        [] => (0, 0),
        [1] | [1, 1] => (0, 0),
        [c] if c == n => (0, 1),
        [1, c] if c == n => (0, 1),
        [r, 1] if r == m => (1, 0),
        [r, c] if r == m && c == n => (n, 1),
        _ => bail!(InvalidArgument, "shape {} does not broadcast to {{{m},{n}}}", Shape::from(shape)),
    })
}

impl<T: Factor> Kernel<T>
where
    T::Acc: Factor,
{
    fn multiply(&self, plan: &Plan, cx: &Run<'_>) -> Result<()> {
        let a = cx.input(0)?.slice::<T>()?;
        let c = cx.output(0)?;
        ensure!(c.shape() == &*plan.shape, Fail, "the output has shape {}, not {}", Shape::from(c.shape()), plan.shape);
        let c = c.slice::<T>()?;
        if c.is_empty() {
            return Ok(());
        }
        let mut steps = [Step::Activate(Activation::Relu); 2];
        let mut count = 0;
        if let (Some(beta), Some(addend)) = (self.product.beta, cx.optional(2)?) {
            let (rows, cols) = broadcast_to(addend.shape(), plan.m, plan.n)?;
            if beta != 0.0 {
                let operand = Operand::strided(addend.slice::<T>()?, rows, cols, &[]);
                steps[0] = Step::Add { operand, factor: T::Acc::factor(beta) };
                count = 1;
            }
        }
        if let Some(activation) = self.product.activation {
            steps[count] = Step::Activate(activation);
            count += 1;
        }
        let epilogue = Epilogue { alpha: T::Acc::factor(self.product.alpha), steps: &steps[..count] };
        let batch = Batch { dims: &plan.dims, a: &plan.a.batch, b: &plan.b.batch, c: &plan.c };
        let a = Mat::new(a, plan.m, plan.k, plan.a.row_stride, plan.a.col_stride)?;
        let b = match &self.packed {
            Some(packed) => Rhs::Packed(packed),
            None => Rhs::Plain(Mat::new(cx.input(1)?.slice::<T>()?, plan.k, plan.n, plan.b.row_stride, plan.b.col_stride)?),
        };
        gemm_batched(&batch, a, b, &epilogue, MatMut::row_major(c, plan.m, plan.n)?, cx.scratch::<u8>()?)
    }
}

impl<T: Factor> Prepared for Kernel<T>
where
    T::Acc: Factor,
{
    fn scratch(&self, sizes: &Sizes<'_>) -> usize {
        let (Ok(a), Ok(b)) = (sizes.input(0), sizes.input(1)) else { return 0 };
        let plan = self.product.plan(a, b);
        plan.map_or(0, |p| scratch_len::<T>(p.count(), p.m, p.n, p.k, false, self.packed.is_some()))
    }

    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let plan = self.product.plan(cx.input(0)?.shape(), cx.input(1)?.shape())?;
        cx.allocate(0, T::DTYPE, plan.shape.clone())?;
        self.multiply(&plan, cx)
    }
}
