//! A convolution as plain as can be: two spatial axes, unit strides, `pads` and `group`; and the reorder of its channels.

use base::{DType, Layout, Result};
use ir::{Dim, Fact, Layouts};
use op::types::FLOATS;
use op::{Infer, Kernels, Op, OpDef, Run, Stateless, since};

/// Definitions that stand in where the workspace has none.
pub(super) static OPS: &[&OpDef] = &[&CONV, &FUSED_CONV, &REORDER];

static CONV: OpDef = OpDef {
    name: "Conv",
    versions: &[since(11, "X:T, W:T, B:T? -> Y:T", &[("T", FLOATS)])],
    load: |a| Conv::load(a),
    kernels: Kernels::NONE.stateless::<Conv>(),
    layouts: Layouts::Blocked,
    ..OpDef::ONNX
};

static FUSED_CONV: OpDef = OpDef {
    name: "FusedConv",
    versions: &[since(1, "X:T, W:T, B:T?, Z:T? -> Y:T", &[("T", FLOATS)])],
    load: |a| Conv::load(a),
    kernels: Kernels::NONE.stateless::<Conv>(),
    layouts: Layouts::Blocked,
    ..OpDef::MICROSOFT
};

static REORDER: OpDef = OpDef {
    domain: "ai.ort_rs",
    name: "Reorder",
    versions: &[since(1, "X:T -> Y:T", &[("T", FLOATS)])],
    load: |a| Ok(Box::new(Reorder { block: a.required_int("block")? as u8 })),
    kernels: Kernels::NONE.stateless::<Reorder>(),
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct Conv {
    pads: Vec<i64>,
    group: usize,
    activation: String,
    params: Vec<f32>,
}

impl Conv {
    fn load(a: &op::Attrs<'_>) -> Result<Box<dyn Op>> {
        Ok(Box::new(Conv {
            pads: a.opt_ints("pads")?.unwrap_or(&[0; 4]).to_vec(),
            group: a.int("group", 1)? as usize,
            activation: a.string("activation", "")?.to_owned(),
            params: a.opt_floats("activation_params")?.unwrap_or(&[]).to_vec(),
        }))
    }

    fn activate(&self, x: f32) -> f32 {
        match (&*self.activation, &self.params[..]) {
            ("", _) => x,
            ("Relu", _) => x.max(0.0),
            ("Sigmoid", _) => 1.0 / (1.0 + (-x).exp()),
            ("Tanh", _) => x.tanh(),
            ("LeakyRelu", [a]) => {
                if x < 0.0 {
                    a * x
                } else {
                    x
                }
            }
            ("HardSigmoid", [a, b]) => (a * x + b).clamp(0.0, 1.0),
            ("Clip", [low, high]) => x.clamp(*low, *high),
            other => panic!("no activation {other:?}"),
        }
    }
}

impl Op for Conv {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dtype = cx.dtype(0)?;
        let (Some(x), Some(w)) = (cx.dims(0)?, cx.dims(1)?) else { panic!("tests know their ranks") };
        let size = |i: usize| x[i].add(&Dim::Known(self.pads[i - 2] + self.pads[i] + 1)).sub(&w[i]);
        cx.set(0, Fact::tensor(dtype, [x[0].clone(), w[0].clone(), size(2), size(3)]));
        Ok(())
    }
}

impl Stateless for Conv {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let (x, w) = (cx.input(0)?, cx.input(1)?);
        let (xs, ws) = (x.shape().to_vec(), w.shape().to_vec());
        let (x, w) = (x.slice::<f32>()?.to_vec(), w.slice::<f32>()?.to_vec());
        let other = |i: usize| cx.optional(i)?.map(|t| t.slice::<f32>().map(<[f32]>::to_vec)).transpose();
        let (b, z) = (other(2)?, other(3)?);
        let y = cx.output(0)?;
        let ys = y.shape().to_vec();
        let per_group = ys[1] / self.group;
        let mut result = Vec::new();
        for (n, m, i, j) in places(&ys) {
            let mut sum = b.as_ref().map_or(0.0, |b| b[m]);
            for (_, c, k, l) in places(&[1, ws[1], ws[2], ws[3]]) {
                let (row, column) = ((i + k).wrapping_sub(self.pads[0] as usize), (j + l).wrapping_sub(self.pads[1] as usize));
                if row < xs[2] && column < xs[3] {
                    let channel = m / per_group * ws[1] + c;
                    sum += x[((n * xs[1] + channel) * xs[2] + row) * xs[3] + column] * w[((m * ws[1] + c) * ws[2] + k) * ws[3] + l];
                }
            }
            result.push(self.activate(sum + z.as_ref().map_or(0.0, |z| z[result.len()])));
        }
        y.slice::<f32>()?.copy_from_slice(&result);
        Ok(())
    }
}

fn places(s: &[usize]) -> impl Iterator<Item = (usize, usize, usize, usize)> {
    let s = s.to_vec();
    (0..s.iter().product()).map(move |i| (i / (s[1] * s[2] * s[3]), i / (s[2] * s[3]) % s[1], i / s[3] % s[2], i % s[3]))
}

#[derive(Clone, Debug)]
struct Reorder {
    block: u8,
}

impl Op for Reorder {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        assert_eq!(cx.dtype(0)?, DType::F32);
        let layout = if self.block == 0 { Layout::Dense } else { Layout::Blocked(self.block) };
        let fact = Fact { layout, ..cx.input(0)?.clone() };
        cx.set(0, fact);
        Ok(())
    }
}

impl Stateless for Reorder {
    fn run(&self, _: &mut Run<'_>) -> Result<()> {
        Err(base::error!(NotImplemented, "tests do not run blocks of {} channels", self.block))
    }
}
