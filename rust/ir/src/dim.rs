//! Symbolic integers: the sizes of axes, and the elements of small integer tensors that shapes are computed from.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use base::{Result, ensure, error};

use crate::Symbol;

/// A symbolic integer: a number, or an expression over symbols in normal form, so that equal expressions compare equal.
///
/// Arithmetic saturates: a size near `i64::MAX` is refused when memory is asked for.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dim {
    /// A number.
    Known(i64),
    /// A sum of products that is not a number.
    Sum(Arc<Sum>),
}

/// A polynomial: products of atoms with their coefficients. The empty product is the constant term.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sum(BTreeMap<Vec<Atom>, i64>);

/// What products are made of.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Atom {
    Symbol(Symbol),
    FloorDiv(Dim, Dim),
    Max(Dim, Dim),
    Min(Dim, Dim),
    /// The size that two sizes broadcast to.
    Broadcast(Dim, Dim),
}

impl From<usize> for Dim {
    fn from(n: usize) -> Self {
        Self::Known(i64::try_from(n).unwrap_or(i64::MAX))
    }
}

impl From<i64> for Dim {
    fn from(n: i64) -> Self {
        Self::Known(n)
    }
}

impl Dim {
    /// The expression that is just `symbol`.
    pub fn symbol(symbol: Symbol) -> Self {
        Self::atom(Atom::Symbol(symbol))
    }

    fn atom(atom: Atom) -> Self {
        Self::Sum(Arc::new(Sum(BTreeMap::from([(vec![atom], 1)]))))
    }

    /// The number, if it is one.
    pub fn known(&self) -> Option<i64> {
        match self {
            Self::Known(n) => Some(*n),
            Self::Sum(_) => None,
        }
    }

    /// The number as a size, if it is one and not negative.
    pub fn size(&self) -> Option<usize> {
        self.known().and_then(|n| usize::try_from(n).ok())
    }

    /// Whether it is the number `n`.
    pub fn is(&self, n: i64) -> bool {
        *self == Self::Known(n)
    }

    /// The symbol, if it is nothing but one.
    pub fn as_symbol(&self) -> Option<Symbol> {
        let Self::Sum(sum) = self else { return None };
        let mut terms = sum.0.iter();
        match (terms.next(), terms.next()) {
            (Some((product, 1)), None) => match product[..] {
                [Atom::Symbol(s)] => Some(s),
                _ => None,
            },
            _ => None,
        }
    }

    fn terms(&self) -> BTreeMap<Vec<Atom>, i64> {
        match self {
            Self::Known(0) => BTreeMap::new(),
            Self::Known(n) => BTreeMap::from([(Vec::new(), *n)]),
            Self::Sum(sum) => sum.0.clone(),
        }
    }

    fn from_terms(mut terms: BTreeMap<Vec<Atom>, i64>) -> Self {
        terms.retain(|_, c| *c != 0);
        match terms.first_key_value() {
            None => Self::Known(0),
            Some((product, &c)) if product.is_empty() && terms.len() == 1 => Self::Known(c),
            _ => Self::Sum(Arc::new(Sum(terms))),
        }
    }

    /// `self + other`.
    pub fn add(&self, other: &Dim) -> Dim {
        let mut terms = self.terms();
        for (product, c) in other.terms() {
            let sum = terms.entry(product).or_default();
            *sum = sum.saturating_add(c);
        }
        Self::from_terms(terms)
    }

    /// `self - other`.
    pub fn sub(&self, other: &Dim) -> Dim {
        self.add(&other.mul(&Dim::Known(-1)))
    }

    /// `self * other`.
    pub fn mul(&self, other: &Dim) -> Dim {
        if let (Self::Known(a), Self::Known(b)) = (self, other) {
            return Self::Known(a.saturating_mul(*b));
        }
        let mut terms = BTreeMap::new();
        for (p, a) in self.terms() {
            for (q, b) in other.terms() {
                let mut product = [&p[..], &q[..]].concat();
                product.sort();
                let sum: &mut i64 = terms.entry(product).or_default();
                *sum = sum.saturating_add(a.saturating_mul(b));
            }
        }
        Self::from_terms(terms)
    }

