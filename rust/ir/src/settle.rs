//! What is known of a value, when it is inferred a second time.

use base::Result;

use crate::{Dim, Fact, Facts, Graph, NodeId, Oracle, Symbols, infer_node};

/// Fills the facts of what node `id` writes once more, after facts of its inputs changed. Says whether any fact changed.
///
/// # Errors
/// What the operator says of its inputs, naming the node; the facts are then as they were.
pub fn infer_again(graph: &Graph, id: NodeId, facts: &mut Facts, oracle: &dyn Oracle) -> Result<bool> {
    let written: Vec<_> = graph.node(id).outputs.iter().flatten().copied().collect();
    let before: Vec<Option<Fact>> = written.iter().map(|v| facts.get(*v).cloned()).collect();
    let first_new = facts.symbols.len();
    infer_node(graph, id, facts, oracle)?;
    let mut changed = false;
    for (v, old) in written.into_iter().zip(before) {
        let Some(old) = old else { continue };
        let fact = settle(&old, facts.fact(v)?.clone(), first_new, &facts.symbols);
        changed |= !same(&old, &fact);
        facts.set(v, fact);
    }
    Ok(changed)
}

/// What is known of a value of which `old` was known and `new` is found now. Symbols from number `first_new` on came up just now.
///
/// Numbers win over symbols. A size that only the run will tell keeps the symbol it had, so that those who read it stay as they are.
pub(crate) fn settle(old: &Fact, mut new: Fact, first_new: usize, symbols: &Symbols) -> Fact {
    let is_new = |d: &Dim| d.as_symbol().is_some_and(|s| s.0 as usize >= first_new && !symbols.is_defined(s));
    match (&old.shape, &mut new.shape) {
        (Some(old), Some(new)) if old.len() == new.len() => {
            for (o, n) in old.iter().zip(new.iter_mut()) {
                let lost = o.known().is_some() && n.known().is_none();
                if lost || (is_new(n) && o.as_symbol().is_some()) {
                    n.clone_from(o);
                }
            }
        }
        (Some(shape), none @ None) => *none = Some(shape.clone()),
        _ => {}
    }
    if new.value.is_none() && old.known_ints().is_some() {
        new.value.clone_from(&old.value);
    }
    new
}

/// Whether both facts say the same.
pub(crate) fn same(a: &Fact, b: &Fact) -> bool {
    a.ty == b.ty && a.shape == b.shape && a.layout == b.layout && a.value == b.value && a.constant.is_some() == b.constant.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::DType;

    #[test]
    fn numbers_win_and_symbols_stay() {
        let mut symbols = Symbols::default();
        let (n, counted) = (symbols.named("n"), symbols.fresh());
        let old = Fact::tensor(DType::F32, [Dim::Known(2), counted.clone(), n.clone(), n.clone()]);
        let first_new = symbols.len();
        let (a, b) = (symbols.fresh(), symbols.fresh());
        let new = Fact::tensor(DType::F32, [a, b, Dim::Known(7), n.add(&n)]);
        let settled = settle(&old, new, first_new, &symbols).shape.unwrap();
        assert_eq!(settled.to_vec(), [Dim::Known(2), counted, Dim::Known(7), n.add(&n)]);
    }

    #[test]
    fn a_rank_is_not_forgotten() {
        let old = Fact::tensor(DType::F32, [Dim::Known(2)]);
        let new = Fact { shape: None, ..old.clone() };
        assert!(same(&settle(&old, new, 0, &Symbols::default()), &old));
    }
}
