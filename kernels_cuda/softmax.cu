// Softmax and LogSoftmax of a tensor seen as `[outer, len, inner]`, whose middle axis is normalized.
#include "rows.cuh"

// Rows that the registers of their threads hold; `inner` is 1.
template <class Threads, int COUNT, class T>
DEVICE void softmax_held(const T* x, T* y, uint64_t rows, uint64_t len, uint32_t log_of) {
    typedef Wide<T> R;
    const uint64_t row = Threads::row();
    if (row >= rows) return;
    Held<Threads, T, COUNT> held;
    held.load_row(x + row * len, len);
    const R largest = held.template fold<LargestOf>(len, [](R v) { return v; });
    if (log_of) {
        const R sum = held.template fold<SumOf>(len, [=](R v) { return exp(v - largest); });
        const R log_sum = log(sum);
        held.each(len, [=](R& v) { v = v - largest - log_sum; });
    } else {
        held.each(len, [=](R& v) { v = exp(v - largest); });
        const R sum = held.template fold<SumOf>(len, [](R v) { return v; });
        held.each(len, [=](R& v) { v = v / sum; });
    }
    held.store_row(y + row * len, len);
}

// Any rows: one block for each.
template <class T> DEVICE void softmax(const T* x, T* y, uint64_t len, uint64_t inner, uint32_t log_of) {
    typedef Wide<T> R;
    const uint64_t start = blockIdx.x / inner * len * inner + blockIdx.x % inner;
    R largest = LargestOf::none<R>();
    for (uint64_t i = threadIdx.x; i < len; i += blockDim.x) largest = LargestOf::both(largest, R(widen(x[start + i * inner])));
    largest = fold_block<LargestOf>(largest);
    R sum = 0;
    for (uint64_t i = threadIdx.x; i < len; i += blockDim.x) sum += exp(R(widen(x[start + i * inner])) - largest);
    sum = fold_block<SumOf>(sum);
    const R log_sum = log(sum);
    for (uint64_t i = threadIdx.x; i < len; i += blockDim.x) {
        const R above = R(widen(x[start + i * inner])) - largest;
        y[start + i * inner] = narrow<T>(log_of ? above - log_sum : exp(above) / sum);
    }
}

#define SOFTMAX_HELD(by, suffix, T, Threads, count) \
    KERNEL(256, softmax_##by##_##suffix, const T* x, T* y, uint64_t rows, uint64_t len, uint32_t log_of) { \
        softmax_held<Threads, count>(x, y, rows, len, log_of); \
    }

#define SOFTMAX(suffix, T) \
    SOFTMAX_HELD(by_warp, suffix, T, WarpOfRow, OF_WARP<T>) \
    SOFTMAX_HELD(by_block, suffix, T, BlockOfRow, OF_BLOCK<T>) \
    SOFTMAX_HELD(by_large_block, suffix, T, BlockOfRow, OF_LARGE_BLOCK<T>) \
    KERNEL(256, softmax_##suffix, const T* x, T* y, uint64_t len, uint64_t inner, uint32_t log_of) { \
        softmax<T>(x, y, len, inner, log_of); \
    }

SOFTMAX(f32, float)
SOFTMAX(f64, double)
SOFTMAX(f16, __half)
SOFTMAX(bf16, __nv_bfloat16)