    /// `self / other`, rounded down. Common factors cancel; a divisor is taken not to be zero.
    pub fn floor_div(&self, other: &Dim) -> Dim {
        match (self, other) {
            (_, Self::Known(1)) => self.clone(),
            (Self::Known(a), Self::Known(b)) if *b != 0 => Self::Known(floor_div(*a, *b)),
            (a, b) if a == b => Self::Known(1),
            _ => self.divided(other).unwrap_or_else(|| Self::atom(Atom::FloorDiv(self.clone(), other.clone()))),
        }
    }

    /// The exact quotient, when the divisor is one product and divides every term.
    fn divided(&self, other: &Dim) -> Option<Dim> {
        let divisor = other.terms();
        let (product, &c) = divisor.first_key_value().filter(|_| divisor.len() == 1)?;
        let mut quotient = BTreeMap::new();
        for (mut p, a) in self.terms() {
            if c == 0 || a % c != 0 {
                return None;
            }
            for atom in product {
                let i = p.iter().position(|x| x == atom)?;
                p.remove(i);
            }
            quotient.insert(p, a / c);
        }
        Some(Self::from_terms(quotient))
    }

    /// `self / other`, rounded up.
    pub fn ceil_div(&self, other: &Dim) -> Dim {
        if let (Self::Known(a), Self::Known(b)) = (self, other)
            && *b != 0
        {
            return Self::Known(-floor_div(-*a, *b));
        }
        self.divided(other).unwrap_or_else(|| self.add(other).sub(&Dim::Known(1)).floor_div(other))
    }

    /// The larger of the two.
    pub fn larger(&self, other: &Dim) -> Dim {
        self.ordered(other, Ordering::Greater, Atom::Max)
    }

    /// The smaller of the two.
    pub fn smaller(&self, other: &Dim) -> Dim {
        self.ordered(other, Ordering::Less, Atom::Min)
    }

    fn ordered(&self, other: &Dim, want: Ordering, atom: fn(Dim, Dim) -> Atom) -> Dim {
        let (low, high) = self.sub(other).range();
        match (low >= 0, high <= 0) {
            (true, _) => if want == Ordering::Greater { self } else { other }.clone(),
            (_, true) => if want == Ordering::Greater { other } else { self }.clone(),
            _ if self <= other => Self::atom(atom(self.clone(), other.clone())),
            _ => Self::atom(atom(other.clone(), self.clone())),
        }
    }

    /// The least and the greatest number this can be, as far as bounds of its parts tell: symbols are sizes, so never negative.
    /// `i64::MIN` and `i64::MAX` stand for no bound.
    pub fn range(&self) -> (i64, i64) {
        let sum = match self {
            Self::Known(n) => return (*n, *n),
            Self::Sum(sum) => sum,
        };
        let mut total = (0i64, 0i64);
        for (product, &c) in &sum.0 {
            let (low, high) = product.iter().fold((1, 1), |range, atom| range_of_product(range, atom.range()));
            let (low, high) = if c < 0 { (scaled(high, c), scaled(low, c)) } else { (scaled(low, c), scaled(high, c)) };
            total.0 = if total.0 == i64::MIN || low == i64::MIN { i64::MIN } else { total.0.saturating_add(low) };
            total.1 = if total.1 == i64::MAX || high == i64::MAX { i64::MAX } else { total.1.saturating_add(high) };
        }
        total
    }

    /// The size that two sizes broadcast to. A number other than 1 decides; two that disagree are an error.
    ///
    /// # Errors
    /// `InvalidGraph` when both are known, differ, and neither is 1.
    pub fn broadcast(&self, other: &Dim) -> Result<Dim> {
        Ok(match (self, other) {
            (a, b) if a == b => a.clone(),
            (Self::Known(1), d) | (d, Self::Known(1)) => d.clone(),
            (Self::Known(a), Self::Known(b)) => base::bail!(InvalidGraph, "sizes {a} and {b} do not broadcast"),
            (Self::Known(n), _) | (_, Self::Known(n)) => Self::Known(*n),
            (a, b) if b.is_capped(a) || a.broadcasts(b) => a.clone(),
            (a, b) if a.is_capped(b) || b.broadcasts(a) => b.clone(),
            (a, b) => {
                let (a, b) = if a <= b { (a, b) } else { (b, a) };
                Self::atom(Atom::Broadcast(a.clone(), b.clone()))
            }
        })
    }

