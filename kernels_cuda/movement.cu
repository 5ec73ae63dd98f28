// Moving elements without looking at them: by axes with strides, by index, by condition.
#include "common.cuh"

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
    for (uint64_t i = first_index(); i < n; i += index_step()) {
        int64_t at[3];
        locate(axes, i, at);
        to[i] = condition[at[0]] ? a[at[1]] : b[at[2]];
    }
}

#define GATHER(size, T, suffix, Index) \
    KERNEL(256, gather_##size##_##suffix, const T* data, const Index* indices, T* to, uint64_t n, uint64_t count, uint64_t len, \
           uint64_t row, Fault* fault, uint32_t node) { \
        gather<T, Index>(data, indices, to, n, count, len, row, fault, node); \
    }

#define MOVEMENT(size, T) \
    KERNEL(256, copy_##size, Axes<2> axes, const T* from, T* to, uint64_t n) { copy<T>(axes, from, to, n); } \
    KERNEL(256, where_##size, Axes<3> axes, const bool* condition, const T* a, const T* b, T* to, uint64_t n) { \
        choose<T>(axes, condition, a, b, to, n); \
    } \
    GATHER(size, T, i32, int32_t) \
    GATHER(size, T, i64, int64_t)

MOVEMENT(1, uint8_t)
MOVEMENT(2, uint16_t)
MOVEMENT(4, uint32_t)
MOVEMENT(8, uint64_t)
MOVEMENT(16, Bytes16)
