//! A number, or one for each channel, that scales or shifts a convolution goes into its weights or its bias.
//!
//! ```text
//! c = Conv(x, W, B); y = Mul(c, k: [C, 1, 1])    →    y = Conv(x, W * k, B * k)
//! c = Conv(x, W, B); y = Add(c, k: [C, 1, 1])    →    y = Conv(x, W, B + k)
//! ```

use base::Result;
use ir::{NodeId, Patch, ValueId};

use crate::conv::ConstantConv;
use crate::numbers::numbers;
use crate::{Context, Level, Pass, Rule};

pub(crate) const PASS: Pass = Pass {
    name: "conv_affine",
    stands_for: &["ConvMulFusion", "ConvAddFusion"],
    level: Level::Basic,
    what: "Constants that scale or shift the channels of a Conv go into its weights and bias.",
    rule: Rule::Local(rule),
};

fn rule(cx: &Context<'_>, id: NodeId) -> Result<Option<Patch>> {
    let node = cx.graph.node(id);
    let found = || {
        let y = node.output(0)?;
        let name = ["Mul", "Add", "Div", "Sub"].into_iter().find(|name| node.is(name))?;
        let ways = if matches!(name, "Mul" | "Add") { cx.both_ways(node) } else { vec![cx.pair(node)?] };
        ways.into_iter().find_map(|(c, k)| {
            let conv = ConstantConv::of(cx, c).filter(|_| cx.same_dims(c, y))?;
            let k = per_channel(cx, c, k, conv.channels())?;
            let (ones, zeros) = (vec![1.0; k.len()], vec![0.0; k.len()]);
            let (scale, shift) = match name {
                "Mul" => (k, zeros),
                "Div" => (k.iter().map(|k| 1.0 / k).collect(), zeros),
                "Add" => (ones, k),
                _ => (ones, k.iter().map(|k| -k).collect()),
            };
            scale.iter().all(|s| s.is_finite()).then_some((conv, y, scale, shift))
        })
    };
    match found() {
        Some((conv, y, scale, shift)) => conv.affine(cx, id, y, &scale, &shift),
        None => Ok(None),
    }
}

/// The elements of constant `k`, one for each channel of `c`, if it broadcasts along all axes but that of the channels.
fn per_channel(cx: &Context<'_>, c: ValueId, k: ValueId, channels: usize) -> Option<Vec<f64>> {
    let (rank, t) = (cx.rank(c)?, cx.constant(k)?);
    let elements = numbers(t)?;
    if let [k] = elements[..] {
        return (t.shape().len() <= rank).then(|| vec![k; channels]);
    }
    let channel = (t.shape().len() + 1).checked_sub(rank)?;
    let others_are_one = t.shape().iter().enumerate().all(|(i, d)| i == channel || *d == 1);
    (others_are_one && t.shape().get(channel) == Some(&channels)).then_some(elements)
}

#[cfg(test)]
mod tests {
    use crate::testing::{check, check_unchanged, only, optimized_for};

    #[test]
    fn goes_into_the_weights() {
        let text = "
            x: float[1, 4, 5, 5]
            w: float[4, 2, 3, 3] = ~
            k: float[4, 1, 1] = ~
            l: float[1, 4, 1, 1] = ~
            m: float[] = 3
            c = Conv(x, w) {group=2}
            d = Mul(k, c)
            e = Add(d, l)
            f = Sub(e, k)
            y = Div(f, m)
            -> y";
        check(&["conv_affine"], text, "%y = Conv-11(%x, float{4,2,3,3}, float{4}) {group=2}\noutputs %y");
    }

    #[test]
    fn other_axes_stay() {
        check_unchanged(
            &["conv_affine"],
            "x: float[1, 3, 5, 6]
             w: float[4, 3, 2, 3] = ~
             k: float[4] = ~
             z: float[1] = 0
             c = Conv(x, w)
             d = Mul(c, k)
             e = Conv(x, w)
             y = Div(e, z)
             -> d, y",
        );
    }

    #[test]
    fn weights_stay_what_their_type_holds() {
        check_unchanged(
            &["conv_affine"],
            "x: float16[1, 1, 2, 2]
             w: float16[1, 1, 1, 1] = 30000
             k: float16[] = 3
             small: float16[] = 0.0001
             s = Mul(x, small)
             c = Conv(s, w)
             y = Mul(c, k)
             -> y",
        );
    }

    #[test]
    fn numbers_along_another_axis_stay() {
        let text = "
            x: float[2, 3, 4]
            w: float[2, 3, 1] = ~
            k: float[2, 1] = 1 2
            c = Conv(x, w)
            y = Add(c, k) {broadcast=1, axis=0}
            -> y";
        assert_eq!(optimized_for(text, 6, &only(&["conv_affine"])).1.applied(), []);
    }
}
