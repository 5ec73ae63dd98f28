// Matrix products of 16-bit floats on tensor cores. Two rows of warps make a tile; the next operands are copied meanwhile.
// compute: 80
#include "product.cuh"

constexpr int DEPTH = 32;
// Columns of a tile that a warp makes; of rows it makes half.
constexpr int WARP_COLUMNS = 32;
// Elements of one asynchronous copy.
constexpr int CHUNK = 8;
constexpr int STAGES = 2;

// The threads that make a tile of `SIDE` by `SIDE`.
template <int SIDE> constexpr int THREADS = 2 * SIDE / WARP_COLUMNS * WARP;

// An operand's tile as it lies in memory: lines along `k` (`deep`), or along the other axis. Padded so that the rows that
// `load_matrices` fetches together lie in different banks.
template <class T, bool deep, int SIDE> struct Stage {
    static constexpr int LINES = deep ? SIDE : DEPTH;
    static constexpr int LENGTH = deep ? DEPTH : SIDE;
    alignas(16) T line[LINES][LENGTH + CHUNK];

    // Starts copying the tile: `outer` from `first` of `size`, `k` from `start` of `k`. What lies outside becomes zero.
    DEVICE void fetch(const T* from, uint64_t first, uint64_t size, uint64_t start, uint64_t k, int64_t stride) {
        const uint64_t line_start = deep ? first : start, lines = deep ? size : k;
        const uint64_t column_start = deep ? start : first, columns = deep ? k : size;
        for (int i = threadIdx.x; i < LINES * LENGTH / CHUNK; i += THREADS<SIDE>) {
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

template <class T, bool deep_a, bool deep_b, int SIDE> struct Stages {
    Stage<T, deep_a, SIDE> a[STAGES];
    Stage<T, deep_b, SIDE> b[STAGES];
};

template <class T, bool deep_a, bool deep_b, int SIDE> struct Multiply {
    // Results of a warp, in the units of one instruction: 16 rows, 8 columns.
    static constexpr int DOWN = SIDE / 2 / 16;
    static constexpr int ACROSS = WARP_COLUMNS / 8;
    typedef float Sum[DOWN][ACROSS][4];
    // When all is computed, results pass through the memory of the stages, so that whole lines of them are stored.
    union Shared {
        Stages<T, deep_a, deep_b, SIDE> stages;
        float results[THREADS<SIDE> / WARP][16][WARP_COLUMNS + 1];
    };

    const Product<T>& p;
    Tile<T> tile;
    Shared& shared;

    DEVICE void fetch(uint64_t step) {
        const int stage = step % STAGES;
        shared.stages.a[stage].fetch(tile.a, tile.row, p.m, step * DEPTH, p.k, deep_a ? p.a_row : p.a_col);
        shared.stages.b[stage].fetch(tile.b, tile.col, p.n, step * DEPTH, p.k, deep_b ? p.b_col : p.b_row);
        end_copy_group();
    }

    // Adds the products of one stage to the results of this warp.
    DEVICE void add(int stage, int row, int col, Sum& sum) {
        UNROLLED
        for (int depth = 0; depth < DEPTH; depth += 16) {
            uint32_t a[DOWN][4], b[ACROSS / 2][4];
            UNROLLED
            for (int i = 0; i < DOWN; i++) shared.stages.a[stage].load(a[i], row + i * 16, depth, 0);
            UNROLLED
            for (int j = 0; j < ACROSS / 2; j++) shared.stages.b[stage].load(b[j], col + j * 16, depth, 1);
            UNROLLED
            for (int i = 0; i < DOWN; i++) {
                UNROLLED
                for (int j = 0; j < ACROSS; j++) {
                    const uint32_t half[2] = {b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]};
                    mma_16x8x16<T>(sum[i][j], a[i], half);
                }
            }
        }
    }

    DEVICE void run() {
        const int warp = threadIdx.x / WARP;
        const int row = warp / (SIDE / WARP_COLUMNS) * (SIDE / 2), col = warp % (SIDE / WARP_COLUMNS) * WARP_COLUMNS;
        Sum sum = {};
        const uint64_t steps = (p.k + DEPTH - 1) / DEPTH;
        if (steps > 0) fetch(0);
        ROLLED
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
        finish_all(row, col, sum);
    }

    DEVICE void finish_all(int row, int col, const Sum& sum) {
        const int lane = threadIdx.x % WARP;
        auto& results = shared.results[threadIdx.x / WARP];
        UNROLLED
        for (int i = 0; i < DOWN; i++) {
            UNROLLED
            for (int j = 0; j < ACROSS; j++) {
                UNROLLED
                for (int e = 0; e < 4; e++) results[e / 2 * 8 + lane / 4][j * 8 + lane % 4 * 2 + e % 2] = sum[i][j][e];
            }
            BLOCK_BARRIER();
            ROLLED
            for (int r = 0; r < 16; r++) finish(p, tile, tile.row + row + i * 16 + r, tile.col + col + lane, results[r][lane]);
            BLOCK_BARRIER();
        }
    }
};

template <class T, bool deep_a, bool deep_b, int SIDE> DEVICE void multiply(const Product<T>& p) {
    typedef Multiply<T, deep_a, deep_b, SIDE> Here;
    SHARED(typename Here::Shared, shared);
    Here{p, tile_of_block<SIDE, SIDE>(p), shared}.run();
}

// By the side of a tile, and by what is contiguous in each operand: `k` for `n` on the left and `t` on the right, as BLAS calls it.
#define PRODUCT_MMA(side, suffix, T) \
    KERNEL(THREADS<side>, product_mma_##side##_nn_##suffix, Product<T> p) { multiply<T, true, false, side>(p); } \
    KERNEL(THREADS<side>, product_mma_##side##_nt_##suffix, Product<T> p) { multiply<T, true, true, side>(p); } \
    KERNEL(THREADS<side>, product_mma_##side##_tn_##suffix, Product<T> p) { multiply<T, false, false, side>(p); } \
    KERNEL(THREADS<side>, product_mma_##side##_tt_##suffix, Product<T> p) { multiply<T, false, true, side>(p); }

PRODUCT_MMA(64, f16, __half)
PRODUCT_MMA(64, bf16, __nv_bfloat16)
PRODUCT_MMA(128, f16, __half)
PRODUCT_MMA(128, bf16, __nv_bfloat16)
