//! Gemm and FusedGemm: `alpha * A * B + beta * C` of matrices that may be transposed, and its activation.

use base::{Result, ensure};
use ir::{Attribute, Dim, Fact, Graph, Node};
use op::body::Body;
use op::cuda::{Cuda, CudaClaim, CudaKernel};
use op::types::{FLOATS_V1, HIGH_PRECISION, HIGH_PRECISION_V7};
use op::{Attrs, CpuKernel, Infer, Kernels, Op, OpDef, Prepare, Prepared, since};

use super::product::Product;
use super::shape::{self, Form};
use crate::activation;

const THREE: &str = "A:T, B:T, C:T -> Y:T";
const TWO: &str = "A:T, B:T, C:T? -> Y:T";

/// Gemm of `ai.onnx`.
pub static GEMM: OpDef = OpDef {
    name: "Gemm",
    versions: &[
        since(1, THREE, &[("T", FLOATS_V1)]),
        since(6, THREE, &[("T", FLOATS_V1)]),
        since(7, THREE, &[("T", FLOATS_V1)]),
        since(9, THREE, &[("T", HIGH_PRECISION_V7)]),
        since(11, TWO, &[("T", HIGH_PRECISION_V7)]),
        since(13, TWO, &[("T", HIGH_PRECISION)]),
    ],
    load: |a| {
        if a.since() < 7 {
            // Whether C may be broadcast; it always may since.
            a.ignore("broadcast");
        }
        Ok(Box::new(Gemm(product(a)?)))
    },
    kernels: Kernels::NONE.cpu::<Gemm>().cuda::<Gemm>(),
    ..OpDef::ONNX
};

/// FusedGemm of `com.microsoft`: Gemm and an activation.
pub static FUSED_GEMM: OpDef = OpDef {
    name: "FusedGemm",
    versions: &[since(1, TWO, &[("T", HIGH_PRECISION)])],
    load: |a| Ok(Box::new(Gemm(Product { activation: activation::of_gemm(a)?, ..product(a)? }))),
    kernels: Kernels::NONE.cpu::<Gemm>().cuda::<Gemm>(),
    body: Some(body),
    ..OpDef::MICROSOFT
};

#[derive(Clone, Debug)]
struct Gemm(Product);

fn product(a: &Attrs<'_>) -> Result<Product> {
    let form = |name| Ok::<_, base::Error>(Form { transposed: a.flag(name, false)?, rows_first: false });
    Ok(Product {
        a: form("transA")?,
        b: form("transB")?,
        alpha: a.float("alpha", 1.0)?,
        beta: Some(a.float("beta", 1.0)?),
        activation: None,
    })
}

impl Op for Gemm {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dtype = cx.dtype(0)?;
        let (Some(a), Some(b)) = (cx.dims(0)?, cx.dims(1)?) else {
            let unknown = cx.fresh_dims(2);
            cx.tensor(0, dtype, Some(unknown));
            return Ok(());
        };
        ensure!(a.len() == 2 && b.len() == 2, InvalidGraph, "Gemm needs matrices, not shapes {a:?} and {b:?}");
        let dims = shape::infer(a, self.0.a, b, self.0.b)?;
        if let Some(c) = cx.optional(2).and_then(|f| f.shape.as_deref()) {
            let tail = &dims[2 - c.len().min(2)..];
            let fits = |(c, d): (&Dim, &Dim)| c.is(1) || c.known().zip(d.known()).is_none_or(|(c, d)| c == d);
            ensure!(c.len() <= 2 && c.iter().zip(tail).all(fits), InvalidGraph, "C of shape {c:?} does not broadcast to {dims:?}");
        }
        cx.tensor(0, dtype, Some(dims));
        Ok(())
    }
}

impl CudaKernel for Gemm {
    fn claim(&self, cx: &CudaClaim<'_>) -> Result<(), String> {
        self.0.claim(cx)
    }

    fn launch(&self, cx: &mut Cuda<'_, '_>) -> Result<()> {
        self.0.launch(cx)
    }
}

impl CpuKernel for Gemm {
    fn prepare(&self, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        self.0.prepare(cx)
    }
}

