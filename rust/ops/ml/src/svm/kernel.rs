//! What compares features with support vectors.

use base::threads::parallel_chunks_mut;
use base::{Result, ensure};
use gemm::{Epilogue, Mat, MatMut, PackedB, gemm};
use op::Attrs;
use simd::math::{Exp, Tanh};

/// The kernel function.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Function {
    /// `x · v`
    Linear,
    /// `(gamma x · v + coef0) ^ degree`
    Poly { gamma: f32, coef0: f32, degree: f32 },
    /// `e ^ (-gamma |x - v|²)`
    Rbf { gamma: f32 },
    /// `tanh(gamma x · v + coef0)`
    Sigmoid { gamma: f32, coef0: f32 },
}

impl Function {
    /// Reads the attributes `kernel_type` and `kernel_params`.
    pub(super) fn load(a: &Attrs<'_>) -> Result<Self> {
        let params = a.opt_floats("kernel_params")?.unwrap_or_default();
        ensure!(params.is_empty() || params.len() >= 3, InvalidGraph, "attribute 'kernel_params' has {} elements, not 3", params.len());
        let (gamma, coef0, degree) = if let [g, c, d, ..] = *params { (g, c, d) } else { (0.0, 0.0, 0.0) };
        Ok(match a.choice("kernel_type", &["LINEAR", "POLY", "RBF", "SIGMOID"], "LINEAR")? {
            0 => Self::Linear,
            1 => Self::Poly { gamma, coef0, degree },
            2 => Self::Rbf { gamma },
            _ => Self::Sigmoid { gamma, coef0 },
        })
    }
}

/// Vectors, ready to be compared with.
pub(super) struct Vectors {
    function: Function,
    /// The vectors as columns: for products packed, for distances one feature after another.
    columns: Columns,
    count: usize,
    features: usize,
}

enum Columns {
    Packed(PackedB<f32>),
    Plain(Vec<f32>),
}

/// Rows of features whose distances one chunk finds.
const ROWS: usize = 8;

impl Vectors {
    /// `count` vectors, one after another.
    ///
    /// # Errors
    /// `Fail` when there is no memory to pack them.
    pub(super) fn new(function: Function, data: &[f32], count: usize) -> Result<Self> {
        let features = data.len() / count.max(1);
        let data = &data[..count * features];
        let columns = match function {
            Function::Rbf { .. } => Columns::Plain((0..data.len()).map(|i| data[i % count * features + i / count]).collect()),
            _ => Columns::Packed(PackedB::new(Mat::row_major(data, count, features)?.transposed())?),
        };
        Ok(Self { function, columns, count, features })
    }

    /// How many features a row must have.
    pub(super) fn features(&self) -> usize {
        self.features
    }

    /// Compares `rows` rows of features with each vector.
    ///
    /// # Errors
    /// `Fail` when there is no memory.
    pub(super) fn compare(&self, x: &[f32], rows: usize) -> Result<Vec<f32>> {
        let mut out = vec![0.0; rows * self.count];
        match &self.columns {
            Columns::Packed(vectors) => {
                let x = Mat::row_major(x, rows, self.features)?;
                gemm(x, vectors, &Epilogue::new(&[]), MatMut::row_major(&mut out, rows, self.count)?, &mut [])?;
            }
            Columns::Plain(vectors) if self.count > 0 => {
                parallel_chunks_mut(&mut out, ROWS * self.count, &|chunk, out| {
                    for (i, out) in out.chunks_exact_mut(self.count).enumerate() {
                        let row = chunk * ROWS + i;
                        distances(&x[row * self.features..(row + 1) * self.features], vectors, out);
                    }
                });
            }
            Columns::Plain(_) => {}
        }
        parallel_chunks_mut(&mut out, 1 << 14, &|_, out| self.finish(out));
        base::threads::check()?;
        Ok(out)
    }

    /// Turns products, or squares of distances, into values of the function.
    fn finish(&self, out: &mut [f32]) {
        let affine = |x: &mut f32, gamma: f32, coef0: f32| *x = gamma * *x + coef0;
        match self.function {
            Function::Linear => {}
            Function::Poly { gamma, coef0, degree } => out.iter_mut().for_each(|x| {
                affine(x, gamma, coef0);
                *x = match degree {
                    2.0 => *x * *x,
                    3.0 => *x * *x * *x,
                    _ => x.powf(degree),
                };
            }),
            Function::Rbf { gamma } => {
                out.iter_mut().for_each(|x| *x *= -gamma);
                simd::map_in_place(Exp, out);
            }
            Function::Sigmoid { gamma, coef0 } => {
                out.iter_mut().for_each(|x| affine(x, gamma, coef0));
                simd::map_in_place(Tanh, out);
            }
        }
    }
}

/// The squares of the distances of `row` from all vectors.
fn distances(row: &[f32], vectors: &[f32], out: &mut [f32]) {
    out.fill(0.0);
    for (&x, column) in row.iter().zip(vectors.chunks_exact(out.len())) {
        for (out, v) in out.iter_mut().zip(column) {
            *out += (x - v) * (x - v);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function() {
        let (x, v) = ([1f32, 2., -1., 0.5], [0.5f32, 1., 2., -1., 0., 3.]);
        let (gamma, coef0) = (0.5, 0.25);
        let functions = [
            Function::Linear,
            Function::Poly { gamma, coef0, degree: 2.0 },
            Function::Poly { gamma, coef0, degree: 3.0 },
            Function::Rbf { gamma },
            Function::Sigmoid { gamma, coef0 },
        ];
        for f in functions {
            let got = Vectors::new(f, &v, 3).unwrap().compare(&x, 2).unwrap();
            for (i, &got) in got.iter().enumerate() {
                let (a, b) = (&x[i / 3 * 2..][..2], &v[i % 3 * 2..][..2]);
                let dot = a[0] * b[0] + a[1] * b[1];
                let want = match f {
                    Function::Linear => dot,
                    Function::Poly { degree, .. } => (gamma * dot + coef0).powf(degree),
                    Function::Rbf { .. } => (-gamma * ((a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2))).exp(),
                    Function::Sigmoid { .. } => (gamma * dot + coef0).tanh(),
                };
                assert!((got - want).abs() < 1e-5, "{f:?}: {got} {want}");
            }
        }
    }
}
