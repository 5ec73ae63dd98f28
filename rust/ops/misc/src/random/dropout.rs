//! Dropout: the identity, or in training mode random zeros among what is scaled to make up for them.
//!
//! Until opset 12 only the attribute `is_test` of the first versions, when it is given as 0, asks for training.

use base::minifloat::Format;
use base::{DType, Result, Shape, TensorMut, TensorRef, bail, ensure, threads};
use half::{bf16, f16};
use ir::Fact;
use op::types::{BOOL, FLOATS, FLOATS_V1};
use op::{Attrs, CpuKernel, Infer, Kernels, Op, OpDef, Prepare, Prepared, Run, TypeSet, since};

use super::stream::{Draw, Stream};
use crate::in_place::{self, Plain};
use crate::scalar::float;

const FLOATS_V22: TypeSet = FLOATS.or(TypeSet::tensors(&[DType::F8E4M3FN, DType::F8E4M3FNUZ, DType::F8E5M2, DType::F8E5M2FNUZ]));

const SIGNATURE_V1: &str = "data:T -> output:T, mask:T?";
const SIGNATURE_V12: &str = "data:T, ratio:T1?, training_mode:T2? -> output:T, mask:T2?";

/// Dropout of `ai.onnx`.
pub static DROPOUT: OpDef = OpDef {
    name: "Dropout",
    versions: &[
        since(1, SIGNATURE_V1, &[("T", FLOATS_V1)]),
        since(6, SIGNATURE_V1, &[("T", FLOATS_V1)]),
        since(7, SIGNATURE_V1, &[("T", FLOATS_V1)]),
        since(10, "data:T -> output:T, mask:T1?", &[("T", FLOATS_V1), ("T1", BOOL)]),
        since(12, SIGNATURE_V12, &[("T", FLOATS_V1), ("T1", FLOATS_V1), ("T2", BOOL)]),
        since(13, SIGNATURE_V12, &[("T", FLOATS), ("T1", FLOATS_V1), ("T2", BOOL)]),
        since(22, SIGNATURE_V12, &[("T", FLOATS_V22), ("T1", FLOATS_V22), ("T2", BOOL)]),
    ],
    load: |a| Dropout::load(a).map(|d| Box::new(d) as Box<dyn Op>),
    kernels: Kernels::NONE.cpu::<Dropout>(),
    in_place: &[(0, 0)],
    pure: false,
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct Dropout {
    /// The share of zeros, where no input says it.
    ratio: f64,
    /// Whether to train, where no input says it.
    training: bool,
    seed: Option<u64>,
    /// Whether the mask is of booleans; else of the type of the data.
    bool_mask: bool,
}

impl Dropout {
    fn load(a: &Attrs<'_>) -> Result<Self> {
        a.ignore("consumed_inputs");
        Ok(Self {
            ratio: if a.since() < 12 { a.float("ratio", 0.5)?.into() } else { 0.5 },
            training: a.opt_int("is_test")? == Some(0),
            seed: a.opt_int("seed")?.map(|s| s as u64),
            bool_mask: a.since() >= 10,
        })
    }

    fn mask(&self, data: DType) -> DType {
        if self.bool_mask { DType::Bool } else { data }
    }
}

impl Op for Dropout {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dtype = cx.dtype(0)?;
        let shape = cx.input(0)?.shape.clone();
        cx.set(0, Fact { shape: shape.clone(), ..Fact::of(base::Type::Tensor(dtype)) });
        cx.tensor(1, self.mask(dtype), shape);
        Ok(())
    }
}

impl CpuKernel for Dropout {
    fn prepare(&self, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        Ok(Box::new(Dropper { attributes: self.clone(), mask: self.mask(cx.dtype(0)?), stream: Stream::new(self.seed, cx.node) }))
    }
}

struct Dropper {
    attributes: Dropout,
    mask: DType,
    stream: Stream,
}

/// Which elements are kept: those whose random number is not below the ratio.
#[derive(Clone, Copy)]
struct Kept<'a> {
    draw: Draw<'a>,
    ratio: f64,
}

impl Kept<'_> {
    fn keeps(&self, index: usize) -> bool {
        self.draw.one(index) >= self.ratio
    }

    fn drop<T: Plain>(&self, data: TensorRef<'_>, output: TensorMut<'_>, scaled: impl Fn(T, f64) -> T + Sync) -> Result<()> {
        let scale = 1.0 / (1.0 - self.ratio);
        in_place::map(data, output, |i, x: T| if self.keeps(i) { scaled(x, scale) } else { T::default() })
    }

    fn apply(&self, data: TensorRef<'_>, output: TensorMut<'_>) -> Result<()> {
        match data.dtype() {
            DType::F32 => self.drop(data, output, |x: f32, scale| x * scale as f32),
            DType::F64 => self.drop(data, output, |x: f64, scale| x * scale),
            DType::F16 => self.drop(data, output, |x: f16, scale| f16::from_f32(x.to_f32() * scale as f32)),
            DType::BF16 => self.drop(data, output, |x: bf16, scale| bf16::from_f32(x.to_f32() * scale as f32)),
            dtype => match Format::of(dtype) {
                Some(format) if !dtype.is_packed() => {
                    self.drop(data, output, |x: u8, scale| format.encode(format.decode(x) * scale as f32, true))
                }
                _ => bail!(NotImplemented, "Dropout has no kernel for {dtype}"),
            },
        }
    }
}

