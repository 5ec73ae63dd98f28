//! A product as cuBLASLt is told of it.

use std::ffi::{c_int, c_void};
use std::fmt;

use base::Result;

use super::library::{
    COMPUTE_32F, COMPUTE_32F_FAST_TF32, DESC_BIAS_POINTER, DESC_EPILOGUE, DESC_TRANSA, DESC_TRANSB, EPILOGUE_BIAS, EPILOGUE_RELU,
    EPILOGUE_RELU_BIAS, Heuristic, LAYOUT_BATCH_COUNT, LAYOUT_STRIDED_BATCH_OFFSET, NOT_SUPPORTED, OP_T, PREF_MAX_WORKSPACE_BYTES,
    PREF_MIN_ALIGNMENT_A_BYTES, R_16BF, R_16F, R_32F,
};
use super::{Blas, Choice, Made, WORKSPACE};
use crate::driver::{Address, Handle};

/// The element type of a product. Sums are always of f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GemmType {
    /// f32.
    F32,
    /// f32, whose factors may be rounded to TF32.
    Tf32,
    /// f16.
    F16,
    /// bf16.
    Bf16,
}

impl GemmType {
    fn data(self) -> c_int {
        match self {
            Self::F32 | Self::Tf32 => R_32F,
            Self::F16 => R_16F,
            Self::Bf16 => R_16BF,
        }
    }

    fn compute(self) -> c_int {
        if self == Self::Tf32 { COMPUTE_32F_FAST_TF32 } else { COMPUTE_32F }
    }

    fn bytes(self) -> u64 {
        if matches!(self, Self::F32 | Self::Tf32) { 4 } else { 2 }
    }
}

/// A matrix, or one for each of a batch.
#[derive(Clone, Copy, Debug)]
pub struct GemmOperand {
    /// Its first element.
    pub address: Address,
    /// The distance of its rows in elements; of its columns if it is transposed.
    pub line: i64,
    /// Whether columns, not rows, lie in one piece.
    pub transposed: bool,
    /// The distance of the matrices of the batch.
    pub stride: i64,
}

/// `y = activation(alpha a b + beta c + bias)` for each matrix of a batch: `a` is m by k, `b` k by n; `y` and `c` have rows of n in one
/// piece.
#[derive(Clone, Copy, Debug)]
pub struct Gemm {
    /// The element type.
    pub dtype: GemmType,
    /// Rows of the result.
    pub m: u64,
    /// Columns of the result.
    pub n: u64,
    /// Products that each element is the sum of.
    pub k: u64,
    /// How many matrices there are.
    pub batch: c_int,
    /// The left factor.
    pub a: GemmOperand,
    /// The right factor.
    pub b: GemmOperand,
    /// What is added, if anything.
    pub c: Option<GemmOperand>,
    /// What is added to each row, if anything.
    pub bias: Option<Address>,
    /// Whether what is negative becomes 0.
    pub relu: bool,
    /// The factor of the product.
    pub alpha: f32,
    /// The factor of `c`.
    pub beta: f32,
    /// Where the result goes.
    pub y: Address,
    /// The distance of the results of the batch.
    pub y_stride: i64,
}

/// What the choice of an algorithm depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GemmForm {
    dtype: GemmType,
    sizes: [u64; 3],
    batch: c_int,
    lines: [(i64, bool, i64); 3],
    y_stride: i64,
    epilogue: u32,
    /// Of A, B, C and D as the library has them.
    alignments: [u32; 4],
}

/// The largest power of two, up to 256, that divides an address and the distances in a batch.
fn alignment(address: Address, stride_bytes: u64) -> u32 {
    1 << (address | stride_bytes | 256).trailing_zeros()
}

impl Gemm {
    fn epilogue(&self) -> u32 {
        match (self.bias.is_some(), self.relu) {
            (false, false) => 1,
            (false, true) => EPILOGUE_RELU,
            (true, false) => EPILOGUE_BIAS,
            (true, true) => EPILOGUE_RELU_BIAS,
        }
    }

    /// The operand that is added, or the place of the result where there is none.
    fn addend(&self) -> GemmOperand {
        self.c.unwrap_or(GemmOperand { address: self.y, line: self.n as i64, transposed: false, stride: self.y_stride })
    }

    /// What the choice of an algorithm depends on.
    pub fn form(&self) -> GemmForm {
        let c = self.addend();
        let line = |o: GemmOperand| (o.line, o.transposed, o.stride);
        let aligned = |address, stride: i64| alignment(address, stride.unsigned_abs() * self.dtype.bytes());
        GemmForm {
            dtype: self.dtype,
            sizes: [self.m, self.n, self.k],
            batch: self.batch,
            lines: [line(self.a), line(self.b), line(c)],
            y_stride: self.y_stride,
            epilogue: self.epilogue(),
            alignments: [
                aligned(self.b.address, self.b.stride),
                aligned(self.a.address, self.a.stride),
                aligned(c.address, c.stride),
                aligned(self.y, self.y_stride),
            ],
        }
    }
}

impl fmt::Display for Gemm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} matrices of {} by {} and {} by {}, {:?}", self.batch, self.m, self.k, self.k, self.n, self.dtype)
    }
}

