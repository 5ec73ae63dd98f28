//! Against direct convolution in `f64`, on every instruction set of the machine.

use super::*;
use crate::conv::{reorder, tile};
use crate::window::WindowAttrs;

/// A convolution with 3 by 3 kernels.
struct Case {
    x: [usize; 4],
    oc: usize,
    pads: [i64; 4],
    residual: bool,
    activation: Option<Activation>,
}

fn random(len: usize, seed: u32) -> Vec<f32> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as f32 / u32::MAX as f32 - 0.5
    };
    (0..len).map(|_| next()).collect()
}

fn problem(case: &Case) -> Problem {
    let window = WindowAttrs { pads: Some(case.pads.to_vec()), ..WindowAttrs::default() };
    Problem::new(&window, 1, &case.x, &[case.oc, case.x[1], 3, 3]).unwrap()
}

/// Each result by its definition.
fn reference(p: &Problem, x: &[f32], w: &[f32], b: &[f32], z: Option<&[f32]>, activation: Option<Activation>) -> Vec<f32> {
    let [h, v] = [p.axes[0], p.axes[1]];
    let mut y = Vec::new();
    for (n, o) in (0..p.batch).flat_map(|n| (0..p.oc).map(move |o| (n, o))) {
        for (r, c) in (0..h.output).flat_map(|r| (0..v.output).map(move |c| (r, c))) {
            let mut sum = 0.0f64;
            for (i, k) in (0..p.ic).flat_map(|i| (0..9).map(move |k| (i, k))) {
                let (yy, xx) = (r as isize - h.before + (k / 3) as isize, c as isize - v.before + (k % 3) as isize);
                if (0..h.input as isize).contains(&yy) && (0..v.input as isize).contains(&xx) {
                    let at = ((n * p.ic + i) * h.input + yy as usize) * v.input + xx as usize;
                    sum += f64::from(x[at]) * f64::from(w[(o * p.ic + i) * 9 + k]);
                }
            }
            y.push((sum + f64::from(b[o])) as f32);
        }
    }
    y.iter_mut().zip(z.into_iter().flatten()).for_each(|(y, z)| *y += z);
    activation.iter().for_each(|a| crate::activation::apply(*a, &mut y));
    y
}

/// The convolution with blocks of channels on `isa`; lanes of no channel must be zero.
fn run(case: &Case, isa: Isa, outputs: Outputs, data: [&[f32]; 4]) -> Vec<f32> {
    let (p, lanes) = (problem(case), tile::lanes(isa));
    let [x, w, b, z] = data;
    let order = packing(&p, lanes, outputs);
    let mut weights = vec![f32::NAN; order.len()];
    pack(&order, outputs, w, &mut weights).unwrap();
    let blocked = |dense: &[f32], dims: [usize; 3]| {
        let mut to = vec![f32::NAN; dims[0] * dims[1].next_multiple_of(lanes) * dims[2]];
        reorder::to_blocked(dense, &mut to, dims, lanes).unwrap();
        to
    };
    let out = [p.batch, p.oc, p.out_plane()];
    let (x, z) = (blocked(x, [p.batch, p.ic, p.in_plane()]), case.residual.then(|| blocked(z, out)));
    let mut y = vec![f32::NAN; p.batch * p.oc.next_multiple_of(lanes) * p.out_plane()];
    let mut scratch = vec![f32::NAN; scratch_len(&p, lanes, outputs)];
    let (bias, addend, activation) = (Some(b), z.as_deref(), case.activation);
    let job = Job { problem: &p, packing: &order, outputs, isa, x: &x, weights: &weights, kernels: w, bias, addend, activation };
    job.run(&mut y, &mut scratch).unwrap();
    let plane = p.out_plane();
    for (i, v) in y.iter().enumerate() {
        let channel = i / (plane * lanes) % p.oc.div_ceil(lanes) * lanes + i % lanes;
        assert!(channel < p.oc || *v == 0.0, "lane {i} of no channel is {v}");
    }
    let mut dense = vec![0.0; p.batch * p.oc * plane];
    reorder::to_dense(&y, &mut dense, out, lanes).unwrap();
    dense
}

