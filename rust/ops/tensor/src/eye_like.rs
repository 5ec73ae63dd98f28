//! EyeLike: ones on a diagonal, zeros elsewhere, under the shape of the input.

use base::threads::paced;
use base::{DType, Result, Shape, Tensor, ensure};
use op::types::{BOOL, NUMERIC, NUMERIC_V1};
use op::{Infer, Kernels, Mask, Op, OpDef, Run, Stateless, since};

use crate::dispatch::with_number;
use crate::movement::{Region, write};

const SIGNATURE: &str = "input:T1 -> output:T2";

/// EyeLike of `ai.onnx`.
pub static EYE_LIKE: OpDef = OpDef {
    name: "EyeLike",
    versions: &[
        since(9, SIGNATURE, &[("T1", NUMERIC_V1.or(BOOL)), ("T2", NUMERIC_V1.or(BOOL))]),
        since(22, SIGNATURE, &[("T1", NUMERIC.or(BOOL)), ("T2", NUMERIC.or(BOOL))]),
    ],
    load: |a| {
        let dtype = a.opt_dtype("dtype")?;
        let types = if a.since() >= 22 { NUMERIC } else { NUMERIC_V1 }.or(BOOL);
        let allowed = dtype.is_none_or(|d| types.contains(&base::Type::Tensor(d)));
        ensure!(allowed, InvalidGraph, "'dtype' is {dtype:?}, which the output cannot be");
        Ok(Box::new(EyeLike { dtype, k: a.int("k", 0)? }))
    },
    kernels: Kernels::NONE.stateless::<EyeLike>(),
    strided: Mask::of(1, 1),
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct EyeLike {
    /// The type of the output, if not that of the input.
    dtype: Option<DType>,
    /// Which diagonal: above the main one when positive.
    k: i64,
}

impl Op for EyeLike {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dtype = self.dtype.map_or_else(|| cx.dtype(0), Ok)?;
        let dims = match cx.dims(0)? {
            Some(dims) => {
                ensure!(dims.len() == 2, InvalidGraph, "the input must be a matrix, not of shape {dims:?}");
                dims.into()
            }
            None => cx.fresh_dims(2),
        };
        cx.tensor(0, dtype, Some(dims));
        Ok(())
    }
}

/// The element 1.
fn one(dtype: DType) -> Result<Tensor> {
    fn of<T: base::Element + num_traits::One>() -> Result<Tensor> {
        Tensor::scalar(T::one())
    }
    with_number!(dtype, T => of::<T>(), _ => Tensor::scalar(true))
}

impl EyeLike {
    /// Row, column and length of the diagonal.
    fn diagonal(&self, rows: usize, columns: usize) -> (usize, usize, usize) {
        let skipped = usize::try_from(self.k.unsigned_abs()).unwrap_or(usize::MAX);
        let (row, column) = if self.k < 0 { (skipped, 0) } else { (0, skipped) };
        (row, column, rows.saturating_sub(row).min(columns.saturating_sub(column)))
    }
}

impl Stateless for EyeLike {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let input = cx.input(0)?;
        let (dtype, shape) = (self.dtype.unwrap_or(input.dtype()), Shape::from(input.shape()));
        let [rows, columns] = *shape else { base::bail!(InvalidArgument, "the input must be a matrix, not of shape {shape}") };
        let (row, column, len) = self.diagonal(rows, columns);
        let one = one(dtype)?;
        write(cx, 0, dtype, shape, |_, out| {
            let whole = out.whole();
            out.zero(&whole)?;
            let cell = |i: usize| -> Result<Region> { whole.clone().slice(0, row + i, 1, 1)?.slice(1, column + i, 1, 1) };
            paced(0..len, 256).try_for_each(|i| out.fill_number(&one.as_ref(), &cell(i)?))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::single;

    #[test]
    fn diagonals_and_types() {
        let case = |k: i64| single(&EYE_LIKE, 9).attr("k", k).input([2, 3], &[9i32; 6]);
        assert_eq!(case(0).tensor().unwrap().slice::<i32>().unwrap(), [1, 0, 0, 0, 1, 0]);
        assert_eq!(case(2).tensor().unwrap().slice::<i32>().unwrap(), [0, 0, 1, 0, 0, 0]);
        assert_eq!(case(-1).tensor().unwrap().slice::<i32>().unwrap(), [0, 0, 0, 1, 0, 0]);
        assert_eq!(case(i64::MIN).tensor().unwrap().slice::<i32>().unwrap(), [0; 6]);
        assert_eq!(case(0).attr("dtype", 9).tensor().unwrap().slice::<bool>().unwrap(), [true, false, false, false, true, false]);
        assert!(case(0).attr("dtype", 16).tensor().is_err(), "bfloat16 came with opset 22");
        assert!(single(&EYE_LIKE, 22).input([2], &[0f32; 2]).tensor().is_err());
    }
}
