// What the kernels share: numbers, indices, and the axes of strided tensors.
#pragma once
#include "prims.cuh"

// Elements that are moved without being looked at, by size.
struct alignas(16) Bytes16 {
    uint64_t low, high;
};

// What a type is computed as. Floats of 16 bits are computed as f32.
template <class T> struct WideOf {
    typedef T type;
};
template <> struct WideOf<__half> {
    typedef float type;
};
template <> struct WideOf<__nv_bfloat16> {
    typedef float type;
};
template <class T> using Wide = typename WideOf<T>::type;

DEVICE float widen(__half x) { return __half2float(x); }
DEVICE float widen(__nv_bfloat16 x) { return __bfloat162float(x); }
template <class T> DEVICE T widen(T x) { return x; }

// The nearest value of `T`, ties to even.
template <class T> struct Narrow {
    DEVICE static T of(Wide<T> x) { return x; }
};
template <> struct Narrow<__half> {
    DEVICE static __half of(float x) { return __float2half_rn(x); }
};
template <> struct Narrow<__nv_bfloat16> {
    DEVICE static __nv_bfloat16 of(float x) { return __float2bfloat16_rn(x); }
};
template <class T> DEVICE T narrow(Wide<T> x) { return Narrow<T>::of(x); }

DEVICE uint64_t first_index() { return blockIdx.x * static_cast<uint64_t>(blockDim.x) + threadIdx.x; }
DEVICE uint64_t index_step() { return gridDim.x * static_cast<uint64_t>(blockDim.x); }

// The axes that `K` tensors are walked along together, outermost first. The Rust side has the same structure: `op::cuda::Axes`.
constexpr int MAX_RANK = 8;
template <int K> struct Axes {
    uint64_t rank;
    uint64_t dims[MAX_RANK];
    int64_t strides[K][MAX_RANK];
};

// Divisions of 32 bits, where they will do, are several times as fast.
DEVICE uint64_t quotient_of(uint64_t a, uint64_t b) {
    return (a | b) >> 32 ? a / b : static_cast<uint32_t>(a) / static_cast<uint32_t>(b);
}

// Where element `i` in row-major order of the first `rank` axes lies in each tensor.
template <int K> DEVICE void locate(const Axes<K>& axes, int rank, uint64_t i, int64_t (&at)[K]) {
    for (int k = 0; k < K; k++) at[k] = 0;
    ROLLED
    for (int axis = rank - 1; axis >= 0; axis--) {
        const uint64_t rest = quotient_of(i, axes.dims[axis]);
        const int64_t here = static_cast<int64_t>(i - rest * axes.dims[axis]);
        for (int k = 0; k < K; k++) at[k] += here * axes.strides[k][axis];
        i = rest;
    }
}

template <int K> DEVICE void locate(const Axes<K>& axes, uint64_t i, int64_t (&at)[K]) {
    locate(axes, static_cast<int>(axes.rank), i, at);
}

// How the values of several threads become one.
struct SumOf {
    template <class R> DEVICE static R none() { return R(0); }
    template <class R> DEVICE static R both(R a, R b) { return a + b; }
};
struct ProductOf {
    template <class R> DEVICE static R none() { return R(1); }
    template <class R> DEVICE static R both(R a, R b) { return a * b; }
};
struct SmallestOf {
    template <class R> DEVICE static R none() { return R(infinity()); }
    // NaN wins.
    template <class R> DEVICE static R both(R a, R b) { return a < b || a != a ? a : b; }
};
struct LargestOf {
    template <class R> DEVICE static R none() { return R(-infinity()); }
    // NaN wins.
    template <class R> DEVICE static R both(R a, R b) { return a > b || a != a ? a : b; }
};

constexpr int WARP = 32;

// One value of the warp from one of each lane; every lane gets it.
template <class Fold, class R> DEVICE R fold_warp(R v) {
    for (int mask = WARP / 2; mask > 0; mask /= 2) v = Fold::both(v, shuffle_xor(v, mask));
    return v;
}

// One value of the block from one of each thread; every thread gets it. The block has whole warps, at most 32.
template <class Fold, class R> DEVICE R fold_block(R v) {
    struct Partial {
        R of_warp[WARP];
    };
    SHARED(Partial, partial);
    v = fold_warp<Fold>(v);
    if (threadIdx.x % WARP == 0) partial.of_warp[threadIdx.x / WARP] = v;
    BLOCK_BARRIER();
    v = partial.of_warp[0];
    for (unsigned warp = 1; warp < blockDim.x / WARP; warp++) v = Fold::both(v, partial.of_warp[warp]);
    // The next fold may write only when everybody has read.
    BLOCK_BARRIER();
    return v;
}
