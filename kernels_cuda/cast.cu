// Conversions between element types: to every float, and between integers. Anything but 0 is true.
#include "packs.cuh"

template <class To> struct Converted {
    template <class R> DEVICE static To of(R x) { return static_cast<To>(x); }
};
template <> struct Converted<bool> {
    template <class R> DEVICE static bool of(R x) { return x != R(0); }
};
template <> struct Converted<__half> {
    DEVICE static __half of(double x) { return narrow<__half>(static_cast<float>(x)); }
};
template <> struct Converted<__nv_bfloat16> {
    DEVICE static __nv_bfloat16 of(double x) { return narrow<__nv_bfloat16>(static_cast<float>(x)); }
};

template <class From, class To> DEVICE void cast(const From* x, To* y, uint64_t n) {
    map_packs(x, y, n, [](From v) { return Converted<To>::of(widen(v)); });
}

#define CAST(from, From, to, To) \
    KERNEL(256, cast_##from##_##to, const From* x, To* y, uint64_t n) { cast<From, To>(x, y, n); }

#define CAST_TO_ALL(from, From) \
    CAST(from, From, f32, float) \
    CAST(from, From, f64, double) \
    CAST(from, From, f16, __half) \
    CAST(from, From, bf16, __nv_bfloat16) \
    CAST(from, From, bool, bool)

#define CAST_TO_INTEGERS(from, From) \
    CAST(from, From, u8, uint8_t) \
    CAST(from, From, i32, int32_t) \
    CAST(from, From, i64, int64_t)

CAST_TO_ALL(f32, float)
CAST_TO_ALL(f64, double)
CAST_TO_ALL(f16, __half)
CAST_TO_ALL(bf16, __nv_bfloat16)
CAST_TO_ALL(bool, bool)
CAST_TO_ALL(u8, uint8_t)
CAST_TO_ALL(i32, int32_t)
CAST_TO_ALL(i64, int64_t)
CAST_TO_INTEGERS(bool, bool)
CAST_TO_INTEGERS(u8, uint8_t)
CAST_TO_INTEGERS(i32, int32_t)
CAST_TO_INTEGERS(i64, int64_t)
