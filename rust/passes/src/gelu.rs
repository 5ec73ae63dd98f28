//! Gelu, as exporters write it out.
//!
//! ```text
//! y = x * 0.5 * (1 + Erf(x / sqrt(2)))                                   →    y = Gelu(x)
//! y = x * 0.5 * (1 + Tanh(sqrt(2 / pi) * (x + 0.044715 * x^3)))          →    y = Gelu(x) {approximate="tanh"}
//! ```
//!
//! The multiplications may be nested in any order. Models of an opset without Gelu get those of `com.microsoft`.

use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};

use base::{DType, Result};
use ir::{Attributes, NodeId, OpKey, Patch, ValueId};

use crate::context::MICROSOFT;
use crate::numbers::is_near;
use crate::product::Product;
use crate::{Context, Level, Pass, Rule};

pub(crate) const PASS: Pass = Pass {
    name: "gelu",
    stands_for: &["GeluFusionL1", "GeluFusionL2", "FastGeluFusion"],
    level: Level::Extended,
    what: "Gelu written out with Erf or Tanh becomes Gelu (com.microsoft Gelu or FastGelu before opset 20).",
    rule: Rule::Local(rule),
};

fn rule(cx: &Context<'_>, id: NodeId) -> Result<Option<Patch>> {
    let node = cx.graph.node(id);
    let found = || {
        let y = node.output(0).filter(|_| node.is("Mul") || node.is("Div"))?;
        let dtype = cx.dtype(y)?;
        let product = Product::of(cx, y);
        let [a, b] = product.factors[..] else { return None };
        let half = is_near(product.scale, 0.5, dtype);
        let (x, form) = [(a, b), (b, a)].into_iter().find_map(|(x, one_plus)| Some((x, form(cx, x, one_plus, dtype)?)))?;
        let (key, attributes) = form.operator(cx)?;
        let mut patch = Patch::new(cx.graph);
        let mut origins = product.nodes;
        origins.reverse();
        let new = patch.node(cx.graph, &origins, key, &[Some(x)], attributes, 1);
        patch.replace(y, new[0]);
        (half && cx.same_dims(x, y)).then_some(patch)
    };
    Ok(found())
}

enum Form {
    Erf,
    Tanh,
}

impl Form {
    fn operator(&self, cx: &Context<'_>) -> Option<(OpKey, Attributes)> {
        let standard = cx.oracle.operator("", "Gelu");
        Some(match (self, standard) {
            (Self::Erf, Some(key)) => (key, Attributes::new()),
            (Self::Tanh, Some(key)) => (key, Attributes::from([("approximate".to_owned(), "tanh".into())])),
            (Self::Erf, None) => (cx.oracle.operator(MICROSOFT, "Gelu")?, Attributes::new()),
            (Self::Tanh, None) => (cx.oracle.operator(MICROSOFT, "FastGelu")?, Attributes::new()),
        })
    }
}

/// Whether `v` is `1 + Erf(..)` or `1 + Tanh(..)` as Gelu of `x` has it.
fn form(cx: &Context<'_>, x: ValueId, v: ValueId, dtype: DType) -> Option<Form> {
    let inner = plus(cx, v, |c| c == 1.0)?;
    let (_, node) = cx.any_writer(inner).filter(|_| cx.is_private(inner))?;
    let argument = Product::of(cx, node.input(0)?);
    if node.is("Erf") {
        return (argument.single() == Some(x) && is_near(argument.scale, FRAC_1_SQRT_2, dtype)).then_some(Form::Erf);
    }
    let scaled = node.is("Tanh") && is_near(argument.scale, FRAC_2_SQRT_PI * FRAC_1_SQRT_2, dtype);
    (scaled && is_cubic(cx, x, &argument, dtype)).then_some(Form::Tanh)
}

/// The other operand of the sum that `v` is, when one is a number that `test` accepts.
fn plus(cx: &Context<'_>, v: ValueId, test: fn(f64) -> bool) -> Option<ValueId> {
    let (_, node) = cx.writer(v, "Add").filter(|_| cx.is_private(v))?;
    cx.both_ways(node).into_iter().find(|(_, c)| cx.number(*c).is_some_and(test)).map(|(other, _)| other)
}

/// Whether the factors are those of `x + 0.044715 x^3`, or of `x (1 + 0.044715 x^2)`.
fn is_cubic(cx: &Context<'_>, x: ValueId, argument: &Product, dtype: DType) -> bool {
    let is_power = |v: ValueId, n: usize| {
        let p = Product::of(cx, v);
        is_near(p.scale, 0.044715, dtype) && p.factors == vec![x; n]
    };
    match argument.factors[..] {
        [sum] => cx.writer(sum, "Add").is_some_and(|(_, n)| cx.both_ways(n).into_iter().any(|(a, cube)| a == x && is_power(cube, 3))),
        [a, b] => {
            let square = if a == x { b } else { a };
            (a == x || b == x) && plus(cx, square, |c| c == 1.0).is_some_and(|v| is_power(v, 2))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{check, check_for, check_unchanged};

    const HEAD: &str = "
        x: float[2, n]
        one: float[] = 1
        half: float[] = 0.5
        root: float[] = 1.41421354
        inverse: float[] = 0.70710677
        k: float[] = 0.797884583
        c: float[] = 0.044715
        three: float[] = 3";

    #[test]
    fn with_erf() {
        for form in [
            "d = Div(x, root)\ne = Erf(d)\na = Add(e, one)\nm = Mul(x, a)\ny = Mul(m, half)",
            "d = Mul(x, inverse)\ne = Erf(d)\na = Add(one, e)\nm = Mul(half, x)\ny = Mul(m, a)",
            "d = Mul(x, inverse)\ne = Erf(d)\na = Add(one, e)\nm = Mul(half, a)\ny = Mul(x, m)",
        ] {
            let text = format!("{HEAD}\n{form}\n-> y");
            check(&["gelu"], &text, "%y = Gelu-20(%x)\noutputs %y");
            check_for(13, &["gelu"], &text, "%y = com.microsoft.Gelu-1(%x)\noutputs %y");
        }
    }

    #[test]
    fn with_tanh() {
        for form in [
            "p = Pow(x, three)\nq = Mul(p, c)\nr = Add(x, q)\ns = Mul(r, k)",
            "o = Mul(x, x)\np = Mul(x, o)\nq = Mul(c, p)\nr = Add(x, q)\ns = Mul(k, r)",
            "o = Mul(x, c)\np = Mul(o, x)\nq = Add(p, one)\nr = Mul(x, k)\ns = Mul(r, q)",
        ] {
            let text = format!("{HEAD}\n{form}\nt = Tanh(s)\na = Add(t, one)\nm = Mul(x, a)\ny = Mul(m, half)\n-> y");
            check(&["gelu"], &text, "%y = Gelu-20(%x) {approximate=\"tanh\"}\noutputs %y");
            check_for(13, &["gelu"], &text, "%y = com.microsoft.FastGelu-1(%x)\noutputs %y");
        }
    }

    #[test]
    fn other_numbers_stay() {
        let form = "d = Div(x, one)\ne = Erf(d)\na = Add(e, one)\nm = Mul(x, a)\ny = Mul(m, half)";
        check_unchanged(&["gelu"], &format!("{HEAD}\n{form}\n-> y"));
        let form = "d = Div(x, root)\ne = Erf(d)\na = Add(e, one)\nm = Mul(d, a)\ny = Mul(m, half)";
        check_unchanged(&["gelu"], &format!("{HEAD}\n{form}\n-> y"));
    }
}
