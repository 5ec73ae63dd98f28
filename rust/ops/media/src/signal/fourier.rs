//! Fourier transforms of many lines at once, in double precision.

use std::sync::{Arc, Mutex, PoisonError};

use base::threads::{SharedMut, try_parallel_for};
use base::{Result, ensure, error};
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};
use rustfft::num_complex::Complex;
use rustfft::{Fft, FftPlanner};

use super::numbers::Real;

/// Numbers that one thread transforms at a time, about.
const CHUNK: usize = 8 << 10;

/// What is transformed into what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A signal of real numbers into frequencies; those above the middle mirror those below.
    Real,
    /// A signal of complex numbers into frequencies.
    Complex,
    /// Frequencies into a signal of complex numbers.
    Inverse,
    /// The lower half of frequencies into a signal of real numbers.
    RealInverse,
}

impl Kind {
    /// How many numbers of a line are read at most, when the signal has `n`.
    pub(super) fn needs(self, n: usize) -> usize {
        if self == Self::RealInverse { n / 2 + 1 } else { n }
    }
}

/// Transforms that were planned, kept for the next run.
#[derive(Default)]
pub(super) struct Plans {
    complex: Mutex<Option<FftPlanner<f64>>>,
    real: Mutex<Option<RealFftPlanner<f64>>>,
}

enum Plan {
    Complex(Arc<dyn Fft<f64>>),
    Forward(Arc<dyn RealToComplex<f64>>),
    Inverse(Arc<dyn ComplexToReal<f64>>),
}

impl Plans {
    /// The transforms of `n` numbers.
    pub(super) fn get(&self, kind: Kind, n: usize) -> Result<Transform> {
        ensure!(n > 0, InvalidArgument, "a transform needs one number at least");
        let real = |f: &dyn Fn(&mut RealFftPlanner<f64>) -> Plan| {
            f(self.real.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(RealFftPlanner::new))
        };
        let complex = |f: &dyn Fn(&mut FftPlanner<f64>) -> Plan| {
            f(self.complex.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(FftPlanner::new))
        };
        let plan = match kind {
            Kind::Real => real(&|p| Plan::Forward(p.plan_fft_forward(n))),
            Kind::RealInverse => real(&|p| Plan::Inverse(p.plan_fft_inverse(n))),
            Kind::Complex => complex(&|p| Plan::Complex(p.plan_fft_forward(n))),
            Kind::Inverse => complex(&|p| Plan::Complex(p.plan_fft_inverse(n))),
        };
        Ok(Transform { plan, kind, n })
    }
}

/// The transform of lines of one length.
pub(super) struct Transform {
    plan: Plan,
    kind: Kind,
    n: usize,
}

/// Room for one line.
struct Work {
    line: Vec<Complex<f64>>,
    real: Vec<f64>,
    scratch: Vec<Complex<f64>>,
}

impl Transform {
    fn work(&self) -> Work {
        let zeros = |n: usize| vec![Complex::default(); n];
        let (line, real, scratch) = match &self.plan {
            Plan::Complex(p) => (self.n, 0, p.get_inplace_scratch_len()),
            Plan::Forward(p) => (self.n, self.n, p.get_scratch_len()),
            Plan::Inverse(p) => (self.n / 2 + 1, self.n, p.get_scratch_len()),
        };
        Work { line: zeros(line), real: vec![0.0; real], scratch: zeros(scratch) }
    }

    /// Transforms the line in `work`; the result is in `work.real` for a real inverse, else in `work.line`.
    fn apply(&self, work: &mut Work) -> Result<()> {
        let failed = |e: realfft::FftError| error!(Fail, "a Fourier transform of {} numbers failed: {e}", self.n);
        match &self.plan {
            Plan::Complex(p) => p.process_with_scratch(&mut work.line, &mut work.scratch),
            Plan::Forward(p) => {
                work.real.iter_mut().zip(&work.line).for_each(|(r, c)| *r = c.re);
                let (low, high) = work.line.split_at_mut(self.n / 2 + 1);
                p.process_with_scratch(&mut work.real, low, &mut work.scratch).map_err(failed)?;
                // Frequency n - k is the conjugate of frequency k.
                high.iter_mut().rev().zip(&low[1..]).for_each(|(h, l)| *h = l.conj());
            }
            Plan::Inverse(p) => {
                // The constant part and the highest frequency of a real signal are real.
                work.line[0].im = 0.0;
                if self.n.is_multiple_of(2) {
                    work.line[self.n / 2].im = 0.0;
                }
                p.process_with_scratch(&mut work.line, &mut work.real, &mut work.scratch).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// Transforms `lines` lines. `load(line, numbers)` reads a line into numbers that are zero before. The first `kept` numbers of each
    /// result go to `out`, which is seen as `[lines / inner, kept, inner, parts]`: two parts, or one of a real inverse.
    ///
    /// # Errors
    /// `Fail` when the run is cancelled or `out` has another size.
    pub(super) fn run<T: Real>(
        &self,
        (lines, inner): (usize, usize),
        kept: usize,
        load: &(dyn Fn(usize, &mut [Complex<f64>]) + Sync),
        out: &mut [T],
    ) -> Result<()> {
        let parts = if self.kind == Kind::RealInverse { 1 } else { 2 };
        let fits = out.len() == lines * kept * parts && lines.is_multiple_of(inner) && kept <= self.n;
        ensure!(fits, Fail, "{lines} lines of {kept} numbers do not fill {} elements", out.len());
        let (out, each) = (SharedMut::new(out), (CHUNK / self.n).max(1));
        let scale = if matches!(self.kind, Kind::Inverse | Kind::RealInverse) { 1.0 / self.n as f64 } else { 1.0 };
        try_parallel_for(lines.div_ceil(each), &|chunk| {
            let mut work = self.work();
            for line in chunk * each..lines.min((chunk + 1) * each) {
                work.line.fill(Complex::default());
                load(line, &mut work.line);
                self.apply(&mut work)?;
                for k in 0..kept {
                    let at = ((line / inner * kept + k) * inner + line % inner) * parts;
                    // SAFETY: each number of each line has a place of its own, and a region runs each chunk once.
                    let number = unsafe { out.part(at..at + parts) };
                    match number {
                        [real] => *real = T::nearest(work.real[k] * scale),
                        [re, im] => (*re, *im) = (T::nearest(work.line[k].re * scale), T::nearest(work.line[k].im * scale)),
                        _ => {}
                    }
                }
            }
            Ok(())
        })
    }
}
