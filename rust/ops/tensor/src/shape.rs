//! Shape: the sizes of a tensor's axes, or of those from `start` to `end`.

use base::{DType, Result};
use ir::Fact;
use op::cuda::{Cuda, CudaClaim, CudaKernel};
use op::types::{ANY_V1, ANY_V13, ANY_V19, ANY_V21, ANY_V23, ANY_V24, ANY_V25};
use op::{Infer, Kernels, Mask, Op, OpDef, Run, Stateless, TypeSet, since};

const SIGNATURE: &str = "data:T -> shape:T1";
const INT64: TypeSet = TypeSet::tensors(&[DType::I64]);

/// Shape of `ai.onnx`.
pub static SHAPE: OpDef = OpDef {
    name: "Shape",
    versions: &[
        since(1, SIGNATURE, &[("T", ANY_V1), ("T1", INT64)]),
        since(13, SIGNATURE, &[("T", ANY_V13), ("T1", INT64)]),
        since(15, SIGNATURE, &[("T", ANY_V13), ("T1", INT64)]),
        since(19, SIGNATURE, &[("T", ANY_V19), ("T1", INT64)]),
        since(21, SIGNATURE, &[("T", ANY_V21), ("T1", INT64)]),
        since(23, SIGNATURE, &[("T", ANY_V23), ("T1", INT64)]),
        since(24, SIGNATURE, &[("T", ANY_V24), ("T1", INT64)]),
        since(25, SIGNATURE, &[("T", ANY_V25), ("T1", INT64)]),
    ],
    load: |a| {
        let sliced = a.since() >= 15;
        let (start, end) = if sliced { (a.int("start", 0)?, a.opt_int("end")?) } else { (0, None) };
        Ok(Box::new(ShapeOf { start, end }))
    },
    kernels: Kernels::NONE.stateless::<ShapeOf>().cuda::<ShapeOf>(),
    strided: Mask::of(1, 0),
    host: Mask::of(0, 1),
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct ShapeOf {
    start: i64,
    end: Option<i64>,
}

impl ShapeOf {
    /// The axes of a tensor of `rank` that are meant: bounds count from the end when negative, and are clamped.
    fn axes(&self, rank: usize) -> std::ops::Range<usize> {
        let r = rank as i64;
        let clamped = |n: i64| (if n < 0 { n.saturating_add(r) } else { n }).clamp(0, r) as usize;
        let (start, end) = (clamped(self.start), self.end.map_or(rank, clamped));
        start..end.max(start)
    }
}

impl Op for ShapeOf {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let fact = match &cx.input(0)?.shape {
            Some(dims) => Fact::ints(DType::I64, dims[self.axes(dims.len())].iter().cloned(), false),
            None => Fact::tensor(DType::I64, [cx.fresh()]),
        };
        cx.set(0, fact);
        Ok(())
    }
}

impl Stateless for ShapeOf {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let count = self.axes(cx.input(0)?.rank()).len();
        cx.allocate(0, DType::I64, [count])?;
        let dims = cx.input(0)?.shape();
        let out = cx.output(0)?.slice::<i64>()?;
        out.iter_mut().zip(&dims[self.axes(dims.len())]).for_each(|(o, &d)| *o = d as i64);
        Ok(())
    }
}

impl CudaKernel for ShapeOf {
    /// The sizes are at hand wherever the elements are.
    fn claim(&self, cx: &CudaClaim<'_>) -> Result<(), String> {
        cx.element_size(0).map(drop)
    }

    fn launch(&self, cx: &mut Cuda<'_, '_>) -> Result<()> {
        self.run(cx.host())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::single;

    #[test]
    fn bounds_are_clamped() {
        let case = |start: i64, end: i64| {
            let t = single(&SHAPE, 15).attr("start", start).attr("end", end).input([2, 3, 4], &[0u8; 24]).tensor().unwrap();
            t.slice::<i64>().unwrap().to_vec()
        };
        assert_eq!(case(0, 9), [2, 3, 4]);
        assert_eq!(case(-2, -1), [3]);
        assert_eq!(case(2, 1), [0i64; 0]);
        assert_eq!(case(i64::MIN, i64::MAX), [2, 3, 4]);
        let t = single(&SHAPE, 1).strings([1, 0], &[]).tensor().unwrap();
        assert_eq!(t.slice::<i64>().unwrap(), [1, 0]);
    }
}
