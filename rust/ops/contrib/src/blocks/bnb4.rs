//! Codes of 4 bits for numbers of one block relative to its largest: evenly spaced in their logarithm, or as a normal distribution has
//! them.

use base::{Result, bail, ensure};

use super::Weight;

/// A table of 16 numbers from -1 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// Floats of one sign bit, two bits of exponent and one of mantissa.
    Fp4,
    /// The quantiles of a normal distribution.
    Nf4,
}

const FP4: [f32; 16] = {
    let half = [0.0, 0.005_208_333, 0.666_666_7, 1.0, 0.333_333_34, 0.5, 0.166_666_67, 0.25];
    let (mut table, mut i) = ([0.0; 16], 0);
    while i < 8 {
        (table[i], table[i + 8]) = (half[i], -half[i]);
        i += 1;
    }
    table
};
/// Between which sizes the codes of `FP4` change, and which they are.
const FP4_BOUNDS: [f32; 7] = [0.002_604_17, 0.085_937_5, 0.208_333_33, 0.291_666_67, 0.416_666_7, 0.583_333, 0.833_333_3];
const FP4_CODES: [u8; 8] = [0, 1, 6, 7, 4, 5, 2, 3];
const NF4: [f32; 16] = [
    -1.0,
    -0.696_192_8,
    -0.525_073_05,
    -0.394_917_5,
    -0.284_441_38,
    -0.184_773_43,
    -0.091_050_036,
    0.0,
    0.079_580_3,
    0.160_930_2,
    0.246_112_3,
    0.337_915_24,
    0.440_709_83,
    0.562_617,
    0.722_956_84,
    1.0,
];
/// Between which numbers the codes of `NF4` change.
const NF4_BOUNDS: [f32; 15] = [
    -0.848_096_4,
    -0.610_632_9,
    -0.459_995_27,
    -0.339_679_43,
    -0.234_607_41,
    -0.137_911_73,
    -0.045_525_018,
    0.039_790_15,
    0.120_255_25,
    0.203_521_25,
    0.292_013_77,
    0.389_312_54,
    0.501_663_4,
    0.642_786_9,
    0.861_478_4,
];

impl Table {
    /// The table that attributes call `number`.
    ///
    /// # Errors
    /// `InvalidArgument` for any but 0 and 1.
    pub fn numbered(number: i64) -> Result<Self> {
        match number {
            0 => Ok(Self::Fp4),
            1 => Ok(Self::Nf4),
            _ => bail!(InvalidArgument, "there is no type of quantization {number}: 0 is FP4, 1 is NF4"),
        }
    }

    /// The numbers of the codes.
    pub fn numbers(self) -> &'static [f32; 16] {
        match self {
            Self::Fp4 => &FP4,
            Self::Nf4 => &NF4,
        }
    }

    /// The code of the number next to `x`.
    fn code(self, x: f32) -> u8 {
        let above = |bounds: &[f32], x: f32| bounds.iter().filter(|bound| x > **bound).count();
        match self {
            Self::Fp4 => FP4_CODES[above(&FP4_BOUNDS, x.abs())] | u8::from(x < 0.0) << 3,
            Self::Nf4 => above(&NF4_BOUNDS, x) as u8,
        }
    }
}

/// Quantizes `weights` in blocks of `size`: codes, two in a byte with the first at the high end, and the largest size of each block.
///
/// # Errors
/// `InvalidArgument` for blocks of an odd number of elements.
pub fn quantize<T: Weight>(table: Table, size: usize, weights: &[T]) -> Result<(Vec<u8>, Vec<T>)> {
    ensure!(size > 0 && size.is_multiple_of(2), InvalidArgument, "blocks of {size} elements");
    let (mut codes, mut largest) = (Vec::with_capacity(weights.len().div_ceil(2)), Vec::new());
    for block in weights.chunks(size) {
        let most = block.iter().fold(0f32, |most, x| most.max(x.wide().abs()));
        let factor = if most == 0.0 { 0.0 } else { 1.0 / most };
        let code = |x: Option<&T>| table.code(x.map_or(0.0, |x| x.wide() * factor));
        codes.extend(block.chunks(2).map(|pair| code(pair.first()) << 4 | code(pair.get(1))));
        largest.push(T::narrow(most));
    }
    Ok((codes, largest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_a_table_come_back() {
        for table in [Table::Fp4, Table::Nf4] {
            let weights: Vec<f32> = table.numbers().iter().map(|x| x * 3.0).collect();
            let (codes, largest) = quantize(table, 16, &weights).unwrap();
            assert_eq!(largest, [3.0]);
            for (i, x) in table.numbers().iter().enumerate() {
                let code = if i % 2 == 0 { codes[i / 2] >> 4 } else { codes[i / 2] & 15 };
                assert_eq!(table.numbers()[usize::from(code)], *x, "{table:?} {i}");
            }
        }
        assert!(Table::numbered(2).is_err() && quantize(Table::Nf4, 0, &[0f32]).is_err());
    }

    #[test]
    fn odd_ends_and_zeros() {
        assert_eq!(quantize(Table::Nf4, 4, &[0f32; 5]).unwrap(), (vec![0x77; 3], vec![0.0; 2]));
    }
}
