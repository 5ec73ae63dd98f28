//! Values at random.

use base::{DType, Result, Shape, Strings, Tensor, ensure};
use fastrand::Rng;

use super::cast::cast;

/// A tensor of `dtype` and `shape`: floats between 0 and 1, integers and booleans 0 or 1, which most models take as an index.
pub(crate) fn tensor(rng: &mut Rng, dtype: DType, shape: &[usize]) -> Result<Tensor> {
    // Elements are made as doubles, of which too many are an error rather than the end of the process.
    const MOST: usize = 1 << 32;
    let len = Shape::checked_len(shape).filter(|n| *n <= MOST);
    ensure!(len.is_some(), InvalidArgument, "a random tensor of shape {} is too large", Shape::from(shape));
    let len = len.unwrap_or(0);
    match dtype {
        DType::String => Tensor::from_strings(shape, (0..len).map(|_| rng.alphabetic().to_string()).collect::<Strings>()),
        DType::C64 => Tensor::from_vec(shape, (0..len).map(|_| num_complex::Complex::new(rng.f32(), rng.f32())).collect()),
        DType::C128 => Tensor::from_vec(shape, (0..len).map(|_| num_complex::Complex::new(rng.f64(), rng.f64())).collect()),
        DType::F32 => Tensor::from_vec(shape, (0..len).map(|_| rng.f32()).collect()),
        _ if dtype.is_float() => cast(Tensor::from_vec(shape, (0..len).map(|_| rng.f32()).collect())?, dtype),
        _ => cast(Tensor::from_vec(shape, (0..len).map(|_| u8::from(rng.bool())).collect())?, dtype),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_values() {
        for dtype in DType::all() {
            let made = tensor(&mut Rng::with_seed(3), dtype, &[2, 5]).unwrap_or_else(|e| panic!("{dtype}: {e}"));
            assert_eq!((made.dtype(), &made.shape()[..]), (dtype, &[2, 5][..]));
        }
        assert!(tensor(&mut Rng::new(), DType::F32, &[1 << 20, 1 << 20]).is_err());
    }

    #[test]
    fn a_seed_gives_the_same_again() {
        let make = |seed| tensor(&mut Rng::with_seed(seed), DType::F32, &[8]).unwrap().slice::<f32>().unwrap().to_vec();
        assert_eq!(make(1), make(1));
        assert_ne!(make(1), make(2));
    }
}
