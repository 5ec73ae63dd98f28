//! MaxPool, AveragePool and LpPool: each window of a channel becomes one element.

use base::{DType, Result, bail, ensure};
use ir::{Dim, Fact};
use op::types::{FLOATS, FLOATS_V1};
use op::{Attrs, CpuKernel, Infer, Kernels, Layouts, Op, OpDef, Prepare, Prepared, Since, TypeSet, since};

use super::Reduction;
use super::{indices, output_layout, rows};
use crate::window::WindowAttrs;

const PLAIN: &str = "X:T -> Y:T";
const INDEXED: &str = "X:T -> Y:T, Indices:I?";
const INDEX: TypeSet = TypeSet::tensors(&[DType::I64]);
const BYTES: TypeSet = TypeSet::tensors(&[DType::I8, DType::U8]);

/// MaxPool of `ai.onnx`.
pub static MAX_POOL: OpDef = OpDef {
    name: "MaxPool",
    versions: &[
        since(1, PLAIN, &[("T", FLOATS_V1)]),
        since(8, INDEXED, &[("T", FLOATS_V1), ("I", INDEX)]),
        since(10, INDEXED, &[("T", FLOATS_V1), ("I", INDEX)]),
        since(11, INDEXED, &[("T", FLOATS_V1), ("I", INDEX)]),
        since(12, INDEXED, &[("T", FLOATS_V1.or(BYTES)), ("I", INDEX)]),
        since(22, INDEXED, &[("T", FLOATS.or(BYTES)), ("I", INDEX)]),
    ],
    load: |a| Ok(Box::new(max(a)?)),
    kernels: Kernels::NONE.cpu::<Pool>(),
    layouts: Layouts::Blocked,
    ..OpDef::ONNX
};

const AVERAGE: &[Since] = &[
    since(1, PLAIN, &[("T", FLOATS_V1)]),
    since(7, PLAIN, &[("T", FLOATS_V1)]),
    since(10, PLAIN, &[("T", FLOATS_V1)]),
    since(11, PLAIN, &[("T", FLOATS_V1)]),
    since(19, PLAIN, &[("T", FLOATS_V1)]),
    since(22, PLAIN, &[("T", FLOATS)]),
];

/// AveragePool of `ai.onnx`.
pub static AVERAGE_POOL: OpDef = OpDef {
    name: "AveragePool",
    versions: AVERAGE,
    load: |a| {
        let padding = a.since() >= 7 && a.flag("count_include_pad", false)?;
        Ok(Box::new(pool(a, Reduction::Average { padding }, a.since() >= 19, a.since() >= 10)?))
    },
    kernels: Kernels::NONE.cpu::<Pool>(),
    layouts: Layouts::Blocked,
    ..OpDef::ONNX
};

/// LpPool of `ai.onnx`.
pub static LP_POOL: OpDef = OpDef {
    name: "LpPool",
    versions: &[
        since(1, PLAIN, &[("T", FLOATS_V1)]),
        since(2, PLAIN, &[("T", FLOATS_V1)]),
        since(11, PLAIN, &[("T", FLOATS_V1)]),
        since(18, PLAIN, &[("T", FLOATS_V1)]),
        since(22, PLAIN, &[("T", FLOATS)]),
    ],
    load: |a| {
        let p = exponent(a)?;
        Ok(Box::new(pool(a, Reduction::Norm(p), a.since() >= 18, a.since() >= 18)?))
    },
    kernels: Kernels::NONE.cpu::<Pool>(),
    layouts: Layouts::Blocked,
    ..OpDef::ONNX
};

/// Attribute `p` of a norm: a float in version 1, an integer since.
pub(super) fn exponent(a: &Attrs<'_>) -> Result<f64> {
    let p = if a.since() < 2 { a.float("p", 2.0)?.into() } else { a.int("p", 2)? as f64 };
    ensure!(p > 0.0, InvalidGraph, "attribute 'p' is {p}");
    Ok(p)
}

#[derive(Clone, Debug)]
pub(super) struct Pool {
    pub(super) window: WindowAttrs,
    pub(super) kernel: Vec<usize>,
    pub(super) reduction: Reduction,
    /// Whether indices count along columns first.
    pub(super) column_major: bool,
    /// Whether the places of the greatest elements are asked for.
    pub(super) indices: bool,
}

fn pool(a: &Attrs<'_>, reduction: Reduction, dilated: bool, ceil: bool) -> Result<Pool> {
    let window = WindowAttrs::read(a, dilated, ceil)?;
    let Some(kernel) = window.kernel.clone() else { bail!(InvalidGraph, "Required attribute 'kernel_shape' is missing") };
    Ok(Pool { window, kernel, reduction, column_major: false, indices: false })
}

fn max(a: &Attrs<'_>) -> Result<Pool> {
    let column_major = a.since() >= 8 && a.flag("storage_order", false)?;
    let pool = pool(a, Reduction::Max, a.since() >= 10, a.since() >= 10)?;
    Ok(Pool { column_major, indices: a.has_output(1), ..pool })
}

