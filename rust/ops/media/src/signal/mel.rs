//! MelWeightMatrix: triangles that sum up the frequencies of a spectrum into bands as wide as ears hear them.

use base::{Result, Shape, bail, ensure};
use ir::Dim;
use op::types::{FLOATS, INDEX};
use op::{Infer, Kernels, Op, OpDef, Run, Stateless, since};

use super::numbers::{fill, float, int};
use super::{COMPUTED, output_type};

const SIGNATURE: &str = "num_mel_bins:T1, dft_length:T1, sample_rate:T1, lower_edge_hertz:T2, upper_edge_hertz:T2 -> output:T3";

/// MelWeightMatrix of `ai.onnx`.
pub static MEL_WEIGHT_MATRIX: OpDef = OpDef {
    name: "MelWeightMatrix",
    versions: &[since(17, SIGNATURE, &[("T1", INDEX), ("T2", FLOATS), ("T3", COMPUTED)])],
    load: |a| Ok(Box::new(MelWeightMatrix { dtype: output_type(a)? })),
    kernels: Kernels::NONE.stateless::<MelWeightMatrix>(),
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct MelWeightMatrix {
    dtype: base::DType,
}

impl Op for MelWeightMatrix {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let one = |cx: &mut Infer<'_>, i: usize| match cx.ints(i) {
            Some([n]) => Some(n.clone()),
            _ => None,
        };
        let bins = one(cx, 1).map(|n| n.floor_div(&Dim::Known(2)).add(&Dim::Known(1))).unwrap_or_else(|| cx.fresh());
        let bands = one(cx, 0).unwrap_or_else(|| cx.fresh());
        for size in [&bins, &bands] {
            ensure!(size.known().is_none_or(|n| n >= 0), InvalidGraph, "a matrix of {bins} by {bands} weights cannot be");
        }
        cx.tensor(0, self.dtype, Some([bins, bands].into_iter().collect()));
        Ok(())
    }
}

fn mel(hertz: f64) -> f64 {
    2595.0 * (hertz / 700.0).ln_1p() / std::f64::consts::LN_10
}

fn hertz(mel: f64) -> f64 {
    700.0 * (mel / 2595.0 * std::f64::consts::LN_10).exp_m1()
}

/// The corners of the triangles: bins of the spectrum, one before the first band and one after the last.
struct Corners {
    bands: usize,
    /// What each corner's frequency in hertz is multiplied by to give its bin.
    scale: f64,
    low: f64,
    step: f64,
}

impl Corners {
    fn bin(&self, i: usize) -> f64 {
        (hertz(self.low + i as f64 * self.step) * self.scale).floor()
    }

    /// The weight of `bin` in `band`.
    fn weight(&self, bin: usize, band: usize) -> f64 {
        let (left, center, right, bin) = (self.bin(band), self.bin(band + 1), self.bin(band + 2), bin as f64);
        if center < right && (center..right).contains(&bin) {
            return (right - bin) / (right - center);
        }
        if left == center {
            return if bin == center { 1.0 } else { 0.0 };
        }
        if (left..=center).contains(&bin) { (bin - left) / (center - left) } else { 0.0 }
    }
}

fn corners(cx: &Run<'_>) -> Result<(Corners, usize)> {
    let (bands, length, rate) = (int(cx.input(0)?)?, int(cx.input(1)?)?, int(cx.input(2)?)?);
    let (low, high) = (float(cx.input(3)?)?, float(cx.input(4)?)?);
    let (Ok(bands), Ok(length)) = (usize::try_from(bands), usize::try_from(length)) else {
        bail!(InvalidArgument, "num_mel_bins is {bands} and dft_length is {length}, but neither may be negative");
    };
    ensure!(rate > 0, InvalidArgument, "sample_rate is {rate}, but must be positive");
    let bins = length / 2 + 1;
    let (low_mel, high_mel) = (mel(low), mel(high));
    let corners =
        Corners { bands, scale: (length as f64 + 1.0) / rate as f64, low: low_mel, step: (high_mel - low_mel) / (bands as f64 + 2.0) };
    let last = if bands > 0 { corners.bin(bands) } else { 0.0 };
    ensure!(
        low >= 0.0 && high >= low && last < bins as f64,
        InvalidArgument,
        "bands from {low} to {high} hertz do not lie in a spectrum of {bins} bins at {rate} samples a second"
    );
    Ok((corners, bins))
}

impl Stateless for MelWeightMatrix {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let (corners, bins) = corners(cx)?;
        cx.allocate(0, self.dtype, Shape::from([bins, corners.bands]))?;
        fill(cx.output(0)?, |i| corners.weight(i / corners.bands, i % corners.bands))
    }
}

#[cfg(test)]
mod tests {
    use testkit::{Single, assert_close, single};

    use super::*;

    fn matrix(bands: i32, length: i32, rate: i32, edges: [f32; 2]) -> Single {
        let s = single(&MEL_WEIGHT_MATRIX, 17).input([], &[bands]).input([], &[length]).input([], &[rate]);
        s.input([], &edges[..1]).input([], &edges[1..])
    }

    #[test]
    fn agrees_with_the_reference_implementation() {
        let t = matrix(8, 16, 8192, [0.0, 4096.0]).tensor().unwrap();
        let mut expected = [0.0; 72];
        for (bin, band) in [(0, 0), (0, 1), (1, 2), (1, 3), (2, 4), (3, 5), (4, 6), (5, 7)] {
            expected[bin * 8 + band] = 1.0;
        }
        assert_close(&t, &expected, 0.0, 0.0);
        assert_close(&matrix(1, 4, 8, [0.0, 4.0]).tensor().unwrap(), &[1.0, 0.0, 0.0], 0.0, 0.0);
        let t = matrix(5, 64, 8000, [100.0, 4000.0]).tensor().unwrap();
        let rows: Vec<&[f32]> = t.slice::<f32>().unwrap().chunks(5).collect();
        let third = 1.0 / 3.0;
        for (bin, row) in [
            (0, [0.0; 5]),
            (1, [0.5, 0., 0., 0., 0.]),
            (4, [third, 2. * third, 0., 0., 0.]),
            (9, [0., 0., 0.75, 0.25, 0.]),
            (16, [0., 0., 0., 0.2, 0.8]),
            (22, [0., 0., 0., 0., 1. / 6.]),
            (23, [0.; 5]),
        ] {
            assert!(rows[bin].iter().zip(row).all(|(a, b): (&f32, f32)| (a - b).abs() < 1e-6), "{bin} {:?}", rows[bin]);
        }
    }

    #[test]
    fn what_cannot_be_is_an_error() {
        assert!(matrix(8, 16, 100, [0.0, 4096.0]).run(1).unwrap_err().detail().contains("do not lie in a spectrum of 9 bins"));
        assert!(matrix(-1, 16, 100, [0.0, 10.0]).run(1).is_err());
        assert!(matrix(1, 16, 0, [0.0, 10.0]).run(1).is_err());
        assert_eq!(&**matrix(0, 16, 100, [0.0, 10.0]).tensor().unwrap().shape(), [9, 0]);
    }
}
