// Running kernels in tests: in every order of threads, on memory that is poison at first, against plain loops in f64.
#pragma once
#include "../common.cuh"

namespace check {

// Memory of exactly `n` elements, so that AddressSanitizer sees a step outside. Poison until it is written.
template <class T> struct Memory {
    T* data;
    size_t len;
    explicit Memory(size_t n) : data(static_cast<T*>(aligned_alloc(16, (n * sizeof(T) + 15) / 16 * 16))), len(n) { poison(); }
    Memory(const Memory& other) : Memory(other.len) { memcpy(static_cast<void*>(data), other.data, len * sizeof(T)); }
    Memory& operator=(const Memory&) = delete;
    ~Memory() { free(data); }
    void poison() { memset(static_cast<void*>(data), 0xff, len * sizeof(T)); }
    T& operator[](size_t i) { return data[i]; }
    const T& operator[](size_t i) const { return data[i]; }
};

inline int failures = 0;

// A small number that is different for each `i` and exact in every type.
inline double sample(uint64_t i, double scale = 0.25) {
    const uint64_t mixed = (i + 11) * 2654435761u % 4294967296u / 65536;
    return (static_cast<double>(mixed % 33) - 16) * scale;
}

template <class T> T number(double v) { return static_cast<T>(v); }
template <> inline __half number<__half>(double v) { return narrow<__half>(static_cast<float>(v)); }
template <> inline __nv_bfloat16 number<__nv_bfloat16>(double v) { return narrow<__nv_bfloat16>(static_cast<float>(v)); }

template <class T> Memory<T> samples(size_t n, uint64_t seed = 0, double scale = 0.25) {
    Memory<T> x(n);
    for (size_t i = 0; i < n; i++) x[i] = number<T>(sample(i + seed * 977, scale));
    return x;
}

template <class T> double value(const Memory<T>& x, size_t i) { return static_cast<double>(widen(x[i])); }

// How far results of a type may be from the truth, as a part of it.
template <class T> double tolerance() { return sizeof(T) == 8 ? 1e-13 : sizeof(T) == 4 ? 2e-6 : 1e-3; }
template <> inline double tolerance<__nv_bfloat16>() { return 8e-3; }

inline void launch(const char* name, shim::Dim3 grid, unsigned threads, std::vector<void*> arguments) {
    const auto found = shim::entries().find(name);
    if (found == shim::entries().end()) {
        fprintf(stderr, "there is no kernel %s\n", name);
        abort();
    }
    shim::launch(grid, {threads, 1, 1}, found->second(arguments.data()));
}

// Launches `name` in each order; `out` must hold the same bytes after each, near `want`.
template <class T, class Want, class... Arguments>
void run(const std::string& name, unsigned blocks, unsigned threads, Memory<T>& out, const Want& want, double bound,
         Arguments... arguments) {
    std::vector<unsigned char> first;
    for (shim::Order order : {shim::Order::Ascending, shim::Order::Descending, shim::Order::Shuffled}) {
        shim::block().order = order;
        out.poison();
        std::tuple<Arguments...> copies(arguments...);
        std::apply([&](auto&... a) { launch(name.c_str(), {blocks, 1, 1}, threads, {static_cast<void*>(&a)...}); }, copies);
        const unsigned char* bytes = reinterpret_cast<const unsigned char*>(out.data);
        if (order == shim::Order::Ascending) first.assign(bytes, bytes + out.len * sizeof(T));
        if (!std::equal(first.begin(), first.end(), bytes)) {
            failures++;
            fprintf(stderr, "%s: the order of threads changes the result\n", name.c_str());
        }
    }
    for (size_t i = 0; i < out.len; i++) {
        const double have = value(out, i), should = want(i);
        const bool alike = have == should || (have != have && should != should);
        if (alike || std::fabs(have - should) <= bound * std::max(1.0, std::fabs(should))) continue;
        failures++;
        fprintf(stderr, "%s: element %zu of %zu is %g, not %g\n", name.c_str(), i, out.len, have, should);
        return;
    }
}

template <class T> const char* suffix();
template <> inline const char* suffix<float>() { return "f32"; }
template <> inline const char* suffix<double>() { return "f64"; }
template <> inline const char* suffix<__half>() { return "f16"; }
template <> inline const char* suffix<__nv_bfloat16>() { return "bf16"; }
template <> inline const char* suffix<int32_t>() { return "i32"; }
template <> inline const char* suffix<int64_t>() { return "i64"; }
template <> inline const char* suffix<uint8_t>() { return "u8"; }
template <> inline const char* suffix<bool>() { return "bool"; }

template <class T> std::string of(const char* name) { return std::string(name) + "_" + suffix<T>(); }

// Calls `f` with an element of each float type.
template <class F> void each_float(F f) {
    f(float{});
    f(double{});
    f(__half{});
    f(__nv_bfloat16{});
}

// Axes of dimensions `dims` with the given strides.
template <int K> Axes<K> axes(std::vector<uint64_t> dims, std::vector<std::vector<int64_t>> strides) {
    Axes<K> a{};
    a.rank = dims.size();
    for (size_t i = 0; i < dims.size(); i++) {
        a.dims[i] = dims[i];
        for (int k = 0; k < K; k++) a.strides[k][i] = strides[k][i];
    }
    return a;
}

}  // namespace check
