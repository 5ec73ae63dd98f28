// The functions that operators apply to single elements, and that products apply to their results.
#pragma once
#include "common.cuh"

template <class R> DEVICE R clamp(R x, R low, R high) { return x < low ? low : x > high ? high : x; }

// x times a gate; 0 where the gate is closed, at infinity too.
template <class R> DEVICE R gated(R x, R gate) { return gate == R(0) ? R(0) : x * gate; }

// From e^-|x|, so that nothing overflows.
template <class R> DEVICE R sigmoid(R x) {
    const R e = exp(-fabs(x));
    return x < R(0) ? e / (R(1) + e) : R(1) / (R(1) + e);
}

template <class R> DEVICE R relu(R x) { return x > R(0) || x != x ? x : R(0); }
template <class R> DEVICE R leaky_relu(R x, R alpha) { return x >= R(0) ? x : x * alpha; }
template <class R> DEVICE R elu(R x, R alpha) { return x >= R(0) ? x : alpha * expm1(x); }
template <class R> DEVICE R softplus(R x) { return (x > R(0) ? x : R(0)) + log1p(exp(-fabs(x))); }
template <class R> DEVICE R softsign(R x) { return x / (R(1) + fabs(x)); }
template <class R> DEVICE R hard_sigmoid(R x, R alpha, R beta) { return clamp(alpha * x + beta, R(0), R(1)); }
template <class R> DEVICE R hard_swish(R x) { return x * hard_sigmoid(x, R(1) / R(6), R(0.5)); }
template <class R> DEVICE R swish(R x, R alpha) { return gated(x, sigmoid(alpha * x)); }

constexpr double ROOT_HALF = 0.70710678118654752440;
constexpr double TWICE_ROOT_2_PI = 1.59576912160573071176;

template <class R> DEVICE R gelu(R x) { return gated(x, erfc(x * R(-ROOT_HALF)) / R(2)); }
template <class R> DEVICE R gelu_tanh(R x) { return gated(x, sigmoid(R(TWICE_ROOT_2_PI) * (x + R(0.044715) * x * x * x))); }

// What follows a product. The Rust side numbers them alike: `ops_nn::activation`.
enum Activation : uint32_t {
    NO_ACTIVATION,
    RELU,
    CLIP,
    LEAKY_RELU,
    ELU,
    SIGMOID,
    HARD_SIGMOID,
    TANH,
    GELU,
    GELU_TANH,
    QUICK_GELU,
    SILU,
    HARD_SWISH,
    SOFTPLUS,
    SOFTSIGN,
};

template <class R> CALLED R activate(uint32_t activation, R x, R p, R q) {
    switch (activation) {
        case RELU: return relu(x);
        case CLIP: return clamp(x, p, q);
        case LEAKY_RELU: return leaky_relu(x, p);
        case ELU: return elu(x, p);
        case SIGMOID: return sigmoid(x);
        case HARD_SIGMOID: return hard_sigmoid(x, p, q);
        case TANH: return tanh(x);
        case GELU: return gelu(x);
        case GELU_TANH: return gelu_tanh(x);
        case QUICK_GELU: return swish(x, p);
        case SILU: return swish(x, R(1));
        case HARD_SWISH: return hard_swish(x);
        case SOFTPLUS: return softplus(x);
        case SOFTSIGN: return softsign(x);
        default: return x;
    }
}
