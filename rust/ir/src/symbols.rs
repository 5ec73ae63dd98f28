//! The symbols that symbolic sizes speak of.

use std::collections::HashMap;

use crate::{Dim, Fact};

/// The number of a symbol in its [`Symbols`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Symbol(
    /// The index.
    pub u32,
);

/// The symbols of a graph: the named dimensions of its inputs, sizes known only when a node has run, and sizes whose expressions are too
/// long to be written out wherever they are used.
#[derive(Clone, Debug, Default)]
pub struct Symbols {
    names: Vec<Option<String>>,
    named: HashMap<String, Symbol>,
    /// What symbols stand for, each in terms of earlier ones.
    definitions: Vec<(Symbol, Dim)>,
    defined: HashMap<Dim, Symbol>,
}

/// Expressions of more parts than this get a symbol. Without that, sizes that go through layer after layer could double in each.
const LONG: usize = 64;

impl Symbols {
    fn add(&mut self, name: Option<String>) -> Symbol {
        self.names.push(name);
        Symbol(self.names.len() as u32 - 1)
    }

    /// A symbol unlike all others.
    pub fn fresh(&mut self) -> Dim {
        Dim::symbol(self.add(None))
    }

    /// The symbol called `name`, the same for the same name.
    pub fn named(&mut self, name: &str) -> Dim {
        if let Some(symbol) = self.named.get(name) {
            return Dim::symbol(*symbol);
        }
        let symbol = self.add(Some(name.to_owned()));
        self.named.insert(name.to_owned(), symbol);
        Dim::symbol(symbol)
    }

    /// The size `dim`; if its expression is long, a symbol that stands for it, the same for the same expression.
    fn shortened(&mut self, dim: &Dim) -> Dim {
        if dim.weight() <= LONG {
            return dim.clone();
        }
        if let Some(symbol) = self.defined.get(dim) {
            return Dim::symbol(*symbol);
        }
        let symbol = self.add(None);
        self.definitions.push((symbol, dim.clone()));
        self.defined.insert(dim.clone(), symbol);
        Dim::symbol(symbol)
    }

    /// Lets symbols stand for long expressions in `fact`. Elements of which nobody knows that they are not negative are forgotten
    /// instead, as symbols are taken for sizes.
    pub(crate) fn shorten(&mut self, fact: &mut Fact) {
        for dim in fact.shape.iter_mut().flatten().filter(|d| d.weight() > LONG) {
            *dim = self.shortened(dim);
        }
        if let Some(value) = fact.value.take_if(|v| v.iter().any(|d| d.weight() > LONG)) {
            let sizes = value.iter().all(|d| d.weight() <= LONG || d.range().0 >= 0 || self.defined.contains_key(d));
            fact.value = sizes.then(|| value.iter().map(|d| self.shortened(d)).collect());
        }
    }

    /// The symbols that stand for expressions, with those; each speaks of earlier symbols only.
    pub fn definitions(&self) -> &[(Symbol, Dim)] {
        &self.definitions
    }

    /// Whether `symbol` stands for an expression.
    pub fn is_defined(&self, symbol: Symbol) -> bool {
        self.definitions.binary_search_by_key(&symbol, |(s, _)| *s).is_ok()
    }

    /// Fills in the values of symbols that stand for expressions, where those have one: sizes that do not broadcast have none, which
    /// matters to the nodes only that are run.
    pub fn evaluate(&self, values: &mut [Option<i64>]) {
        for (symbol, dim) in &self.definitions {
            let at = symbol.0 as usize;
            if values.get(at).is_some_and(Option::is_none) {
                values[at] = dim.eval(values).ok().flatten();
            }
        }
    }

    /// The name of `symbol`, if it has one.
    pub fn name(&self, symbol: Symbol) -> Option<&str> {
        self.names.get(symbol.0 as usize)?.as_deref()
    }

    /// How many symbols there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use base::DType;

    use super::*;

    /// A size that grows in each layer, as those of masks do that are cut to fit what they mask.
    fn layer(s: &mut Symbols, d: &Dim, past: &Dim) -> Dim {
        let cut = d.add(past).smaller(&Dim::Known(1024)).sub(past).larger(&Dim::Known(0));
        let mut fact = Fact::tensor(DType::F32, [d.broadcast(&cut).unwrap()]);
        s.shorten(&mut fact);
        fact.shape.unwrap()[0].clone()
    }

    #[test]
    fn long_sizes_get_symbols() {
        let mut s = Symbols::default();
        let (first, past) = (s.fresh(), s.fresh());
        let mut d = first.clone();
        for _ in 0..100 {
            d = layer(&mut s, &d, &past);
            assert!(d.weight() <= LONG);
        }
        assert!(!s.definitions().is_empty());
        let mut values = vec![None; s.len()];
        s.evaluate(&mut values);
        assert_eq!(d.eval(&values).unwrap(), None);
        (values[0], values[1]) = (Some(5), Some(9));
        s.evaluate(&mut values);
        assert_eq!(d.eval(&values).unwrap(), Some(5));
    }

    #[test]
    fn equal_expressions_get_one_symbol() {
        let mut s = Symbols::default();
        let sum = (0..2 * LONG).fold(Dim::Known(0), |sum, _| sum.add(&s.fresh()));
        let (a, b) = (s.shortened(&sum), s.shortened(&sum));
        assert_eq!(a, b);
        assert!(s.is_defined(a.as_symbol().unwrap()));
        assert_eq!(s.shortened(&a), a);
    }

    #[test]
    fn elements_that_may_be_negative_are_forgotten() {
        let mut s = Symbols::default();
        let sum = (0..2 * LONG).fold(Dim::Known(0), |sum, _| sum.add(&s.fresh()));
        let mut sizes = Fact::ints(DType::I64, [sum.clone(), Dim::Known(3)], false);
        s.shorten(&mut sizes);
        assert_eq!(sizes.value.as_deref().map(|v| v[1].clone()), Some(Dim::Known(3)));
        let mut numbers = Fact::ints(DType::I64, [sum.sub(&Dim::Known(1))], false);
        s.shorten(&mut numbers);
        assert!(numbers.value.is_none());
    }
}