    /// Whether it is `min(whole, n)` for a number `n` of at least 1: where the two broadcast at all, they give `whole`.
    fn is_capped(&self, whole: &Dim) -> bool {
        let cap =
            |atom: &Atom| matches!(atom, Atom::Min(a, b) if (a == whole && b.known() >= Some(1)) || (b == whole && a.known() >= Some(1)));
        let Self::Sum(sum) = self else { return false };
        sum.0.len() == 1 && sum.0.iter().all(|(product, c)| *c == 1 && matches!(&product[..], [atom] if cap(atom)))
    }

    /// Whether it is the size that `part` and something else broadcast to.
    fn broadcasts(&self, part: &Dim) -> bool {
        let Self::Sum(sum) = self else { return false };
        let mut terms = sum.0.iter();
        let (Some((product, 1)), None) = (terms.next(), terms.next()) else { return false };
        let is = |d: &Dim| d == part || d.broadcasts(part);
        matches!(&product[..], [Atom::Broadcast(a, b)] if is(a) || is(b))
    }

    /// How many parts the expression is written with.
    pub fn weight(&self) -> usize {
        let Self::Sum(sum) = self else { return 1 };
        let atom = |atom: &Atom| match atom {
            Atom::Symbol(_) => 1,
            Atom::FloorDiv(a, b) | Atom::Max(a, b) | Atom::Min(a, b) | Atom::Broadcast(a, b) => a.weight() + b.weight(),
        };
        sum.0.keys().map(|product| product.iter().map(atom).sum::<usize>().max(1)).sum()
    }

    /// The number this is when `values[i]` is the value of symbol `i`; `None` when a symbol has no value yet.
    ///
    /// # Errors
    /// `Fail` when sizes do not broadcast, `InvalidArgument` when a divisor is zero.
    pub fn eval(&self, values: &[Option<i64>]) -> Result<Option<i64>> {
        let sum = match self {
            Self::Known(n) => return Ok(Some(*n)),
            Self::Sum(sum) => sum,
        };
        let mut total = 0i64;
        for (product, &c) in &sum.0 {
            let mut term = c;
            for atom in product {
                match atom.eval(values)? {
                    Some(n) => term = term.saturating_mul(n),
                    None => return Ok(None),
                }
            }
            total = total.saturating_add(term);
        }
        Ok(Some(total))
    }

    /// The same expression with each symbol replaced by what `to` gives for it.
    ///
    /// # Errors
    /// `InvalidGraph` when the replaced sizes do not broadcast.
    pub fn substitute(&self, to: &dyn Fn(Symbol) -> Dim) -> Result<Dim> {
        let Self::Sum(sum) = self else { return Ok(self.clone()) };
        let mut total = Dim::Known(0);
        for (product, &c) in &sum.0 {
            let mut term = Dim::Known(c);
            for atom in product {
                term = term.mul(&atom.substitute(to)?);
            }
            total = total.add(&term);
        }
        Ok(total)
    }

    /// Calls `f` for each symbol in the expression.
    pub fn for_each_symbol(&self, f: &mut dyn FnMut(Symbol)) {
        let Self::Sum(sum) = self else { return };
        for atom in sum.0.keys().flatten() {
            match atom {
                Atom::Symbol(s) => f(*s),
                Atom::FloorDiv(a, b) | Atom::Max(a, b) | Atom::Min(a, b) | Atom::Broadcast(a, b) => {
                    a.for_each_symbol(f);
                    b.for_each_symbol(f);
                }
            }
        }
    }
}

/// A bound times a coefficient, where no bound stays no bound.
fn scaled(bound: i64, c: i64) -> i64 {
    match bound {
        i64::MIN | i64::MAX => {
            if (bound < 0) == (c < 0) {
                i64::MAX
            } else {
                i64::MIN
            }
        }
        n => n.saturating_mul(c),
    }
}

