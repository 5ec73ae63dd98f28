//! Einsum: sums of products over axes that an equation names.

mod equation;
mod kernel;

use std::marker::PhantomData;

use base::{DType, Result, ensure};
use ir::{Dim, Dims};
use op::types::{NUMERIC, NUMERIC_V1};
use op::{CpuKernel, Infer, Kernels, Op, OpDef, Prepare, Prepared, since};

use equation::{Equation, Label};
use kernel::Kernel;

/// Einsum of `ai.onnx`.
pub static EINSUM: OpDef = OpDef {
    name: "Einsum",
    versions: &[since(12, "Inputs:T* -> Output:T", &[("T", NUMERIC_V1)]), since(28, "Inputs:T* -> Output:T", &[("T", NUMERIC)])],
    load: |a| {
        let Some(text) = a.opt_string("equation")? else { base::bail!(InvalidGraph, "Required attribute 'equation' is missing") };
        Ok(Box::new(Einsum(Equation::parse(text)?)))
    },
    kernels: Kernels::NONE.cpu::<Einsum>(),
    ..OpDef::ONNX
};

#[derive(Debug)]
struct Einsum(Equation);

impl Op for Einsum {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dtype = cx.dtype(0)?;
        let shapes: Option<Vec<&[Dim]>> = (0..cx.input_count()).map(|i| cx.dims(i)).collect::<Result<_>>()?;
        let Some(shapes) = shapes else {
            cx.tensor(0, dtype, None);
            return Ok(());
        };
        ensure!(!shapes.is_empty(), InvalidGraph, "Einsum of no inputs");
        let ranks: Vec<usize> = shapes.iter().map(|s| s.len()).collect();
        let (inputs, output) = self.0.labels(&ranks)?;
        let mut sizes: Vec<(Label, Dim)> = Vec::new();
        for (label, dim) in inputs.iter().zip(&shapes).flat_map(|(l, s)| l.iter().zip(s.iter())) {
            match sizes.iter_mut().find(|(l, _)| l == label) {
                None => sizes.push((*label, dim.clone())),
                Some((_, known)) => *known = known.broadcast(dim)?,
            }
        }
        let size = |l: &Label| sizes.iter().find(|(m, _)| m == l).map_or(Dim::Known(1), |(_, d)| d.clone());
        let dims: Dims = output.iter().map(size).collect();
        cx.tensor(0, dtype, Some(dims));
        Ok(())
    }
}

impl CpuKernel for Einsum {
    fn prepare(&self, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        let equation = self.0.clone();
        Ok(match cx.dtype(0)? {
            DType::F32 | DType::F16 | DType::BF16 => Box::new(Kernel::<f32> { equation, sum: PhantomData }),
            DType::F64 => Box::new(Kernel::<f64> { equation, sum: PhantomData }),
            DType::I64 | DType::U64 => Box::new(Kernel::<i64> { equation, sum: PhantomData }),
            DType::I8 | DType::U8 | DType::I16 | DType::U16 | DType::I32 | DType::U32 => {
                Box::new(Kernel::<i32> { equation, sum: PhantomData })
            }
            other => return Err(cx.no_kernel(other)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::{assert_close, single};

    fn data(len: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 7 + 3) % 11) as f32 - 5.0).collect()
    }

    #[test]
    fn one_term() {
        let x = data(6);
        let op = |equation: &str| single(&EINSUM, 12).attr("equation", equation).input([2, 3], &x).tensor().unwrap();
        let wide: Vec<f64> = x.iter().map(|v| f64::from(*v)).collect();
        assert_close(&op("ij->ji"), &[wide[0], wide[3], wide[1], wide[4], wide[2], wide[5]], 0.0, 0.0);
        assert_close(&op("ij->i"), &[wide[..3].iter().sum(), wide[3..].iter().sum()], 0.0, 0.0);
        assert_close(&op("...j->..."), &[wide[..3].iter().sum(), wide[3..].iter().sum()], 0.0, 0.0);
        let y = single(&EINSUM, 12).attr("equation", "ii->i").input([2, 2], &[1u8, 2, 3, 4]).tensor().unwrap();
        assert_eq!(y.slice::<u8>().unwrap(), [1, 4]);
    }

    #[test]
    fn products_of_two_and_three() {
        let (a, b, c) = (data(2 * 3 * 4), data(4 * 3 * 5), data(5));
        let op = single(&EINSUM, 12).attr("equation", "bij, jik, k -> kb").input([2, 3, 4], &a).input([4, 3, 5], &b).input([5], &c);
        let mut want = vec![0.0; 10];
        for (n, i) in (0..2).flat_map(|n| (0..3).map(move |i| (n, i))) {
            for (j, k) in (0..4).flat_map(|j| (0..5).map(move |k| (j, k))) {
                want[k * 2 + n] += f64::from(a[(n * 3 + i) * 4 + j] * b[(j * 3 + i) * 5 + k] * c[k]);
            }
        }
        assert_close(&op.tensor().unwrap(), &want, 1e-5, 1e-4);
    }

    #[test]
    fn ellipses_broadcast() {
        let (a, b) = (data(2 * 3 * 4), data(4 * 5));
        let op = single(&EINSUM, 12).attr("equation", "...ij,...jk").input([2, 3, 4], &a).input([1, 4, 5], &b);
        let y = op.tensor().unwrap();
        assert_eq!(&**y.shape(), [2, 3, 5]);
        let cell = |i: usize| (0..4).map(|j| f64::from(a[i / 5 * 4 + j] * b[j * 5 + i % 5])).sum();
        assert_close(&y, &(0..30).map(cell).collect::<Vec<f64>>(), 1e-5, 1e-5);
    }

    #[test]
    fn integers_wrap_and_sizes_must_agree() {
        let y = single(&EINSUM, 12).attr("equation", "i,i->").input([2], &[100i8, 100]).input([2], &[2i8, 2]).tensor().unwrap();
        assert_eq!(y.slice::<i8>().unwrap(), [400i32 as i8]);
        assert!(single(&EINSUM, 12).attr("equation", "i,i->").input([2], &[0f32; 2]).input([3], &[0f32; 3]).tensor().is_err());
        assert!(single(&EINSUM, 12).attr("equation", "i->k").input([2], &[0f32; 2]).tensor().is_err());
    }
}
