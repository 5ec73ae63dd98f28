//! Matrix products on CUDA devices: by cuBLASLt where it is installed; else on tensor cores for floats of 16 bits where the device has
//! them, else in plain registers.

use base::{DType, Result, Shape, TensorMut, ensure};
use gemm::Activation;
use op::cuda::{Argument, Axes, Cuda, CudaClaim, Gemm, GemmOperand, GemmType, suffix};

use super::product::{Product, broadcast_to};
use super::shape::Side;
use crate::activation;

/// Rows and columns of the result that a block makes: larger ones read less, where there are enough of them for all of the device.
const LARGE: usize = 128;
const SMALL: usize = 64;
/// So many blocks keep a device busy.
const ENOUGH: usize = 128;
/// Threads of a block that works without tensor cores.
const THREADS: u32 = 256;
/// Threads of a block on tensor cores for each row of its tile.
const THREADS_OF_ROW: u32 = 2;

/// `Product` of `product.cuh`; 0 for what is left out.
#[derive(Clone, Copy)]
#[repr(C)]
struct Arguments {
    a: u64,
    b: u64,
    c: u64,
    y: u64,
    m: u64,
    n: u64,
    k: u64,
    a_row: i64,
    a_col: i64,
    b_row: i64,
    b_col: i64,
    c_row: i64,
    c_col: i64,
    batch: Axes<3>,
    alpha: f32,
    beta: f32,
    activation: u32,
    p: f32,
    q: f32,
}

// SAFETY: the kernels declare the same structure.
unsafe impl Argument for Arguments {}

impl Product {
    /// Whether a device can run the node.
    pub(super) fn claim(&self, cx: &CudaClaim<'_>) -> std::result::Result<(), String> {
        cx.ranks_fit()?;
        cx.needs(&format!("product_{}_{}", SMALL, suffix(cx.dtype(0)?)))
    }

    /// Starts the kernel.
    pub(super) fn launch(&self, cx: &Cuda<'_, '_>) -> Result<()> {
        let (a, b) = (cx.dense(0)?, cx.dense(1)?);
        let plan = self.plan(a.shape(), b.shape())?;
        let y = cx.output_of(0, &plan.shape)?;
        let addend = if self.beta.is_some() { cx.optional(2)? } else { None };
        let (mut c, mut c_strides) = (0, (0, 0));
        if let Some(addend) = addend.filter(|_| self.beta != Some(0.0)) {
            ensure!(addend.dtype() == a.dtype(), InvalidArgument, "C is {}, not {}", addend.dtype(), a.dtype());
            (c, c_strides) = (addend.address() as u64, broadcast_to(addend.shape(), plan.m, plan.n)?);
        }
        let strides = |s: &Shape| s.iter().map(|n| *n as isize).collect::<Vec<_>>();
        let (activation, p, q) = activation::number(self.activation);
        let arguments = Arguments {
            a: a.address() as u64,
            b: b.address() as u64,
            c,
            y: y.address() as u64,
            m: plan.m as u64,
            n: plan.n as u64,
            k: plan.k as u64,
            a_row: plan.a.row_stride as i64,
            a_col: plan.a.col_stride as i64,
            b_row: plan.b.row_stride as i64,
            b_col: plan.b.col_stride as i64,
            c_row: c_strides.0 as i64,
            c_col: c_strides.1 as i64,
            batch: Axes::new(&plan.dims, [&strides(&plan.a.batch), &strides(&plan.b.batch), &strides(&plan.c)])?,
            alpha: self.alpha,
            beta: self.beta.unwrap_or(0.0),
            activation,
            p,
            q,
        };
        if let Some(gemm) = self.for_blas(&arguments, a.dtype(), cx.tf32())
            // SAFETY: as for the kernel below.
            && unsafe { cx.multiply(&gemm)? }
        {
            return if gemm.relu || activation == 0 { Ok(()) } else { activate(cx, &y, (activation, p, q)) };
        }
        let blocks = |tile: usize| plan.count() * plan.m.div_ceil(tile) * plan.n.div_ceil(tile);
        let tile = if blocks(LARGE) >= ENOUGH { LARGE } else { SMALL };
        let (kernel, tile, threads) = kernel(cx, form(&plan.a, &plan.b), suffix(a.dtype()), tile);
        // SAFETY: the plan stays inside of operands, which have one type, and result; `product.cuh` declares this argument.
        unsafe { cx.launch(&kernel, blocks(tile), threads, (arguments,)) }
    }

