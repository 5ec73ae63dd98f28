//! MaxUnpool: elements put back where MaxPool found them, zeros elsewhere.

use base::threads::{Pace, parallel_chunks_mut};
use base::{DType, Result, Shape, bail, ensure};
use half::{bf16, f16};
use ir::{Dim, Dims};
use op::types::{FLOATS, FLOATS_V1};
use op::{Infer, Kernels, Op, OpDef, Run, Stateless, TypeSet, since};

use crate::window::WindowAttrs;

const SIGNATURE: &str = "X:T1, I:T2, output_shape:T2? -> output:T1";
const PLACES: TypeSet = TypeSet::tensors(&[DType::I64]);

/// MaxUnpool of `ai.onnx`.
pub static MAX_UNPOOL: OpDef = OpDef {
    name: "MaxUnpool",
    versions: &[
        since(9, SIGNATURE, &[("T1", FLOATS_V1), ("T2", PLACES)]),
        since(11, SIGNATURE, &[("T1", FLOATS_V1), ("T2", PLACES)]),
        since(22, SIGNATURE, &[("T1", FLOATS), ("T2", PLACES)]),
    ],
    load: |a| {
        let window = WindowAttrs::read(a, false, false)?;
        ensure!(window.kernel.is_some(), InvalidGraph, "Required attribute 'kernel_shape' is missing");
        Ok(Box::new(MaxUnpool(window)))
    },
    kernels: Kernels::NONE.stateless::<MaxUnpool>(),
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct MaxUnpool(WindowAttrs);

impl MaxUnpool {
    /// The sizes from which MaxPool made the input.
    fn dims(&self, x: &[Dim]) -> Result<Dims> {
        let kernel = self.0.kernel.as_deref().unwrap_or_default();
        ensure!(x.len() == kernel.len() + 2, InvalidGraph, "a kernel of {kernel:?} over an input of shape {x:?}");
        self.0.check_rank(kernel.len())?;
        let size = |(i, k): (usize, &usize)| {
            let (before, after) = self.0.pads(i, kernel.len());
            x[i + 2].sub(&Dim::Known(1)).mul(&Dim::from(self.0.stride(i))).add(&Dim::Known(*k as i64 - before - after))
        };
        Ok(x[..2].iter().cloned().chain(kernel.iter().enumerate().map(size)).collect())
    }
}

impl Op for MaxUnpool {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dtype = cx.dtype(0)?;
        let Some(x) = cx.dims(0)? else {
            cx.tensor(0, dtype, None);
            return Ok(());
        };
        let natural = self.dims(x)?;
        let dims = match (cx.optional(2), cx.ints(2)) {
            (None, _) => natural,
            (Some(_), Some(given)) => given.into(),
            (Some(_), None) => cx.fresh_dims(x.len()),
        };
        ensure!(dims.len() == x.len(), InvalidGraph, "an output of shape {dims:?} from an input of {x:?}");
        cx.tensor(0, dtype, Some(dims));
        Ok(())
    }
}

impl Stateless for MaxUnpool {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let (dtype, x_shape) = (cx.input(0)?.dtype(), Shape::from(cx.input(0)?.shape()));
        let dims: Dims = x_shape.iter().map(|d| Dim::from(*d)).collect();
        let natural: Option<Shape> = self.dims(&dims)?.iter().map(Dim::size).collect();
        let Some(natural) = natural else { bail!(InvalidArgument, "an input of shape {x_shape} is no result of a pooling") };
        let shape: Shape = match cx.optional(2)? {
            None => natural.clone(),
            Some(given) => {
                let sizes: Option<Shape> = given.ints()?.iter().map(|d| usize::try_from(*d).ok()).collect();
                match sizes {
                    Some(sizes) if sizes.len() == natural.len() => sizes,
                    _ => bail!(InvalidArgument, "output_shape is {:?}", given.ints()?),
                }
            }
        };
        cx.allocate(0, dtype, shape.clone())?;
        match dtype {
            DType::F32 => scatter::<f32>(cx, &natural, &shape),
            DType::F64 => scatter::<f64>(cx, &natural, &shape),
            DType::F16 => scatter::<f16>(cx, &natural, &shape),
            _ => scatter::<bf16>(cx, &natural, &shape),
        }
    }
}

/// Puts each element at its place, which is counted in a tensor of shape `natural`, into one of shape `shape`.
fn scatter<T: base::Element>(cx: &Run<'_>, natural: &[usize], shape: &[usize]) -> Result<()> {
    let (x, places) = (cx.input(0)?.slice::<T>()?, cx.input(1)?.slice::<i64>()?);
    ensure!(x.len() == places.len(), InvalidArgument, "{} places for {} elements", places.len(), x.len());
    let y = cx.output(0)?.slice::<T>()?;
    parallel_chunks_mut(y, 1 << 16, &|_, part| part.fill(T::default()));
    let pace = Pace::default();
    let total: usize = natural.iter().product();
    for (x, place) in x.iter().zip(places) {
        pace.spend(8 * natural.len());
        let Some(mut place_left) = usize::try_from(*place).ok().filter(|p| *p < total) else {
            bail!(InvalidArgument, "place {place} is outside of an output of shape {}", Shape::from(natural));
        };
        let (mut at, mut stride, mut inside) = (0, 1, true);
        for (n, s) in natural.iter().zip(shape).rev() {
            let i = place_left % n;
            inside &= i < *s;
            at += i * stride;
            stride *= s;
            place_left /= n;
        }
        if inside {
            y[at] = *x;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::single;

    #[test]
    fn natural_and_larger_sizes() {
        let op = || single(&MAX_UNPOOL, 11).attr("kernel_shape", vec![2i64]).attr("strides", vec![2i64]).input([1, 1, 2], &[7f32, 8.0]);
        let y = op().input([1, 1, 2], &[1i64, 2]).tensor().unwrap();
        assert_eq!(y.slice::<f32>().unwrap(), [0.0, 7.0, 8.0, 0.0]);
        let y = op().input([1, 1, 2], &[1i64, 2]).input([3], &[1i64, 1, 5]).tensor().unwrap();
        assert_eq!(y.slice::<f32>().unwrap(), [0.0, 7.0, 8.0, 0.0, 0.0]);
        assert!(op().input([1, 1, 2], &[1i64, 4]).tensor().is_err());
    }
}
