//! Element-wise, comparison, logic and reduction operators.

pub mod activation;
pub mod along;
pub mod arithmetic;
pub mod bit_cast;
pub mod bit_shift;
pub mod cast;
pub mod classify;
pub mod clip;
pub mod compare;
pub mod det;
mod elementwise;
pub mod erf;
pub mod exponential;
pub mod logic;
pub mod modulo;
pub mod pow;
pub mod reduce;
pub mod rounding;
pub mod sign;
mod special;
pub mod trigonometric;
mod types;
pub mod variadic;

use op::OpDef;

/// The operators of this crate.
pub static OPS: &[&OpDef] = &[
    &activation::elu::CELU,
    &activation::elu::ELU,
    &activation::elu::SELU,
    &activation::gelu::BIAS_GELU,
    &activation::gelu::FAST_GELU,
    &activation::gelu::GELU,
    &activation::gelu::MICROSOFT_GELU,
    &activation::gelu::QUICK_GELU,
    &activation::relu::LEAKY_RELU,
    &activation::relu::P_RELU,
    &activation::relu::RELU,
    &activation::relu::SHRINK,
    &activation::relu::THRESHOLDED_RELU,
    &activation::sigmoid::HARD_SIGMOID,
    &activation::sigmoid::HARD_SWISH,
    &activation::sigmoid::SIGMOID,
    &activation::sigmoid::SWISH,
    &activation::sigmoid::TANH,
    &activation::smooth::MISH,
    &activation::smooth::SOFTPLUS,
    &activation::smooth::SOFTSIGN,
    &along::arg::ARG_MAX,
    &along::arg::ARG_MIN,
    &along::cumulative::CUM_PROD,
    &along::cumulative::CUM_SUM,
    &along::hardmax::HARDMAX,
    &arithmetic::ADD,
    &arithmetic::DIV,
    &arithmetic::MUL,
    &arithmetic::SUB,
    &bit_cast::BIT_CAST,
    &bit_shift::BIT_SHIFT,
    &cast::CAST,
    &cast::CAST_LIKE,
    &classify::IS_INF,
    &classify::IS_NAN,
    &clip::CLIP,
    &compare::EQUAL,
    &compare::GREATER,
    &compare::GREATER_OR_EQUAL,
    &compare::LESS,
    &compare::LESS_OR_EQUAL,
    &det::DET,
    &erf::ERF,
    &exponential::EXP,
    &exponential::LOG,
    &exponential::RECIPROCAL,
    &exponential::SQRT,
    &logic::AND,
    &logic::BITWISE_AND,
    &logic::BITWISE_NOT,
    &logic::BITWISE_OR,
    &logic::BITWISE_XOR,
    &logic::NOT,
    &logic::OR,
    &logic::XOR,
    &modulo::MOD,
    &pow::POW,
    &reduce::REDUCE_L1,
    &reduce::REDUCE_L2,
    &reduce::REDUCE_LOG_SUM,
    &reduce::REDUCE_LOG_SUM_EXP,
    &reduce::REDUCE_MAX,
    &reduce::REDUCE_MEAN,
    &reduce::REDUCE_MIN,
    &reduce::REDUCE_PROD,
    &reduce::REDUCE_SUM,
    &reduce::REDUCE_SUM_SQUARE,
    &rounding::CEIL,
    &rounding::FLOOR,
    &rounding::ROUND,
    &sign::ABS,
    &sign::NEG,
    &sign::SIGN,
    &trigonometric::ACOS,
    &trigonometric::ACOSH,
    &trigonometric::ASIN,
    &trigonometric::ASINH,
    &trigonometric::ATAN,
    &trigonometric::ATANH,
    &trigonometric::COS,
    &trigonometric::COSH,
    &trigonometric::SIN,
    &trigonometric::SINH,
    &trigonometric::TAN,
    &variadic::MAX,
    &variadic::MEAN,
    &variadic::MIN,
    &variadic::SUM,
];
