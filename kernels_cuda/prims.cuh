// What the hardware does that C++ has no words for. All inline PTX is here; `shim/shim.h` gives every primitive the same meaning on
// the CPU, so that the sources of the kernels can be tested there.
#pragma once

#ifdef CUDA_SHIM
#include "shim/shim.h"
#else
#include <cuda_bf16.h>
#include <cuda_fp16.h>

typedef signed char int8_t;
typedef unsigned char uint8_t;
typedef short int16_t;
typedef unsigned short uint16_t;
typedef int int32_t;
typedef unsigned int uint32_t;
typedef long long int64_t;
typedef unsigned long long uint64_t;

#define DEVICE __device__ __forceinline__
// A function that is called, not inlined: where it is used at many places and rarely.
#define CALLED __device__ __noinline__
// Unrolls the loop that follows: what it indexes shall stay in registers.
#define UNROLLED _Pragma("unroll")
// Keeps the compiler from unrolling the loop that follows.
#define ROLLED _Pragma("unroll 1")
// A kernel that is launched with `threads` threads in a block. Rust finds it by `name`.
#define KERNEL(threads, name, ...) extern "C" __global__ void __launch_bounds__(threads) name(__VA_ARGS__)
// A variable that the threads of a block share; its content is undefined at first.
#define SHARED(T, name) __shared__ T name

DEVICE float infinity() { return __int_as_float(0x7f800000); }

// Lets every thread of the block come here before any goes on.
#define BLOCK_BARRIER() __syncthreads()

// The value `v` of the lane whose number differs from this one's in the bits `mask`. All 32 lanes take part.
template <class T> DEVICE T shuffle_xor(T v, int mask) { return __shfl_xor_sync(0xffffffffu, v, mask); }

// Puts `v` where `to` points if 0 is there, and says whether it was.
DEVICE bool claim_word(uint32_t* to, uint32_t v) { return atomicCAS(to, 0u, v) == 0u; }

#if __CUDA_ARCH__ >= 800
// d += a b for a 16x16 matrix `a` and a 16x8 matrix `b`, spread over the lanes of a warp as PTX lays down for mma.m16n8k16.
template <class T> DEVICE void mma_16x8x16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]);

template <> DEVICE void mma_16x8x16<__half>(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

template <> DEVICE void mma_16x8x16<__nv_bfloat16>(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// Loads four 8x8 matrices of 16-bit elements from shared memory. Lane `i` gives the address of row `i % 8` of matrix `i / 8`.
DEVICE void load_matrices(uint32_t (&r)[4], const void* row) {
    const uint32_t at = static_cast<uint32_t>(__cvta_generic_to_shared(row));
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(at));
}

// The same, each matrix transposed.
DEVICE void load_matrices_transposed(uint32_t (&r)[4], const void* row) {
    const uint32_t at = static_cast<uint32_t>(__cvta_generic_to_shared(row));
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(at));
}

// Starts a copy of 16 aligned bytes from global to shared memory. Nobody may look at the target before the copy was waited for.
DEVICE void copy_16_later(void* shared, const void* global) {
    const uint32_t at = static_cast<uint32_t>(__cvta_generic_to_shared(shared));
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(at), "l"(global));
}

// Ends a group of such copies.
DEVICE void end_copy_group() { asm volatile("cp.async.commit_group;"); }

// Waits until at most `left` of this thread's latest groups are under way.
template <int left> DEVICE void wait_for_copies() { asm volatile("cp.async.wait_group %0;" ::"n"(left)); }
#endif
#endif
