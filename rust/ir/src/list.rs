//! The inputs, outputs and captures of a graph.

use std::collections::HashMap;
use std::ops::Deref;

use crate::ValueId;

/// Values in an order, with their places: asking whether a value is among them costs the same for any number.
#[derive(Clone, Debug, Default)]
pub struct ValueList {
    values: Vec<ValueId>,
    /// Where each value stands. A value may be there more than once.
    places: HashMap<ValueId, Vec<usize>>,
}

impl ValueList {
    /// Adds `value` at the end.
    pub fn push(&mut self, value: ValueId) {
        self.places.entry(value).or_default().push(self.values.len());
        self.values.push(value);
    }

    /// Whether `value` is among them.
    pub fn contains(&self, value: &ValueId) -> bool {
        self.places.contains_key(value)
    }

    /// Puts `new` wherever `old` stands.
    pub fn replace(&mut self, old: ValueId, new: ValueId) {
        if old == new {
            return;
        }
        let places = self.places.remove(&old).unwrap_or_default();
        for &place in &places {
            self.values[place] = new;
        }
        if !places.is_empty() {
            self.places.entry(new).or_default().extend(places);
        }
    }
}

impl FromIterator<ValueId> for ValueList {
    fn from_iter<I: IntoIterator<Item = ValueId>>(values: I) -> Self {
        let mut list = Self::default();
        list.extend(values);
        list
    }
}

impl Extend<ValueId> for ValueList {
    fn extend<I: IntoIterator<Item = ValueId>>(&mut self, values: I) {
        values.into_iter().for_each(|v| self.push(v));
    }
}

impl From<Vec<ValueId>> for ValueList {
    fn from(values: Vec<ValueId>) -> Self {
        values.into_iter().collect()
    }
}

impl Deref for ValueList {
    type Target = [ValueId];

    fn deref(&self) -> &[ValueId] {
        &self.values
    }
}

impl<'l> IntoIterator for &'l ValueList {
    type Item = &'l ValueId;
    type IntoIter = std::slice::Iter<'l, ValueId>;

    fn into_iter(self) -> Self::IntoIter {
        self.values.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(of: &[usize]) -> Vec<ValueId> {
        of.iter().map(|i| ValueId::from_index(*i)).collect()
    }

    #[test]
    fn every_place_of_a_value_is_replaced() {
        let mut list = ValueList::from(ids(&[1, 2, 1, 3]));
        let [one, two, four] = [1, 2, 4].map(ValueId::from_index);
        list.replace(one, four);
        assert_eq!(*list, ids(&[4, 2, 4, 3]));
        assert!(!list.contains(&one) && list.contains(&four));
        list.replace(two, four);
        assert_eq!(*list, ids(&[4, 4, 4, 3]));
        list.replace(one, two);
        list.replace(four, four);
        assert_eq!(*list, ids(&[4, 4, 4, 3]));
        assert!(!list.contains(&two) && list.contains(&four));
    }
}
