// Softmax and LogSoftmax: one block for each row of a tensor seen as `[outer, len, inner]`, whose middle axis is normalized.
#include "common.cuh"

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

#define SOFTMAX(suffix, T) \
    KERNEL(256, softmax_##suffix, const T* x, T* y, uint64_t len, uint64_t inner, uint32_t log_of) { \
        softmax<T>(x, y, len, inner, log_of); \
    }

SOFTMAX(f32, float)
SOFTMAX(f64, double)
SOFTMAX(f16, __half)
SOFTMAX(bf16, __nv_bfloat16)
