//! Long slices are gone through in pieces, so that a run that is cancelled meanwhile can leave.

use base::threads::pieces;

/// Elements of a piece: a few tens of microseconds for the dearest functions. A multiple of all that vectors hold and reductions block.
pub(crate) const PIECE: usize = 1 << 15;

/// Calls `f(start, len)` for the pieces of a slice of `len` elements.
#[inline]
pub(crate) fn in_pieces(len: usize, mut f: impl FnMut(usize, usize)) {
    if len <= PIECE {
        return f(0, len);
    }
    pieces(len, PIECE).for_each(|range| f(range.start, range.len()));
}

#[cfg(test)]
mod tests {
    use base::threads::{Cancel, interruptible, under};
    use half::{bf16, f16};

    use super::PIECE;
    use crate::{math, reduce, rows};

    #[test]
    fn a_cancelled_run_leaves_every_long_slice() {
        const LEN: usize = 8 * PIECE;
        let x = vec![1f32; LEN];
        type Work<'a> = &'a dyn Fn(&mut [f32]);
        let works: [Work<'_>; 12] = [
            &|y| crate::map(math::Exp, &x, y),
            &|y| crate::map_in_place(math::Exp, y),
            &|y| crate::zip(math::Max, &x, &x, y),
            &|y| crate::zip_in_place(math::Max, y, &x),
            &|y| rows::softmax(&x, y),
            &|y| rows::softmax_in_place(y),
            &|y| rows::log_softmax(&x, y),
            &|y| rows::normalize(&x, y, 1.0, 1.0, Some(&x), Some(&x)),
            &|y| y[0] = reduce::sum(&x) + reduce::dot(&x, &x),
            &|y| y[0] = reduce::max(&x) + reduce::min(&x),
            &|y| crate::f16_to_f32(&vec![f16::ONE; LEN], y),
            &|y| crate::f32_to_bf16(y, &mut vec![bf16::ONE; LEN]),
        ];
        let cancel = Cancel::new();
        for (i, work) in works.iter().enumerate() {
            let mut y = vec![0f32; LEN];
            let mut run = || {
                let work = || {
                    work(&mut y);
                    Ok(())
                };
                under(&cancel, || interruptible(work))
            };
            cancel.reset();
            assert!(run().is_ok(), "{i}");
            cancel.cancel();
            assert!(run().is_err(), "{i}");
        }
    }

    #[test]
    fn pieces_change_nothing() {
        let len = 2 * PIECE + 77;
        let x: Vec<f32> = (0..len).map(|i| (i % 1000) as f32 * 0.01).collect();
        let total: f64 = x.iter().map(|v| f64::from(*v - 9.99).exp()).sum();
        let mut y = vec![0.0; len];
        rows::softmax(&x, &mut y);
        for (y, x) in y.iter().zip(&x) {
            let want = f64::from(x - 9.99).exp() / total;
            assert!((f64::from(*y) - want).abs() < 1e-5 * want, "{x}: {y}, not {want}");
        }
        let mut bad = x.clone();
        for at in [0, PIECE - 1, PIECE, len - 1] {
            bad[at] = f32::NAN;
            assert!(reduce::max(&bad).is_nan() && reduce::min(&bad).is_nan());
            bad[at] = x[at];
        }
        assert_eq!((reduce::max(&x), reduce::min(&x)), (9.99, 0.0));
    }
}
