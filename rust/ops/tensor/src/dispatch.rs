//! From an element type to the Rust type that represents it.

/// Evaluates `$body` with `$t` standing for the Rust type of `$dtype`, a number but not a complex one; `$other` for other types.
macro_rules! with_number {
    ($dtype:expr, $t:ident => $body:expr, _ => $other:expr) => {
        $crate::dispatch::with_type!($dtype, $t => $body, _ => $other,
            F32: f32, F64: f64, F16: half::f16, BF16: half::bf16,
            I8: i8, I16: i16, I32: i32, I64: i64, U8: u8, U16: u16, U32: u32, U64: u64)
    };
}

/// Evaluates `$body` with `$t` standing for the Rust type of `$dtype` out of a list; `$other` for other types.
macro_rules! with_type {
    ($dtype:expr, $t:ident => $body:expr, _ => $other:expr, $($d:ident: $rust:ty),+) => {
        match $dtype {
            $(base::DType::$d => {
                type $t = $rust;
                $body
            })+
            _ => $other,
        }
    };
}

pub(crate) use {with_number, with_type};
