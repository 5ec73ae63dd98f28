//! A cache that holds a window of the latest positions.

use super::super::cache::Step;

/// How many positions stay in a cache of `capacity`, of `total` so far, where a query sees `window` of them: all that fit, else as many as
/// are left when `capacity - window + 1` at a time leave.
fn resident(total: usize, window: usize, capacity: usize) -> usize {
    let at_once = capacity - window + 1;
    total - at_once * total.saturating_sub(capacity).div_ceil(at_once)
}

/// How many positions came before those that a cache of earlier ones still holds, and what `fresh` more do to it.
pub(super) fn slide(earlier: usize, fresh: usize, window: usize, capacity: usize) -> (usize, Step) {
    let before = resident(earlier, window, capacity);
    let dropped = before + fresh - resident(earlier + fresh, window, capacity);
    (earlier - before, Step { before, fresh, dropped })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_stays_and_the_order_of_steps_does_not_matter() {
        for (window, capacity) in [(1, 1), (3, 3), (3, 5), (4, 11)] {
            for total in 0..40 {
                let kept = resident(total, window, capacity);
                assert!(kept >= total.min(window) && kept <= total.min(capacity), "{kept} of {total}");
                for fresh in 0..=total {
                    let (first, step) = slide(total - fresh, fresh, window, capacity);
                    assert_eq!(first + step.before + fresh, total);
                    assert_eq!(step.all() - step.dropped, kept);
                }
            }
        }
    }
}
