//! Imputer: other values in place of one that stands for "missing".

use base::threads::paced;
use base::{DType, Element, Result, bail, ensure};
use op::{Infer, Kernels, Op, OpDef, Run, Stateless, since};

use crate::features::{FEATURES, ML};

/// Imputer of `ai.onnx.ml`.
pub static IMPUTER: OpDef = OpDef {
    name: "Imputer",
    versions: &[since(1, "X:T -> Y:T", &[("T", FEATURES)])],
    load: |a| {
        let imputer = Imputer {
            floats: a.opt_floats("imputed_value_floats")?.unwrap_or_default().to_vec(),
            ints: a.opt_ints("imputed_value_int64s")?.unwrap_or_default().to_vec(),
            missing_float: a.float("replaced_value_float", 0.0)?,
            missing_int: a.int("replaced_value_int64", 0)?,
        };
        let one = imputer.floats.is_empty() != imputer.ints.is_empty();
        ensure!(one, InvalidGraph, "either 'imputed_value_floats' or 'imputed_value_int64s' must be given, and not both");
        Ok(Box::new(imputer))
    },
    kernels: Kernels::NONE.stateless::<Imputer>(),
    ..ML
};

#[derive(Clone, Debug)]
struct Imputer {
    floats: Vec<f32>,
    ints: Vec<i64>,
    missing_float: f32,
    missing_int: i64,
}

impl Op for Imputer {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dtype = cx.dtype(0)?;
        let known = if dtype.is_float() { &self.floats.len() } else { &self.ints.len() };
        ensure!(*known > 0, InvalidGraph, "no values of type {dtype} are given to impute");
        let dims = cx.dims(0)?.map(|d| d.iter().cloned().collect());
        cx.tensor(0, dtype, dims);
        Ok(())
    }
}

/// Writes each element of the input, or what is imputed for it; `values` for each column, or the first for all.
fn impute<T: Element + PartialEq>(cx: &mut Run<'_>, values: &[T], missing: impl Fn(T) -> bool) -> Result<()> {
    let shape = cx.input(0)?.shape().to_vec();
    let columns = match *shape {
        [] => bail!(InvalidArgument, "Empty input dimensions."),
        [columns] | [_, columns, ..] => columns,
    };
    let values = if values.len() == columns { values } else { &values[..1] };
    cx.allocate(0, cx.input(0)?.dtype(), &*shape)?;
    let (x, out) = (cx.input(0)?, cx.output(0)?.slice::<T>()?);
    for (out, x) in paced(out.chunks_mut(values.len()).zip(x.slice::<T>()?.chunks(values.len())), 2 * values.len()) {
        out.iter_mut().zip(x).zip(values).for_each(|((out, &x), &value)| *out = if missing(x) { value } else { x });
    }
    Ok(())
}

impl Stateless for Imputer {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let (missing, int) = (self.missing_float, self.missing_int);
        match cx.input(0)?.dtype() {
            DType::F32 => impute::<f32>(cx, &self.floats, |x| x == missing || (x.is_nan() && missing.is_nan())),
            DType::F64 => {
                let values: Vec<f64> = self.floats.iter().map(|&v| v.into()).collect();
                impute::<f64>(cx, &values, |x| x == f64::from(missing) || (x.is_nan() && missing.is_nan()))
            }
            DType::I64 => impute::<i64>(cx, &self.ints, |x| x == int),
            DType::I32 => {
                let narrow = |v: i64| i32::try_from(v).map_err(|_| base::error!(InvalidArgument, "{v} is no int32"));
                let values = self.ints.iter().map(|&v| narrow(v)).collect::<Result<Vec<_>>>()?;
                impute::<i32>(cx, &values, |x| i64::from(x) == int)
            }
            other => bail!(NotImplemented, "nothing is imputed in {other}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use ir::Attribute;
    use testkit::{assert_close, single};

    use super::*;

    #[test]
    fn floats_and_integers() {
        let s = |v: &[f32], m: f32| {
            single(&IMPUTER, 1).attr("imputed_value_floats", Attribute::Floats(v.to_vec())).attr("replaced_value_float", m)
        };
        let x = [1f32, f32::NAN, f32::NAN, 0.];
        assert_close(&s(&[7., 8.], f32::NAN).input([2, 2], &x).tensor().unwrap(), &[1., 8., 7., 0.], 0., 0.);
        assert_close(&s(&[7.], 1.).input([2, 2], &x).tensor().unwrap(), &[7., f64::NAN, f64::NAN, 0.], 0., 0.);
        assert_close(&s(&[7., 8., 9.], 0.).input([4], &x.map(f64::from)).tensor().unwrap(), &[1., f64::NAN, f64::NAN, 7.], 0., 0.);
        let ints = || single(&IMPUTER, 1).attr("imputed_value_int64s", Attribute::Ints(vec![-5])).attr("replaced_value_int64", 2);
        assert_eq!(ints().input([2], &[2i64, 3]).tensor().unwrap().slice::<i64>().unwrap(), [-5, 3]);
        assert_eq!(ints().input([2], &[2i32, 3]).tensor().unwrap().slice::<i32>().unwrap(), [-5, 3]);
        assert!(ints().input([2], &[2f32, 3.]).tensor().unwrap_err().detail().contains("no values of type float"));
        assert!(single(&IMPUTER, 1).input([2], &[2f32, 3.]).tensor().is_err());
    }
}
