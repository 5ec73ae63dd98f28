// Reductions: each element of the result is made by one thread, a warp, or a block.
#include "packs.cuh"

// Each reduction: what becomes of an element, how two become one, and what becomes of the whole of `count` elements.
template <class FoldOf> struct Plain {
    typedef FoldOf Fold;
    template <class R> DEVICE static R of(R x) { return x; }
    template <class R> DEVICE static R whole(R v, uint64_t) { return v; }
};
struct ReduceSum : Plain<SumOf> {};
struct ReduceProd : Plain<ProductOf> {};
struct ReduceMax : Plain<LargestOf> {};
struct ReduceMin : Plain<SmallestOf> {};
struct ReduceMean : Plain<SumOf> {
    template <class R> DEVICE static R whole(R v, uint64_t count) { return v / R(count); }
};
struct ReduceL1 : Plain<SumOf> {
    template <class R> DEVICE static R of(R x) { return fabs(x); }
};
struct ReduceSumSquare : Plain<SumOf> {
    template <class R> DEVICE static R of(R x) { return x * x; }
};
struct ReduceL2 : ReduceSumSquare {
    template <class R> DEVICE static R whole(R v, uint64_t) { return sqrt(v); }
};
struct ReduceLogSum : Plain<SumOf> {
    template <class R> DEVICE static R whole(R v, uint64_t) { return log(v); }
};

// What of the input goes into one element of the result: `kept` and `reduced` are the axes that stay and that go.
template <class T> struct Part {
    const Axes<1>& reduced;
    const T* x;
    uint64_t count;

    DEVICE Part(const Axes<1>& kept, const Axes<1>& reduced, const T* x, uint64_t count, uint64_t result)
        : reduced(reduced), x(x), count(count) {
        int64_t at[1];
        locate(kept, result, at);
        this->x += at[0];
    }

    DEVICE Wide<T> at(uint64_t i) const {
        int64_t at[1];
        locate(reduced, i, at);
        return Wide<T>(widen(x[at[0]]));
    }
};

// The threads of the block that make one result: all, those of a warp, or one.
struct Team {
    uint32_t size;

    DEVICE uint64_t result() const { return quotient_of(blockIdx.x * uint64_t(blockDim.x) + threadIdx.x, size); }
    DEVICE uint32_t rank() const { return threadIdx.x % size; }

    // One value from what `f` makes of each element. On one axis, several are loaded at a time.
    template <class Fold, class T, class F> DEVICE Wide<T> fold(const Part<T>& part, const F& f) const {
        constexpr int P = pack_size<T>();
        Wide<T> v = Fold::template none<Wide<T>>();
        if (part.reduced.rank < 2) {
            const int64_t stride = part.reduced.strides[0][0];
            ROLLED
            for (uint64_t i = rank() * P; i < part.count; i += size * P) {
                const Pack<T, P> pack = load_along<P>(part.x + static_cast<int64_t>(i) * stride, stride, part.count - i);
                UNROLLED
                for (int e = 0; e < P; e++) {
                    if (i + e < part.count) v = Fold::both(v, f(Wide<T>(widen(pack.of[e]))));
                }
            }
        } else {
            ROLLED
            for (uint64_t i = rank(); i < part.count; i += size) v = Fold::both(v, f(part.at(i)));
        }
        if (size == 1) return v;
        return size == WARP ? fold_warp<Fold>(v) : fold_block<Fold>(v);
    }
};

template <class Reduction, class T> DEVICE void reduce(const Team& team, const Part<T>& part, T* y) {
    typedef Wide<T> R;
    const R v = team.fold<typename Reduction::Fold>(part, [](R x) { return Reduction::of(x); });
    if (team.rank() == 0) y[team.result()] = narrow<T>(Reduction::whole(v, part.count));
}

// The logarithm of the sum of exponentials, without overflow: the largest is taken out first.
template <class T> DEVICE void reduce_log_sum_exp(const Team& team, const Part<T>& part, T* y) {
    typedef Wide<T> R;
    const R largest = team.fold<LargestOf>(part, [](R x) { return x; });
    const bool finite = fabs(largest) < R(infinity());
    const R sum = team.fold<SumOf>(part, [=](R x) { return finite ? exp(x - largest) : R(0); });
    if (team.rank() == 0) y[team.result()] = narrow<T>(finite ? largest + log(sum) : largest);
}

#define REDUCE_BY(name, suffix, T, function) \
    KERNEL(256, reduce_##name##_##suffix, Axes<1> kept, Axes<1> reduced, const T* x, T* y, uint64_t results, uint64_t count, \
           uint32_t threads) { \
        const Team team{threads}; \
        if (team.result() < results) function(team, Part<T>(kept, reduced, x, count, team.result()), y); \
    }

#define REDUCE_OF(name, suffix, T) REDUCE_BY(name, suffix, T, (reduce<name, T>))
#define LOG_SUM_EXP_OF(suffix, T) REDUCE_BY(ReduceLogSumExp, suffix, T, reduce_log_sum_exp<T>)

#define REDUCE(name) \
    REDUCE_OF(name, f32, float) \
    REDUCE_OF(name, f64, double) \
    REDUCE_OF(name, f16, __half) \
    REDUCE_OF(name, bf16, __nv_bfloat16)

REDUCE(ReduceSum)
REDUCE(ReduceMean)
REDUCE(ReduceProd)
REDUCE(ReduceMax)
REDUCE(ReduceMin)
REDUCE(ReduceL1)
REDUCE(ReduceL2)
REDUCE(ReduceSumSquare)
REDUCE(ReduceLogSum)
LOG_SUM_EXP_OF(f32, float)
LOG_SUM_EXP_OF(f64, double)
LOG_SUM_EXP_OF(f16, __half)
LOG_SUM_EXP_OF(bf16, __nv_bfloat16)
