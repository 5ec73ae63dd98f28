// Reductions: one block for each element of the result.
#include "common.cuh"

// Each reduction: what becomes of an element, how two become one, and what becomes of the whole of `count` elements.
template <class FoldOf> struct Plain {
    typedef FoldOf Fold;
    template <class R> DEVICE static R of(R x) { return x; }
    template <class R> DEVICE static R whole(R v, uint64_t) { return v; }
};
struct ReduceSum : Plain<SumOf> {};
struct ReduceProd : Plain<ProductOf> {};
struct ReduceMax : Plain<LargestOf> {};
struct ReduceMin : Plain<SmallestOf> {};
struct ReduceMean : Plain<SumOf> {
    template <class R> DEVICE static R whole(R v, uint64_t count) { return v / R(count); }
};
struct ReduceL1 : Plain<SumOf> {
    template <class R> DEVICE static R of(R x) { return fabs(x); }
};
struct ReduceSumSquare : Plain<SumOf> {
    template <class R> DEVICE static R of(R x) { return x * x; }
};
struct ReduceL2 : ReduceSumSquare {
    template <class R> DEVICE static R whole(R v, uint64_t) { return sqrt(v); }
};
struct ReduceLogSum : Plain<SumOf> {
    template <class R> DEVICE static R whole(R v, uint64_t) { return log(v); }
};

// What of the input goes into one element of the result: `kept` and `reduced` are the axes that stay and that go.
template <class T> struct Part {
    const Axes<1>& reduced;
    const T* x;
    int64_t start;
    uint64_t count;

    DEVICE Part(const Axes<1>& kept, const Axes<1>& reduced, const T* x, uint64_t count) : reduced(reduced), x(x), count(count) {
        int64_t at[1];
        locate(kept, blockIdx.x, at);
        start = at[0];
    }

    DEVICE Wide<T> at(uint64_t i) const {
        int64_t at[1];
        locate(reduced, i, at);
        return Wide<T>(widen(x[start + at[0]]));
    }
};

template <class Reduction, class T> DEVICE void reduce(const Part<T>& part, T* y) {
    typedef typename Reduction::Fold Fold;
    typedef Wide<T> R;
    R v = Fold::template none<R>();
    ROLLED
    for (uint64_t i = threadIdx.x; i < part.count; i += blockDim.x) v = Fold::both(v, Reduction::of(part.at(i)));
    v = fold_block<Fold>(v);
    if (threadIdx.x == 0) y[blockIdx.x] = narrow<T>(Reduction::whole(v, part.count));
}

// The logarithm of the sum of exponentials, without overflow: the largest is taken out first.
template <class T> DEVICE void reduce_log_sum_exp(const Part<T>& part, T* y) {
    typedef Wide<T> R;
    R largest = LargestOf::none<R>();
    ROLLED
    for (uint64_t i = threadIdx.x; i < part.count; i += blockDim.x) largest = LargestOf::both(largest, part.at(i));
    largest = fold_block<LargestOf>(largest);
    const bool finite = fabs(largest) < R(infinity());
    R sum = 0;
    ROLLED
    for (uint64_t i = threadIdx.x; i < part.count; i += blockDim.x) sum += finite ? exp(part.at(i) - largest) : R(0);
    sum = fold_block<SumOf>(sum);
    if (threadIdx.x == 0) y[blockIdx.x] = narrow<T>(finite ? largest + log(sum) : largest);
}

#define REDUCE_OF(name, suffix, T) \
    KERNEL(256, reduce_##name##_##suffix, Axes<1> kept, Axes<1> reduced, const T* x, T* y, uint64_t count) { \
        reduce<name, T>(Part<T>(kept, reduced, x, count), y); \
    }

#define LOG_SUM_EXP_OF(suffix, T) \
    KERNEL(256, reduce_ReduceLogSumExp_##suffix, Axes<1> kept, Axes<1> reduced, const T* x, T* y, uint64_t count) { \
        reduce_log_sum_exp<T>(Part<T>(kept, reduced, x, count), y); \
    }

#define REDUCE(name) \
    REDUCE_OF(name, f32, float) \
    REDUCE_OF(name, f64, double) \
    REDUCE_OF(name, f16, __half) \
    REDUCE_OF(name, bf16, __nv_bfloat16)

REDUCE(ReduceSum)
REDUCE(ReduceMean)
REDUCE(ReduceProd)
REDUCE(ReduceMax)
REDUCE(ReduceMin)
REDUCE(ReduceL1)
REDUCE(ReduceL2)
REDUCE(ReduceSumSquare)
REDUCE(ReduceLogSum)
LOG_SUM_EXP_OF(f32, float)
LOG_SUM_EXP_OF(f64, double)
LOG_SUM_EXP_OF(f16, __half)
LOG_SUM_EXP_OF(bf16, __nv_bfloat16)