impl Op for Pool {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let (dtype, layout) = (cx.dtype(0)?, output_layout(&cx.input(0)?.layout, cx.dtype(0)?));
        let Some(x) = cx.dims(0)? else {
            let dims = cx.fresh_dims(self.kernel.len() + 2);
            cx.set(0, Fact { layout, ..Fact::tensor(dtype, dims.clone()) });
            cx.tensor(1, DType::I64, Some(dims));
            return Ok(());
        };
        ensure!(x.len() == self.kernel.len() + 2, InvalidGraph, "a kernel of {:?} over an input of shape {x:?}", self.kernel);
        let kernel: Vec<Dim> = self.kernel.iter().map(|k| Dim::from(*k)).collect();
        let spatial = self.window.output_dims(&x[2..], &kernel)?;
        let dims: ir::Dims = x[..2].iter().cloned().chain(spatial).collect();
        cx.set(0, Fact { layout, ..Fact::tensor(dtype, dims.clone()) });
        cx.tensor(1, DType::I64, Some(dims));
        Ok(())
    }
}

impl CpuKernel for Pool {
    fn prepare(&self, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        let dtype = cx.dtype(0)?;
        super::side_by_side(&cx.input(0)?.layout, dtype)?;
        if self.indices { indices::prepare(self, cx) } else { rows::prepare(self, cx) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::{bf16, f16};
    use testkit::{assert_close, single};

    fn data(len: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 37 + 5) % 101) as f32 - 50.0).collect()
    }

    #[test]
    fn greatest_with_places() {
        let x = data(25);
        let op = || single(&MAX_POOL, 12).attr("kernel_shape", vec![3i64, 3]).attr("pads", vec![1i64; 4]).attr("strides", vec![2i64, 2]);
        let out = op().input([1, 1, 5, 5], &x).run(2).unwrap();
        let plain = op().input([1, 1, 5, 5], &x).tensor().unwrap();
        let (y, places) = (out[0].tensor().unwrap(), out[1].tensor().unwrap());
        assert_eq!(y.slice::<f32>().unwrap(), plain.slice::<f32>().unwrap());
        for (y, i) in y.slice::<f32>().unwrap().iter().zip(places.slice::<i64>().unwrap()) {
            assert_eq!(*y, x[*i as usize]);
        }
        let turned = op().attr("storage_order", 1i64).input([1, 1, 5, 5], &x).run(2).unwrap();
        for (a, b) in places.slice::<i64>().unwrap().iter().zip(turned[1].tensor().unwrap().slice::<i64>().unwrap()) {
            assert_eq!((a / 5, a % 5), (b % 5, b / 5));
        }
    }

    #[test]
    fn bytes_and_halves() {
        let y = single(&MAX_POOL, 12).attr("kernel_shape", vec![2i64]).input([1, 1, 4], &[-3i8, -128, 127, 5]).tensor().unwrap();
        assert_eq!(y.slice::<i8>().unwrap(), [-3, 127, 127]);
        let x = [1.5, -2.0, 3.25].map(bf16::from_f32);
        let y = single(&MAX_POOL, 22).attr("kernel_shape", vec![2i64]).input([1, 1, 3], &x).tensor().unwrap();
        assert_eq!(y.slice::<bf16>().unwrap(), [1.5, 3.25].map(bf16::from_f32));
        let x = [1.0, 2.0, 4.0].map(f16::from_f32);
        let y = single(&AVERAGE_POOL, 11).attr("kernel_shape", vec![2i64]).input([1, 1, 3], &x).tensor().unwrap();
        assert_eq!(y.slice::<f16>().unwrap(), [1.5, 3.0].map(f16::from_f32));
    }

    #[test]
    fn padding_counts_if_asked() {
        let op =
            || single(&AVERAGE_POOL, 19).attr("kernel_shape", vec![3i64]).attr("pads", vec![1i64, 1]).input([1, 1, 3], &[3f32, 6.0, 9.0]);
        assert_close(&op().tensor().unwrap(), &[4.5, 6.0, 7.5], 0.0, 0.0);
        assert_close(&op().attr("count_include_pad", 1i64).tensor().unwrap(), &[3.0, 6.0, 5.0], 0.0, 0.0);
    }

    #[test]
    fn norms() {
        let op = |p: i64| single(&LP_POOL, 18).attr("kernel_shape", vec![2i64]).attr("p", p).input([1, 1, 3], &[3f32, -4.0, 0.0]);
        assert_close(&op(2).tensor().unwrap(), &[5.0, 4.0], 1e-6, 0.0);
        assert_close(&op(1).tensor().unwrap(), &[7.0, 4.0], 1e-6, 0.0);
        assert_close(&op(3).tensor().unwrap(), &[91f64.cbrt(), 4.0], 1e-5, 0.0);
    }

    #[test]
    fn nan_is_the_greatest() {
        let y = single(&MAX_POOL, 12).attr("kernel_shape", vec![2i64]).input([1, 1, 3], &[f32::NAN, 1.0, 2.0]).tensor().unwrap();
        assert!(y.slice::<f32>().unwrap()[0].is_nan() && y.slice::<f32>().unwrap()[1] == 2.0);
    }

    #[test]
    fn windows_that_do_not_fit_are_refused() {
        assert!(single(&MAX_POOL, 12).attr("kernel_shape", vec![4i64]).input([1, 1, 3], &[0f32; 3]).tensor().is_err());
        assert!(single(&MAX_POOL, 12).attr("kernel_shape", vec![2i64]).input([1, 1, 3, 3], &[0f32; 9]).tensor().is_err());
        assert!(single(&MAX_POOL, 12).input([1, 1, 3], &[0f32; 3]).tensor().is_err());
    }
}
