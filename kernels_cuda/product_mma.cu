// Matrix products of 16-bit floats on tensor cores. Two rows of warps make a tile; the next operands are copied meanwhile.
// compute: 80
#include "product.cuh"

constexpr int DEPTH = 32;
// Columns of a tile that a warp makes; of rows it makes half.
constexpr int WARP_COLUMNS = 32;
// Elements of one asynchronous copy.
constexpr int CHUNK = 8;
constexpr int STAGES = 3;

// The threads that make a tile of `SIDE` by `SIDE`.
template <int SIDE> constexpr int THREADS = 2 * SIDE / WARP_COLUMNS * WARP;

// An operand's tile as it lies in memory: lines along `k` (`deep`), or along the other axis.
template <class T, bool deep, int SIDE> struct Stage {
    static constexpr int LINES = deep ? SIDE : DEPTH;
    static constexpr int CHUNKS = (deep ? DEPTH : SIDE) / CHUNK;
    // Lines that the threads fetch together, a chunk each.
    static constexpr int AT_ONCE = THREADS<SIDE> / CHUNKS;
    alignas(16) T chunk[LINES][CHUNKS][CHUNK];

    // Chunks change places within their line, so that those which `load_matrices` fetches together lie in different banks.
    DEVICE static int place(int line, int chunk) {
        constexpr int LINES_OF_BANKS = CHUNKS < 8 ? 8 / CHUNKS : 1;
        return chunk ^ (line / LINES_OF_BANKS % (CHUNKS < 8 ? CHUNKS : 8));
    }

    // Starts copying the tile: `outer` from `first` of `size`, `k` from `start` of `k`. What lies outside becomes zero.
    DEVICE void fetch(const T* from, uint64_t first, uint64_t size, uint64_t start, uint64_t k, int64_t stride) {
        const int chunk_of_thread = threadIdx.x % CHUNKS, line_of_thread = threadIdx.x / CHUNKS;
        const uint64_t line = (deep ? first : start) + line_of_thread, lines = deep ? size : k;
        const uint64_t column = (deep ? start : first) + chunk_of_thread * CHUNK, columns = deep ? k : size;
        const T* source = from + int64_t(line) * stride + int64_t(column);
        const bool aligned = reinterpret_cast<uint64_t>(source) % 16 == 0 && stride % CHUNK == 0 && column + CHUNK <= columns;
        UNROLLED
        for (int i = 0; i < LINES; i += AT_ONCE, source += AT_ONCE * stride) {
            T* to = chunk[line_of_thread + i][place(line_of_thread + i, chunk_of_thread)];
            if (aligned && line + i < lines) {
                copy_16_later(to, source);
            } else {
                fetch_some(to, source, line + i < lines && column < columns ? columns - column : 0);
            }
        }
    }

    // Copies the first `count` elements of a chunk; the others become zero.
    CALLED static void fetch_some(T* to, const T* source, uint64_t count) {
        for (int e = 0; e < CHUNK; e++) to[e] = static_cast<uint64_t>(e) < count ? source[e] : narrow<T>(0.0f);
    }

    // Four 8x8 matrices from element (`outer`, `depth`) on: `outer` advances with bit `outer_bit` of the matrix number, `depth` with
    // the other.
    DEVICE void load(uint32_t (&r)[4], int outer, int depth, int outer_bit) const {
        const int lane = threadIdx.x % WARP, matrix = lane / 8, row = lane % 8;
        outer += (matrix >> outer_bit & 1) * 8;
        depth += (matrix >> (1 - outer_bit) & 1) * 8;
        const int line = (deep ? outer : depth) + row, column = (deep ? depth : outer) / CHUNK;
        if (deep) {
            load_matrices(r, chunk[line][place(line, column)]);
        } else {
            load_matrices_transposed(r, chunk[line][place(line, column)]);
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

    // Starts copying the operands of a step, if there is such: a group of copies in any case.
    DEVICE void fetch(uint64_t step, uint64_t steps) {
        const int stage = step % STAGES;
        if (step >= steps) return end_copy_group();
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
        for (uint64_t step = 0; step + 1 < STAGES; step++) fetch(step, steps);
        ROLLED
        for (uint64_t step = 0; step < steps; step++) {
            wait_for_copies<STAGES - 2>();
            // Everybody's copies have come, and nobody reads the stage any more that is fetched next.
            BLOCK_BARRIER();
            fetch(step + STAGES - 1, steps);
            add(step % STAGES, row, col, sum);
        }
        wait_for_copies<0>();
        BLOCK_BARRIER();
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
