// Matrix products of 16-bit floats on tensor cores. Four warps make a tile of 64 by 64; the next operands are copied meanwhile.
// compute: 80
#include "product.cuh"

constexpr int TILE = 64;
constexpr int DEPTH = 32;
constexpr int THREADS = 128;
constexpr int WARP_TILE = 32;
// Elements of one asynchronous copy.
constexpr int CHUNK = 8;
constexpr int STAGES = 2;

// An operand's tile as it lies in memory: lines along `k` (`deep`), or along the other axis. Padded so that the rows that
// `load_matrices` fetches together lie in different banks.
template <class T, bool deep> struct Stage {
    static constexpr int LINES = deep ? TILE : DEPTH;
    static constexpr int LENGTH = deep ? DEPTH : TILE;
    alignas(16) T line[LINES][LENGTH + CHUNK];

    // Starts copying the tile: `outer` from `first` of `size`, `k` from `start` of `k`. What lies outside becomes zero.
    DEVICE void fetch(const T* from, uint64_t first, uint64_t size, uint64_t start, uint64_t k, int64_t stride) {
        const uint64_t line_start = deep ? first : start, lines = deep ? size : k;
        const uint64_t column_start = deep ? start : first, columns = deep ? k : size;
        for (int i = threadIdx.x; i < LINES * LENGTH / CHUNK; i += THREADS) {
            const int row = i / (LENGTH / CHUNK);
            const int column = i % (LENGTH / CHUNK) * CHUNK;
            const T* source = from + int64_t(line_start + row) * stride + int64_t(column_start + column);
            const bool whole = line_start + row < lines && column_start + column + CHUNK <= columns;
            if (whole && reinterpret_cast<uint64_t>(source) % 16 == 0) {
                copy_16_later(&line[row][column], source);
                continue;
            }
            for (int e = 0; e < CHUNK; e++) {
                const bool inside = line_start + row < lines && column_start + column + e < columns;
                line[row][column + e] = inside ? source[e] : narrow<T>(0.0f);
            }
        }
    }

    // Four 8x8 matrices from element (`outer`, `depth`) on: `outer` advances with bit `outer_bit` of the matrix number, `depth` with
    // the other.
    DEVICE void load(uint32_t (&r)[4], int outer, int depth, int outer_bit) const {
        const int lane = threadIdx.x % WARP, matrix = lane / 8, row = lane % 8;
        outer += (matrix >> outer_bit & 1) * 8;
        depth += (matrix >> (1 - outer_bit) & 1) * 8;
        if (deep) {
            load_matrices(r, &line[outer + row][depth]);
        } else {
            load_matrices_transposed(r, &line[depth + row][outer]);
        }
    }
};

template <class T, bool deep_a, bool deep_b> struct Stages {
    Stage<T, deep_a> a[STAGES];
    Stage<T, deep_b> b[STAGES];
};

template <class T, bool deep_a, bool deep_b> struct Multiply {
    const Product<T>& p;
    Tile<T> tile;
    Stages<T, deep_a, deep_b>& stages;

    DEVICE void fetch(uint64_t step) {
        const int stage = step % STAGES;
        stages.a[stage].fetch(tile.a, tile.row, p.m, step * DEPTH, p.k, deep_a ? p.a_row : p.a_col);
        stages.b[stage].fetch(tile.b, tile.col, p.n, step * DEPTH, p.k, deep_b ? p.b_col : p.b_row);
        end_copy_group();
    }

    // Adds the products of one stage to the 32 by 32 results of this warp.
    DEVICE void add(int stage, int row, int col, float (&sum)[2][4][4]) {
        for (int depth = 0; depth < DEPTH; depth += 16) {
            uint32_t a[2][4], b[2][4];
            for (int i = 0; i < 2; i++) stages.a[stage].load(a[i], row + i * 16, depth, 0);
            for (int j = 0; j < 2; j++) stages.b[stage].load(b[j], col + j * 16, depth, 1);
            for (int i = 0; i < 2; i++) {
                for (int j = 0; j < 4; j++) {
                    const uint32_t half[2] = {b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]};
                    mma_16x8x16<T>(sum[i][j], a[i], half);
                }
            }
        }
    }

    DEVICE void run() {
        const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
        const int row = warp / 2 * WARP_TILE, col = warp % 2 * WARP_TILE;
        float sum[2][4][4] = {};
        const uint64_t steps = (p.k + DEPTH - 1) / DEPTH;
        if (steps > 0) fetch(0);
        for (uint64_t step = 0; step < steps; step++) {
            if (step + 1 < steps) {
                fetch(step + 1);
                wait_for_copies<1>();
            } else {
                wait_for_copies<0>();
            }
            BLOCK_BARRIER();
            add(step % STAGES, row, col, sum);
            BLOCK_BARRIER();
        }
        UNROLLED
        for (int i = 0; i < 2; i++) {
            UNROLLED
            for (int j = 0; j < 4; j++) {
                UNROLLED
                for (int e = 0; e < 4; e++) {
                    const uint64_t r = tile.row + row + i * 16 + e / 2 * 8 + lane / 4;
                    const uint64_t c = tile.col + col + j * 8 + lane % 4 * 2 + e % 2;
                    finish(p, tile, r, c, sum[i][j][e]);
                }
            }
        }
    }
};

template <class T, bool deep_a, bool deep_b> DEVICE void multiply(const Product<T>& p) {
    typedef Stages<T, deep_a, deep_b> Shared;
    SHARED(Shared, stages);
    Multiply<T, deep_a, deep_b>{p, tile_of_block<TILE, TILE>(p), stages}.run();
}

// By what is contiguous in each operand: `k` for `n` on the left and `t` on the right, as BLAS calls it.
#define PRODUCT_MMA(suffix, T) \
    KERNEL(THREADS, product_mma_nn_##suffix, Product<T> p) { multiply<T, true, false>(p); } \
    KERNEL(THREADS, product_mma_nt_##suffix, Product<T> p) { multiply<T, true, true>(p); } \
    KERNEL(THREADS, product_mma_tn_##suffix, Product<T> p) { multiply<T, false, false>(p); } \
    KERNEL(THREADS, product_mma_tt_##suffix, Product<T> p) { multiply<T, false, true>(p); }

PRODUCT_MMA(f16, __half)
PRODUCT_MMA(bf16, __nv_bfloat16)