/// Fills `mask` with ones where `kept` says so.
fn write_mask(mask: TensorMut<'_>, kept: &(dyn Fn(usize) -> bool + Sync)) -> Result<()> {
    fn fill<T: Copy + Default + Send + Sync>(out: &mut [T], one: T, kept: &(dyn Fn(usize) -> bool + Sync)) -> Result<()> {
        const GRAIN: usize = 16 << 10;
        threads::parallel_chunks_mut(out, GRAIN, &|chunk, part| {
            part.iter_mut().enumerate().for_each(|(i, out)| *out = if kept(chunk * GRAIN + i) { one } else { T::default() });
        });
        threads::check()
    }
    match mask.dtype() {
        DType::Bool => fill(mask.slice::<bool>()?, true, kept),
        DType::F64 => fill(mask.slice::<f64>()?, 1.0, kept),
        DType::F16 => fill(mask.slice::<f16>()?, f16::ONE, kept),
        _ => fill(mask.slice::<f32>()?, 1.0, kept),
    }
}

impl Dropper {
    /// The share of zeros; 0 unless training.
    fn ratio(&self, cx: &Run<'_>) -> Result<f64> {
        let training = cx.optional(2)?.map_or(Ok(self.attributes.training), |t| t.scalar::<bool>())?;
        let ratio = cx.optional(1)?.map_or(Ok(self.attributes.ratio), float)?;
        ensure!(!training || (0.0..1.0).contains(&ratio), InvalidArgument, "ratio is {ratio}, but must be within [0, 1)");
        Ok(if training { ratio } else { 0.0 })
    }
}

impl Prepared for Dropper {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let (dtype, shape) = (cx.input(0)?.dtype(), Shape::from(cx.input(0)?.shape()));
        let ratio = self.ratio(cx)?;
        let len = cx.input(0)?.len();
        cx.allocate(0, dtype, shape.clone())?;
        cx.allocate(1, self.mask, shape)?;
        if ratio == 0.0 {
            if cx.has_output(0) {
                in_place::copy(cx.input(0)?, cx.output(0)?)?;
            }
            return if cx.has_output(1) { write_mask(cx.output(1)?, &|_| true) } else { Ok(()) };
        }
        let kept = Kept { draw: self.stream.draw(len), ratio };
        if cx.has_output(0) {
            kept.apply(cx.input(0)?, cx.output(0)?)?;
        }
        if cx.has_output(1) { write_mask(cx.output(1)?, &|i| kept.keeps(i)) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use base::Tensor;
    use testkit::{assert_close, single};

    use super::*;

    #[test]
    fn inference_is_the_identity() {
        let x = [1f32, -0.0, f32::INFINITY, 4.];
        for opset in [1, 6, 7, 10, 12, 13, 22] {
            let out = single(&DROPOUT, opset).input([2, 2], &x).run(2).unwrap();
            let (y, mask) = (out[0].tensor().unwrap(), out[1].tensor().unwrap());
            assert_eq!(y.slice::<f32>().unwrap().map_bits(), x.map_bits());
            match opset {
                ..10 => assert_eq!(mask.slice::<f32>().unwrap(), [1.; 4]),
                _ => assert_eq!(mask.slice::<bool>().unwrap(), [true; 4]),
            }
        }
    }

    trait Bits {
        fn map_bits(&self) -> Vec<u32>;
    }

    impl Bits for [f32] {
        fn map_bits(&self) -> Vec<u32> {
            self.iter().map(|x| x.to_bits()).collect()
        }
    }

    #[test]
    fn training_drops_and_scales() {
        let x = vec![3f32; 40_001];
        let s = single(&DROPOUT, 13).attr("seed", 4).input([40_001], &x).input([], &[0.25f64]).input([], &[true]);
        let out = s.run(2).unwrap();
        let (y, mask) = (out[0].tensor().unwrap().slice::<f32>().unwrap(), out[1].tensor().unwrap().slice::<bool>().unwrap());
        assert!(y.iter().zip(mask).all(|(y, kept)| *y == if *kept { 4.0 } else { 0.0 }));
        let dropped = mask.iter().filter(|kept| !**kept).count() as f64 / 40_001.0;
        assert!((dropped - 0.25).abs() < 0.01, "{dropped}");
    }

    #[test]
    fn training_without_a_ratio_to_drop() {
        let s = single(&DROPOUT, 12).input([2], &[1f32, 2.]).input([], &[0f32]).input([], &[true]);
        let out = s.run(2).unwrap();
        assert_close(out[0].tensor().unwrap(), &[1., 2.], 0.0, 0.0);
        let s = single(&DROPOUT, 12).input([2], &[1f32, 2.]).input([], &[1f32]).input([], &[true]);
        assert!(s.run(2).unwrap_err().detail().contains("ratio is 1, but must be within [0, 1)"));
        let s = single(&DROPOUT, 6).attr("is_test", 0).attr("ratio", 2f32).input([2], &[1f32, 2.]);
        assert!(s.run(1).is_err());
    }

    #[test]
    fn small_floats() {
        let x = Tensor::from_bytes(DType::F8E4M3FN, [4], &[0x38; 4]).unwrap();
        let ratio = Tensor::from_bytes(DType::F8E5M2, [], &[0x38]).unwrap();
        let s = single(&DROPOUT, 22).attr("seed", 4).value(x).value(ratio).input([], &[true]);
        let y = s.tensor().unwrap();
        assert!(y.as_ref().bytes().unwrap().iter().all(|code| [0, 0x40].contains(code)));
    }
}