fn range_of_product(a: (i64, i64), b: (i64, i64)) -> (i64, i64) {
    if a.0 >= 0 && b.0 >= 0 { (a.0.saturating_mul(b.0), a.1.saturating_mul(b.1)) } else { (i64::MIN, i64::MAX) }
}

impl Atom {
    /// As [`Dim::range`].
    fn range(&self) -> (i64, i64) {
        let (a, b) = match self {
            Self::Symbol(_) => return (0, i64::MAX),
            Self::FloorDiv(a, b) | Self::Max(a, b) | Self::Min(a, b) | Self::Broadcast(a, b) => (a.range(), b.range()),
        };
        match self {
            Self::Max(..) => (a.0.max(b.0), a.1.max(b.1)),
            Self::Min(..) => (a.0.min(b.0), a.1.min(b.1)),
            // A divisor is taken not to be zero.
            Self::FloorDiv(..) if a.0 >= 0 && b.0 >= 0 => (a.0 / b.1.max(1), if a.1 == i64::MAX { a.1 } else { a.1 / b.0.max(1) }),
            Self::FloorDiv(..) => (i64::MIN, i64::MAX),
            _ => (a.0.min(b.0), a.1.max(b.1)),
        }
    }

    fn eval(&self, values: &[Option<i64>]) -> Result<Option<i64>> {
        let (a, b) = match self {
            Self::Symbol(s) => return Ok(values.get(s.0 as usize).copied().flatten()),
            Self::FloorDiv(a, b) | Self::Max(a, b) | Self::Min(a, b) | Self::Broadcast(a, b) => (a, b),
        };
        let (Some(a), Some(b)) = (a.eval(values)?, b.eval(values)?) else { return Ok(None) };
        Ok(Some(match self {
            Self::Max(..) => a.max(b),
            Self::Min(..) => a.min(b),
            Self::FloorDiv(..) => {
                ensure!(b != 0, InvalidArgument, "{a} cannot be divided by zero");
                floor_div(a, b)
            }
            _ => Dim::Known(a).broadcast(&Dim::Known(b)).map_err(|e| error!(Fail, "{}", e.detail()))?.known().unwrap_or_default(),
        }))
    }

    fn substitute(&self, to: &dyn Fn(Symbol) -> Dim) -> Result<Dim> {
        Ok(match self {
            Self::Symbol(s) => to(*s),
            Self::FloorDiv(a, b) => a.substitute(to)?.floor_div(&b.substitute(to)?),
            Self::Max(a, b) => a.substitute(to)?.larger(&b.substitute(to)?),
            Self::Min(a, b) => a.substitute(to)?.smaller(&b.substitute(to)?),
            Self::Broadcast(a, b) => a.substitute(to)?.broadcast(&b.substitute(to)?)?,
        })
    }
}

