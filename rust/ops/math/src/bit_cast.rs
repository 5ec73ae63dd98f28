//! BitCast: the same bits as another type.

use base::{DType, Result, Shape, ensure, error};
use op::{CpuKernel, Infer, Kernels, Op, OpDef, Prepare, Prepared, Run, TypeSet, since};

use crate::elementwise::check_apart;

const TYPES: TypeSet = op::types::ANY_V25.without(&[DType::String]);

/// BitCast of `ai.onnx`. Bytes that become booleans must be 0 or 1.
pub static BIT_CAST: OpDef = OpDef {
    name: "BitCast",
    versions: &[since(26, "input:T1 -> output:T2", &[("T1", TYPES), ("T2", TYPES)])],
    load: |a| {
        let to = a.opt_dtype("to")?.ok_or_else(|| error!(InvalidGraph, "Required attribute 'to' is missing"))?;
        ensure!(to != DType::String, InvalidGraph, "no bits can be cast to strings");
        Ok(Box::new(BitCast { to }))
    },
    kernels: Kernels::NONE.cpu::<BitCast>(),
    in_place: &[(0, 0)],
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct BitCast {
    to: DType,
}

impl Op for BitCast {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let from = cx.dtype(0)?;
        ensure!(from.bits() == self.to.bits(), InvalidGraph, "{from} has {} bits, but {} has {}", from.bits(), self.to, self.to.bits());
        let dims = cx.dims(0)?.map(Into::into);
        cx.tensor(0, self.to, dims);
        Ok(())
    }
}

impl CpuKernel for BitCast {
    fn prepare(&self, _: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        Ok(Box::new(Kernel { to: self.to }))
    }
}

struct Kernel {
    to: DType,
}

impl Prepared for Kernel {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let shape = Shape::from(cx.input(0)?.shape());
        cx.allocate(0, self.to, shape)?;
        let (input, output) = (cx.input(0)?, cx.output(0)?);
        let bytes = input.bytes()?;
        let len = self.to.bytes_of(output.len());
        ensure!(len == Some(bytes.len()) && output.memory().is_host(), Fail, "{output:?} does not have the bytes of {input:?}");
        if self.to == DType::Bool {
            base::check_bools(bytes)?;
        }
        check_apart((bytes.as_ptr(), bytes.len()), (output.address(), bytes.len()), true)?;
        // SAFETY: both hold that many bytes, checked above; moving bytes is right whether they are the same or apart.
        unsafe { std::ptr::copy(bytes.as_ptr(), output.address(), bytes.len()) };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::Tensor;
    use testkit::single;

    #[test]
    fn bits_stay() {
        let t = single(&BIT_CAST, 26).attr("to", 6).input([2, 1], &[1.0f32, -0.0]).tensor().unwrap();
        assert_eq!((&**t.shape(), t.slice::<i32>().unwrap()), (&[2, 1][..], &[0x3f80_0000, i32::MIN][..]));
        let t = single(&BIT_CAST, 26).attr("to", 14).input([1], &[u64::MAX]).tensor().unwrap();
        assert_eq!(t.dtype(), DType::C64);
        let four = Tensor::from_bytes(DType::I4, [3], &[0x21, 0x0f]).unwrap();
        assert_eq!(single(&BIT_CAST, 26).attr("to", 23).value(four).tensor().unwrap().as_ref().bytes().unwrap(), [0x21, 0x0f]);
        assert_eq!(single(&BIT_CAST, 26).attr("to", 9).input([2], &[1u8, 0]).tensor().unwrap().slice::<bool>().unwrap(), [true, false]);
    }

    #[test]
    fn widths_must_agree() {
        assert!(single(&BIT_CAST, 26).attr("to", 7).input([1], &[1f32]).tensor().unwrap_err().detail().contains("32 bits"));
        assert!(single(&BIT_CAST, 26).attr("to", 9).input([1], &[2u8]).tensor().is_err());
        assert!(single(&BIT_CAST, 26).attr("to", 8).input([1], &[2u8]).tensor().is_err());
        assert!(single(&BIT_CAST, 26).input([1], &[2u8]).tensor().is_err());
    }
}
