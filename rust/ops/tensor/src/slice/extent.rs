//! How many elements of one axis a slice takes, as an expression.

use ir::Dim;

use super::window::{is_open, window};

/// Ends from here on mean "to the end", whatever the size is: exporters write the greatest integer of 32 or of 64 bits.
const FAR: i64 = i32::MAX as i64;

/// The number of elements from `start` to `end` by `step` (not 0) on an axis of size `dim`; `None` when the sign of a bound is not known.
///
/// Exact for every size that symbols may take.
pub(super) fn extent(dim: &Dim, start: &Dim, end: &Dim, step: i64) -> Option<Dim> {
    if let (Some(d), Some(s), Some(e)) = (dim.size(), start.known(), end.known()) {
        return Some(Dim::from(window(d, s, e, step).1));
    }
    let distance = if step > 0 { forwards(dim, start, end)? } else { backwards(dim, start, end)? };
    Some(distance.ceil_div(&Dim::Known(i64::try_from(step.unsigned_abs()).unwrap_or(i64::MAX))))
}

/// A bound before it is clamped, by its sign.
enum Bound {
    /// From the first element.
    FromStart(Dim),
    /// From the end: the size and this, which is negative, together.
    FromEnd(Dim),
    /// Beyond the last element, for every size.
    Beyond,
    /// Before the first element, for every size.
    Before,
}

fn bound(n: &Dim) -> Option<Bound> {
    match (n.known(), n.range()) {
        (Some(n), _) if n >= FAR => Some(Bound::Beyond),
        (Some(n), _) if n <= -FAR => Some(Bound::Before),
        (_, (0.., _)) => Some(Bound::FromStart(n.clone())),
        (_, (_, ..0)) => Some(Bound::FromEnd(n.clone())),
        _ => None,
    }
}

fn forwards(d: &Dim, start: &Dim, end: &Dim) -> Option<Dim> {
    use Bound::{Before, Beyond, FromEnd, FromStart};
    let zero = Dim::Known(0);
    let positive = |n: Dim| n.larger(&zero);
    Some(match (bound(start)?, bound(end)?) {
        (Beyond, _) | (_, Before) => zero,
        (Before, Beyond) => d.clone(),
        (Before, FromStart(e)) => e.smaller(d),
        (Before, FromEnd(e)) => positive(d.add(&e)),
        // Where the start lies beyond the end, so does it beyond the clamped end: the start needs no clamp.
        (FromStart(s), Beyond) => positive(d.sub(&s)),
        (FromStart(s), FromStart(e)) => positive(e.smaller(d).sub(&s)),
        (FromStart(s), FromEnd(e)) => positive(d.add(&e).sub(&s)),
        (FromEnd(s), Beyond) => d.smaller(&zero.sub(&s)),
        (FromEnd(s), FromStart(e)) => positive(e.smaller(d).sub(&positive(d.add(&s)))),
        (FromEnd(s), FromEnd(e)) => positive(positive(d.add(&e)).sub(&positive(d.add(&s)))),
    })
}

fn backwards(d: &Dim, start: &Dim, end: &Dim) -> Option<Dim> {
    use Bound::{Before, Beyond, FromEnd, FromStart};
    let (zero, one) = (Dim::Known(0), Dim::Known(1));
    let last = d.sub(&one);
    let start = match bound(start)? {
        Beyond => last.clone(),
        Before => zero.clone(),
        FromStart(s) => s.smaller(&last),
        FromEnd(s) if s.is(-1) => last.clone(),
        FromEnd(s) => d.add(&s).larger(&zero),
    };
    let end = match bound(end)? {
        Beyond if end.known().is_some_and(is_open) => Dim::Known(-1),
        Beyond => last,
        Before => Dim::Known(-1),
        FromStart(e) => e.smaller(&last),
        FromEnd(e) => d.add(&e).larger(&Dim::Known(-1)),
    };
    // An empty axis has nothing to take, which the clamps alone do not say.
    Some(start.sub(&end).larger(&zero).smaller(d))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ir::Symbols;

    #[test]
    fn expressions_agree_with_numbers() {
        let d = Symbols::default().fresh();
        let bounds = [i64::MIN, -FAR, -4, -2, -1, 0, 1, 3, FAR, FAR + 1, i64::MAX];
        for (start, end) in bounds.iter().flat_map(|s| bounds.iter().map(move |e| (*s, *e))) {
            for step in [1, 2, -1, -3] {
                let n = extent(&d, &start.into(), &end.into(), step).unwrap();
                for size in 0..7 {
                    let expected = window(size, start, end, step).1 as i64;
                    assert_eq!(n.eval(&[Some(size as i64)]).unwrap(), Some(expected), "{start}:{end}:{step} of {size}");
                }
            }
        }
    }

    #[test]
    fn common_slices_stay_simple() {
        let mut s = Symbols::default();
        let (past, seq) = (s.fresh(), s.fresh());
        let total = past.add(&seq);
        assert_eq!(extent(&total, &past, &total, 1).unwrap(), seq);
        assert_eq!(extent(&total, &0i64.into(), &i64::MAX.into(), 1).unwrap(), total);
        assert_eq!(extent(&total, &0i64.into(), &past, 1).unwrap(), past);
        assert_eq!(extent(&total, &(-1i64).into(), &i64::MIN.into(), -1).unwrap(), total);
        assert_eq!(extent(&total, &past.sub(&seq), &total, 1), None);
    }
}