fn floor_div(a: i64, b: i64) -> i64 {
    let q = a.wrapping_div(b);
    if a.wrapping_rem(b) != 0 && (a < 0) != (b < 0) { q - 1 } else { q }
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sum = match self {
            Self::Known(n) => return write!(f, "{n}"),
            Self::Sum(sum) => sum,
        };
        for (i, (product, c)) in sum.0.iter().rev().enumerate() {
            if i > 0 {
                f.write_str(" + ")?;
            }
            if *c != 1 || product.is_empty() {
                write!(f, "{c}{}", if product.is_empty() { "" } else { "*" })?;
            }
            for (j, atom) in product.iter().enumerate() {
                write!(f, "{}{atom}", if j > 0 { "*" } else { "" })?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Atom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Symbol(s) => write!(f, "s{}", s.0),
            Self::FloorDiv(a, b) => write!(f, "floor(({a})/({b}))"),
            Self::Max(a, b) => write!(f, "max({a}, {b})"),
            Self::Min(a, b) => write!(f, "min({a}, {b})"),
            Self::Broadcast(a, b) => write!(f, "broadcast({a}, {b})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Symbols;

    #[test]
    fn equal_expressions_compare_equal() {
        let mut s = Symbols::default();
        let (n, m) = (s.named("n"), s.fresh());
        let three = Dim::Known(3);
        assert_eq!(n.add(&m).mul(&three), m.mul(&three).add(&n.mul(&three)));
        assert_eq!(n.add(&three).sub(&n), three);
        assert_eq!(s.named("n"), n);
        assert_eq!(n.add(&three).larger(&n), n.add(&three));
        assert_eq!(n.larger(&m), m.larger(&n));
    }

    #[test]
    fn common_factors_cancel() {
        let mut s = Symbols::default();
        let (n, m) = (s.fresh(), s.fresh());
        let total = n.mul(&m).mul(&Dim::Known(768));
        assert_eq!(total.floor_div(&n.mul(&Dim::Known(64))), m.mul(&Dim::Known(12)));
        assert_eq!(n.ceil_div(&Dim::Known(2)).eval(&[Some(5)]).unwrap(), Some(3));
        assert_eq!(n.mul(&Dim::Known(4)).ceil_div(&Dim::Known(2)), n.mul(&Dim::Known(2)));
        assert_eq!(Dim::Known(-7).floor_div(&Dim::Known(2)), Dim::Known(-4));
    }

    #[test]
    fn evaluates_when_symbols_are_known() {
        let mut s = Symbols::default();
        let (a, b) = (s.fresh(), s.fresh());
        let e = a.broadcast(&b).unwrap();
        assert_eq!(e.eval(&[Some(1), Some(7)]).unwrap(), Some(7));
        assert_eq!(e.eval(&[Some(1), None]).unwrap(), None);
        assert!(e.eval(&[Some(2), Some(7)]).is_err());
        assert!(a.floor_div(&b).eval(&[Some(2), Some(0)]).is_err());
        assert_eq!(a.add(&b).substitute(&|_| Dim::Known(4)).unwrap(), Dim::Known(8));
    }

    #[test]
    fn bounds_decide_an_order() {
        let mut s = Symbols::default();
        let (n, m) = (s.fresh(), s.fresh());
        let (zero, two) = (Dim::Known(0), Dim::Known(2));
        assert_eq!(n.add(&m).larger(&n), n.add(&m));
        assert_eq!(n.mul(&m).add(&two).smaller(&two), two);
        assert_eq!(n.smaller(&two).larger(&zero), n.smaller(&two));
        assert_eq!(n.floor_div(&two).larger(&zero), n.floor_div(&two));
        assert_eq!(n.sub(&two).larger(&zero).eval(&[Some(1), None]).unwrap(), Some(0));
        assert_eq!(n.sub(&m).range(), (i64::MIN, i64::MAX));
        assert_eq!(n.mul(&Dim::Known(-3)).range(), (i64::MIN, 0));
    }

    #[test]
    fn a_capped_size_broadcasts_to_the_whole() {
        let n = Symbols::default().fresh();
        assert_eq!(n.broadcast(&n.smaller(&Dim::Known(512))).unwrap(), n);
        assert_eq!(n.smaller(&Dim::Known(512)).broadcast(&n).unwrap(), n);
        assert_ne!(n.smaller(&Dim::Known(0)).broadcast(&n).unwrap(), n);
    }

    #[test]
    fn a_size_broadcasts_once() {
        let mut s = Symbols::default();
        let (a, b, c) = (s.fresh(), s.fresh(), s.fresh());
        let all = a.broadcast(&b).unwrap().broadcast(&c).unwrap();
        for part in [&a, &b, &c] {
            assert_eq!(all.broadcast(part).unwrap(), all);
            assert_eq!(part.broadcast(&all).unwrap(), all);
        }
        assert_ne!(all.add(&a).broadcast(&a).unwrap(), all);
    }

    #[test]
    fn weights_count_parts() {
        let mut s = Symbols::default();
        let (a, b) = (s.fresh(), s.fresh());
        assert_eq!([Dim::Known(7).weight(), a.weight(), a.mul(&b).add(&a).weight(), a.larger(&b).weight()], [1, 1, 3, 2]);
    }

    #[test]
    fn huge_sizes_saturate() {
        assert_eq!(Dim::Known(i64::MAX).mul(&Dim::Known(2)), Dim::Known(i64::MAX));
    }
}
