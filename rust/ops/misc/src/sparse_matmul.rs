//! SparseToDenseMatMul: `output = alpha * op(A) * op(B)` of a sparse matrix `A` and a dense one `B`.

use base::threads::{self, SharedMut};
use base::{DType, Element, Result, Shape, SparseTensor, Type, Value, bail, ensure};
use ir::Fact;
use op::{Infer, Kernels, Op, OpDef, Run, Stateless, TypeSet, since};

const NUMBERS: TypeSet = TypeSet::tensors(&[DType::F32, DType::F64, DType::I32, DType::I64, DType::U32, DType::U64]);

/// Columns of the output that one chunk makes.
const COLUMNS: usize = 256;

/// SparseToDenseMatMul of `com.microsoft`.
pub static SPARSE_TO_DENSE_MATMUL: OpDef = OpDef {
    name: "SparseToDenseMatMul",
    versions: &[since(1, "A:S, B:T -> Y:T", &[("S", NUMBERS.sparse()), ("T", NUMBERS)])],
    load: |a| Ok(Box::new(Product { alpha: a.float("alpha", 1.0)?, trans_a: a.flag("transA", false)?, trans_b: a.flag("transB", false)? })),
    kernels: Kernels::NONE.stateless::<Product>(),
    ..OpDef::MICROSOFT
};

#[derive(Clone, Debug)]
struct Product {
    alpha: f32,
    trans_a: bool,
    trans_b: bool,
}

impl Op for Product {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dtype = cx.dtype(1)?;
        let same = cx.input(0)?.ty == Type::Sparse(dtype);
        ensure!(same, InvalidGraph, "A is {}, but B is tensor({dtype})", cx.input(0)?.ty);
        let columns = match cx.dims(1)? {
            Some(dims) => {
                ensure!(dims.len() == 2, InvalidGraph, "B must be a matrix, not of rank {}", dims.len());
                Some(dims[usize::from(!self.trans_b)].clone())
            }
            None => None,
        };
        // The shape of a sparse tensor is not known before it is there.
        let rows = cx.fresh();
        let columns = columns.unwrap_or_else(|| cx.fresh());
        cx.set(0, Fact::tensor(dtype, [rows, columns]));
        Ok(())
    }
}

impl Stateless for Product {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let Value::Sparse(a) = cx.value(0)? else { bail!(InvalidArgument, "A must be a sparse tensor") };
        match a.values.dtype() {
            DType::F32 => self.product::<f32>(cx, &a),
            DType::F64 => self.product::<f64>(cx, &a),
            DType::I32 => self.product::<i32>(cx, &a),
            DType::I64 => self.product::<i64>(cx, &a),
            DType::U32 => self.product::<u32>(cx, &a),
            DType::U64 => self.product::<u64>(cx, &a),
            other => bail!(NotImplemented, "a sparse matrix of {other}"),
        }
    }
}

impl Product {
    fn product<T: Number>(&self, cx: &mut Run<'_>, a: &SparseTensor) -> Result<()> {
        let b = cx.value(1)?;
        let b = b.tensor()?;
        let ([rows, columns], [b_rows, b_columns]) = (matrix(&a.shape)?, matrix(b.shape())?);
        let (m, k) = if self.trans_a { (columns, rows) } else { (rows, columns) };
        let (inner, n) = if self.trans_b { (b_columns, b_rows) } else { (b_rows, b_columns) };
        ensure!(k == inner, InvalidArgument, "A {} and B {} do not go together", a.shape, b.shape());
        let (places, values) = (a.flat_indices()?, a.values.slice::<T>()?);
        let dense = b.slice::<T>()?;
        cx.allocate(0, T::DTYPE, [m, n])?;
        let out = cx.output(0)?.slice::<T>()?;
        out.fill(T::default());
        let out = SharedMut::new(out);
        // Each element is summed by one chunk, in the order of the sparse elements.
        threads::parallel_ranges(n, COLUMNS, &|range| {
            for (&place, &value) in places.iter().zip(values) {
                let (row, column) = (place / columns.max(1), place % columns.max(1));
                let (row, column) = if self.trans_a { (column, row) } else { (row, column) };
                let value = value.scaled(self.alpha);
                // SAFETY: chunks have columns of their own, and `row` is less than `m`: `flat_indices` checked the place.
                let sums = unsafe { out.part(row * n + range.start..row * n + range.end) };
                for (j, sum) in range.clone().zip(sums) {
                    let factor = if self.trans_b { dense[j * inner + column] } else { dense[column * n + j] };
                    *sum = sum.plus(value, factor);
                }
            }
        });
        threads::check()
    }
}

fn matrix(shape: &Shape) -> Result<[usize; 2]> {
    match shape[..] {
        [rows, columns] => Ok([rows, columns]),
        _ => bail!(InvalidArgument, "a matrix is needed, not shape {shape}"),
    }
}

/// What elements are multiplied and added by.
trait Number: Element + Default + Copy + Send + Sync {
    /// `self + a * b`; integers wrap around.
    fn plus(self, a: Self, b: Self) -> Self;
    /// `alpha * self`, towards zero for integers.
    fn scaled(self, alpha: f32) -> Self;
}

macro_rules! number {
    ($($ty:ty: |$sum:ident, $a:ident, $b:ident| $plus:expr,)*) => {
        $(impl Number for $ty {
            fn plus(self, $a: Self, $b: Self) -> Self {
                let $sum = self;
                $plus
            }

            fn scaled(self, alpha: f32) -> Self {
                if alpha == 1.0 { self } else { (self as f64 * f64::from(alpha)) as $ty }
            }
        })*
    };
}

number! {
    f32: |sum, a, b| sum + a * b,
    f64: |sum, a, b| sum + a * b,
    i32: |sum, a, b| sum.wrapping_add(a.wrapping_mul(b)),
    i64: |sum, a, b| sum.wrapping_add(a.wrapping_mul(b)),
    u32: |sum, a, b| sum.wrapping_add(a.wrapping_mul(b)),
    u64: |sum, a, b| sum.wrapping_add(a.wrapping_mul(b)),
}
