// Reductions: one block for each element of the result.
#include "common.cuh"

// `kept` and `reduced` are the axes of the input that stay and that go; `count` elements make up one of the result.
template <class Fold, class T>
DEVICE void reduce(const Axes<1>& kept, const Axes<1>& reduced, const T* x, T* y, uint64_t count, bool mean) {
    typedef Wide<T> R;
    int64_t start[1];
    locate(kept, blockIdx.x, start);
    R v = Fold::template none<R>();
    ROLLED
    for (uint64_t i = threadIdx.x; i < count; i += blockDim.x) {
        int64_t at[1];
        locate(reduced, i, at);
        v = Fold::both(v, R(widen(x[start[0] + at[0]])));
    }
    v = fold_block<Fold>(v);
    if (threadIdx.x == 0) y[blockIdx.x] = narrow<T>(mean ? v / R(count) : v);
}

#define REDUCE_OF(name, Fold, suffix, T, mean) \
    KERNEL(256, reduce_##name##_##suffix, Axes<1> kept, Axes<1> reduced, const T* x, T* y, uint64_t count) { \
        reduce<Fold, T>(kept, reduced, x, y, count, mean); \
    }

#define REDUCE(name, Fold, mean) \
    REDUCE_OF(name, Fold, f32, float, mean) \
    REDUCE_OF(name, Fold, f64, double, mean) \
    REDUCE_OF(name, Fold, f16, __half, mean) \
    REDUCE_OF(name, Fold, bf16, __nv_bfloat16, mean)

REDUCE(ReduceSum, SumOf, false)
REDUCE(ReduceMean, SumOf, true)
