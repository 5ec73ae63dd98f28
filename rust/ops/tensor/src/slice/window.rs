//! Which elements of one axis a slice takes, in numbers.

/// The first element and the number of elements from `start` to `end` by `step` (not 0) on an axis of size `dim`.
///
/// Negative bounds count from the end. Then, as the specification says, a positive step clamps both to `[0, dim]`, a negative one
/// the start to `[0, dim - 1]` and the end to `[-1, dim - 1]`. Beyond the specification, as ONNX Runtime does it, an end that is the
/// greatest integer of 32 or 64 bits means "as far as the step goes" for a negative step too.
pub(super) fn window(dim: usize, start: i64, end: i64, step: i64) -> (usize, usize) {
    let d = dim as i64;
    if d == 0 {
        return (0, 0);
    }
    let wrapped = |n: i64| if n < 0 { n.saturating_add(d) } else { n };
    let (low, high) = if step > 0 { (0, d) } else { (-1, d - 1) };
    let end = if step < 0 && is_open(end) { low } else { wrapped(end).clamp(low, high) };
    let start = wrapped(start).clamp(0, high);
    let distance = if step > 0 { end - start } else { start - end };
    (start as usize, (distance.max(0) as u64).div_ceil(step.unsigned_abs()) as usize)
}

/// Whether `end` is one of the numbers that stand for no end.
pub(super) fn is_open(end: i64) -> bool {
    end == i64::from(i32::MAX) || end == i64::MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clamps_as_specified() {
        assert_eq!(window(5, -3, 5, 1), (2, 3));
        assert_eq!(window(5, -9, 9, 2), (0, 3));
        assert_eq!(window(5, -1, i64::MIN, -1), (4, 5));
        assert_eq!(window(5, 9, 2, -2), (4, 1));
        assert_eq!(window(5, 3, i64::MAX, -2), (3, 2));
        assert_eq!(window(5, 3, 1 << 40, -2), (3, 0));
        assert_eq!(window(5, -9, i64::MIN, -1), (0, 1));
        assert_eq!(window(0, -1, i64::MIN, -1), (0, 0));
        assert_eq!(window(3, 0, 3, i64::MAX), (0, 1));
        assert_eq!(window(3, 2, i64::MIN, i64::MIN), (2, 1));
    }
}
