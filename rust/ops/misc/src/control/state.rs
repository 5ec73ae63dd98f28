//! What is known of values that a loop carries from one iteration to the next.

use std::sync::Arc;

use base::{Result, Type, Value, bail};
use ir::{Dim, Dims, Fact, Graph, Node, Symbol, Symbols};
use op::Infer;

/// Sizes that differ between iterations take a pass to show, and may make others differ; after so many passes the rest is given up.
const PASSES: usize = 3;
/// Loops nested deeper than this are inferred in one pass, as each level multiplies the work of those within.
const DEEP: usize = 3;

/// States the facts of what a body gives, from those of the loop-carried values that enter it.
pub(crate) type InferBody<'a> = dyn Fn(&mut Infer<'_>, &[Fact]) -> Result<Vec<Fact>> + 'a;

/// The values that a loop carries, as they enter an iteration.
pub(crate) struct States {
    pub(crate) facts: Vec<Fact>,
    /// For each value, which of its axes differ between iterations.
    varying: Vec<Vec<bool>>,
}

impl States {
    /// The values before the first iteration.
    pub(crate) fn new(facts: Vec<Fact>) -> Self {
        Self { varying: facts.iter().map(|f| vec![false; f.rank().unwrap_or(0)]).collect(), facts }
    }

    /// Finds facts that hold in every iteration, and what `body` gives for them. `body` states the facts of the values as they leave
    /// an iteration, then of everything else; the values are outputs `skip` and on of it.
    pub(crate) fn settle(&mut self, cx: &mut Infer<'_>, graph: &Graph, skip: usize, body: &InferBody<'_>) -> Result<Vec<Fact>> {
        if depth(graph) > DEEP {
            self.give_up();
            let leaving = body(cx, &self.facts)?;
            self.check_types(&leaving[skip..])?;
            return Ok(leaving);
        }
        for _ in 0..PASSES {
            let leaving = body(cx, &self.facts)?;
            if !self.check_types(&leaving[skip..])? & !self.widen(&leaving[skip..], cx.symbols()) {
                return Ok(leaving);
            }
        }
        self.give_up();
        body(cx, &self.facts)
    }

    /// Lets values enter as optionals that leave as such; whether there were any. Other types must stay as they are.
    fn check_types(&mut self, leaving: &[Fact]) -> Result<bool> {
        let mut changed = false;
        for (i, (enter, leave)) in self.facts.iter_mut().zip(leaving).enumerate() {
            if is_optional_of(&leave.ty, &enter.ty) {
                *enter = Fact::of(leave.ty.clone());
                changed = true;
            } else if enter.ty != leave.ty && !is_optional_of(&enter.ty, &leave.ty) {
                bail!(InvalidGraph, "loop-carried value {i} enters the body as {} and leaves it as {}", enter.ty, leave.ty);
            }
        }
        Ok(changed)
    }

    /// Lets sizes differ that leave an iteration other than they entered it; whether there were any.
    fn widen(&mut self, leaving: &[Fact], symbols: &mut Symbols) -> bool {
        let mut changed = false;
        for ((enter, varying), leave) in self.facts.iter_mut().zip(&mut self.varying).zip(leaving) {
            let Some(dims) = &mut enter.shape else { continue };
            match &leave.shape {
                Some(left) if left.len() == dims.len() => {
                    for ((d, left), varies) in dims.iter_mut().zip(left).zip(varying) {
                        if !*varies && d != left {
                            (*d, *varies, changed) = (symbols.fresh(), true, true);
                        }
                    }
                }
                _ => (enter.shape, changed) = (None, true),
            }
        }
        changed
    }

    fn give_up(&mut self) {
        self.facts.iter_mut().for_each(|f| f.shape = None);
    }
}

/// What is known of a loop-carried value in any iteration, from what is known before the first.
pub(crate) fn enters(fact: &Fact) -> Fact {
    Fact { shape: fact.shape.clone(), ..Fact::of(fact.ty.clone()) }
}

fn is_optional_of(ty: &Type, inner: &Type) -> bool {
    matches!(ty, Type::Optional(t) if **t == *inner)
}

/// `value` as a value of type `ty`, which may be an optional of its type, or what it is an optional of.
///
/// # Errors
/// `InvalidArgument` when the types are others, or an optional without a value should become one.
pub(crate) fn convert(value: Value, ty: &Type) -> Result<Value> {
    let given = value.ty();
    if given == *ty {
        return Ok(value);
    }
    match (ty, value) {
        (_, value) if is_optional_of(ty, &given) => Ok(Value::Optional(Arc::new(base::Optional { element: given, value: Some(value) }))),
        (_, Value::Optional(o)) if o.element == *ty => match &o.value {
            Some(value) => Ok(value.clone()),
            None => bail!(InvalidArgument, "a {ty} is needed, but the optional is empty"),
        },
        _ => bail!(InvalidArgument, "a {ty} is needed, not {given}"),
    }
}

/// Facts of loop-carried values when a kernel is built: sizes of values that nobody asks for may differ in every iteration.
pub(crate) fn planned(given: &Fact, settled: Option<&Fact>, names: &mut u32) -> Fact {
    let mut unlike_all_others = || {
        *names -= 1;
        Dim::symbol(Symbol(*names))
    };
    match settled {
        Some(fact) if is_optional_of(&given.ty, &fact.ty) => Fact::of(given.ty.clone()),
        Some(fact) => enters(fact),
        // Whether its sizes stay as they are is only known of outputs.
        None => {
            let shape = given.shape.as_ref().map(|s| s.iter().map(|_| unlike_all_others()).collect());
            Fact { shape, ..Fact::of(given.ty.clone()) }
        }
    }
}

/// A fact of an inner value for the graph around: symbols from `before` on speak of one iteration, so sizes that hold them are new.
pub(crate) fn outside(fact: Fact, before: usize, symbols: &mut Symbols) -> Fact {
    let inner = |d: &Dim| {
        let mut inner = false;
        d.for_each_symbol(&mut |s| inner |= s.0 as usize >= before);
        inner
    };
    let value = fact.value.clone().filter(|v| !v.iter().any(inner));
    let shape = fact.shape.as_ref().map(|s| s.iter().map(|d| if inner(d) { symbols.fresh() } else { d.clone() }).collect::<Dims>());
    Fact { value, shape, ..fact }
}

/// How deep loops are nested in `graph`.
fn depth(graph: &Graph) -> usize {
    let inside = |node: &Node| {
        let deepest = node.subgraphs.iter().map(|s| depth(&s.graph)).max().unwrap_or(0);
        deepest + usize::from(node.is("Loop") || node.is("Scan"))
    };
    graph.nodes().map(|(_, n)| inside(n)).max().unwrap_or(0)
}
