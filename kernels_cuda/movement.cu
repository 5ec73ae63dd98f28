// Moving elements without looking at them: by axes with strides, by index, by condition.
#include "packs.cuh"

constexpr int THREADS = 256;

template <class T> DEVICE void copy(const Axes<2>& axes, const T* from, T* to, uint64_t n) {
    for (uint64_t i = first_index(); i < n; i += index_step()) {
        int64_t at[2];
        locate(axes, i, at);
        to[at[1]] = from[at[0]];
    }
}

// The first index out of range that a kernel met; `node` is 0 as long as there is none. The host reads it when it waits for results.
struct Fault {
    uint32_t node;
    uint32_t input;
    int64_t index;
    uint64_t len;
};

// `to[o, j, ..] = data[o, indices[j], ..]`, rows of `row` elements. An index out of range gives zeros and is reported.
template <class T, class Index>
DEVICE void gather(const T* data, const Index* indices, T* to, uint64_t n, uint64_t count, uint64_t len, uint64_t row, Fault* fault,
                   uint32_t node) {
    for (uint64_t i = first_index(); i < n; i += index_step()) {
        const uint64_t column = i % row;
        const uint64_t which = i / row % count;
        const uint64_t outer = i / row / count;
        const int64_t given = indices[which];
        const int64_t index = given < 0 ? given + static_cast<int64_t>(len) : given;
        if (index >= 0 && index < static_cast<int64_t>(len)) {
            to[i] = data[(outer * len + index) * row + column];
        } else {
            to[i] = T{};
            if (claim_word(&fault->node, node)) {
                fault->input = 1;
                fault->index = given;
                fault->len = len;
            }
        }
    }
}

template <class T> DEVICE void choose(const Axes<3>& axes, const bool* condition, const T* a, const T* b, T* to, uint64_t n) {
    constexpr int P = pack_size<T>();
    for_each_pack<P>(axes, n, [&](const int64_t (&at)[3], uint64_t i, uint64_t left) {
        const Pack<bool, P> chosen = load_along<P>(condition + at[0], last_stride(axes, 0), left);
        const Pack<T, P> here = load_along<P>(a + at[1], last_stride(axes, 1), left);
        const Pack<T, P> there = load_along<P>(b + at[2], last_stride(axes, 2), left);
        Pack<T, P> out;
        UNROLLED
        for (int e = 0; e < P; e++) out.of[e] = chosen.of[e] ? here.of[e] : there.of[e];
        store(to + i, out, left);
    });
}

// Two axes that change places: neighbours along `p` lie together in what is read, those along `q` in what is written.
struct Swap {
    uint64_t p, q;
    int64_t from_q, to_p;
};

// Copies a square of the two axes by way of shared memory, so that both sides see whole lines. Blocks are numbered along `p`, then `q`,
// then the other axes.
template <class T> DEVICE void swap(const Axes<2>& others, const Swap& swap, const T* from, T* to) {
    constexpr int SIDE = sizeof(T) < 4 ? 64 : 32;
    struct Square {
        T line[SIDE][SIDE + (sizeof(T) < 4 ? 4 / sizeof(T) : 1)];
    };
    SHARED(Square, square);
    const uint64_t across = (swap.p + SIDE - 1) / SIDE, down = (swap.q + SIDE - 1) / SIDE;
    const uint64_t row = quotient_of(blockIdx.x, across);
    const uint64_t other = quotient_of(row, down);
    const uint64_t first_p = (blockIdx.x - row * across) * SIDE, first_q = (row - other * down) * SIDE;
    int64_t at[2];
    locate(others, other, at);
    const uint64_t place = threadIdx.x % SIDE;
    UNROLLED
    for (uint64_t line = threadIdx.x / SIDE; line < SIDE; line += THREADS / SIDE) {
        const uint64_t p = first_p + place, q = first_q + line;
        const int64_t source = at[0] + static_cast<int64_t>(q) * swap.from_q + static_cast<int64_t>(p);
        if (p < swap.p && q < swap.q) square.line[line][place] = from[source];
    }
    BLOCK_BARRIER();
    UNROLLED
    for (uint64_t line = threadIdx.x / SIDE; line < SIDE; line += THREADS / SIDE) {
        const uint64_t p = first_p + line, q = first_q + place;
        const int64_t target = at[1] + static_cast<int64_t>(p) * swap.to_p + static_cast<int64_t>(q);
        if (p < swap.p && q < swap.q) to[target] = square.line[place][line];
    }
}

#define GATHER(size, T, suffix, Index) \
    KERNEL(THREADS, gather_##size##_##suffix, const T* data, const Index* indices, T* to, uint64_t n, uint64_t count, uint64_t len, \
           uint64_t row, Fault* fault, uint32_t node) { \
        gather<T, Index>(data, indices, to, n, count, len, row, fault, node); \
    }

#define MOVEMENT(size, T) \
    KERNEL(THREADS, copy_##size, Axes<2> axes, const T* from, T* to, uint64_t n) { copy<T>(axes, from, to, n); } \
    KERNEL(THREADS, swap_##size, Axes<2> others, Swap axes, const T* from, T* to) { swap<T>(others, axes, from, to); } \
    KERNEL(THREADS, where_##size, Axes<3> axes, const bool* condition, const T* a, const T* b, T* to, uint64_t n) { \
        choose<T>(axes, condition, a, b, to, n); \
    } \
    GATHER(size, T, i32, int32_t) \
    GATHER(size, T, i64, int64_t)

MOVEMENT(1, uint8_t)
MOVEMENT(2, uint16_t)
MOVEMENT(4, uint32_t)
MOVEMENT(8, uint64_t)
MOVEMENT(16, Bytes16)
