// Rows whose elements the threads that share a row keep in registers, so that memory is read once.
#pragma once
#include "packs.cuh"

// The threads of a row: a warp, of which a block has several, or the whole block.
struct WarpOfRow {
    static constexpr int THREADS = WARP;
    DEVICE static uint64_t row() { return blockIdx.x * uint64_t(blockDim.x / WARP) + threadIdx.x / WARP; }
    DEVICE static int rank() { return threadIdx.x % WARP; }
    template <class Fold, class R> DEVICE static R fold(R v) { return fold_warp<Fold>(v); }
};
struct BlockOfRow {
    static constexpr int THREADS = 256;
    DEVICE static uint64_t row() { return blockIdx.x; }
    DEVICE static int rank() { return threadIdx.x; }
    template <class Fold, class R> DEVICE static R fold(R v) { return fold_block<Fold>(v); }
};

// How many elements of a row a thread keeps at most: of a warp, of a block, and of a block for large rows. The fewer there can be, the
// more rows are under way at a time; doubles take twice the registers. The Rust side has the same numbers: `op::cuda::Rows`.
template <class T> constexpr int OF_WARP = sizeof(T) == 8 ? 8 : 16;
template <class T> constexpr int OF_BLOCK = 8;
template <class T> constexpr int OF_LARGE_BLOCK = sizeof(T) == 8 ? 16 : 32;

// The elements of a row of `T` that one of the `Threads` keeps: packs, one from each thread in turn.
template <class Threads, class T, int COUNT> struct Held {
    typedef Wide<T> R;
    static constexpr int P = pack_size<T>();
    static constexpr int PACKS = COUNT / P;
    R of[COUNT] = {};

    // Calls `f(first, i)` for those packs that there are, with the index of the first element here and in the row.
    template <class F> DEVICE static void each_pack(uint64_t len, const F& f) {
        UNROLLED
        for (int pack = 0; pack < PACKS; pack++) {
            const uint64_t i = (static_cast<uint64_t>(pack) * Threads::THREADS + Threads::rank()) * P;
            if (i < len) f(pack * P, i);
        }
    }

    // Calls `f(v)` for those elements that there are.
    template <class F> DEVICE void each(uint64_t len, const F& f) {
        each_pack(len, [&](int first, uint64_t i) {
            UNROLLED
            for (int e = 0; e < P; e++) {
                if (i + e < len) f(of[first + e]);
            }
        });
    }

    // Calls `f(v, w)` for elements with those of the row `other`.
    template <class F> DEVICE void each_with(const T* other, uint64_t len, const F& f) {
        each_pack(len, [&](int first, uint64_t i) {
            const Pack<T, P> pack = load<P>(other + i, len - i);
            UNROLLED
            for (int e = 0; e < P; e++) f(of[first + e], R(widen(pack.of[e])));
        });
    }

    DEVICE void load_row(const T* row, uint64_t len) {
        each_with(row, len, [](R& v, R w) { v = w; });
    }
    DEVICE void add_row(const T* row, uint64_t len) {
        each_with(row, len, [](R& v, R w) { v += w; });
    }
    DEVICE void multiply_row(const T* row, uint64_t len) {
        each_with(row, len, [](R& v, R w) { v *= w; });
    }

    DEVICE void store_row(T* row, uint64_t len) const {
        each_pack(len, [&](int first, uint64_t i) {
            Pack<T, P> pack;
            UNROLLED
            for (int e = 0; e < P; e++) pack.of[e] = narrow<T>(of[first + e]);
            store(row + i, pack, len - i);
        });
    }

    // One value from all elements of the row: what `f` makes of each, folded.
    template <class Fold, class F> DEVICE R fold(uint64_t len, const F& f) {
        R folded = Fold::template none<R>();
        each(len, [&](R v) { folded = Fold::both(folded, f(v)); });
        return Threads::template fold<Fold>(folded);
    }
};
