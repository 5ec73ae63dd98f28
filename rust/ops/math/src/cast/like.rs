//! CastLike: elements as the type of another tensor.

use base::Result;
use op::{CpuKernel, Infer, Kernels, Op, OpDef, Prepare, Prepared, since};

use super::loops::Rounding;
use super::{V13, V19, V21, V23, V24, V25, kernel, load_rounding, state};

const SIGNATURE: &str = "input:T1, target_type:T2 -> output:T2";

/// CastLike of `ai.onnx`.
pub static CAST_LIKE: OpDef = OpDef {
    name: "CastLike",
    versions: &[
        since(15, SIGNATURE, &[("T1", V13), ("T2", V13)]),
        since(19, SIGNATURE, &[("T1", V19), ("T2", V19)]),
        since(21, SIGNATURE, &[("T1", V21), ("T2", V21)]),
        since(23, SIGNATURE, &[("T1", V23), ("T2", V23)]),
        since(24, SIGNATURE, &[("T1", V24), ("T2", V24)]),
        since(25, SIGNATURE, &[("T1", V25), ("T2", V25)]),
    ],
    load: |a| Ok(Box::new(CastLike { rounding: load_rounding(a)? })),
    kernels: Kernels::NONE.cpu::<CastLike>(),
    in_place: &[(0, 0)],
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct CastLike {
    rounding: Rounding,
}

impl Op for CastLike {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let to = cx.dtype(1)?;
        state(cx, to)
    }
}

impl CpuKernel for CastLike {
    fn prepare(&self, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        kernel(cx, cx.dtype(1)?, self.rounding)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::single;

    #[test]
    fn the_second_input_gives_the_type() {
        let t = single(&CAST_LIKE, 15).input([2], &[1.7f32, -2.2]).input([0], &[0i64; 0]).tensor().unwrap();
        assert_eq!(t.slice::<i64>().unwrap(), [1, -2]);
        let t = single(&CAST_LIKE, 19).input([2], &[1i32, 2]).strings([1], &[""]).tensor().unwrap();
        assert_eq!(t.as_ref().strings().unwrap().iter().collect::<Vec<_>>(), ["1", "2"]);
    }
}
