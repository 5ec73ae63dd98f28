//! Where: elements of `X` or of `Y`, as `condition` says, all broadcast.

mod select;

use std::sync::Arc;

use base::{DType, Result, Strings, broadcast};
use ir::{Dim, Dims, SMALL};
use op::cuda::{Axes, Cuda, CudaClaim, CudaKernel};
use op::types::{ANY_V1, ANY_V13, BOOL};
use op::{Infer, Kernels, Op, OpDef, Run, Stateless, broadcast_dims, since};

use crate::facts::{self, known};
use crate::movement::Region;

const SIGNATURE: &str = "condition:B, X:T, Y:T -> output:T";

/// Where of `ai.onnx`.
pub static WHERE: OpDef = OpDef {
    name: "Where",
    versions: &[since(9, SIGNATURE, &[("B", BOOL), ("T", ANY_V1)]), since(16, SIGNATURE, &[("B", BOOL), ("T", ANY_V13)])],
    load: |_| Ok(Box::new(Where)),
    kernels: Kernels::NONE.stateless::<Where>().cuda::<Where>(),
    in_place: &[(1, 0), (2, 0)],
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct Where;

impl Op for Where {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dtype = cx.dtype(1)?;
        match broadcast_dims(&[cx.dims(0)?, cx.dims(1)?, cx.dims(2)?])? {
            Some(dims) => {
                let value = chosen(cx, &dims)?;
                facts::state(cx, 0, dtype, dims, value);
            }
            None => cx.tensor(0, dtype, None),
        }
        Ok(())
    }
}

/// The elements of the output, if conditions and what they choose are known. Exporters patch shapes this way.
fn chosen(cx: &Infer<'_>, dims: &Dims) -> Result<Option<Arc<[Dim]>>> {
    let inputs = (facts::value(cx, 0), facts::value(cx, 1), facts::value(cx, 2), known(dims));
    let (Some((c, c_shape)), Some((x, x_shape)), Some((y, y_shape)), Some(shape)) = inputs else { return Ok(None) };
    let regions = [c_shape, x_shape, y_shape].map(|s| Region::dense(&s).broadcast(&shape));
    let [ci, xi, yi] = regions;
    let (ci, xi, yi) = (ci?, xi?, yi?);
    if ci.len() > SMALL {
        return Ok(None);
    }
    let places = ci.elements().zip(xi.elements().zip(yi.elements()));
    Ok(places.map(|(i, (j, k))| c[i].known().map(|c| if c != 0 { x[j].clone() } else { y[k].clone() })).collect())
}

impl Stateless for Where {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let (c, x, y) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
        let shape = broadcast(c.shape(), &broadcast(x.shape(), y.shape())?)?;
        let dtype = x.dtype();
        let regions = [c.shape(), x.shape(), y.shape()].map(|s| Region::dense(s).broadcast(&shape));
        let [ci, xi, yi] = regions;
        let regions = [ci?, xi?, yi?];
        if dtype == DType::String {
            let (c, x, y) = (c.slice::<bool>()?, x.strings()?, y.strings()?);
            let places = regions[0].elements().zip(regions[1].elements().zip(regions[2].elements()));
            let chosen = places.map(|(i, (j, k))| if c[i] { x.get(j) } else { y.get(k) });
            return cx.set_strings(0, shape, Strings::gather(chosen)?);
        }
        cx.allocate(0, dtype, shape)?;
        let (c, x, y) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
        select::select(c, [x, y], &regions, cx.output(0)?)
    }
}

impl CudaKernel for Where {
    fn claim(&self, cx: &CudaClaim<'_>) -> Result<(), String> {
        cx.ranks_fit()?;
        cx.needs(&format!("where_{}", cx.element_size(1)?))
    }

    fn launch(&self, cx: &mut Cuda<'_, '_>) -> Result<()> {
        let (c, x, y) = (cx.dense(0)?, cx.dense(1)?, cx.dense(2)?);
        let shape = broadcast(c.shape(), &broadcast(x.shape(), y.shape())?)?;
        let output = cx.output_of(0, &shape)?;
        let axes = Axes::broadcast(&shape, [c.shape(), x.shape(), y.shape()])?;
        let kernel = format!("where_{}", x.dtype().size().unwrap_or_default());
        let n = output.len();
        let [c, x, y, to] = [c.address() as u64, x.address() as u64, y.address() as u64, output.address() as u64];
        // SAFETY: the axes stay inside of inputs and output, all of elements of that size; `movement.cu` declares these arguments.
        unsafe { cx.for_each(&kernel, n, (axes, c, x, y, to, n as u64)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::Tensor;
    use testkit::single;

    #[test]
    fn broadcasts_all_three() {
        let t = single(&WHERE, 16).input([2, 1], &[true, false]).input([3], &[1i32, 2, 3]).input([], &[9i32]).tensor().unwrap();
        assert_eq!((&**t.shape(), t.slice::<i32>().unwrap()), (&[2, 3][..], &[1, 2, 3, 9, 9, 9][..]));
        let t = single(&WHERE, 9).input([1], &[false]).strings([1], &["a"]).strings([2], &["b", "c"]).tensor().unwrap();
        assert_eq!(t.as_ref().strings().unwrap().iter().collect::<String>(), "bc");
        assert!(single(&WHERE, 16).input([2], &[true; 2]).input([3], &[0u8; 3]).input([], &[0u8]).tensor().is_err());
        assert_eq!(&**single(&WHERE, 16).input([0], &[true; 0]).input([1], &[0u8]).input([1], &[0u8]).tensor().unwrap().shape(), [0]);
    }

    fn check<T: base::Element + From<u8>>(n: usize) {
        let x: Vec<T> = (0..n).map(|i| T::from(i as u8)).collect();
        let y: Vec<T> = (0..n).map(|i| T::from((i / 3) as u8 ^ 77)).collect();
        let c: Vec<bool> = (0..n).map(|i| i * i % 7 < 3).collect();
        let expected: Vec<T> = (0..n).map(|i| if c[i] { x[i] } else { y[i] }).collect();
        let t = single(&WHERE, 16).input([n], &c).input([n], &x).input([n], &y).tensor().unwrap();
        assert_eq!(t.slice::<T>().unwrap(), expected);
        let expected: Vec<T> = (0..n).map(|i| if c[i] { x[0] } else { y[i] }).collect();
        let x = Tensor::from_slice([1], &x[..1]).unwrap();
        let t = single(&WHERE, 16).input([n], &c).value(x).input([n], &y).tensor().unwrap();
        assert_eq!(t.slice::<T>().unwrap(), expected);
    }

    #[test]
    fn every_size() {
        for n in [1, 5, 63, 64, 65, 1000, 100_003] {
            check::<u8>(n);
            check::<u16>(n);
            check::<f32>(n);
            check::<f64>(n);
        }
        let z = [num_complex::Complex::new(1f64, 2.), num_complex::Complex::new(3., 4.)];
        let t = single(&WHERE, 16).input([2], &[false, true]).input([2], &z).input([1], &z[..1]).tensor().unwrap();
        assert_eq!(t.slice::<num_complex::Complex<f64>>().unwrap(), z);
    }
}