    /// The product as cuBLASLt takes it: operands in lines, one axis of batches, and an epilogue that it has.
    fn for_blas(&self, p: &Arguments, dtype: DType, tf32: bool) -> Option<Gemm> {
        let dtype = match dtype {
            DType::F32 if tf32 => GemmType::Tf32,
            DType::F32 => GemmType::F32,
            DType::F16 => GemmType::F16,
            DType::BF16 => GemmType::Bf16,
            _ => return None,
        };
        let (batch, [a_stride, b_stride, y_stride]) = p.batch.single()?;
        let relu = matches!(self.activation, Some(Activation::Relu));
        let (bias, c) = match (p.c, p.c_row, p.c_col) {
            (0, ..) => (None, None),
            (c, 0, 1) if p.beta == 1.0 => (Some(c), None),
            (c, row, 1) if row == p.n as i64 && batch == 1 => {
                (None, Some(GemmOperand { address: c, line: row, transposed: false, stride: 0 }))
            }
            _ => return None,
        };
        // One matrix on the right for all of a batch that lies row after row is one larger product.
        let apart = b_stride != 0 || a_stride != p.m as i64 * p.a_row || p.a_col != 1 || y_stride != (p.m * p.n) as i64;
        let (m, batch) = if apart { (p.m, batch) } else { (p.m * batch, 1) };
        Some(Gemm {
            dtype,
            m,
            n: p.n,
            k: p.k,
            batch: i32::try_from(batch).ok().filter(|_| m * p.n * p.k > 0)?,
            a: in_lines(p.a, [m, p.k], [p.a_row, p.a_col], a_stride)?,
            b: in_lines(p.b, [p.k, p.n], [p.b_row, p.b_col], b_stride)?,
            c,
            bias,
            relu,
            alpha: p.alpha,
            beta: p.beta,
            y: p.y,
            y_stride,
        })
    }
}

/// The kernel that makes tiles of side `tile`, or smaller ones where it has no other, with that side and the threads of a block.
fn kernel(cx: &Cuda<'_, '_>, form: Option<&str>, suffix: &str, tile: usize) -> (String, usize, u32) {
    let on_tensor_cores = form.map(|form| format!("product_mma_{tile}_{form}_{suffix}"));
    if let Some(kernel) = on_tensor_cores.filter(|kernel| cx.has(kernel)) {
        return (kernel, tile, THREADS_OF_ROW * tile as u32);
    }
    let plain = |tile: usize| (format!("product_{tile}_{suffix}"), tile, THREADS);
    Some(plain(tile)).filter(|(kernel, ..)| cx.has(kernel)).unwrap_or_else(|| plain(SMALL))
}

/// Applies an activation that cuBLASLt does not have to its result, in place.
fn activate(cx: &Cuda<'_, '_>, y: &TensorMut<'_>, (activation, p, q): (u32, f32, f32)) -> Result<()> {
    let arguments = (y.address() as u64, y.len() as u64, activation, p, q);
    // SAFETY: the output has that many elements; `unary.cu` declares these arguments.
    unsafe { cx.for_each(&format!("activate_{}", suffix(y.dtype())), y.len(), arguments) }
}

/// An operand whose rows or columns lie in one piece each.
fn in_lines(address: u64, [rows, cols]: [u64; 2], [row, col]: [i64; 2], stride: i64) -> Option<GemmOperand> {
    let (transposed, length, lines, line) = match (row, col) {
        (_, 1) => (false, cols, rows, row),
        (1, _) => (true, rows, cols, col),
        _ => return None,
    };
    // The distance from an only line to the next says nothing.
    let line = if lines == 1 { line.max(length as i64) } else { line };
    (line >= length as i64).then_some(GemmOperand { address, line, transposed, stride })
}

/// What is contiguous in each operand, as BLAS calls it: `n` for rows, `t` for columns; `None` where neither is.
fn form(a: &Side, b: &Side) -> Option<&'static str> {
    match ((a.col_stride == 1, a.row_stride == 1), (b.row_stride == 1, b.col_stride == 1)) {
        ((true, _), (_, true)) => Some("nn"),
        ((true, _), (true, _)) => Some("nt"),
        ((_, true), (_, true)) => Some("tn"),
        ((_, true), (true, _)) => Some("tt"),
        _ => None,
    }
}
