// Normalization of rows: what its kernel is given.
#pragma once
#include "common.cuh"

// What is optional is a null pointer. The Rust side has the same structure: `ops_nn::norm::cuda`.
template <class T> struct Row {
    const T* x;
    // Added to `x` first; it has `skip_len` elements and is repeated.
    const T* skip;
    uint64_t skip_len;
    // Added as well, the same for each row.
    const T* bias;
    const T* gamma;
    const T* beta;
    T* y;
    // Where the sum of what was added goes.
    T* sum;
    // Of each row; always f32, or f64 for rows of f64.
    Wide<T>* mean;
    Wide<T>* inverse;
    uint64_t rows;
    uint64_t len;
    float epsilon;
    // Whether the mean stays: division by the root mean square alone.
    uint32_t simplified;
};
