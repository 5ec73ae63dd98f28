// The words of CUDA that kernels use, for the CPU. Included by prims.cuh in place of what it has for the device.
#pragma once
#include <cmath>
#include <cstdint>
#include <tuple>
#include <utility>

#include "fibers.h"

// The names that device code has without asking.
using std::acos, std::acosh, std::asin, std::asinh, std::atan, std::atanh, std::cosh, std::sinh, std::tan;
using std::ceil, std::cos, std::erf, std::erfc, std::exp, std::expm1, std::fabs, std::floor, std::log, std::log1p, std::rint, std::sin,
    std::sqrt, std::tanh;

#define DEVICE inline
#define CALLED inline
#define UNROLLED
#define ROLLED
#define threadIdx (shim::block().current->thread)
#define blockIdx (shim::block().number)
#define blockDim (shim::block().size)
#define gridDim (shim::block().grid)

inline float infinity() { return HUGE_VALF; }

namespace shim {

// Kernels by name, as the driver finds them: each makes a call out of pointers to its arguments, which it copies.
using Entry = std::function<void()> (*)(void** arguments);

inline std::map<std::string, Entry>& entries() {
    static std::map<std::string, Entry> entries;
    return entries;
}

template <auto kernel> struct Call;
template <class... P, void (*kernel)(P...)> struct Call<kernel> {
    template <size_t... i> static std::tuple<P...> copied(void** arguments, std::index_sequence<i...>) {
        return {*static_cast<P*>(arguments[i])...};
    }
    static std::function<void()> with(void** arguments) {
        return [copy = copied(arguments, std::index_sequence_for<P...>{})] { std::apply(kernel, copy); };
    }
};

inline bool enter(const char* name, Entry entry) { return entries().emplace(name, entry).second; }

// The same variable for every thread of a block. Its bytes are poison when the block begins.
template <class T> T& shared(const void* key) {
    auto found = block().shared.find(key);
    if (found == block().shared.end()) {
        static_assert(alignof(T) <= 16);
        void* bytes = aligned_alloc(16, (sizeof(T) + 15) / 16 * 16);
        memset(bytes, 0xff, sizeof(T));
        found = block().shared.emplace(key, std::unique_ptr<void, void (*)(void*)>(bytes, free)).first;
    }
    return *static_cast<T*>(found->second.get());
}

template <class T> void show(const T& v) {
    static_assert(sizeof(T) <= sizeof(Fiber::shown));
    memcpy(block().current->shown, &v, sizeof v);
}

// What lane `lane` of this warp shows.
template <class T> T seen(int lane) {
    const size_t i = static_cast<size_t>(block().current->number / WARP_SIZE * WARP_SIZE + lane);
    if (i >= block().threads || block().fibers[i]->state == State::Done) fail("a lane is read that does not run");
    T v;
    memcpy(&v, block().fibers[i]->shown, sizeof v);
    return v;
}

inline int lane() { return block().current->number % WARP_SIZE; }

// Between these two, every lane of the warp may look at what the others show.
inline void meet(const char* place) { wait_at(State::AtWarpBarrier, place); }

}  // namespace shim

#define KERNEL(threads, name, ...) \
    extern "C" void name(__VA_ARGS__); \
    static const bool name##_entered = shim::enter(#name, &shim::Call<&name>::with); \
    extern "C" void name(__VA_ARGS__)