fn body(node: &Node, _: &[Option<&Fact>]) -> Result<Graph> {
    let attributes = Attrs::new(node);
    let p = product(&attributes)?;
    let mut b = Body::of(node);
    let list = [
        ("alpha", Attribute::Float(p.alpha)),
        ("beta", Attribute::Float(p.beta.unwrap_or(1.0))),
        ("transA", Attribute::Int(p.a.transposed.into())),
        ("transB", Attribute::Int(p.b.transposed.into())),
    ];
    let y = b.node_of(("", "Gemm", 13), &[b.input(0), b.input(1), b.input(2)], &list);
    let y = activation::nodes(&mut b, y, activation::of_gemm(&attributes)?)?;
    Ok(b.finish(&[y]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::{assert_close, single};

    fn data(len: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 7 + 3) % 11) as f32 - 5.0).collect()
    }

    fn plain(m: usize, k: usize, n: usize, a: impl Fn(usize, usize) -> f32, b: impl Fn(usize, usize) -> f32) -> Vec<f64> {
        (0..m * n).map(|i| (0..k).map(|l| f64::from(a(i / n, l)) * f64::from(b(l, i % n))).sum()).collect()
    }

    #[test]
    fn transposed_operands_and_every_addend() {
        let (m, k, n) = (5, 7, 18);
        let (a, b, c) = (data(m * k), data(k * n), data(m * n));
        for (ta, tb) in [(false, false), (true, false), (false, true), (true, true)] {
            let want =
                plain(m, k, n, |i, l| if ta { a[l * m + i] } else { a[i * k + l] }, |l, j| if tb { b[j * k + l] } else { b[l * n + j] });
            for shape in [&[][..], &[1], &[n], &[1, n], &[m, 1], &[m, n], &[1, 1]] {
                let len: usize = shape.iter().product();
                let at = |i: usize| match shape {
                    [r, 1] if *r == m => i / n,
                    [] | [1] | [1, 1] => 0,
                    [_] | [1, _] => i % n,
                    _ => i,
                };
                let op =
                    single(&GEMM, 13).attr("transA", i64::from(ta)).attr("transB", i64::from(tb)).attr("alpha", 0.5f32).attr("beta", 2f32);
                let op = op.input(if ta { [k, m] } else { [m, k] }, &a).input(if tb { [n, k] } else { [k, n] }, &b).input(shape, &c[..len]);
                let want: Vec<f64> = want.iter().enumerate().map(|(i, v)| v * 0.5 + 2.0 * f64::from(c[at(i)])).collect();
                assert_close(&op.tensor().unwrap(), &want, 1e-6, 1e-6);
            }
        }
    }

    #[test]
    fn no_addend_integers_and_old_opsets() {
        let y = single(&GEMM, 11).input([1, 2], &[3i32, 4]).input([2, 1], &[5i32, 6]).tensor().unwrap();
        assert_eq!(y.slice::<i32>().unwrap(), [39]);
        let op = single(&GEMM, 1).attr("broadcast", 1i64).input([1, 2], &[3f32, 4.0]).input([2, 1], &[5f32, 6.0]).input([1], &[1f32]);
        assert_eq!(op.tensor().unwrap().slice::<f32>().unwrap(), [40.0]);
    }

    #[test]
    fn a_beta_of_zero_ignores_the_addend() {
        let op = single(&GEMM, 13).attr("beta", 0f32).input([1, 1], &[3f32]).input([1, 1], &[2f32]).input([1], &[f32::NAN]);
        assert_eq!(op.tensor().unwrap().slice::<f32>().unwrap(), [6.0]);
    }

    #[test]
    fn activations_follow() {
        let op = || single(&FUSED_GEMM, 1).input([1, 1], &[3f32]).input([1, 2], &[2f32, -2.0]).input([2], &[1f32, 1.0]);
        assert_eq!(op().attr("activation", "Relu").tensor().unwrap().slice::<f32>().unwrap(), [7.0, 0.0]);
        let y = op().attr("activation", "LeakyRelu").attr("activation_alpha", 0.5f32).tensor().unwrap();
        assert_eq!(y.slice::<f32>().unwrap(), [7.0, -2.5]);
        assert!(op().attr("activation", "Nothing").tensor().is_err());
    }

    #[test]
    fn sizes_that_disagree_are_refused() {
        let op = single(&GEMM, 13).input([2, 3], &[0f32; 6]).input([3, 2], &[0f32; 6]).input([3], &[0f32; 3]);
        assert!(op.tensor().unwrap_err().detail().contains("does not broadcast"));
        assert!(single(&GEMM, 13).input([3], &[0f32; 3]).input([3, 2], &[0f32; 6]).tensor().is_err());
    }
}
