// Matrix products of any float type, without tensor cores: tiles in shared memory, 4 by 4 results in the registers of each thread.
#include "product.cuh"

constexpr int TILE = 64;
constexpr int DEPTH = 16;
constexpr int SIDE = 4;
constexpr int THREADS = 256;
// Keeps columns of a tile in different banks.
constexpr int PAD = 4;

template <class R> struct Operands {
    R a[DEPTH][TILE + PAD];
    R b[DEPTH][TILE + PAD];
};

// Fetches `to[depth][i]` for a tile of `size` lines from `first` on, zeros outside. Threads run along what is contiguous.
template <class R, class T>
DEVICE void fetch(R (&to)[DEPTH][TILE + PAD], const T* from, uint64_t first, uint64_t size, int64_t line, uint64_t start, uint64_t k,
                  int64_t step) {
    for (int i = threadIdx.x; i < TILE * DEPTH; i += THREADS) {
        const int x = step == 1 ? i / DEPTH : i % TILE;
        const int depth = step == 1 ? i % DEPTH : i / TILE;
        const bool inside = first + x < size && start + depth < k;
        to[depth][x] = inside ? R(widen(from[int64_t(first + x) * line + int64_t(start + depth) * step])) : R(0);
    }
}

template <class T> DEVICE void multiply(const Product<T>& p) {
    typedef Wide<T> R;
    SHARED(Operands<R>, operands);
    const Tile<T> tile = tile_of_block<TILE, TILE>(p);
    const int row = threadIdx.x / (TILE / SIDE) * SIDE;
    const int col = threadIdx.x % (TILE / SIDE) * SIDE;
    R sum[SIDE][SIDE] = {};
    for (uint64_t start = 0; start < p.k; start += DEPTH) {
        fetch(operands.a, tile.a, tile.row, p.m, p.a_row, start, p.k, p.a_col);
        fetch(operands.b, tile.b, tile.col, p.n, p.b_col, start, p.k, p.b_row);
        BLOCK_BARRIER();
        for (int depth = 0; depth < DEPTH; depth++) {
            for (int i = 0; i < SIDE; i++) {
                for (int j = 0; j < SIDE; j++) sum[i][j] += operands.a[depth][row + i] * operands.b[depth][col + j];
            }
        }
        BLOCK_BARRIER();
    }
    for (int i = 0; i < SIDE; i++) {
        for (int j = 0; j < SIDE; j++) finish(p, tile, tile.row + row + i, tile.col + col + j, sum[i][j]);
    }
}

#define PRODUCT(suffix, T) \
    KERNEL(THREADS, product_##suffix, Product<T> p) { multiply<T>(p); }

PRODUCT(f32, float)
PRODUCT(f64, double)
PRODUCT(f16, __half)
PRODUCT(bf16, __nv_bfloat16)
