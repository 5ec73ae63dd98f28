// Functions of each pair of elements of two tensors that are broadcast to the shape of the result.
#include "functions.cuh"
#include "packs.cuh"

template <class F, class T, class Out> DEVICE void zip(const Axes<2>& axes, const T* a, const T* b, Out* y, uint64_t n) {
    constexpr int P = pack_size<T, Out>();
    const int64_t a_stride = last_stride(axes, 0), b_stride = last_stride(axes, 1);
    for_each_pack<P>(axes, n, [&](const int64_t (&at)[2], uint64_t i, uint64_t left) {
        const Pack<T, P> left_hand = load_along<P>(a + at[0], a_stride, left);
        const Pack<T, P> right_hand = load_along<P>(b + at[1], b_stride, left);
        Pack<Out, P> out;
        UNROLLED
        for (int e = 0; e < P; e++) out.of[e] = narrow<Out>(F::of(widen(left_hand.of[e]), widen(right_hand.of[e])));
        store(y + i, out, left);
    });
}

#define BINARY_OF(name, suffix, T, Out) \
    KERNEL(256, binary_##name##_##suffix, Axes<2> axes, const T* a, const T* b, Out* y, uint64_t n) { \
        zip<name##Function, T, Out>(axes, a, b, y, n); \
    }

#define FUNCTION(name, Out, expression) \
    struct name##Function { \
        template <class R> DEVICE static Out of(R a, R b) { return expression; } \
    };

#define FLOATS(name) \
    BINARY_OF(name, f32, float, float) \
    BINARY_OF(name, f64, double, double) \
    BINARY_OF(name, f16, __half, __half) \
    BINARY_OF(name, bf16, __nv_bfloat16, __nv_bfloat16)

#define INTEGERS(name) \
    BINARY_OF(name, i32, int32_t, int32_t) \
    BINARY_OF(name, i64, int64_t, int64_t)

#define PREDICATE(name, expression) \
    FUNCTION(name, bool, expression) \
    BINARY_OF(name, f32, float, bool) \
    BINARY_OF(name, f64, double, bool) \
    BINARY_OF(name, f16, __half, bool) \
    BINARY_OF(name, bf16, __nv_bfloat16, bool) \
    BINARY_OF(name, i32, int32_t, bool) \
    BINARY_OF(name, i64, int64_t, bool)

// Integers wrap around: they are computed without sign.
template <class R> struct Ring {
    typedef R type;
};
template <> struct Ring<int32_t> {
    typedef uint32_t type;
};
template <> struct Ring<int64_t> {
    typedef uint64_t type;
};

template <class R> DEVICE R plus(R a, R b) { return R(typename Ring<R>::type(a) + typename Ring<R>::type(b)); }
template <class R> DEVICE R minus(R a, R b) { return R(typename Ring<R>::type(a) - typename Ring<R>::type(b)); }
template <class R> DEVICE R times(R a, R b) { return R(typename Ring<R>::type(a) * typename Ring<R>::type(b)); }

// Integers round towards zero; one divided by zero is zero, and the smallest divided by -1 is itself.
template <class R> DEVICE R whole_quotient(R a, R b) { return b == 0 ? R(0) : b == -1 ? minus(R(0), a) : a / b; }
DEVICE float quotient(float a, float b) { return a / b; }
DEVICE double quotient(double a, double b) { return a / b; }
DEVICE int32_t quotient(int32_t a, int32_t b) { return whole_quotient(a, b); }
DEVICE int64_t quotient(int64_t a, int64_t b) { return whole_quotient(a, b); }

FUNCTION(Add, R, plus(a, b))
FLOATS(Add) INTEGERS(Add)
FUNCTION(Sub, R, minus(a, b))
FLOATS(Sub) INTEGERS(Sub)
FUNCTION(Mul, R, times(a, b))
FLOATS(Mul) INTEGERS(Mul)
FUNCTION(Div, R, quotient(a, b))
FLOATS(Div) INTEGERS(Div)
FUNCTION(PRelu, R, a >= R(0) || a != a ? a : a * b)
FLOATS(PRelu)
FUNCTION(BiasGelu, R, gelu(a + b))
FLOATS(BiasGelu)
FUNCTION(FastGelu, R, gelu_tanh(a + b))
FLOATS(FastGelu)

PREDICATE(Equal, a == b)
PREDICATE(Less, a < b)
PREDICATE(LessOrEqual, a <= b)
PREDICATE(Greater, a > b)
PREDICATE(GreaterOrEqual, a >= b)
