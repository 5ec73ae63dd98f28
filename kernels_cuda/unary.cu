// Functions of each element of one tensor. `a` and `b` are the parameters of the operator, if it has any.
#include "functions.cuh"
#include "packs.cuh"

template <class T, class F> DEVICE void map(const T* x, T* y, uint64_t n, float a, float b) {
    typedef Wide<T> R;
    map_packs(x, y, n, [=](T v) { return narrow<T>(F::of(R(widen(v)), R(a), R(b))); });
}

#define UNARY_OF(name, suffix, T) \
    KERNEL(256, unary_##name##_##suffix, const T* x, T* y, uint64_t n, float a, float b) { map<T, name##Function>(x, y, n, a, b); }

// The operator `name`, of every float type.
#define UNARY(name, expression) \
    struct name##Function { \
        template <class R> DEVICE static R of(R x, [[maybe_unused]] R a, [[maybe_unused]] R b) { return expression; } \
    }; \
    UNARY_OF(name, f32, float) \
    UNARY_OF(name, f64, double) \
    UNARY_OF(name, f16, __half) \
    UNARY_OF(name, bf16, __nv_bfloat16)

UNARY(Abs, fabs(x))
UNARY(Neg, -x)
UNARY(Sign, x > R(0) ? R(1) : x < R(0) ? R(-1) : x)
UNARY(Ceil, ceil(x))
UNARY(Floor, floor(x))
UNARY(Round, rint(x))
UNARY(Exp, exp(x))
UNARY(Log, log(x))
UNARY(Sqrt, sqrt(x))
UNARY(Reciprocal, R(1) / x)
UNARY(Erf, erf(x))
UNARY(Sin, sin(x))
UNARY(Cos, cos(x))
UNARY(Tan, tan(x))
UNARY(Asin, asin(x))
UNARY(Acos, acos(x))
UNARY(Atan, atan(x))
UNARY(Sinh, sinh(x))
UNARY(Cosh, cosh(x))
UNARY(Tanh, tanh(x))
UNARY(Asinh, asinh(x))
UNARY(Acosh, acosh(x))
UNARY(Atanh, atanh(x))
UNARY(Sigmoid, sigmoid(x))
UNARY(Softplus, softplus(x))
UNARY(Softsign, softsign(x))
UNARY(Relu, relu(x))
UNARY(LeakyRelu, leaky_relu(x, a))
UNARY(ThresholdedRelu, x > a || x != x ? x : R(0))
UNARY(Elu, elu(x, a))
UNARY(Selu, b * elu(x, a))
UNARY(Celu, x >= R(0) ? x : a * expm1(x / a))
UNARY(Mish, x * tanh(softplus(x)))
UNARY(Shrink, x > b ? x - a : x < -b ? x + a : R(0))
UNARY(HardSigmoid, hard_sigmoid(x, a, b))
UNARY(HardSwish, hard_swish(x))
UNARY(Swish, swish(x, a))
UNARY(QuickGelu, swish(x, a))
UNARY(FastGelu, gelu_tanh(x))
UNARY(Gelu, a == R(0) ? gelu(x) : gelu_tanh(x))

// What is not a float.
#define BITS(name, suffix, T, expression) \
    KERNEL(256, unary_##name##_##suffix, const T* from, T* y, uint64_t n, float, float) { \
        map_packs(from, y, n, [](T x) { return static_cast<T>(expression); }); \
    }

BITS(Not, bool, bool, !x)
BITS(BitwiseNot, u8, uint8_t, ~x)
BITS(BitwiseNot, i32, int32_t, ~x)
BITS(BitwiseNot, i64, int64_t, ~x)
BITS(Neg, i32, int32_t, static_cast<int32_t>(0u - static_cast<uint32_t>(x)))
BITS(Neg, i64, int64_t, static_cast<int64_t>(uint64_t{0} - static_cast<uint64_t>(x)))
BITS(Abs, i32, int32_t, x < 0 ? static_cast<int32_t>(0u - static_cast<uint32_t>(x)) : x)
BITS(Abs, i64, int64_t, x < 0 ? static_cast<int64_t>(uint64_t{0} - static_cast<uint64_t>(x)) : x)

// What follows a product that another library has computed, in place.
#define ACTIVATE(suffix, T) \
    KERNEL(256, activate_##suffix, T* y, uint64_t n, uint32_t activation, float p, float q) { \
        typedef Wide<T> R; \
        map_packs(y, y, n, [=](T v) { return narrow<T>(activate(activation, R(widen(v)), R(p), R(q))); }); \
    }

ACTIVATE(f32, float)
ACTIVATE(f16, __half)
ACTIVATE(bf16, __nv_bfloat16)
