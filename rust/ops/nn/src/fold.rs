//! Windows put back where they came from: elements that several windows share are added up.

use base::threads::Pace;

use crate::real::Real;
use crate::window::Axis;

/// Adds the elements of all windows, `[taps.., positions..]`, to `y`, over which the windows slide.
pub(crate) fn fold<A: Real>(axes: &[Axis], windows: &[A], y: &mut [A]) {
    let Some((inner, outer)) = axes.split_last() else {
        y.iter_mut().zip(windows).for_each(|(y, w)| *y += *w);
        return;
    };
    let positions: usize = axes.iter().map(|a| a.output).product();
    let outer_taps: usize = outer.iter().map(|a| a.kernel).product();
    let rows: usize = outer.iter().map(|a| a.output).product();
    let pace = Pace::default();
    for tap in 0..outer_taps {
        for row in 0..rows {
            let Some(target) = target_row(outer, row, tap) else { continue };
            let y = &mut y[target * inner.input..(target + 1) * inner.input];
            for k in 0..inner.kernel {
                pace.spend(inner.output + 8);
                let from = &windows[(tap * inner.kernel + k) * positions + row * inner.output..][..inner.output];
                add_row(inner, k, from, y);
            }
        }
    }
}

/// Adds tap `tap` of the windows of one row.
fn add_row<A: Real>(axis: &Axis, tap: usize, from: &[A], y: &mut [A]) {
    let inside = axis.positions(tap);
    if inside.is_empty() {
        return;
    }
    let at = (axis.start(inside.start) + (tap * axis.dilation) as isize) as usize;
    let from = &from[inside];
    match axis.stride {
        1 => y[at..at + from.len()].iter_mut().zip(from).for_each(|(y, v)| *y += *v),
        stride => y[at..].iter_mut().step_by(stride).zip(from).for_each(|(y, v)| *y += *v),
    }
}

/// Which row tap `tap` of the outer axes reaches from row `row` of positions; `None` in the padding.
fn target_row(outer: &[Axis], mut row: usize, mut tap: usize) -> Option<usize> {
    let (mut target, mut stride) = (0, 1);
    for a in outer.iter().rev() {
        let at = a.start(row % a.output) + (tap % a.kernel * a.dilation) as isize;
        target += usize::try_from(at).ok().filter(|i| *i < a.input)? * stride;
        stride *= a.input;
        row /= a.output;
        tap /= a.kernel;
    }
    Some(target)
}
