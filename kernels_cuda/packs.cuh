// Neighbouring elements that a thread handles together: memory is fastest when each thread asks for 16 bytes at a time.
#pragma once
#include "common.cuh"

template <class T, int count> struct alignas(count * sizeof(T)) Pack {
    T of[count];
};

// How many elements of these types a thread handles together: 16 bytes of the larger one. Functions of several doubles would not keep
// to registers.
template <class... T> constexpr int pack_size() {
    unsigned long largest = 2;
    ((largest = sizeof(T) > largest ? sizeof(T) : largest), ...);
    return largest > 4 ? 1 : 16 / static_cast<int>(largest);
}

// Whether a pack lies at `p` as its type wants it.
template <int count, class T> DEVICE bool is_aligned(const T* p) { return reinterpret_cast<uint64_t>(p) % (count * sizeof(T)) == 0; }

// Elements that lie `stride` apart from `p` on, where `left` are, at least one. What lies behind the last is like the first.
template <int count, class T> DEVICE Pack<T, count> load_along(const T* p, int64_t stride, uint64_t left) {
    if (stride == 1 && left >= count && is_aligned<count>(p)) return *reinterpret_cast<const Pack<T, count>*>(p);
    Pack<T, count> r;
    UNROLLED
    for (int e = 0; e < count; e++) r.of[e] = p[static_cast<uint64_t>(e) < left ? e * stride : 0];
    return r;
}

// The same of neighbours.
template <int count, class T> DEVICE Pack<T, count> load(const T* p, uint64_t left) { return load_along<count>(p, 1, left); }

// Stores the first `left` elements of a pack.
template <int count, class T> DEVICE void store(T* p, const Pack<T, count>& pack, uint64_t left) {
    if (left >= count && is_aligned<count>(p)) {
        *reinterpret_cast<Pack<T, count>*>(p) = pack;
        return;
    }
    UNROLLED
    for (int e = 0; e < count; e++) {
        if (static_cast<uint64_t>(e) < left) p[e] = pack.of[e];
    }
}

// `y[i] = f(x[i])` for `n` elements.
template <class In, class Out, class F> DEVICE void map_packs(const In* x, Out* y, uint64_t n, const F& f) {
    constexpr int P = pack_size<In, Out>();
    for (uint64_t i = first_index() * P; i < n; i += index_step() * P) {
        const Pack<In, P> in = load<P>(x + i, n - i);
        Pack<Out, P> out;
        UNROLLED
        for (int e = 0; e < P; e++) out.of[e] = f(in.of[e]);
        store(y + i, out, n - i);
    }
}

// Calls `f(at, i, left)` for packs of `P` elements along the last axis: where they begin in each tensor, which one of all elements is
// the first, and how many are left on the axis. `n` is the number of all.
template <int P, int K, class F> DEVICE void for_each_pack(const Axes<K>& axes, uint64_t n, const F& f) {
    const int last = static_cast<int>(axes.rank) - 1;
    const uint64_t line = last < 0 ? 1 : axes.dims[last];
    const uint64_t across = (line + P - 1) / P;
    const uint64_t packs = n / line * across;
    for (uint64_t i = first_index(); i < packs; i += index_step()) {
        const uint64_t row = quotient_of(i, across);
        const uint64_t column = (i - row * across) * P;
        int64_t at[K];
        locate(axes, last, row, at);
        for (int k = 0; k < K; k++) at[k] += last < 0 ? 0 : static_cast<int64_t>(column) * axes.strides[k][last];
        f(at, row * line + column, line - column);
    }
}

// The distance of neighbours on the last axis.
template <int K> DEVICE int64_t last_stride(const Axes<K>& axes, int k) { return axes.rank == 0 ? 0 : axes.strides[k][axes.rank - 1]; }