#define SHARED(T, name) \
    static const char name##_key = 0; \
    T& name = shim::shared<T>(&name##_key)

#define SHIM_TEXT(x) #x
#define SHIM_PLACE(line) __FILE__ ":" SHIM_TEXT(line)
#define BLOCK_BARRIER() shim::wait_at(shim::State::AtBlockBarrier, SHIM_PLACE(__LINE__))

template <class T> T shuffle_xor(T v, int mask) {
    shim::show(v);
    shim::meet("shuffle_xor");
    T r = shim::seen<T>(shim::lane() ^ mask);
    shim::meet("shuffle_xor, read");
    return r;
}

inline bool claim_word(uint32_t* to, uint32_t v) {
    if (*to != 0) return false;
    *to = v;
    return true;
}

// f16 and bf16, as far as kernels look at them.
struct __half {
    _Float16 v;
};
inline float __half2float(__half h) { return static_cast<float>(h.v); }
inline __half __float2half_rn(float f) { return {static_cast<_Float16>(f)}; }

struct __nv_bfloat16 {
    uint16_t bits;
};
inline float __bfloat162float(__nv_bfloat16 b) {
    const uint32_t bits = static_cast<uint32_t>(b.bits) << 16;
    float f;
    memcpy(&f, &bits, 4);
    return f;
}
inline __nv_bfloat16 __float2bfloat16_rn(float f) {
    uint32_t bits;
    memcpy(&bits, &f, 4);
    if (f != f) return {0x7fff};
    return {static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
}

namespace shim {
inline float number(__half h) { return __half2float(h); }
inline float number(__nv_bfloat16 b) { return __bfloat162float(b); }

// The 16-bit element `i` of a register pair or more.
template <class T> float element(const uint32_t* registers, int i) {
    T v;
    memcpy(&v, reinterpret_cast<const char*>(registers) + 2 * i, 2);
    return number(v);
}

struct Fragments {
    uint32_t a[4], b[2];
};
}  // namespace shim

// The lane that holds an element, and where, is as PTX documents it for mma.m16n8k16.
template <class T> void mma_16x8x16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    shim::Fragments own;
    memcpy(own.a, a, sizeof a);
    memcpy(own.b, b, sizeof b);
    shim::show(own);
    shim::meet("mma");
    for (int i = 0; i < 4; i++) {
        const int row = shim::lane() / 4 + i / 2 * 8;
        const int col = shim::lane() % 4 * 2 + i % 2;
        for (int k = 0; k < 16; k++) {
            const int lane_of_k = k % 8 / 2;
            const auto left = shim::seen<shim::Fragments>(row % 8 * 4 + lane_of_k);
            const auto right = shim::seen<shim::Fragments>(col * 4 + lane_of_k);
            d[i] += shim::element<T>(&left.a[row / 8 + k / 8 * 2], k % 2) * shim::element<T>(&right.b[k / 8], k % 2);
        }
    }
    shim::meet("mma, read");
}

inline const uint16_t* matrix_row(int lane) { return static_cast<const uint16_t*>(shim::seen<const void*>(lane)); }

inline void show_row(const void* row) {
    if (reinterpret_cast<uintptr_t>(row) % 16 != 0) shim::fail("a row of a matrix does not begin at 16 bytes");
    shim::show(row);
    shim::meet("load_matrices");
}

inline void load_matrices(uint32_t (&r)[4], const void* row) {
    show_row(row);
    for (int i = 0; i < 4; i++) memcpy(&r[i], matrix_row(8 * i + shim::lane() / 4) + shim::lane() % 4 * 2, 4);
    shim::meet("load_matrices, read");
}

inline void load_matrices_transposed(uint32_t (&r)[4], const void* row) {
    show_row(row);
    for (int i = 0; i < 4; i++) {
        const int line = shim::lane() % 4 * 2, column = shim::lane() / 4;
        const uint32_t low = matrix_row(8 * i + line)[column], high = matrix_row(8 * i + line + 1)[column];
        r[i] = low | high << 16;
    }
    shim::meet("load_matrices, read");
}

// The target is poison until the copy was waited for.
inline void copy_16_later(void* shared, const void* global) {
    if ((reinterpret_cast<uintptr_t>(shared) | reinterpret_cast<uintptr_t>(global)) % 16 != 0) shim::fail("16 bytes are not aligned");
    memset(shared, 0xff, 16);
    shim::block().current->open.push_back({shared, global, 16});
}

inline void end_copy_group() {
    shim::Fiber& self = *shim::block().current;
    self.groups.push_back(std::move(self.open));
    self.open.clear();
}

template <int left> void wait_for_copies() {
    auto& groups = shim::block().current->groups;
    while (groups.size() > static_cast<size_t>(left)) {
        for (const shim::LateCopy& copy : groups.front()) memcpy(copy.to, copy.from, copy.bytes);
        groups.erase(groups.begin());
    }
}
