//! Floats of eight bits and fewer: one table describes them all, and codes are decoded by look-up.
//!
//! Casting follows the tables of ONNX's `Cast`, ties to even. What those leave open follows the reference implementation: the formats
//! without NaN always saturate, and a NaN becomes the zero of the opposite sign.

use crate::DType;

/// What the largest codes of a format stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Specials {
    /// Every code is a finite number.
    Finite,
    /// The code with all bits but the sign set is NaN; there are no infinities ("FN").
    Nan,
    /// The code of negative zero is NaN; there are no infinities ("FNUZ").
    NanAtNegativeZero,
    /// Infinities and NaNs take the highest exponent, as in IEEE 754.
    Ieee,
    /// A bare power of two without sign or zero; all bits set are NaN ("E8M0").
    Scale,
}

/// A float format of at most eight bits: sign, then exponent, then mantissa.
#[derive(Debug)]
pub struct Format {
    /// The element type of this format.
    pub dtype: DType,
    /// Bits of the exponent.
    pub exponent: u32,
    /// Bits of the mantissa.
    pub mantissa: u32,
    /// What is subtracted from the exponent field.
    pub bias: i32,
    /// How NaN and infinity are written, if at all.
    pub specials: Specials,
    values: [f32; 256],
}

/// How a number between two powers of two is rounded to `float8e8m0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum RoundMode {
    /// Away from zero, ONNX's default.
    #[default]
    Up,
    /// Towards zero.
    Down,
    /// To the nearer one; the middle goes up.
    Nearest,
}

impl RoundMode {
    /// The mode that `Cast` calls `up`, `down` or `nearest`.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "up" => Some(Self::Up),
            "down" => Some(Self::Down),
            "nearest" => Some(Self::Nearest),
            _ => None,
        }
    }
}

static FORMATS: [Format; 8] = [
    Format::new(DType::F8E4M3FN, 4, 3, 7, Specials::Nan),
    Format::new(DType::F8E4M3FNUZ, 4, 3, 8, Specials::NanAtNegativeZero),
    Format::new(DType::F8E5M2, 5, 2, 15, Specials::Ieee),
    Format::new(DType::F8E5M2FNUZ, 5, 2, 16, Specials::NanAtNegativeZero),
    Format::new(DType::F8E8M0, 8, 0, 127, Specials::Scale),
    Format::new(DType::F6E2M3, 2, 3, 1, Specials::Finite),
    Format::new(DType::F6E3M2, 3, 2, 3, Specials::Finite),
    Format::new(DType::F4E2M1, 2, 1, 1, Specials::Finite),
];

