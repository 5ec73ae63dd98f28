//! Probabilities of classes from those of pairs of classes, by the second method of Wu, Lin and Weng (2004): the vector `p` that makes
//! `Σ (r_ji p_i - r_ij p_j)²` smallest, found by cycling through its elements.

/// The most rounds; libsvm and ONNX Runtime stop there too.
const ROUNDS: usize = 100;

/// Fills `p` from `pairs`, where element `i * n + j` is the probability of class `i` when it is `i` or `j`.
pub(super) fn classes(pairs: &[f32], p: &mut [f32]) {
    let n = p.len();
    let r = |i: usize, j: usize| pairs[i * n + j];
    let mut q = vec![0f32; n * n];
    for i in 0..n {
        for j in 0..n {
            if i != j {
                q[i * n + i] += r(j, i) * r(j, i);
                q[i * n + j] = -r(j, i) * r(i, j);
            }
        }
    }
    p.fill(1.0 / n as f32);
    let tolerance = 0.005 / n as f32;
    let mut qp = vec![0f32; n];
    for _ in 0..ROUNDS {
        for (qp, row) in qp.iter_mut().zip(q.chunks_exact(n)) {
            *qp = row.iter().zip(&*p).map(|(a, b)| a * b).sum();
        }
        let mut pqp: f32 = qp.iter().zip(&*p).map(|(a, b)| a * b).sum();
        if qp.iter().all(|x| (x - pqp).abs() < tolerance) {
            break;
        }
        for i in 0..n {
            let step = (pqp - qp[i]) / q[i * n + i];
            p[i] += step;
            pqp = (pqp + step * (step * q[i * n + i] + 2.0 * qp[i])) / (1.0 + step) / (1.0 + step);
            for j in 0..n {
                qp[j] = (qp[j] + step * q[i * n + j]) / (1.0 + step);
                p[j] /= 1.0 + step;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consistent_pairs_give_their_probabilities() {
        let want = [0.5f32, 0.3, 0.2];
        let mut pairs = [0.0; 9];
        for i in 0..3 {
            for j in 0..3 {
                pairs[i * 3 + j] = if i == j { 0.0 } else { want[i] / (want[i] + want[j]) };
            }
        }
        let mut p = [0.0; 3];
        classes(&pairs, &mut p);
        assert!(p.iter().zip(want).all(|(a, b)| (a - b).abs() < 0.01), "{p:?}");
        let mut two = [0.0; 2];
        classes(&[0.0, 0.9, 0.1, 0.0], &mut two);
        assert!((two[0] - 0.9).abs() < 0.01, "{two:?}");
    }
}
