// Matrix products of any float type, without tensor cores: tiles in shared memory, 4 by 4 results or more in the registers of each thread.
#include "product.cuh"

constexpr int DEPTH = 16;
// A thread makes squares of so many rows and columns, one in each quarter of a tile of 64 by 64.
constexpr int SIDE = 4;
constexpr int ACROSS = 16;
constexpr int THREADS = ACROSS * ACROSS;
// Keeps columns of a tile in different banks.
constexpr int PAD = 4;

template <class R, int TILE> struct Lines {
    alignas(16) R of[DEPTH][TILE + PAD];
};

// What a thread fetches of an operand's tile: `TILE` lines from `first` on, `DEPTH` of their elements from `start` on, zeros outside.
// Threads run along what is contiguous.
template <class R, int TILE> struct Fetched {
    static constexpr int COUNT = TILE * DEPTH / THREADS;
    R of[COUNT];

    DEVICE static int line(int i, int64_t step) { return step == 1 ? place(i) / DEPTH : place(i) % TILE; }
    DEVICE static int depth(int i, int64_t step) { return step == 1 ? place(i) % DEPTH : place(i) / TILE; }
    DEVICE static int place(int i) { return i * THREADS + threadIdx.x; }

    template <class T>
    DEVICE void fetch(const T* from, uint64_t first, uint64_t size, int64_t apart, uint64_t start, uint64_t k, int64_t step) {
        UNROLLED
        for (int i = 0; i < COUNT; i++) {
            const uint64_t x = first + line(i, step), z = start + depth(i, step);
            const bool inside = x < size && z < k;
            of[i] = inside ? R(widen(from[int64_t(x) * apart + int64_t(z) * step])) : R(0);
        }
    }

    DEVICE void put(Lines<R, TILE>& to, int64_t step) const {
        UNROLLED
        for (int i = 0; i < COUNT; i++) to.of[depth(i, step)][line(i, step)] = of[i];
    }
};

template <class T, int TILE> struct Multiply {
    typedef Wide<T> R;
    static constexpr int PARTS = TILE / (SIDE * ACROSS);
    typedef R Sum[PARTS * SIDE][PARTS * SIDE];
    struct Operands {
        Lines<R, TILE> a, b;
    };

    const Product<T>& p;
    Tile<T> tile;
    Operands& operands;

    // Row or column `i` of this thread, in the tile.
    DEVICE static int place(int thread, int i) { return i / SIDE * (SIDE * ACROSS) + thread * SIDE + i % SIDE; }

    DEVICE void add(int row, int col, Sum& sum) {
        UNROLLED
        for (int depth = 0; depth < DEPTH; depth++) {
            R a[PARTS * SIDE], b[PARTS * SIDE];
            UNROLLED
            for (int i = 0; i < PARTS * SIDE; i++) a[i] = operands.a.of[depth][place(row, i)];
            UNROLLED
            for (int j = 0; j < PARTS * SIDE; j++) b[j] = operands.b.of[depth][place(col, j)];
            UNROLLED
            for (int i = 0; i < PARTS * SIDE; i++) {
                UNROLLED
                for (int j = 0; j < PARTS * SIDE; j++) sum[i][j] += a[i] * b[j];
            }
        }
    }

    DEVICE void run() {
        const int row = threadIdx.x / ACROSS, col = threadIdx.x % ACROSS;
        Sum sum = {};
        Fetched<R, TILE> a, b;
        fetch(a, b, 0);
        ROLLED
        for (uint64_t start = 0; start < p.k; start += DEPTH) {
            a.put(operands.a, p.a_col);
            b.put(operands.b, p.b_row);
            BLOCK_BARRIER();
            // Under way while the products are computed.
            fetch(a, b, start + DEPTH);
            add(row, col, sum);
            BLOCK_BARRIER();
        }
        UNROLLED
        for (int i = 0; i < PARTS * SIDE; i++) {
            UNROLLED
            for (int j = 0; j < PARTS * SIDE; j++) {
                finish(p, tile, tile.row + place(row, i), tile.col + place(col, j), sum[i][j]);
            }
        }
    }

    DEVICE void fetch(Fetched<R, TILE>& a, Fetched<R, TILE>& b, uint64_t start) {
        a.fetch(tile.a, tile.row, p.m, p.a_row, start, p.k, p.a_col);
        b.fetch(tile.b, tile.col, p.n, p.b_col, start, p.k, p.b_row);
    }
};

template <class T, int TILE> DEVICE void multiply(const Product<T>& p) {
    typedef typename Multiply<T, TILE>::Operands Shared;
    SHARED(Shared, operands);
    Multiply<T, TILE>{p, tile_of_block<TILE, TILE>(p), operands}.run();
}

#define PRODUCT(tile, suffix, T) \
    KERNEL(THREADS, product_##tile##_##suffix, Product<T> p) { multiply<T, tile>(p); }

PRODUCT(64, f32, float)
PRODUCT(64, f64, double)
PRODUCT(64, f16, __half)
PRODUCT(64, bf16, __nv_bfloat16)
PRODUCT(128, f32, float)
