// LayerNormalization and its kin: rows are brought to mean 0 and variance 1, then scaled and shifted.
#include "normalize.cuh"
#include "rows.cuh"

// Rows that the registers of their threads hold.
template <class Threads, int COUNT, class T> DEVICE void normalize_held(const Row<T>& row) {
    typedef Wide<T> R;
    const uint64_t number = Threads::row(), start = number * row.len, len = row.len;
    if (number >= row.rows) return;
    Held<Threads, T, COUNT> held;
    held.load_row(row.x + start, len);
    if (row.skip) held.add_row(row.skip + start % row.skip_len, len);
    if (row.bias) held.add_row(row.bias, len);
    if (row.sum) held.store_row(row.sum + start, len);
    const R mean = row.simplified ? R(0) : held.template fold<SumOf>(len, [](R v) { return v; }) / R(len);
    const R spread = held.template fold<SumOf>(len, [=](R v) { return (v - mean) * (v - mean); }) / R(len);
    const R inverse = R(1) / sqrt(spread + R(row.epsilon));
    UNROLLED
    for (R& v : held.of) v = (v - mean) * inverse;
    if (row.gamma) held.multiply_row(row.gamma, len);
    if (row.beta) held.add_row(row.beta, len);
    held.store_row(row.y + start, len);
    if (Threads::rank() == 0) {
        if (row.mean) row.mean[number] = mean;
        if (row.inverse) row.inverse[number] = inverse;
    }
}

template <class T> DEVICE Wide<T> summed(const Row<T>& row, uint64_t start, uint64_t i) {
    Wide<T> v = widen(row.x[start + i]);
    if (row.skip) v += widen(row.skip[(start + i) % row.skip_len]);
    if (row.bias) v += widen(row.bias[i]);
    return v;
}

// Any rows: one block for each.
template <class T> DEVICE void normalize(const Row<T>& row) {
    typedef Wide<T> R;
    const uint64_t start = blockIdx.x * row.len;
    R mean = 0;
    if (!row.simplified) {
        for (uint64_t i = threadIdx.x; i < row.len; i += blockDim.x) mean += summed(row, start, i);
        mean = fold_block<SumOf>(mean) / R(row.len);
    }
    R spread = 0;
    for (uint64_t i = threadIdx.x; i < row.len; i += blockDim.x) {
        const R away = summed(row, start, i) - mean;
        spread += away * away;
    }
    spread = fold_block<SumOf>(spread) / R(row.len);
    const R inverse = R(1) / sqrt(spread + R(row.epsilon));
    for (uint64_t i = threadIdx.x; i < row.len; i += blockDim.x) {
        const R v = summed(row, start, i);
        R normal = (v - mean) * inverse;
        if (row.gamma) normal *= R(widen(row.gamma[i]));
        if (row.beta) normal += R(widen(row.beta[i]));
        row.y[start + i] = narrow<T>(normal);
        if (row.sum) row.sum[start + i] = narrow<T>(v);
    }
    if (threadIdx.x == 0) {
        if (row.mean) row.mean[blockIdx.x] = mean;
        if (row.inverse) row.inverse[blockIdx.x] = inverse;
    }
}

#define NORMALIZE(suffix, T) \
    KERNEL(256, normalize_by_warp_##suffix, Row<T> row) { normalize_held<WarpOfRow, OF_WARP<T>>(row); } \
    KERNEL(256, normalize_by_block_##suffix, Row<T> row) { normalize_held<BlockOfRow, OF_BLOCK<T>>(row); } \
    KERNEL(256, normalize_by_large_block_##suffix, Row<T> row) { normalize_held<BlockOfRow, OF_LARGE_BLOCK<T>>(row); } \
    KERNEL(256, normalize_##suffix, Row<T> row) { normalize<T>(row); }

NORMALIZE(f32, float)
NORMALIZE(f64, double)
NORMALIZE(f16, __half)
NORMALIZE(bf16, __nv_bfloat16)