impl Format {
    /// The format of `dtype`; `None` for types that are no float of eight bits or fewer.
    pub fn of(dtype: DType) -> Option<&'static Self> {
        FORMATS.iter().find(|f| f.dtype == dtype)
    }

    const fn new(dtype: DType, exponent: u32, mantissa: u32, bias: i32, specials: Specials) -> Self {
        let mut format = Self { dtype, exponent, mantissa, bias, specials, values: [0.0; 256] };
        let mut code = 0;
        while code < 256 {
            format.values[code] = format.value(code as u32);
            code += 1;
        }
        format
    }

    /// The values of all codes; bits above the format's width are ignored.
    pub fn values(&self) -> &[f32; 256] {
        &self.values
    }

    /// The value of `code`, exactly; bits above the format's width are ignored.
    ///
    /// ```
    /// use base::{DType, minifloat::Format};
    /// let e4m3 = Format::of(DType::F8E4M3FN).unwrap();
    /// assert_eq!(e4m3.decode(0x38), 1.0);
    /// assert_eq!(e4m3.encode(1.0, true), 0x38);
    /// ```
    #[inline]
    pub fn decode(&self, code: u8) -> f32 {
        self.values[usize::from(code)]
    }

    /// The code nearest to `value`.
    ///
    /// A value out of range becomes the largest number if `saturate`, else infinity, or NaN where the format has no infinity.
    /// `float8e8m0` rounds up; [`encode_e8m0`] has the other modes.
    pub fn encode(&self, value: f32, saturate: bool) -> u8 {
        self.encode_f64(f64::from(value), saturate)
    }

    /// Like [`encode`](Self::encode), rounded once from a double.
    pub fn encode_f64(&self, value: f64, saturate: bool) -> u8 {
        if self.specials == Specials::Scale {
            return encode_e8m0(value as f32, RoundMode::Up, saturate);
        }
        let sign = u8::from(value.is_sign_negative()) << self.magnitude_bits();
        if value.is_nan() {
            return self.nan(sign);
        }
        let code = self.round(value.abs());
        let max = self.max_code();
        if code <= u64::from(max) {
            let zero_is_unsigned = self.specials == Specials::NanAtNegativeZero && code == 0;
            return if zero_is_unsigned { 0 } else { code as u8 | sign };
        }
        if saturate { max | sign } else { self.overflow(sign) }
    }

    /// Bits without the sign.
    const fn magnitude_bits(&self) -> u32 {
        self.exponent + self.mantissa
    }

    /// The code of the largest number.
    const fn max_code(&self) -> u8 {
        let all = (1u16 << self.magnitude_bits()) - 1;
        (match self.specials {
            Specials::Finite | Specials::NanAtNegativeZero => all,
            Specials::Nan | Specials::Scale => all - 1,
            Specials::Ieee => self.infinity() - 1,
        }) as u8
    }

    /// The code that would be infinity: the highest exponent, no mantissa.
    const fn infinity(&self) -> u16 {
        ((1 << self.exponent) - 1) << self.mantissa
    }

    fn nan(&self, sign: u8) -> u8 {
        let magnitude = self.magnitude_bits();
        match self.specials {
            Specials::Finite => 1 << magnitude ^ sign,
            Specials::NanAtNegativeZero => 1 << magnitude,
            Specials::Nan => ((1 << magnitude) - 1) | sign,
            Specials::Ieee => self.infinity() as u8 | 1 << (self.mantissa - 1) | sign,
            Specials::Scale => u8::MAX,
        }
    }

    fn overflow(&self, sign: u8) -> u8 {
        match self.specials {
            Specials::Finite => self.max_code() | sign,
            Specials::Ieee => self.infinity() as u8 | sign,
            Specials::Nan | Specials::NanAtNegativeZero | Specials::Scale => self.nan(sign),
        }
    }

    /// The code of `value` ≥ 0 with ties to even, as if the exponent had no upper end; beyond every code for infinity.
    fn round(&self, value: f64) -> u64 {
        const FRACTION: u32 = f64::MANTISSA_DIGITS - 1;
        let bits = value.to_bits();
        let field = (bits >> FRACTION) as i32;
        if field == 0 {
            return 0; // Zero, or a subnormal double, far below half of the smallest code.
        }
        let significand = (bits & ((1 << FRACTION) - 1)) | 1 << FRACTION;
        let exponent = field - 1023;
        let least = 1 - self.bias;
        let unit = exponent.max(least);
        // One unit in the last place is 2^(unit - mantissa): so many bits of the significand are below it.
        let drop = FRACTION - self.mantissa + (unit - exponent) as u32;
        if drop > FRACTION + 1 {
            return 0;
        }
        let half = 1 << (drop - 1);
        let odd = (significand >> drop) & 1;
        let rounded = (significand + half - 1 + odd) >> drop;
        (((unit - least) as u64) << self.mantissa) + rounded
    }

    /// The value of a code, computed from its fields.
    const fn value(&self, code: u32) -> f32 {
        let magnitude = code & ((1 << self.magnitude_bits()) - 1);
        if matches!(self.specials, Specials::Scale) {
            return match magnitude {
                0 => f32::from_bits(1 << 22),
                255 => f32::NAN,
                exponent => f32::from_bits(exponent << 23),
            };
        }
        let negative = code >> self.magnitude_bits() & 1 == 1;
        let all = (1 << self.magnitude_bits()) - 1;
        let value = match self.specials {
            Specials::NanAtNegativeZero if negative && magnitude == 0 => return f32::NAN,
            Specials::Nan if magnitude == all => f32::NAN,
            Specials::Ieee if magnitude == self.infinity() as u32 => f32::INFINITY,
            Specials::Ieee if magnitude > self.infinity() as u32 => f32::NAN,
            _ => self.finite(magnitude),
        };
        if negative { -value } else { value }
    }

    const fn finite(&self, magnitude: u32) -> f32 {
        let fraction = magnitude & ((1 << self.mantissa) - 1);
        let field = (magnitude >> self.mantissa) as i32;
        let (significand, exponent) = if field == 0 { (fraction, 1) } else { (fraction | 1 << self.mantissa, field) };
        let unit = exponent - self.bias - self.mantissa as i32;
        significand as f32 * f32::from_bits(((unit + 127) as u32) << 23)
    }
}

