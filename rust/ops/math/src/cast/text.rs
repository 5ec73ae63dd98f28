//! Numbers as text, in the forms that ONNX Runtime writes and reads.

use std::fmt::Write;

use base::{Result, bail, ensure, error};

/// Significant digits of a float as text.
const DIGITS: i32 = 8;

/// Appends `x` with eight significant digits, in scientific notation when the exponent is below -4 or the digits do not reach the point;
/// `NaN`, `INF`, `-INF`.
pub(crate) fn write_float(x: f64, out: &mut String) {
    if x.is_nan() {
        return out.push_str("NaN");
    }
    if x.is_infinite() {
        return out.push_str(if x > 0.0 { "INF" } else { "-INF" });
    }
    let scientific = format!("{x:.*e}", DIGITS as usize - 1);
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..DIGITS).contains(&exponent) {
        let places = (DIGITS - 1 - exponent) as usize;
        let plain = format!("{x:.places$}");
        out.push_str(trimmed(&plain));
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        out.push_str(trimmed(digits));
        // Writing to a string cannot fail.
        let _ = write!(out, "e{sign}{:02}", exponent.abs());
    }
}

/// Without zeros at the end of the fraction.
fn trimmed(number: &str) -> &str {
    if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { number }
}

/// The float that `text` begins with, after blanks: decimal, scientific or hexadecimal, `inf`, `infinity` or `nan` in any case.
///
/// # Errors
/// `RuntimeException` when it begins with none.
pub(crate) fn read_float(text: &str) -> Result<f64> {
    let start = text.trim_ascii_start();
    let (sign, number) = signed(start);
    let lower = number.get(..3).map(str::to_ascii_lowercase);
    let size = match lower.as_deref() {
        Some("inf") => f64::INFINITY,
        Some("nan") => f64::NAN,
        _ => match number.strip_prefix("0x").or_else(|| number.strip_prefix("0X")).and_then(read_hexadecimal) {
            Some(x) => x,
            None => read_decimal(number).ok_or_else(|| error!(RuntimeException, "'{text}' is no number"))?,
        },
    };
    Ok(if sign { -size } else { size })
}

fn signed(text: &str) -> (bool, &str) {
    match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    }
}

/// The longest beginning that is a decimal number.
fn read_decimal(text: &str) -> Option<f64> {
    let digits = |from: usize| text[from..].bytes().take_while(u8::is_ascii_digit).count();
    let whole = digits(0);
    let mut end = whole;
    let mut any = whole;
    if text[end..].starts_with('.') {
        let fraction = digits(end + 1);
        any += fraction;
        end += 1 + fraction;
    }
    if any == 0 {
        return None;
    }
    if text[end..].starts_with(['e', 'E']) {
        let (_, power) = signed(&text[end + 1..]);
        let start = text.len() - power.len();
        let exponent = digits(start);
        end = if exponent > 0 { start + exponent } else { end };
    }
    text[..end].parse().ok()
}

/// The longest beginning that is a hexadecimal number, with a fraction and a power of two perhaps.
fn read_hexadecimal(text: &str) -> Option<f64> {
    let (mut value, mut any, mut point, mut scale, mut end) = (0f64, false, false, 0i32, 0);
    for c in text.chars() {
        match c.to_digit(16) {
            Some(digit) => {
                value = value * 16.0 + f64::from(digit);
                scale -= if point { 4 } else { 0 };
                any = true;
            }
            None if c == '.' && !point => point = true,
            None => break,
        }
        end += 1;
    }
    if !any {
        return None;
    }
    let power = text[end..].strip_prefix(['p', 'P']).and_then(|p| {
        let (sign, digits) = signed(p);
        let count = digits.bytes().take_while(u8::is_ascii_digit).count();
        let power: i32 = digits[..count].parse().ok()?;
        Some(if sign { -power } else { power })
    });
    Some(value * f64::from(scale.saturating_add(power.unwrap_or(0))).exp2())
}

/// The integer that `text` begins with, after blanks.
///
/// # Errors
/// `RuntimeException` when it begins with none, or with one that is no `i64`.
pub(crate) fn read_signed(text: &str) -> Result<i64> {
    let (sign, digits) = integer(text)?;
    let value = digits.parse::<i128>().ok().map(|v| if sign { -v } else { v });
    value.and_then(|v| i64::try_from(v).ok()).ok_or_else(|| error!(RuntimeException, "'{text}' is beyond 64 bits"))
}

