//! A mean as plain as can be: of `float`, over given axes that are kept.

use base::{Result, axis_index};
use ir::{Dim, Fact};
use op::types::FLOATS;
use op::{Infer, Kernels, Op, OpDef, Run, Stateless, since};

/// Definitions that stand in where the workspace has none.
pub(super) static OPS: &[&OpDef] = &[&REDUCE_MEAN];

static REDUCE_MEAN: OpDef = OpDef {
    name: "ReduceMean",
    versions: &[since(13, "data:T -> reduced:T", &[("T", FLOATS)]), since(18, "data:T, axes:int64? -> reduced:T", &[("T", FLOATS)])],
    load: |a| Ok(Box::new(ReduceMean { axes: a.opt_ints("axes")?.map(<[i64]>::to_vec) })),
    kernels: Kernels::NONE.stateless::<ReduceMean>(),
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct ReduceMean {
    axes: Option<Vec<i64>>,
}

fn places(axes: &[i64], rank: usize) -> Result<Vec<usize>> {
    axes.iter().map(|a| axis_index(*a, rank)).collect()
}

impl Op for ReduceMean {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let axes = self.axes.clone().or_else(|| cx.known_ints(1));
        let (dtype, Some(dims), Some(axes)) = (cx.dtype(0)?, cx.dims(0)?, axes) else { panic!("tests know their axes") };
        let axes = places(&axes, dims.len())?;
        let kept = dims.iter().enumerate().map(|(i, d)| if axes.contains(&i) { Dim::Known(1) } else { d.clone() });
        cx.set(0, Fact::tensor(dtype, kept));
        Ok(())
    }
}

impl Stateless for ReduceMean {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let axes = match &self.axes {
            Some(axes) => axes.clone(),
            None => cx.input(1)?.slice::<i64>()?.to_vec(),
        };
        let x = cx.input(0)?;
        let (shape, x) = (x.shape().to_vec(), x.slice::<f32>()?.to_vec());
        let axes = places(&axes, shape.len())?;
        let kept: Vec<usize> = shape.iter().enumerate().map(|(i, d)| if axes.contains(&i) { 1 } else { *d }).collect();
        let mut sums = vec![0f32; kept.iter().product()];
        let count = (x.len() / sums.len()) as f32;
        for (i, element) in x.iter().enumerate() {
            let mut rest = i;
            let (mut at, mut step) = (0, 1);
            for (size, kept) in shape.iter().zip(&kept).rev() {
                at += rest % size % kept * step;
                step *= kept;
                rest /= size;
            }
            sums[at] += element / count;
        }
        cx.output(0)?.slice::<f32>()?.copy_from_slice(&sums);
        Ok(())
    }
}
