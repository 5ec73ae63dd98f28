// Matrix products: what their kernels are given, and what becomes of a result.
#pragma once
#include "functions.cuh"

// `y = activation(alpha a b + beta c)` for each matrix of a batch. The Rust side has the same structure: `ops_nn::matmul::cuda`.
template <class T> struct Product {
    const T* a;
    const T* b;
    // Broadcast to the result; null if there is none.
    const T* c;
    T* y;
    uint64_t m, n, k;
    // Distances of neighbours, in elements.
    int64_t a_row, a_col, b_row, b_col, c_row, c_col;
    // Where the matrices of the batch begin in `a`, `b` and `y`.
    Axes<3> batch;
    float alpha, beta;
    uint32_t activation;
    float p, q;
};

// The tile of the result that a block computes, and the matrices it is computed from.
template <class T> struct Tile {
    const T* a;
    const T* b;
    T* y;
    uint64_t row, col;
};

// Blocks are numbered along the columns, then the rows, then the batch.
template <int rows, int cols, class T> DEVICE Tile<T> tile_of_block(const Product<T>& p) {
    const uint64_t across = (p.n + cols - 1) / cols;
    const uint64_t down = (p.m + rows - 1) / rows;
    const uint64_t tile = blockIdx.x;
    int64_t at[3];
    locate(p.batch, tile / across / down, at);
    return {p.a + at[0], p.b + at[1], p.y + at[2], tile / across % down * rows, tile % across * cols};
}

// Stores one element of the result, unless it lies outside.
template <class T> DEVICE void finish(const Product<T>& p, const Tile<T>& tile, uint64_t row, uint64_t col, Wide<T> sum) {
    typedef Wide<T> R;
    if (row >= p.m || col >= p.n) return;
    R v = R(p.alpha) * sum;
    if (p.c) v += R(p.beta) * R(widen(p.c[row * p.c_row + col * p.c_col]));
    if (p.activation != NO_ACTIVATION) v = activate(p.activation, v, R(p.p), R(p.q));
    tile.y[row * p.n + col] = narrow<T>(v);
}
