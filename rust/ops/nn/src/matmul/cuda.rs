//! Matrix products on CUDA devices: on tensor cores for floats of 16 bits where the device has them, else in plain registers.

use base::{Result, Shape, ensure};
use op::cuda::{Argument, Axes, Cuda, CudaClaim, suffix};

use super::product::{Product, broadcast_to};
use super::shape::Side;
use crate::activation;

/// Rows and columns of the result that a block makes.
const TILE: usize = 64;
/// Threads of a block that works without tensor cores, and with them.
const THREADS: u32 = 256;
const THREADS_MMA: u32 = 128;

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
        cx.needs(&format!("product_{}", suffix(cx.dtype(0)?)))
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
        let blocks = plan.count() * plan.m.div_ceil(TILE) * plan.n.div_ceil(TILE);
        let suffix = suffix(a.dtype());
        let on_tensor_cores = form(&plan.a, &plan.b).map(|form| format!("product_mma_{form}_{suffix}")).filter(|k| cx.has(k));
        let (kernel, threads) = match on_tensor_cores {
            Some(kernel) => (kernel, THREADS_MMA),
            None => (format!("product_{suffix}"), THREADS),
        };
        // SAFETY: the plan stays inside of operands, which have one type, and result; `product.cuh` declares this argument.
        unsafe { cx.launch(&kernel, blocks, threads, (arguments,)) }
    }
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