/// As [`read_signed`] for `u64`; a negative number wraps around.
///
/// # Errors
/// `RuntimeException` when it begins with none, or with one that is no `u64`.
pub(crate) fn read_unsigned(text: &str) -> Result<u64> {
    let (sign, digits) = integer(text)?;
    let value = digits.parse::<u64>().map_err(|_| error!(RuntimeException, "'{text}' is beyond 64 bits"))?;
    Ok(if sign { value.wrapping_neg() } else { value })
}

/// Sign and digits of the integer that `text` begins with.
fn integer(text: &str) -> Result<(bool, &str)> {
    let (sign, number) = signed(text.trim_ascii_start());
    let count = number.bytes().take_while(u8::is_ascii_digit).count();
    ensure!(count > 0, RuntimeException, "'{text}' is no integer");
    Ok((sign, &number[..count]))
}

/// The truth value that `text` is: `true` and `false` in any case, else whether the number is not zero.
///
/// # Errors
/// `RuntimeException` when it is neither.
pub(crate) fn read_bool(text: &str) -> Result<bool> {
    match text.trim_ascii() {
        t if t.eq_ignore_ascii_case("true") => Ok(true),
        t if t.eq_ignore_ascii_case("false") => Ok(false),
        t => match read_unsigned(t) {
            Ok(n) => Ok(n != 0),
            Err(_) => bail!(RuntimeException, "'{text}' is no truth value"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(x: f64) -> String {
        let mut s = String::new();
        write_float(x, &mut s);
        s
    }

    #[test]
    fn floats_are_written_as_onnx_runtime_does() {
        let f = |x: f32| written(x.into());
        let cases = [
            (1.0, "1"),
            (0.1, "0.1"),
            (1e20, "1e+20"),
            (f32::NAN, "NaN"),
            (f32::INFINITY, "INF"),
            (f32::NEG_INFINITY, "-INF"),
            (-0.0, "-0"),
            (1.0 / 3.0, "0.33333334"),
            (123_456_789.0, "1.2345679e+08"),
            (1e-7, "1e-07"),
            (100_000.0, "100000"),
            (1e7, "10000000"),
            (1e8, "1e+08"),
            (16_777_217.0, "16777216"),
            (0.0001, "9.9999997e-05"),
            (99_999_999.0, "1e+08"),
        ];
        for (x, text) in cases {
            assert_eq!(f(x), text);
        }
        assert_eq!(written(1.0 / 3.0), "0.33333333");
        assert_eq!(written(1e300), "1e+300");
        assert_eq!(written(0.0001), "0.0001");
        assert_eq!(written(99_999_999.6), "1e+08");
        assert_eq!(written(12.5), "12.5");
    }

    #[test]
    fn floats_are_read_from_the_front() {
        let cases = [
            ("1.5", 1.5),
            (" 2", 2.0),
            ("+INF", f64::INFINITY),
            ("-inf", f64::NEG_INFINITY),
            ("1e5", 1e5),
            ("1E-3x", 1e-3),
            ("1e+", 1.0),
            (".5", 0.5),
            ("5.", 5.0),
            ("0x10", 16.0),
            ("0x1.8p1", 3.0),
            ("0xg", 0.0),
            ("1.5abc", 1.5),
            ("1e400", f64::INFINITY),
            ("-0", -0.0),
        ];
        for (text, x) in cases {
            assert_eq!(read_float(text).unwrap(), x, "{text}");
        }
        assert!(read_float("NaN").unwrap().is_nan());
        for text in ["", "abc", ".", "e5", "-", "ä"] {
            assert!(read_float(text).is_err(), "{text}");
        }
    }

    #[test]
    fn integers_are_read_from_the_front() {
        assert_eq!(read_signed(" -3.9").unwrap(), -3);
        assert_eq!(read_signed("-9223372036854775808").unwrap(), i64::MIN);
        assert_eq!(read_unsigned("18446744073709551615").unwrap(), u64::MAX);
        assert_eq!(read_unsigned("-1").unwrap(), u64::MAX);
        assert!(read_signed("9223372036854775808").is_err() && read_signed("x").is_err() && read_unsigned("").is_err());
        assert_eq!((read_bool("TRUE").unwrap(), read_bool("0").unwrap(), read_bool(" 7").unwrap()), (true, false, true));
        assert!(read_bool("yes").is_err());
    }
}