/// The descriptions of a product.
pub(super) struct Problem<'a> {
    blas: &'a Blas,
    pub(super) desc: Made,
    pub(super) a: Made,
    pub(super) b: Made,
    pub(super) c: Made,
    pub(super) y: Made,
}

type Set = unsafe extern "C" fn(Handle, c_int, *const c_void, usize) -> c_int;

impl<'a> Problem<'a> {
    /// Describes `gemm`.
    pub(super) fn new(blas: &'a Blas, gemm: &Gemm) -> Result<Self> {
        let table = &blas.table;
        // SAFETY: the place is good, and the numbers are the library's own.
        let make = |to| unsafe { (table.cublasLtMatmulDescCreate)(to, gemm.dtype.compute(), R_32F) };
        let desc = Made::by(make, table.cublasLtMatmulDescDestroy)?;
        let matrix = |rows, cols, o: GemmOperand| layout(blas, gemm, rows, cols, o);
        let y = GemmOperand { address: gemm.y, line: gemm.n as i64, transposed: false, stride: gemm.y_stride };
        let this = Self {
            a: matrix(gemm.m, gemm.k, gemm.a)?,
            b: matrix(gemm.k, gemm.n, gemm.b)?,
            c: matrix(gemm.m, gemm.n, gemm.addend())?,
            y: matrix(gemm.m, gemm.n, y)?,
            desc,
            blas,
        };
        let set = table.cublasLtMatmulDescSetAttribute;
        for (attribute, operand) in [(DESC_TRANSA, gemm.b), (DESC_TRANSB, gemm.a)] {
            if operand.transposed {
                put(blas, set, &this.desc, attribute, &OP_T)?;
            }
        }
        put(blas, set, &this.desc, DESC_EPILOGUE, &gemm.epilogue())?;
        if let Some(bias) = gemm.bias {
            put(blas, set, &this.desc, DESC_BIAS_POINTER, &bias)?;
        }
        Ok(this)
    }

    /// Asks the library how to compute products of `form`, which these descriptions are of.
    pub(super) fn choose(&self, form: &GemmForm) -> Result<Option<Choice>> {
        let table = &self.blas.table;
        // SAFETY: the place is good.
        let made = Made::by(|to| unsafe { (table.cublasLtMatmulPreferenceCreate)(to) }, table.cublasLtMatmulPreferenceDestroy);
        let preference = made?;
        let set = table.cublasLtMatmulPreferenceSetAttribute;
        put(self.blas, set, &preference, PREF_MAX_WORKSPACE_BYTES, &WORKSPACE)?;
        for (i, bytes) in form.alignments.iter().enumerate() {
            put(self.blas, set, &preference, PREF_MIN_ALIGNMENT_A_BYTES + i as c_int, bytes)?;
        }
        let (mut best, mut found) = (Heuristic::EMPTY, 0);
        // SAFETY: all descriptions are alive, and there is room for the one result that is asked for.
        let status = unsafe {
            (table.cublasLtMatmulAlgoGetHeuristic)(
                self.blas.handle,
                self.desc.raw,
                self.b.raw,
                self.a.raw,
                self.c.raw,
                self.y.raw,
                preference.raw,
                1,
                &mut best,
                &mut found,
            )
        };
        if status == NOT_SUPPORTED || (status == 0 && (found < 1 || best.status != 0)) {
            return Ok(None);
        }
        self.blas.check(status, || format!("choose an algorithm for {form:?}"))?;
        Ok(Some(Choice { algorithm: best.algorithm, workspace: best.workspace }))
    }
}

/// Describes a matrix of `rows` by `cols` to a library that counts columns first: its lines are columns there.
fn layout(blas: &Blas, gemm: &Gemm, rows: u64, cols: u64, o: GemmOperand) -> Result<Made> {
    let (length, lines) = if o.transposed { (rows, cols) } else { (cols, rows) };
    let table = &blas.table;
    // SAFETY: the place is good, and the numbers are the library's own.
    let make = |to| unsafe { (table.cublasLtMatrixLayoutCreate)(to, gemm.dtype.data(), length, lines, o.line) };
    let made = Made::by(make, table.cublasLtMatrixLayoutDestroy)?;
    if gemm.batch != 1 {
        let set = table.cublasLtMatrixLayoutSetAttribute;
        put(blas, set, &made, LAYOUT_BATCH_COUNT, &gemm.batch)?;
        put(blas, set, &made, LAYOUT_STRIDED_BATCH_OFFSET, &o.stride)?;
    }
    Ok(made)
}

fn put<T: Copy>(blas: &Blas, set: Set, of: &Made, attribute: c_int, value: &T) -> Result<()> {
    // SAFETY: the value is of the type that the attribute has, and copied before the call returns.
    let status = unsafe { set(of.raw, attribute, std::ptr::from_ref(value).cast(), size_of::<T>()) };
    blas.check(status, || format!("set attribute {attribute}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alignments_are_powers_of_two() {
        assert_eq!(alignment(0x1000, 0), 256);
        assert_eq!(alignment(0x1010, 0), 16);
        assert_eq!(alignment(0x1000, 6), 2);
    }
}
