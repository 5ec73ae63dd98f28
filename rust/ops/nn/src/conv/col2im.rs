//! Col2Im: sliding blocks put back into images; where they overlap they add up.

use std::marker::PhantomData;

use base::threads::paced;
use base::{DType, Result, Shape, bail, ensure};
use ir::{Dim, Dims};
use op::types::ANY_V13;
use op::{CpuKernel, Infer, Kernels, Op, OpDef, Prepare, Prepared, Run, Sizes, since};

use crate::fold::fold;
use crate::number::{Numbers, write};
use crate::real::Real;
use crate::window::{Axes, WindowAttrs, sizes};

/// Col2Im of `ai.onnx`.
pub static COL2IM: OpDef = OpDef {
    name: "Col2Im",
    versions: &[since(18, "input:T, image_shape:int64, block_shape:int64 -> output:T", &[("T", ANY_V13)])],
    load: |a| {
        let pads = a.opt_ints("pads")?.map(<[i64]>::to_vec);
        ensure!(pads.iter().flatten().all(|p| i32::try_from(*p).is_ok()), InvalidGraph, "attribute 'pads' is {pads:?}");
        let window = WindowAttrs { strides: sizes(a, "strides", 1)?, dilations: sizes(a, "dilations", 1)?, pads, ..WindowAttrs::default() };
        Ok(Box::new(Col2Im(window)))
    },
    kernels: Kernels::NONE.cpu::<Col2Im>(),
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct Col2Im(WindowAttrs);

impl Op for Col2Im {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dtype = cx.dtype(0)?;
        let Some(x) = cx.dims(0)? else {
            cx.tensor(0, dtype, None);
            return Ok(());
        };
        ensure!(x.len() == 3, InvalidGraph, "an input of batch, blocks and positions is needed, not shape {x:?}");
        let dims: Option<Dims> = match (cx.ints(1), cx.ints(2)) {
            (Some(image), Some(block)) => {
                let elements = block.iter().fold(Dim::Known(1), |n, b| n.mul(b));
                let channels = if elements.is(0) { cx.fresh() } else { x[1].floor_div(&elements) };
                Some([x[0].clone(), channels].into_iter().chain(image.iter().cloned()).collect())
            }
            _ => {
                let rank = cx.dims(1)?.and_then(|d| d.first().and_then(Dim::size));
                let image = rank.map(|r| cx.ranked(r)).transpose()?;
                image.map(|image| [x[0].clone(), cx.fresh()].into_iter().chain(image).collect())
            }
        };
        cx.tensor(0, dtype, dims);
        Ok(())
    }
}

impl CpuKernel for Col2Im {
    fn prepare(&self, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        Ok(match cx.dtype(0)? {
            DType::F32 | DType::F16 | DType::BF16 => Box::new(Kernel::<f32> { window: self.0.clone(), real: PhantomData }),
            _ => Box::new(Kernel::<f64> { window: self.0.clone(), real: PhantomData }),
        })
    }
}

struct Kernel<A> {
    window: WindowAttrs,
    real: PhantomData<A>,
}

/// Sizes given as a tensor.
fn given(cx: &Run<'_>, i: usize) -> Result<Shape> {
    let sizes: Option<Shape> = cx.input(i)?.ints()?.iter().map(|d| usize::try_from(*d).ok()).collect();
    match sizes {
        Some(sizes) => Ok(sizes),
        None => bail!(InvalidArgument, "input {i} has negative sizes"),
    }
}

impl<A: Real> Prepared for Kernel<A> {
    fn scratch(&self, sizes: &Sizes<'_>) -> usize {
        let elements = |dims: &[usize]| Shape::checked_len(dims).unwrap_or(usize::MAX);
        let (Ok(x), Ok(y)) = (sizes.input(0), sizes.output(0)) else { return 0 };
        elements(x).saturating_add(elements(y)).saturating_mul(size_of::<A>())
    }

    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let (dtype, x) = (cx.input(0)?.dtype(), Shape::from(cx.input(0)?.shape()));
        let (image, block) = (given(cx, 1)?, given(cx, 2)?);
        let elements = Shape::checked_len(&block).unwrap_or(0);
        let axes: Axes = self.window.axes(&image, &block).map_err(|e| e.with_kind(base::ErrorKind::InvalidArgument))?;
        let positions = axes.iter().try_fold(1usize, |positions, a| positions.checked_mul(a.output)).unwrap_or(usize::MAX);
        let fits = x.len() == 3 && elements > 0 && x[1] % elements == 0 && x[2] == positions;
        ensure!(fits, InvalidArgument, "blocks of {block} in images of {image} do not make up an input of shape {x}");
        let channels = x[1] / elements;
        let output: Shape = [x[0], channels].into_iter().chain(image.iter().copied()).collect();
        cx.allocate(0, dtype, output.clone())?;
        let (columns, plane) = (x.iter().product::<usize>(), Shape::checked_len(&image).unwrap_or(0));
        let scratch = cx.scratch::<A>()?;
        let mut own;
        let need = columns + x[0] * channels * plane;
        // Where the output's sizes were not known, neither was the memory.
        let scratch = if scratch.len() >= need {
            &mut scratch[..need]
        } else {
            own = vec![A::zero(); need];
            &mut own[..]
        };
        let (from, to) = scratch.split_at_mut(columns);
        let source = Numbers::of(cx.input(0)?)?;
        paced(from.iter_mut().enumerate(), 2).for_each(|(i, v)| *v = A::of(source.get(i)));
        to.fill(A::zero());
        if plane > 0 {
            let each = elements * positions;
            for (from, to) in from.chunks_exact(each.max(1)).zip(to.chunks_exact_mut(plane)) {
                fold(&axes, from, to);
            }
        }
        write(to, cx.output(0)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::{assert_close, single};

    #[test]
    fn blocks_that_overlap_add_up() {
        let op = single(&COL2IM, 18).input([1, 2, 3], &[1f32, 2.0, 3.0, 10.0, 20.0, 30.0]).input([1], &[4i64]).input([1], &[2i64]);
        assert_close(&op.tensor().unwrap(), &[1.0, 12.0, 23.0, 30.0], 0.0, 0.0);
    }

    #[test]
    fn sizes_that_disagree_are_refused() {
        let op = single(&COL2IM, 18).input([1, 3, 3], &[0f32; 9]).input([1], &[4i64]).input([1], &[2i64]);
        assert!(op.tensor().is_err());
        let op = single(&COL2IM, 18).input([1, 2, 3], &[0f32; 6]).input([1], &[1i64]).input([1], &[2i64]);
        assert!(op.tensor().is_err());
    }
}
