//! Det: the determinants of square matrices.

use base::threads::Pace;
use base::{DType, Element, Result, Shape, ensure};
use half::{bf16, f16};
use ir::Dims;
use op::{CpuKernel, Infer, Kernels, Op, OpDef, Prepare, Prepared, Run, Sizes, since};

use crate::types::{T_FLOATS, T_FLOATS_V1, X_Y};

/// Det of `ai.onnx`, computed in `f64`; 1 of a matrix without elements.
pub static DET: OpDef = OpDef {
    name: "Det",
    versions: &[since(11, X_Y, T_FLOATS_V1), since(22, X_Y, T_FLOATS)],
    load: |_| Ok(Box::new(Det)),
    kernels: Kernels::NONE.cpu::<Det>(),
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct Det;

impl Op for Det {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dtype = cx.dtype(0)?;
        let Some(dims) = cx.dims(0)? else {
            cx.tensor(0, dtype, None);
            return Ok(());
        };
        let [batch @ .., rows, columns] = dims else { base::bail!(InvalidGraph, "a matrix is needed, not shape {dims:?}") };
        let square = rows.known().zip(columns.known()).is_none_or(|(r, c)| r == c);
        ensure!(square, InvalidGraph, "square matrices are needed, not shape {dims:?}");
        cx.tensor(0, dtype, Some(Dims::from(batch)));
        Ok(())
    }
}

impl CpuKernel for Det {
    fn prepare(&self, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        let dtype = cx.dtype(0)?;
        match dtype {
            DType::F32 => Ok(Box::new(Kernel::<f32> { widen: |x| x.into(), narrow: |x| x as f32 })),
            DType::F64 => Ok(Box::new(Kernel::<f64> { widen: |x| x, narrow: |x| x })),
            DType::F16 => Ok(Box::new(Kernel::<f16> { widen: f16::to_f64, narrow: f16::from_f64 })),
            DType::BF16 => Ok(Box::new(Kernel::<bf16> { widen: bf16::to_f64, narrow: bf16::from_f64 })),
            _ => Err(cx.no_kernel(dtype)),
        }
    }
}

struct Kernel<T> {
    widen: fn(T) -> f64,
    narrow: fn(f64) -> T,
}

impl<T: Element> Prepared for Kernel<T> {
    fn scratch(&self, sizes: &Sizes<'_>) -> usize {
        // One matrix; that it is square is checked when it runs.
        sizes.input(0).map_or(0, |dims| dims.iter().rev().take(2).product::<usize>().saturating_mul(size_of::<f64>()))
    }

    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let shape = Shape::from(cx.input(0)?.shape());
        let [batch @ .., rows, columns] = &*shape else { base::bail!(InvalidArgument, "a matrix is needed, not shape {shape}") };
        ensure!(rows == columns, InvalidArgument, "square matrices are needed, not shape {shape}");
        cx.allocate(0, T::DTYPE, batch)?;
        let (n, x) = (*rows, cx.input(0)?.slice::<T>()?);
        let scratch = cx.scratch::<f64>()?;
        ensure!(scratch.len() >= n * n, Fail, "{} numbers of scratch memory are not {n} times {n}", scratch.len());
        let matrix = &mut scratch[..n * n];
        let pace = Pace::default();
        for (i, out) in cx.output(0)?.slice::<T>()?.iter_mut().enumerate() {
            pace.spend(n * n);
            matrix.iter_mut().zip(&x[i * n * n..]).for_each(|(m, x)| *m = (self.widen)(*x));
            *out = (self.narrow)(determinant(matrix, n));
        }
        Ok(())
    }
}

/// By elimination, each time with the largest element left in the column.
fn determinant(m: &mut [f64], n: usize) -> f64 {
    let mut det = 1.0;
    let pace = Pace::default();
    for k in 0..n {
        let size = |row: &usize| m[row * n + k].abs();
        let pivot = (k..n).max_by(|a, b| size(a).total_cmp(&size(b))).unwrap_or(k);
        if m[pivot * n + k] == 0.0 {
            return 0.0;
        }
        if pivot != k {
            (k..n).for_each(|j| m.swap(pivot * n + j, k * n + j));
            det = -det;
        }
        det *= m[k * n + k];
        let (above, below) = m.split_at_mut((k + 1) * n);
        let top = &above[k * n..];
        for row in below.chunks_exact_mut(n) {
            pace.spend(n - k);
            let factor = row[k] / top[k];
            row[k + 1..].iter_mut().zip(&top[k + 1..]).for_each(|(x, t)| *x -= factor * t);
        }
    }
    det
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::{assert_close, single};

    #[test]
    fn small_and_batched() {
        let x = [0f32, 1.0, 2.0, 3.0, 1.0, 2.0, 2.0, 4.0, 2.0, 0.0, 0.0, 3.0];
        let t = single(&DET, 11).input([3, 1, 2, 2], &x).tensor().unwrap();
        assert_eq!(&**t.shape(), [3, 1]);
        assert_close(&t, &[-2.0, 0.0, 6.0], 1e-6, 0.0);
        let y = [2.0, -1.0, 0.0, 1.0, 3.0, 2.0, 0.0, 5.0, -4.0];
        let t = single(&DET, 11).input([3, 3], &y).tensor().unwrap();
        assert_eq!(&**t.shape(), [] as [usize; 0]);
        assert_close(&t, &[-48.0], 1e-14, 0.0);
        assert_close(&single(&DET, 22).input([3, 3], &y.map(bf16::from_f64)).tensor().unwrap(), &[-48.0], 0.0, 0.0);
    }

    #[test]
    fn edges() {
        assert_close(&single(&DET, 11).input([2, 0, 0], &[0f32; 0]).tensor().unwrap(), &[1.0, 1.0], 0.0, 0.0);
        assert_close(&single(&DET, 11).input([2, 2], &[f64::NAN, 1.0, 2.0, 3.0]).tensor().unwrap(), &[f64::NAN], 0.0, 0.0);
        assert!(single(&DET, 11).input([2, 3], &[0f32; 6]).tensor().is_err());
        assert!(single(&DET, 11).input([2], &[0f32; 2]).tensor().is_err());
    }
}
