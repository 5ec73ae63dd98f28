//! Inverse: the inverses of square matrices.

use base::{DType, Element, Result, Shape, bail, ensure};
use half::f16;
use op::types::FLOATS_V1;
use op::{Infer, Kernels, Op, OpDef, Run, Stateless, since};

/// Inverse of `com.microsoft`, computed in `f64`. A matrix that has none gives infinities and NaN.
pub static INVERSE: OpDef = OpDef {
    name: "Inverse",
    versions: &[since(1, "X:T -> Y:T", &[("T", FLOATS_V1)])],
    load: |_| Ok(Box::new(Inverse)),
    kernels: Kernels::NONE.stateless::<Inverse>(),
    ..OpDef::MICROSOFT
};

#[derive(Clone, Debug)]
struct Inverse;

impl Op for Inverse {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let (dtype, dims) = (cx.dtype(0)?, cx.dims(0)?);
        if let Some(dims) = dims {
            let [.., rows, columns] = dims else { bail!(InvalidGraph, "a matrix is needed, not shape {dims:?}") };
            let square = rows.known().zip(columns.known()).is_none_or(|(r, c)| r == c);
            ensure!(square, InvalidGraph, "square matrices are needed, not shape {dims:?}");
        }
        cx.tensor(0, dtype, dims.map(Into::into));
        Ok(())
    }
}

impl Stateless for Inverse {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        match cx.input(0)?.dtype() {
            DType::F32 => invert::<f32>(cx, |x| x.into(), |x| x as f32),
            DType::F16 => invert::<f16>(cx, f16::to_f64, f16::from_f64),
            _ => invert::<f64>(cx, |x| x, |x| x),
        }
    }
}

fn invert<T: Element>(cx: &mut Run<'_>, widen: fn(T) -> f64, narrow: fn(f64) -> T) -> Result<()> {
    let shape = Shape::from(cx.input(0)?.shape());
    let [.., rows, columns] = &*shape else { bail!(InvalidArgument, "a matrix is needed, not shape {shape}") };
    ensure!(rows == columns, InvalidArgument, "square matrices are needed, not shape {shape}");
    let n = *rows;
    cx.allocate(0, T::DTYPE, shape.clone())?;
    let (x, y) = (cx.input(0)?.slice::<T>()?, cx.output(0)?.slice::<T>()?);
    for (x, y) in x.chunks_exact((n * n).max(1)).zip(y.chunks_exact_mut((n * n).max(1))) {
        cx.cancel().check()?;
        let mut left: Vec<f64> = x.iter().map(|x| widen(*x)).collect();
        let mut right: Vec<f64> = (0..n * n).map(|i| if i / n == i % n { 1.0 } else { 0.0 }).collect();
        eliminate(&mut left, &mut right, n);
        y.iter_mut().zip(&right).for_each(|(y, r)| *y = narrow(*r));
    }
    Ok(())
}

/// Makes `left` the identity by steps that `right` takes as well, each time with the largest element left in the column.
fn eliminate(left: &mut [f64], right: &mut [f64], n: usize) {
    for k in 0..n {
        let size = |row: &usize| left[row * n + k].abs();
        let pivot = (k..n).max_by(|a, b| size(a).total_cmp(&size(b))).unwrap_or(k);
        for m in [&mut *left, &mut *right] {
            (0..n).for_each(|j| m.swap(pivot * n + j, k * n + j));
        }
        let factor = 1.0 / left[k * n + k];
        for m in [&mut *left, &mut *right] {
            m[k * n..(k + 1) * n].iter_mut().for_each(|x| *x *= factor);
        }
        for row in (0..n).filter(|row| *row != k) {
            let factor = left[row * n + k];
            for m in [&mut *left, &mut *right] {
                (0..n).for_each(|j| m[row * n + j] -= factor * m[k * n + j]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::{assert_close, single};

    #[test]
    fn small_and_batched() {
        let x = [1f32, 2.0, 3.0, 4.0, 0.0, 1.0, 1.0, 0.0];
        let t = single(&INVERSE, 1).input([2, 1, 2, 2], &x).tensor().unwrap();
        assert_close(&t, &[-2.0, 1.0, 1.5, -0.5, 0.0, 1.0, 1.0, 0.0], 1e-6, 1e-6);
        let t = single(&INVERSE, 1).input([1, 1], &[f16::from_f32(4.0)]).tensor().unwrap();
        assert_eq!(t.slice::<f16>().unwrap(), [f16::from_f32(0.25)]);
    }

    #[test]
    fn edges() {
        assert_eq!(single(&INVERSE, 1).input([2, 0, 0], &[0f64; 0]).tensor().unwrap().len(), 0);
        assert!(!single(&INVERSE, 1).input([2, 2], &[0f64; 4]).tensor().unwrap().slice::<f64>().unwrap()[0].is_finite());
        assert!(single(&INVERSE, 1).input([2, 3], &[0f32; 6]).tensor().is_err());
    }
}
