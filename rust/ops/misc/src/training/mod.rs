//! Steps of optimizers.

pub mod adagrad;
pub mod adam;
pub mod momentum;

use base::{DType, Element, Result, bail, ensure};
use op::{Infer, OpDef, Run, TypeSet};

/// What learning rates, parameters, gradients and states may be.
const REALS: TypeSet = TypeSet::tensors(&[DType::F32, DType::F64]);
/// Just `int64`: what counts updates.
const COUNT: TypeSet = TypeSet::tensors(&[DType::I64]);

const SIGNATURE: &str = "R:T1, T:T2, inputs:T3~ -> outputs:T3~";
const TYPES: &[(&str, TypeSet)] = &[("T1", REALS), ("T2", COUNT), ("T3", REALS)];

const TRAINING: OpDef = OpDef { domain: "ai.onnx.preview.training", ..OpDef::ONNX };

/// A number that optimizers compute in.
trait Real: Element + num_traits::Float {}

impl Real for f32 {}
impl Real for f64 {}

/// What an optimizer makes of one element: from parameter, gradient and states to parameter and states.
trait Update<T> {
    /// How many states each parameter has.
    const STATES: usize;

    /// The new parameter; states are changed in place.
    fn step(&self, x: T, gradient: T, states: &mut [T]) -> T;
}

/// How many parameters a node with `inputs` inputs has: after rate and count come all parameters, all gradients, then all of each state.
fn parameters(inputs: usize, states: usize) -> Result<usize> {
    let rest = inputs.saturating_sub(2);
    ensure!(
        rest > 0 && rest.is_multiple_of(2 + states),
        InvalidGraph,
        "{rest} inputs are no parameters with gradients and {states} states"
    );
    Ok(rest / (2 + states))
}

/// States the facts of the outputs: the new parameters, then all of each new state.
fn infer(cx: &mut Infer<'_>, states: usize) -> Result<()> {
    let count = parameters(cx.input_count(), states)?;
    for (output, input) in updated(count, states) {
        let (dtype, dims) = (cx.dtype(input)?, cx.dims(input)?.map(Into::into));
        cx.tensor(output, dtype, dims);
    }
    Ok(())
}

/// Each output, with the input that it is the new value of.
fn updated(count: usize, states: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..(1 + states) * count).map(move |o| (o, 2 + if o < count { o } else { o + count }))
}

/// The learning rate and the number of updates before this one.
fn progress(cx: &Run<'_>) -> Result<(f64, f64)> {
    let rate = cx.input(0)?;
    let rate = match rate.dtype() {
        DType::F32 => rate.scalar::<f32>()?.into(),
        _ => rate.scalar::<f64>()?,
    };
    Ok((rate, cx.input(1)?.scalar::<i64>()? as f64))
}

/// Updates all parameters.
fn update<T: Real, U: Update<T>>(cx: &mut Run<'_>, parameter: usize, count: usize, how: &U) -> Result<()> {
    let inputs: Vec<usize> = (0..2 + U::STATES).map(|i| 2 + i * count + parameter).collect();
    let (shape, dtype) = (cx.input(inputs[0])?.shape().to_vec(), cx.input(inputs[0])?.dtype());
    for &i in &inputs {
        let other = cx.input(i)?;
        let same = *other.shape() == *shape && other.dtype() == dtype;
        ensure!(same, InvalidArgument, "input {i} is {}{:?}, but the parameter is {dtype}{shape:?}", other.dtype(), other.shape());
    }
    let outputs: Vec<usize> = (0..1 + U::STATES).map(|i| i * count + parameter).collect();
    for &o in &outputs {
        cx.allocate(o, dtype, &*shape)?;
    }
    let given = inputs.iter().map(|&i| cx.input(i)?.slice::<T>()).collect::<Result<Vec<_>>>()?;
    let asked = outputs.iter().map(|&o| if cx.has_output(o) { cx.output(o)?.slice::<T>().map(Some) } else { Ok(None) });
    let mut asked = asked.collect::<Result<Vec<_>>>()?;
    let mut states = vec![T::zero(); U::STATES];
    for e in 0..given[0].len() {
        states.iter_mut().zip(&given[2..]).for_each(|(s, given)| *s = given[e]);
        let x = how.step(given[0][e], given[1][e], &mut states);
        let results = std::iter::once(x).chain(states.iter().copied());
        asked.iter_mut().zip(results).for_each(|(out, v)| out.iter_mut().for_each(|out| out[e] = v));
    }
    Ok(())
}

/// Updates all parameters, each in its own type.
fn run<U: Update<f32> + Update<f64>>(cx: &mut Run<'_>, how: &U) -> Result<()> {
    let count = parameters(cx.input_count(), <U as Update<f32>>::STATES)?;
    for parameter in 0..count {
        cx.cancel().check()?;
        match cx.input(2 + parameter)?.dtype() {
            DType::F32 => update::<f32, U>(cx, parameter, count, how)?,
            DType::F64 => update::<f64, U>(cx, parameter, count, how)?,
            other => bail!(NotImplemented, "parameters of type {other} are not trained"),
        }
    }
    Ok(())
}

/// `x` as a number of type `T`.
fn number<T: Real>(x: f64) -> T {
    T::from(x).unwrap_or_else(T::nan)
}
