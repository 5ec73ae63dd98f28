// Functions of each element of one tensor. `a` and `b` are the parameters of the operator, if it has any.
#include "functions.cuh"

template <class T, class F> DEVICE void map(const T* x, T* y, uint64_t n, float a, float b) {
    typedef Wide<T> R;
    for (uint64_t i = first_index(); i < n; i += index_step()) y[i] = narrow<T>(F::of(R(widen(x[i])), R(a), R(b)));
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
UNARY(Tanh, tanh(x))
UNARY(Sigmoid, sigmoid(x))
UNARY(Softplus, softplus(x))
UNARY(Softsign, softsign(x))
UNARY(Relu, relu(x))
UNARY(LeakyRelu, leaky_relu(x, a))
UNARY(ThresholdedRelu, x > a || x != x ? x : R(0))
UNARY(Elu, elu(x, a))
UNARY(HardSigmoid, hard_sigmoid(x, a, b))
UNARY(HardSwish, hard_swish(x))
UNARY(Swish, swish(x, a))
UNARY(QuickGelu, swish(x, a))
UNARY(Gelu, a == R(0) ? gelu(x) : gelu_tanh(x))
