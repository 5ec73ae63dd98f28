//! Masks as the attention operators of `com.microsoft` take them.

use std::ops::Range;

use base::{Result, Shape, TensorRef, bail, ensure};

use super::core::Computed;
use crate::floats::Floats;

/// Which keys count for a query.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mask<'a> {
    None,
    /// The number of keys of each image, and perhaps from which on they count.
    Lengths {
        ends: &'a [i32],
        starts: Option<&'a [i32]>,
    },
    /// For each image and key whether it counts.
    Keys {
        data: &'a [i32],
        keys: usize,
    },
    /// For each image, query and key.
    Pairs {
        data: &'a [i32],
        queries: usize,
        keys: usize,
    },
    /// A square of which the rows of the last queries are read.
    Square {
        data: &'a [i32],
        size: usize,
    },
}

impl<'a> Mask<'a> {
    /// The mask `t` for `batch` images of `queries` queries and `keys` keys.
    ///
    /// # Errors
    /// `InvalidArgument` for another shape.
    pub(super) fn of(t: Option<TensorRef<'a>>, batch: usize, queries: usize, keys: usize) -> Result<Self> {
        let Some(t) = t else { return Ok(Self::None) };
        let data = t.slice::<i32>()?;
        Ok(match *t.shape() {
            [n] if n == batch => Self::Lengths { ends: data, starts: None },
            [n] if n == 2 * batch => Self::Lengths { ends: &data[..batch], starts: Some(&data[batch..]) },
            [b, k] if b == batch && k == keys => Self::Keys { data, keys },
            [b, q, k] if b == batch && q == queries && k == keys => Self::Pairs { data, queries, keys },
            [b, 1, m, n] if b == batch && m == n && m >= keys => Self::Square { data, size: m },
            _ => {
                bail!(InvalidArgument, "a mask of shape {} for {batch} images of {queries} queries and {keys} keys", Shape::from(t.shape()))
            }
        })
    }

    /// Whether a key counts.
    fn counts(&self, image: usize, query: usize, key: usize, past: usize) -> bool {
        match self {
            Self::None => true,
            Self::Lengths { ends, starts } => {
                let key = key as i64;
                key < i64::from(ends[image]) && starts.is_none_or(|s| key >= i64::from(s[image]))
            }
            Self::Keys { data, keys } => data[image * keys + key] > 0,
            Self::Pairs { data, queries, keys } => data[(image * queries + query) * keys + key] > 0,
            Self::Square { data, size } => data[(image * size + (past + query).min(size - 1)) * size + key] > 0,
        }
    }

    /// Adds `filter` to the scores of keys that do not count.
    pub(super) fn add<A: Computed>(&self, image: usize, query: usize, first: usize, past: usize, filter: A, scores: &mut [A]) {
        if matches!(self, Self::None) {
            return;
        }
        let hidden = scores.iter_mut().enumerate().filter(|(j, _)| !self.counts(image, query, first + j, past));
        hidden.for_each(|(_, score)| *score += filter);
    }
}

/// A bias of the scores, whose images and heads may be shared: `[1 or batch, 1 or heads, queries, keys]`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bias<'a> {
    data: Floats<'a>,
    strides: [usize; 3],
    keys: usize,
}

impl<'a> Bias<'a> {
    /// The bias `t`.
    ///
    /// # Errors
    /// `InvalidArgument` for another shape.
    pub(super) fn of(t: Option<TensorRef<'a>>, [batch, heads, queries, keys]: [usize; 4]) -> Result<Option<Self>> {
        let Some(t) = t else { return Ok(None) };
        let &[b, h, q, k] = t.shape() else { bail!(InvalidArgument, "an attention bias of shape {}", Shape::from(t.shape())) };
        let fits = (b == 1 || b == batch) && (h == 1 || h == heads) && q == queries && k >= keys;
        ensure!(fits, InvalidArgument, "an attention bias of {} for {:?}", Shape::from(t.shape()), [batch, heads, queries, keys]);
        let strides = [if b == 1 { 0 } else { h * q * k }, if h == 1 { 0 } else { q * k }, k];
        Ok(Some(Self { data: Floats::of(t)?, strides, keys: k }))
    }

    /// Adds the bias to scores from key `first` on.
    pub(super) fn add<A: Computed>(&self, image: usize, head: usize, query: usize, first: usize, scores: &mut [A]) {
        let start = image * self.strides[0] + head * self.strides[1] + query * self.strides[2];
        let own: Range<usize> = first..(first + scores.len()).min(self.keys);
        scores.iter_mut().zip(own).for_each(|(s, key)| *s += self.data.get::<A>(start + key));
    }
}