fn data(case: &Case) -> [Vec<f32>; 4] {
    let p = problem(case);
    [random(p.batch * p.ic * p.in_plane(), 7), random(p.weights(), 11), random(p.oc, 13), random(p.batch * p.oc * p.out_plane(), 17)]
}

/// Compares with the reference; errors are as large as the greatest terms make them.
fn check(case: &Case, change: impl Fn(&mut [f32])) {
    let [mut x, w, b, z] = data(case);
    change(&mut x);
    let greatest = x.iter().filter(|x| x.is_finite()).fold(1f32, |m, x| m.max(x.abs()));
    let want = reference(&problem(case), &x, &w, &b, case.residual.then_some(&z[..]), case.activation);
    for isa in simd::isa::available() {
        for outputs in [Outputs::Two, Outputs::Four] {
            let got = run(case, isa, outputs, [&x, &w, &b, &z]);
            for (i, (g, w)) in got.iter().zip(&want).enumerate() {
                let close = g == w || (g.is_nan() && w.is_nan()) || (g - w).abs() <= 1e-4 * greatest;
                assert!(close, "{isa:?} {outputs:?} {:?}: element {i} is {g}, not {w}", case.x);
            }
        }
    }
}

fn case(x: [usize; 4], oc: usize, pads: [i64; 4]) -> Case {
    Case { x, oc, pads, residual: false, activation: None }
}

#[test]
fn equals_direct_convolution() {
    for (x, oc, pads) in [
        ([1, 3, 1, 1], 5, [1, 1, 1, 1]),
        ([2, 16, 7, 7], 16, [1, 1, 1, 1]),
        ([1, 20, 9, 14], 40, [0, 0, 0, 0]),
        ([1, 33, 5, 30], 17, [2, 0, 1, 3]),
        ([1, 8, 12, 8], 24, [-1, 1, 0, -2]),
        ([3, 5, 6, 11], 1, [1, 1, 1, 1]),
        ([1, 32, 40, 40], 32, [1, 1, 1, 1]),
        ([0, 4, 6, 6], 4, [1, 1, 1, 1]),
    ] {
        check(&case(x, oc, pads), |_| {});
    }
}

#[test]
fn adds_residuals_and_applies_activations() {
    for activation in [None, Some(Activation::Relu), Some(Activation::Clip { low: 0.1, high: 0.4 }), Some(Activation::Silu)] {
        check(&Case { residual: true, activation, ..case([1, 12, 10, 9], 20, [1, 1, 1, 1]) }, |_| {});
    }
}

#[test]
fn infinite_and_huge_numbers_stay_where_they_belong() {
    for special in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 3e38] {
        check(&case([1, 12, 13, 9], 20, [1, 1, 1, 1]), |x| x[200] = special);
    }
}

#[test]
fn threads_do_not_change_bits() {
    for x in [[1, 64, 24, 24], [9, 16, 8, 8], [1, 64, 80, 80]] {
        let case = case(x, 64, [1, 1, 1, 1]);
        let [x, w, b, z] = data(&case);
        let on = |n: usize| {
            let go = || run(&case, simd::isa::best(), Outputs::Four, [&x, &w, &b, &z]);
            threads::scope(threads::Threads::new(n), &threads::Cancel::new(), go)
        };
        assert!(on(1).iter().map(|v| v.to_bits()).eq(on(3).iter().map(|v| v.to_bits())));
    }
}

#[test]
fn small_work_is_left_to_direct_convolution() {
    let best = |x: [usize; 4], oc: usize| {
        let p = problem(&case(x, oc, [1, 1, 1, 1]));
        Outputs::best(&p, Some([p.axes[0].output, p.axes[1].output]))
    };
    assert_eq!(best([1, 64, 56, 56], 64), Some(Outputs::Four));
    assert_eq!(best([1, 256, 14, 14], 256), Some(Outputs::Two));
    assert_eq!(best([1, 512, 7, 7], 512), None);
    assert_eq!(best([1, 512, 5, 5], 512), None);
    assert_eq!(best([1, 12, 56, 56], 64), None);
}