/// The `float8e8m0` code of `value`: a power of two from 2⁻¹²⁷ to 2¹²⁷.
///
/// Values outside that range (zero and negative numbers lie below it) become its nearer end if `saturate`, else NaN.
pub fn encode_e8m0(value: f32, mode: RoundMode, saturate: bool) -> u8 {
    const NAN: u8 = u8::MAX;
    const MIN_BITS: u32 = 1 << 22;
    const MAX_BITS: u32 = 254 << 23;
    if value.is_nan() {
        return NAN;
    }
    let bits = value.to_bits();
    if value.is_sign_negative() || bits < MIN_BITS {
        return if saturate { 0 } else { NAN };
    }
    if bits > MAX_BITS {
        return if saturate { 254 } else { NAN };
    }
    // Below 2^-126 a float is subnormal: 2^-127 is then the half of its mantissa, not an exponent.
    let (code, rest, middle) = match bits >> 23 {
        0 => (0, bits - MIN_BITS, 1 << 21),
        exponent => (exponent, bits & 0x7f_ffff, 1 << 22),
    };
    let up = match mode {
        RoundMode::Up => rest > 0,
        RoundMode::Down => false,
        RoundMode::Nearest => rest >= middle,
    };
    (code + u32::from(up)) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(dtype: DType) -> &'static Format {
        Format::of(dtype).unwrap()
    }

    /// The codes that a format of this width has.
    fn codes(f: &Format) -> impl Iterator<Item = u8> + use<> {
        0..=((1u32 << f.dtype.bits()) - 1) as u8
    }

    #[test]
    fn only_small_floats_have_a_format() {
        for dtype in DType::all() {
            assert_eq!(Format::of(dtype).is_some(), dtype.is_float() && dtype.bits() <= 8, "{dtype}");
        }
    }

    #[test]
    fn every_code_comes_back() {
        for f in &FORMATS {
            for code in codes(f) {
                let value = f.decode(code);
                for saturate in [true, false] {
                    let back = f.encode(value, saturate);
                    if value.is_nan() {
                        assert!(f.decode(back).is_nan(), "{} {code:#x}", f.dtype);
                    } else if value.is_infinite() && saturate {
                        assert_eq!(back, code - 1, "{}", f.dtype);
                    } else {
                        assert_eq!(back, code, "{} {value}", f.dtype);
                    }
                }
            }
        }
    }

    #[test]
    fn ranges_are_those_of_the_papers() {
        let cases = [
            (DType::F8E4M3FN, 448.0, 2f32.powi(-9), 2),
            (DType::F8E4M3FNUZ, 240.0, 2f32.powi(-10), 1),
            (DType::F8E5M2, 57344.0, 2f32.powi(-16), 6),
            (DType::F8E5M2FNUZ, 57344.0, 2f32.powi(-17), 1),
            (DType::F8E8M0, 2f32.powi(127), 2f32.powi(-127), 1),
            (DType::F6E2M3, 7.5, 0.125, 0),
            (DType::F6E3M2, 28.0, 0.0625, 0),
            (DType::F4E2M1, 6.0, 0.5, 0),
        ];
        for (dtype, max, min, nans) in cases {
            let f = format(dtype);
            let finite = || codes(f).map(|c| f.decode(c)).filter(|v| v.is_finite());
            assert_eq!(finite().fold(0.0, f32::max), max, "{dtype}");
            assert_eq!(finite().filter(|v| *v > 0.0).fold(f32::MAX, f32::min), min, "{dtype}");
            assert_eq!(codes(f).filter(|c| f.decode(*c).is_nan()).count(), nans, "{dtype}");
        }
    }

    #[test]
    fn values_between_two_codes_go_to_the_nearer_and_the_middle_to_the_even_one() {
        for f in FORMATS.iter().filter(|f| f.specials != Specials::Scale) {
            for low in 0..f.max_code() {
                let (a, b) = (f64::from(f.decode(low)), f64::from(f.decode(low + 1)));
                let middle = (a + b) / 2.0;
                let step = (b - a) * 1e-12;
                let even = low + low % 2;
                for (value, code) in [(middle - step, low), (middle, even), (middle + step, low + 1)] {
                    assert_eq!(f.encode_f64(value, false), code, "{} {value}", f.dtype);
                    let negative = if code == 0 && f.specials == Specials::NanAtNegativeZero { 0 } else { code | 1 << f.magnitude_bits() };
                    assert_eq!(f.encode_f64(-value, true), negative, "{} {value}", f.dtype);
                }
                assert_eq!(f.encode(middle as f32, true), even, "{} {middle}", f.dtype);
            }
        }
    }

    /// Codes of NaN, -NaN, ∞, -∞, 10⁹, -10⁹, -0.0 and -10⁻³⁰, as `Cast` has them.
    #[test]
    fn specials_follow_the_tables_of_cast() {
        let values = [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e9, -1e9, -0.0, -1e-30];
        let cases: [(DType, bool, [u8; 8]); 10] = [
            (DType::F8E4M3FN, true, [127, 255, 126, 254, 126, 254, 128, 128]),
            (DType::F8E4M3FN, false, [127, 255, 127, 255, 127, 255, 128, 128]),
            (DType::F8E4M3FNUZ, true, [128, 128, 127, 255, 127, 255, 0, 0]),
            (DType::F8E4M3FNUZ, false, [128, 128, 128, 128, 128, 128, 0, 0]),
            (DType::F8E5M2, true, [126, 254, 123, 251, 123, 251, 128, 128]),
            (DType::F8E5M2, false, [126, 254, 124, 252, 124, 252, 128, 128]),
            (DType::F8E5M2FNUZ, false, [128, 128, 128, 128, 128, 128, 0, 0]),
            (DType::F6E2M3, false, [32, 0, 31, 63, 31, 63, 32, 32]),
            (DType::F6E3M2, true, [32, 0, 31, 63, 31, 63, 32, 32]),
            (DType::F4E2M1, false, [8, 0, 7, 15, 7, 15, 8, 8]),
        ];
        for (dtype, saturate, expected) in cases {
            assert_eq!(values.map(|v| format(dtype).encode(v, saturate)), expected, "{dtype} {saturate}");
        }
    }

    #[test]
    fn what_rounds_down_to_the_maximum_is_in_range() {
        let e4m3 = format(DType::F8E4M3FN);
        assert_eq!([448.0, 464.0, 464.1, 480.0].map(|v| e4m3.encode(v, false)), [126, 126, 127, 127]);
        let e5m2 = format(DType::F8E5M2);
        assert_eq!([57344.0, 61439.0, 61440.0].map(|v| e5m2.encode(v, false)), [0x7b, 0x7b, 0x7c]);
    }

    #[test]
    fn doubles_are_rounded_once() {
        // Halfway between two codes plus less than a float can hold.
        let value = 1.0625 + 1e-12;
        let f = format(DType::F8E4M3FN);
        assert_eq!((f.encode_f64(value, true), f.encode(value as f32, true)), (0x39, 0x38));
        assert_eq!(f.encode_f64(f64::MIN_POSITIVE / 2.0, true), 0);
        assert_eq!(f.encode_f64(-f64::MAX, true), 254);
    }

    #[test]
    fn scales_round_in_three_ways() {
        let values = [1.0, 1.5, 1.4999, 3.0, 5.9e-39, 8.9e-39, f32::MIN_POSITIVE, 1.7e38];
        let cases = [
            (RoundMode::Up, [127, 128, 128, 129, 1, 1, 1, 254]),
            (RoundMode::Down, [127, 127, 127, 128, 0, 0, 1, 253]),
            (RoundMode::Nearest, [127, 128, 127, 129, 0, 1, 1, 254]),
        ];
        for (mode, expected) in cases {
            for saturate in [true, false] {
                assert_eq!(values.map(|v| encode_e8m0(v, mode, saturate)), expected, "{mode:?}");
            }
        }
    }

    #[test]
    fn scales_out_of_range_saturate_or_become_nan() {
        for mode in ["up", "down", "nearest"].map(|name| RoundMode::from_name(name).unwrap()) {
            for (value, end) in [(0.0, 0), (-0.0, 0), (-3.0, 0), (1e-40, 0), (3e38, 254), (f32::INFINITY, 254), (f32::NEG_INFINITY, 0)] {
                assert_eq!((encode_e8m0(value, mode, true), encode_e8m0(value, mode, false)), (end, 255), "{value}");
            }
            assert_eq!(encode_e8m0(f32::NAN, mode, true), 255);
        }
        assert_eq!(RoundMode::from_name("even"), None);
    }

    #[test]
    fn bits_above_the_width_are_ignored() {
        assert_eq!(format(DType::F4E2M1).decode(0xf3), 1.5);
        assert_eq!(format(DType::F6E3M2).decode(0xc0 | 31), 28.0);
    }
}
