//! Hardmax: 1 at the first greatest element along an axis, else 0.

use base::threads::parallel_chunks_mut;
use base::{DType, Result, Shape, axis_index, ensure};
use op::{Attrs, CpuKernel, Infer, Kernels, Op, OpDef, Prepare, Prepared, Run, since};

use super::search::{Wanted, search};
use super::split::Split;
use crate::elementwise::{Target, check_apart};
use crate::types::{INPUT_OUTPUT, T_FLOATS, T_FLOATS_V1};

/// Hardmax of `ai.onnx`. Before version 13 the axes from `axis` on are one.
pub static HARDMAX: OpDef = OpDef {
    name: "Hardmax",
    versions: &[since(1, INPUT_OUTPUT, T_FLOATS_V1), since(11, INPUT_OUTPUT, T_FLOATS_V1), since(13, INPUT_OUTPUT, T_FLOATS)],
    load: load_hardmax,
    kernels: Kernels::NONE.cpu::<Hardmax>(),
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct Hardmax {
    axis: i64,
    /// Whether the axes from `axis` on are one.
    flat: bool,
}

fn load_hardmax(a: &Attrs<'_>) -> Result<Box<dyn Op>> {
    let flat = a.since() < 13;
    Ok(Box::new(Hardmax { axis: a.int("axis", if flat { 1 } else { -1 })?, flat }))
}

impl Hardmax {
    fn split(&self, dims: &[usize]) -> Result<Split> {
        // Flattening may also begin behind the last axis.
        let rank = dims.len();
        if self.flat && self.axis == rank as i64 {
            return Ok(Split { outer: dims.iter().product(), len: 1, inner: 1 });
        }
        let axis = axis_index(self.axis, rank)?;
        if self.flat {
            return Ok(Split { outer: dims[..axis].iter().product(), len: dims[axis..].iter().product(), inner: 1 });
        }
        Ok(Split::at(dims, axis))
    }
}

impl Op for Hardmax {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let (dtype, dims) = (cx.dtype(0)?, cx.dims(0)?);
        if let Some(dims) = dims
            && !(self.flat && self.axis == dims.len() as i64)
        {
            axis_index(self.axis, dims.len()).map_err(|e| e.with_kind(base::ErrorKind::InvalidGraph))?;
        }
        cx.tensor(0, dtype, dims.map(Into::into));
        Ok(())
    }
}

impl CpuKernel for Hardmax {
    fn prepare(&self, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        let dtype = cx.dtype(0)?;
        let one = one(dtype).ok_or_else(|| cx.no_kernel(dtype))?;
        Ok(Box::new(Kernel { op: self.clone(), dtype, one }))
    }
}

/// The bytes of 1.
fn one(dtype: DType) -> Option<[u8; 8]> {
    match dtype {
        DType::F16 => Some(u64::from(half::f16::ONE.to_bits()).to_le_bytes()),
        DType::BF16 => Some(u64::from(half::bf16::ONE.to_bits()).to_le_bytes()),
        DType::F32 => Some(u64::from(1f32.to_bits()).to_le_bytes()),
        DType::F64 => Some(1f64.to_bits().to_le_bytes()),
        _ => None,
    }
}

struct Kernel {
    op: Hardmax,
    dtype: DType,
    one: [u8; 8],
}

impl Prepared for Kernel {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let shape = Shape::from(cx.input(0)?.shape());
        let split = self.op.split(&shape)?;
        cx.allocate(0, self.dtype, shape)?;
        let (input, output) = (cx.input(0)?, cx.output(0)?);
        let bytes = input.bytes()?;
        ensure!(
            input.dtype() == self.dtype && output.dtype() == self.dtype && output.shape() == input.shape(),
            Fail,
            "{output:?} is not like {input:?}"
        );
        check_apart((bytes.as_ptr(), bytes.len()), (output.address(), bytes.len()), false)?;
        let out = output.bytes()?;
        parallel_chunks_mut(out, 1 << 18, &|_, part| part.fill(0));
        if out.is_empty() {
            return Ok(());
        }
        let size = out.len() / split.count();
        let target = Target::new(out.as_mut_ptr(), size);
        let mark = |outer: usize, inner: usize, index: usize| {
            let to = target.at((outer * split.len + index) * split.inner + inner);
            // SAFETY: the element lies in the output, and each row or column has one that is marked.
            unsafe { std::ptr::copy_nonoverlapping(self.one.as_ptr(), to, size) };
        };
        let wanted = Wanted { greatest: true, last: false };
        // SAFETY: `bytes` proves the elements of the shape to be there.
        let done = unsafe { search(self.dtype, bytes.as_ptr(), split, wanted, &mark) };
        ensure!(done.is_some(), NotImplemented, "elements of {} have no order", self.dtype);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::{assert_close, single};

    const X: [f32; 6] = [1.0, 3.0, 3.0, 0.0, -1.0, f32::NAN];

    #[test]
    fn along_an_axis() {
        assert_close(&single(&HARDMAX, 13).input([2, 3], &X).tensor().unwrap(), &[0.0, 1.0, 0.0, 0.0, 0.0, 1.0], 0.0, 0.0);
        let t = single(&HARDMAX, 13).attr("axis", 0).input([2, 3], &X.map(half::bf16::from_f32)).tensor().unwrap();
        assert_close(&t, &[1.0, 1.0, 0.0, 0.0, 0.0, 1.0], 0.0, 0.0);
    }

    #[test]
    fn flat_before_version_13() {
        let t = single(&HARDMAX, 11).input([1, 2, 3], &X.map(f64::from)).tensor().unwrap();
        assert_close(&t, &[0.0, 0.0, 0.0, 0.0, 0.0, 1.0], 0.0, 0.0);
        let t = single(&HARDMAX, 1).attr("axis", 2).input([2, 3], &X).tensor().unwrap();
        assert_close(&t, &[1.0; 6], 0.0, 0.0);
        assert!(single(&HARDMAX, 13).attr("axis", 2).input([2, 3], &X).tensor().is_err());
        assert_eq!(&**single(&HARDMAX, 13).input([2, 0], &[0f32; 0]).tensor().unwrap().shape(), [2, 0]);
    }
}
