// Every kernel in every type over odd sizes, against plain loops in f64.
#include "check.h"
#include "../normalize.cuh"
#include "../product.cuh"

using namespace check;

namespace {

const size_t SIZES[] = {1, 31, 257, 1000};

double sigmoid_of(double x) { return 1 / (1 + std::exp(-x)); }
double clamped(double x, double low, double high) { return std::min(std::max(x, low), high); }

double gelu_by_tanh(double x) {
    return x < -1e4 ? 0.0 : x / 2 * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
}

struct UnaryCase {
    const char* name;
    double (*want)(double x, double a, double b);
    float a, b;
};

const UnaryCase UNARY_CASES[] = {
    {"Abs", [](double x, double, double) { return std::fabs(x); }, 0, 0},
    {"Neg", [](double x, double, double) { return -x; }, 0, 0},
    {"Sign", [](double x, double, double) { return x > 0 ? 1.0 : x < 0 ? -1.0 : x; }, 0, 0},
    {"Ceil", [](double x, double, double) { return std::ceil(x); }, 0, 0},
    {"Floor", [](double x, double, double) { return std::floor(x); }, 0, 0},
    {"Round", [](double x, double, double) { return std::nearbyint(x); }, 0, 0},
    {"Exp", [](double x, double, double) { return std::exp(x); }, 0, 0},
    {"Log", [](double x, double, double) { return std::log(x); }, 0, 0},
    {"Sqrt", [](double x, double, double) { return std::sqrt(x); }, 0, 0},
    {"Reciprocal", [](double x, double, double) { return 1 / x; }, 0, 0},
    {"Erf", [](double x, double, double) { return std::erf(x); }, 0, 0},
    {"Sin", [](double x, double, double) { return std::sin(x); }, 0, 0},
    {"Cos", [](double x, double, double) { return std::cos(x); }, 0, 0},
    {"Tan", [](double x, double, double) { return std::tan(x); }, 0, 0},
    {"Asin", [](double x, double, double) { return std::asin(x); }, 0, 0},
    {"Acos", [](double x, double, double) { return std::acos(x); }, 0, 0},
    {"Atan", [](double x, double, double) { return std::atan(x); }, 0, 0},
    {"Sinh", [](double x, double, double) { return std::sinh(x); }, 0, 0},
    {"Cosh", [](double x, double, double) { return std::cosh(x); }, 0, 0},
    {"Tanh", [](double x, double, double) { return std::tanh(x); }, 0, 0},
    {"Asinh", [](double x, double, double) { return std::asinh(x); }, 0, 0},
    {"Acosh", [](double x, double, double) { return std::acosh(x); }, 0, 0},
    {"Atanh", [](double x, double, double) { return std::atanh(x); }, 0, 0},
    {"Selu", [](double x, double a, double b) { return b * (x < 0 ? a * std::expm1(x) : x); }, 1.5f, 1.125f},
    {"Celu", [](double x, double a, double) { return x < 0 ? a * std::expm1(x / a) : x; }, 1.5f, 0},
    {"Mish", [](double x, double, double) { return x * std::tanh((x > 0 ? x : 0) + std::log1p(std::exp(-std::fabs(x)))); }, 0, 0},
    {"Shrink", [](double x, double a, double b) { return x < -b ? x + a : x > b ? x - a : 0; }, 0.25f, 1.5f},
    {"Sigmoid", [](double x, double, double) { return sigmoid_of(x); }, 0, 0},
    {"Softplus", [](double x, double, double) { return x > 700 ? x : std::log1p(std::exp(x)); }, 0, 0},
    {"Softsign", [](double x, double, double) { return x / (1 + std::fabs(x)); }, 0, 0},
    {"Relu", [](double x, double, double) { return x < 0 ? 0.0 : x; }, 0, 0},
    {"LeakyRelu", [](double x, double a, double) { return x < 0 ? a * x : x; }, 0.125f, 0},
    {"ThresholdedRelu", [](double x, double a, double) { return x <= a ? 0.0 : x; }, 0.5f, 0},
    {"Elu", [](double x, double a, double) { return x < 0 ? a * std::expm1(x) : x; }, 1.5f, 0},
    {"HardSigmoid", [](double x, double a, double b) { return x != x ? x : clamped(a * x + b, 0, 1); }, 0.25f, 0.5f},
    {"HardSwish", [](double x, double, double) { return x != x ? x : x * clamped(x / 6 + 0.5, 0, 1); }, 0, 0},
    {"Swish", [](double x, double a, double) { return x < -1e4 ? 0.0 : x * sigmoid_of(a * x); }, 1, 0},
    {"QuickGelu", [](double x, double a, double) { return x < -1e4 ? 0.0 : x * sigmoid_of(a * x); }, 1.75f, 0},
    {"Gelu", [](double x, double, double) { return x < -1e4 ? 0.0 : x / 2 * std::erfc(-x / std::sqrt(2.0)); }, 0, 0},
    {"Gelu", [](double x, double, double) { return gelu_by_tanh(x); }, 1, 0},
    {"FastGelu", [](double x, double, double) { return gelu_by_tanh(x); }, 0, 0},
};

template <class T> void unary() {
    const double special[] = {NAN, INFINITY, -INFINITY, 0.0, -0.0};
    for (const UnaryCase& c : UNARY_CASES) {
        for (size_t n : SIZES) {
            Memory<T> x = samples<T>(n);
            for (size_t i = 0; i < std::size(special) && i + 20 < n; i++) {
                // Minus infinity makes HardSwish and Softsign undefined numbers; each has its own opinion in f64 as well.
                x[i + 20] = number<T>(special[i]);
            }
            Memory<T> y(n);
            const auto want = [&](size_t i) { return c.want(value(x, i), c.a, c.b); };
            const std::string name = of<T>((std::string("unary_") + c.name).c_str());
            run(name, 3, 256, y, want, 4 * tolerance<T>(), static_cast<const T*>(x.data), y.data, uint64_t{n}, c.a, c.b);
        }
    }
}

template <class T> void activate_in_place() {
    for (size_t n : SIZES) {
        Memory<T> x = samples<T>(n), y = samples<T>(n);
        const auto want = [&](size_t i) { return std::max(0.0, value(x, i)); };
        uint32_t activation = RELU;
        uint64_t count = n;
        float p = 0, q = 0;
        T* at = y.data;
        launch(of<T>("activate").c_str(), {2, 1, 1}, 256, {&at, &count, &activation, &p, &q});
        for (size_t i = 0; i < n; i++) {
            if (value(y, i) != want(i)) failures++, fprintf(stderr, "activate: element %zu is wrong\n", i);
        }
    }
}

template <class T> void bits(const char* name, double (*want)(double)) {
    Memory<T> x = samples<T>(300, 0, 1), y(300);
    const auto of_element = [&](size_t i) { return want(value(x, i)); };
    run(of<T>((std::string("unary_") + name).c_str()), 1, 256, y, of_element, 0, static_cast<const T*>(x.data), y.data, uint64_t{300},
        0.0f, 0.0f);
}

void all_bits() {
    const auto complement = [](double x) { return -x - 1; };
    bits<bool>("Not", [](double x) { return x == 0 ? 1.0 : 0.0; });
    bits<uint8_t>("BitwiseNot", [](double x) { return 255 - x; });
    bits<int32_t>("BitwiseNot", complement);
    bits<int64_t>("BitwiseNot", complement);
    bits<int32_t>("Neg", [](double x) { return -x; });
    bits<int64_t>("Neg", [](double x) { return -x; });
    bits<int32_t>("Abs", [](double x) { return std::fabs(x); });
    bits<int64_t>("Abs", [](double x) { return std::fabs(x); });
}

template <class T, class Out> void binary_case(const char* name, double (*want)(double, double)) {
    // [3, 5, 7] from [3, 1, 7] and [5, 1].
    const Axes<2> shape = axes<2>({3, 5, 7}, {{7, 0, 1}, {0, 1, 0}});
    Memory<T> a = samples<T>(21, 0, 1), b = samples<T>(5, 3, 1);
    Memory<Out> y(105);
    const auto expected = [&](size_t i) { return want(value(a, i / 35 * 7 + i % 7), value(b, i / 7 % 5)); };
    run(of<T>((std::string("binary_") + name).c_str()), 1, 256, y, expected, tolerance<Out>(), shape, static_cast<const T*>(a.data),
        static_cast<const T*>(b.data), y.data, uint64_t{105});
}

// Lines that are whole packs, that begin anywhere, and that are one number for all.
template <class T> void binary_lines() {
    for (size_t line : {1, 8, 10, 301}) {
        for (size_t offset : {0, 1}) {
            Memory<T> a = samples<T>(3 * line + offset, 0, 1), b = samples<T>(line, 3, 1), y(3 * line);
            const auto from = static_cast<const T*>(a.data + offset);
            const int64_t length = static_cast<int64_t>(line);
            const auto sum = [&](size_t i) { return value(a, i + offset) + value(b, i % line); };
            const auto first = [&](size_t i) { return value(a, i + offset) + value(b, 0); };
            const Axes<2> by_line = axes<2>({3, line}, {{length, 1}, {0, 1}}), by_one = axes<2>({3 * line}, {{1}, {0}});
            const auto other = static_cast<const T*>(b.data);
            const std::string add = of<T>("binary_Add");
            run(add, 1, 256, y, sum, tolerance<T>(), by_line, from, other, y.data, uint64_t{y.len});
            run(add, 2, 256, y, first, tolerance<T>(), by_one, from, other, y.data, uint64_t{y.len});
        }
    }
}

template <class T> void arithmetic() {
    binary_lines<T>();
    binary_case<T, T>("Add", [](double a, double b) { return a + b; });
    binary_case<T, T>("Sub", [](double a, double b) { return a - b; });
    binary_case<T, T>("Mul", [](double a, double b) { return a * b; });
    binary_case<T, bool>("Equal", [](double a, double b) { return a == b ? 1.0 : 0.0; });
    binary_case<T, bool>("Less", [](double a, double b) { return a < b ? 1.0 : 0.0; });
    binary_case<T, bool>("LessOrEqual", [](double a, double b) { return a <= b ? 1.0 : 0.0; });
    binary_case<T, bool>("Greater", [](double a, double b) { return a > b ? 1.0 : 0.0; });
    binary_case<T, bool>("GreaterOrEqual", [](double a, double b) { return a >= b ? 1.0 : 0.0; });
}

template <class T> void integers() {
    arithmetic<T>();
    binary_case<T, T>("Div", [](double a, double b) { return b == 0 ? 0.0 : std::trunc(a / b); });
    const T least = std::numeric_limits<T>::min();
    Memory<T> a(2), b(2), y(2);
    a[0] = least, b[0] = -1, a[1] = least, b[1] = 2;
    const auto want = [&](size_t i) { return i == 0 ? double(least) : double(least) / 2; };
    const Axes<2> shape = axes<2>({2}, {{1}, {1}});
    run(of<T>("binary_Div"), 1, 256, y, want, 0, shape, static_cast<const T*>(a.data), static_cast<const T*>(b.data), y.data, uint64_t{2});
}

template <class T> void floats() {
    arithmetic<T>();
    binary_case<T, T>("Div", [](double a, double b) { return a / b; });
    binary_case<T, T>("PRelu", [](double a, double b) { return a < 0 ? a * b : a; });
    binary_case<T, T>("FastGelu", [](double a, double b) { return gelu_by_tanh(a + b); });
    binary_case<T, T>("BiasGelu", [](double a, double b) { return (a + b) / 2 * std::erfc(-(a + b) / std::sqrt(2.0)); });
}

template <class T> void movement(const std::string& size) {
    // A transposition of [5, 3, 7] with the last axis backwards.
    const Axes<2> shape = axes<2>({7, 5, 3}, {{-1, 21, 7}, {15, 3, 1}});
    Memory<T> x(105), y(105);
    for (size_t i = 0; i < 105; i++) memset(static_cast<void*>(&x[i]), static_cast<int>(i), sizeof(T));
    const auto start = static_cast<const T*>(x.data + 6);
    for (shim::Order order : {shim::Order::Ascending, shim::Order::Descending, shim::Order::Shuffled}) {
        shim::block().order = order;
        y.poison();
        Axes<2> a = shape;
        const T* from = start;
        T* to = y.data;
        uint64_t n = 105;
        launch(("copy_" + size).c_str(), {2, 1, 1}, 256, {&a, &from, &to, &n});
        for (size_t i = 0; i < 105; i++) {
            const size_t source = 6 - i / 15 + i / 3 % 5 * 21 + i % 3 * 7;
            if (memcmp(&y[i], &x[source], sizeof(T)) != 0) failures++, fprintf(stderr, "copy_%s: element %zu is wrong\n", size.c_str(), i);
        }
    }
}

// `Swap` of movement.cu.
struct Swap {
    uint64_t p, q;
    int64_t from_q, to_p;
};

// Transpositions of the last two axes of two matrices, of sides that fill squares and that do not.
template <class T> void swap(const std::string& size) {
    for (const auto& [p, q] : {std::pair<uint64_t, uint64_t>{64, 64}, {70, 9}, {8, 133}}) {
        Memory<T> x(2 * p * q), y(2 * p * q);
        for (size_t i = 0; i < x.len; i++) memset(static_cast<void*>(&x[i]), static_cast<int>(i * 7 % 251), sizeof(T));
        const int64_t apart = static_cast<int64_t>(p * q);
        Axes<2> others = axes<2>({2}, {{apart}, {apart}});
        Swap axes{p, q, static_cast<int64_t>(p), static_cast<int64_t>(q)};
        const T* from = x.data;
        T* to = y.data;
        const uint64_t side = sizeof(T) < 4 ? 64 : 32;
        const unsigned blocks = static_cast<unsigned>(2 * ((p + side - 1) / side) * ((q + side - 1) / side));
        for (shim::Order order : {shim::Order::Ascending, shim::Order::Descending, shim::Order::Shuffled}) {
            shim::block().order = order;
            y.poison();
            launch(("swap_" + size).c_str(), {blocks, 1, 1}, 256, {&others, &axes, &from, &to});
            for (size_t i = 0; i < y.len; i++) {
                const size_t source = i / (p * q) * p * q + i % q * p + i % (p * q) / q;
                if (memcmp(&y[i], &x[source], sizeof(T)) == 0) continue;
                failures++, fprintf(stderr, "swap_%s: element %zu is wrong\n", size.c_str(), i);
                break;
            }
        }
    }
}

struct Fault {
    uint32_t node, input;
    int64_t index;
    uint64_t len;
};

template <class T, class Index> void gather(const std::string& size) {
    Memory<T> data(2 * 3 * 5), y(2 * 4 * 5);
    for (size_t i = 0; i < data.len; i++) memset(static_cast<void*>(&data[i]), static_cast<int>(i), sizeof(T));
    Memory<Index> indices(4);
    indices[0] = 2, indices[1] = -3, indices[2] = 0, indices[3] = -1;
    Fault fault{};
    Fault* fault_at = &fault;
    const T* from = data.data;
    const Index* which = indices.data;
    T* to = y.data;
    uint64_t n = y.len, count = 4, len = 3, row = 5;
    uint32_t node = 9;
    const std::string name = "gather_" + size + "_" + suffix<Index>();
    launch(name.c_str(), {1, 1, 1}, 256, {&from, &which, &to, &n, &count, &len, &row, &fault_at, &node});
    const size_t rows[] = {2, 0, 0, 2};
    for (size_t i = 0; i < n; i++) {
        const size_t source = (i / 20 * 3 + rows[i / 5 % 4]) * 5 + i % 5;
        if (memcmp(&y[i], &data[source], sizeof(T)) != 0) failures++, fprintf(stderr, "%s: element %zu is wrong\n", name.c_str(), i);
    }
    indices[1] = 3;
    launch(name.c_str(), {1, 1, 1}, 256, {&from, &which, &to, &n, &count, &len, &row, &fault_at, &node});
    const T zero{};
    const bool told = fault.node == 9 && fault.index == 3 && fault.len == 3 && memcmp(&y[5], &zero, sizeof(T)) == 0;
    if (!told) failures++, fprintf(stderr, "%s: an index out of range is not told\n", name.c_str());
}

template <class T> void where(const std::string& size) {
    Memory<bool> condition(6);
    for (size_t i = 0; i < 6; i++) condition[i] = i % 2 == 0;
    Memory<T> a(3), b(1), y(6);
    for (size_t i = 0; i < 3; i++) memset(static_cast<void*>(&a[i]), static_cast<int>(i + 1), sizeof(T));
    memset(static_cast<void*>(&b[0]), 77, sizeof(T));
    Axes<3> shape = axes<3>({2, 3}, {{3, 1}, {0, 1}, {0, 0}});
    const bool* c = condition.data;
    const T *x = a.data, *z = b.data;
    T* to = y.data;
    uint64_t n = 6;
    launch(("where_" + size).c_str(), {1, 1, 1}, 256, {&shape, &c, &x, &z, &to, &n});
    for (size_t i = 0; i < 6; i++) {
        if (memcmp(&y[i], i % 2 == 0 ? &a[i % 3] : &b[0], sizeof(T)) != 0) failures++, fprintf(stderr, "where_%s: wrong\n", size.c_str());
    }
}

template <class T> void each_movement(const std::string& size) {
    movement<T>(size);
    swap<T>(size);
    gather<T, int32_t>(size);
    gather<T, int64_t>(size);
    where<T>(size);
}

template <class T> void softmax_case(uint64_t outer, uint64_t len, uint64_t inner, uint32_t log_of) {
    Memory<T> x = samples<T>(outer * len * inner), y(outer * len * inner);
    const auto want = [&](size_t i) {
        const size_t start = i / (len * inner) * len * inner + i % inner;
        double sum = 0;
        for (size_t j = 0; j < len; j++) sum += std::exp(value(x, start + j * inner));
        return log_of ? value(x, i) - std::log(sum) : std::exp(value(x, i)) / sum;
    };
    const unsigned rows = static_cast<unsigned>(outer * inner);
    const double bound = 2 * tolerance<T>();
    const auto from = static_cast<const T*>(x.data);
    run(of<T>("softmax"), rows, 256, y, want, bound, from, y.data, uint64_t{len}, uint64_t{inner}, log_of);
    if (inner > 1) return;
    for (const char* kernel : {"softmax_by_block", "softmax_by_large_block"}) {
        run(of<T>(kernel), rows, 256, y, want, bound, from, y.data, uint64_t{outer}, uint64_t{len}, log_of);
    }
    if (len > 256) return;
    run(of<T>("softmax_by_warp"), (rows + 7) / 8, 256, y, want, bound, from, y.data, uint64_t{outer}, uint64_t{len}, log_of);
}

template <class T> void softmax() {
    const uint64_t shapes[][3] = {{1, 1, 1}, {3, 37, 1}, {2, 300, 3}, {11, 256, 1}, {5, 257, 1}, {2, 2048, 1}};
    for (const auto& [outer, len, inner] : shapes) {
        for (uint32_t log_of : {0u, 1u}) softmax_case<T>(outer, len, inner, log_of);
    }
}

// What is no number, or infinite, spoils its own row alone.
template <class T> void softmax_of_infinities() {
    Memory<T> x = samples<T>(3 * 40), y(3 * 40);
    x[7] = number<T>(NAN), x[45] = number<T>(-INFINITY);
    for (size_t i = 80; i < 120; i++) x[i] = number<T>(-INFINITY);
    const auto want = [&](size_t i) {
        double sum = 0;
        for (size_t j = 0; j < 40; j++) sum += std::exp(value(x, 40 + j));
        return i / 40 == 1 ? std::exp(value(x, i)) / sum : NAN;
    };
    const auto from = static_cast<const T*>(x.data);
    run(of<T>("softmax_by_warp"), 1, 256, y, want, 2 * tolerance<T>(), from, y.data, uint64_t{3}, uint64_t{40}, 0u);
}

template <class T> void normalize_case(const char* kernel, unsigned blocks, size_t rows, size_t len, bool all, bool simplified) {
    Memory<T> x = samples<T>(rows * len), skip = samples<T>(len, 5), bias = samples<T>(len, 6), gamma = samples<T>(len, 7),
              beta = samples<T>(len, 8), y(rows * len), sum(rows * len);
    Memory<Wide<T>> mean(rows), inverse(rows);
    Row<T> row{x.data, all ? skip.data : nullptr, len, all ? bias.data : nullptr, gamma.data, all ? beta.data : nullptr, y.data,
               all ? sum.data : nullptr, all ? mean.data : nullptr, all ? inverse.data : nullptr, rows, len, 1e-5f, simplified};
    const auto added = [&](size_t i) { return value(x, i) + (all ? value(skip, i % len) + value(bias, i % len) : 0.0); };
    const auto moments = [&](size_t r) {
        double m = 0, s = 0;
        for (size_t j = 0; j < len && !simplified; j++) m += added(r * len + j) / double(len);
        for (size_t j = 0; j < len; j++) s += (added(r * len + j) - m) * (added(r * len + j) - m) / double(len);
        return std::make_pair(m, 1 / std::sqrt(s + 1e-5));
    };
    const auto want = [&](size_t i) {
        const auto [m, factor] = moments(i / len);
        return (added(i) - m) * factor * value(gamma, i % len) + (all ? value(beta, i % len) : 0.0);
    };
    run(of<T>(kernel), blocks, 256, y, want, 4 * tolerance<T>(), row);
    for (size_t r = 0; all && r < rows; r++) {
        const auto [m, factor] = moments(r);
        const double bound = 1e-5;
        if (std::fabs(double(mean[r]) - m) > bound || std::fabs(double(inverse[r]) - factor) > bound * factor) {
            failures++, fprintf(stderr, "%s: the moments of row %zu are wrong\n", of<T>(kernel).c_str(), r);
        }
        if (std::fabs(value(sum, r * len) - added(r * len)) > 0.1) failures++, fprintf(stderr, "the sum of row %zu is wrong\n", r);
    }
}

template <class T> void normalize() {
    for (size_t len : {1, 33, 256, 300}) {
        for (bool all : {false, true}) {
            normalize_case<T>("normalize", 3, 3, len, all, len == 33);
            normalize_case<T>("normalize_by_block", 3, 3, len, all, len == 33);
            normalize_case<T>("normalize_by_large_block", 3, 3, len, all, len == 33);
            if (len < 300) normalize_case<T>("normalize_by_warp", 2, 11, len, all, len == 33);
        }
    }
}

template <class T> void reduce() {
    // [3, 5, 70] over the outer and the inner axis.
    Memory<T> x = samples<T>(3 * 5 * 70), y(5);
    const Axes<1> kept = axes<1>({5}, {{70}}), reduced = axes<1>({3, 70}, {{350, 1}});
    // For products and logarithms: positive, and neither vanishing nor exploding.
    Memory<T> positive(x.len);
    for (size_t i = 0; i < x.len; i++) positive[i] = number<T>((i % 2 ? 2 : 0.5) * (i % 9 == 4 ? 1.25 : 1));
    const auto fold_of = [](const Memory<T>& from, size_t i, double v, auto both) {
        for (size_t j = 0; j < 210; j++) v = both(v, value(from, j / 70 * 350 + i * 70 + j % 70));
        return v;
    };
    const auto folded = [&](size_t i, double v, auto both) { return fold_of(x, i, v, both); };
    const auto sum = [](double a, double b) { return a + b; };
    const auto of_absolutes = [](double a, double b) { return a + std::fabs(b); };
    const auto of_squares = [](double a, double b) { return a + b * b; };
    const auto of_powers = [](double a, double b) { return a + std::exp(b); };
    const std::map<std::string, std::function<double(size_t)>> want = {
        {"ReduceSum", [&](size_t i) { return folded(i, 0, sum); }},
        {"ReduceMean", [&](size_t i) { return folded(i, 0, sum) / 210; }},
        {"ReduceProd", [&](size_t i) { return fold_of(positive, i, 1, [](double a, double b) { return a * b; }); }},
        {"ReduceMax", [&](size_t i) { return folded(i, -HUGE_VAL, [](double a, double b) { return std::max(a, b); }); }},
        {"ReduceMin", [&](size_t i) { return folded(i, HUGE_VAL, [](double a, double b) { return std::min(a, b); }); }},
        {"ReduceL1", [&](size_t i) { return folded(i, 0, of_absolutes); }},
        {"ReduceL2", [&](size_t i) { return std::sqrt(folded(i, 0, of_squares)); }},
        {"ReduceSumSquare", [&](size_t i) { return folded(i, 0, of_squares); }},
        {"ReduceLogSum", [&](size_t i) { return std::log(fold_of(positive, i, 0, sum)); }},
        {"ReduceLogSumExp", [&](size_t i) { return std::log(folded(i, 0, of_powers)); }},
    };
    for (const auto& [name, of_element] : want) {
        const T* from = name == "ReduceProd" || name == "ReduceLogSum" ? positive.data : x.data;
        const std::string kernel = of<T>(("reduce_" + name).c_str());
        for (uint32_t threads : {1u, 32u, 256u}) {
            const unsigned blocks = threads == 256 ? 5 : 1;
            run(kernel, blocks, 256, y, of_element, 2 * tolerance<T>(), kept, reduced, from, y.data, uint64_t{5}, uint64_t{210}, threads);
        }
    }
}

// Along one axis: neighbours, and columns.
template <class T> void reduce_one_axis() {
    for (size_t count : {1, 30, 1100}) {
        Memory<T> x = samples<T>(3 * count), y(3);
        const int64_t length = static_cast<int64_t>(count);
        for (bool columns : {false, true}) {
            const Axes<1> kept = axes<1>({3}, {{columns ? 1 : length}}), reduced = axes<1>({count}, {{columns ? 3 : 1}});
            const auto want = [&](size_t i) {
                double sum = 0;
                for (size_t j = 0; j < count; j++) sum += value(x, columns ? j * 3 + i : i * count + j);
                return sum;
            };
            for (uint32_t threads : {1u, 32u, 256u}) {
                run(of<T>("reduce_ReduceSum"), 3, 256, y, want, 4 * tolerance<T>(), kept, reduced, static_cast<const T*>(x.data), y.data,
                    uint64_t{3}, uint64_t{count}, threads);
            }
        }
    }
}

template <class From, class To> void cast_case() {
    Memory<From> x = samples<From>(100, 0, 1);
    Memory<To> y(100);
    const auto want = [&](size_t i) {
        if (std::is_same_v<To, bool>) return value(x, i) != 0 ? 1.0 : 0.0;
        return double(widen(number<To>(value(x, i))));
    };
    const std::string name = std::string("cast_") + suffix<From>() + "_" + suffix<To>();
    run(name, 1, 256, y, want, 0, static_cast<const From*>(x.data), y.data, uint64_t{100});
}

template <class From> void casts() {
    cast_case<From, float>();
    cast_case<From, double>();
    cast_case<From, __half>();
    cast_case<From, __nv_bfloat16>();
    cast_case<From, bool>();
}

template <class T>
void product_case(const std::string& name, size_t tile, unsigned threads, size_t m, size_t n, size_t k, bool ta, bool tb, bool addend) {
    const size_t batch = 2;
    Memory<T> a = samples<T>(batch * m * k, 1), b = samples<T>(k * n, 2), c = samples<T>(n, 3), y(batch * m * n);
    Product<T> p{};
    p.a = a.data, p.b = b.data, p.c = addend ? c.data : nullptr, p.y = y.data;
    p.m = m, p.n = n, p.k = k;
    p.a_row = ta ? 1 : int64_t(k), p.a_col = ta ? int64_t(m) : 1;
    p.b_row = tb ? 1 : int64_t(n), p.b_col = tb ? int64_t(k) : 1;
    p.c_row = 0, p.c_col = 1;
    p.batch = axes<3>({batch}, {{int64_t(m * k)}, {0}, {int64_t(m * n)}});
    p.alpha = 0.5f, p.beta = 2, p.activation = addend ? RELU : NO_ACTIVATION;
    const auto want = [&](size_t i) {
        const size_t which = i / (m * n), row = i / n % m, col = i % n;
        double sum = 0;
        for (size_t j = 0; j < k; j++) {
            sum += value(a, which * m * k + row * p.a_row + j * p.a_col) * value(b, j * p.b_row + col * p.b_col);
        }
        sum *= 0.5;
        return addend ? std::max(0.0, sum + 2 * value(c, col)) : sum;
    };
    const unsigned blocks = static_cast<unsigned>(batch * ((m + tile - 1) / tile) * ((n + tile - 1) / tile));
    run(name, blocks, threads, y, want, 4 * tolerance<T>(), p);
}

const size_t PRODUCTS[][3] = {{1, 1, 1}, {5, 3, 0}, {7, 70, 33}, {65, 64, 40}, {130, 128, 96}};

template <class T> void product(size_t tile) {
    const std::string name = of<T>(("product_" + std::to_string(tile)).c_str());
    for (const auto& [m, n, k] : PRODUCTS) {
        for (int form = 0; form < 4; form++) product_case<T>(name, tile, 256, m, n, k, form & 1, form & 2, form != 0);
    }
}

template <class T> void product_mma(size_t tile) {
    const char* forms[] = {"nn", "tn", "nt", "tt"};
    for (const auto& [m, n, k] : PRODUCTS) {
        for (int form = 0; form < 4; form++) {
            const std::string name = of<T>(("product_mma_" + std::to_string(tile) + "_" + forms[form]).c_str());
            product_case<T>(name, tile, static_cast<unsigned>(2 * tile), m, n, k, form & 1, form & 2, form != 0);
        }
    }
}

}  // namespace

// Whether a family of kernels is among those that the program was told, if any.
bool wanted(int count, char** families, const char* family) {
    return count < 2 || std::any_of(families + 1, families + count, [=](const char* f) { return strcmp(f, family) == 0; });
}

int main(int count, char** families) {
    const auto on = [=](const char* family) { return wanted(count, families, family); };
    each_float([&](auto t) {
        using T = decltype(t);
        if (on("unary")) unary<T>();
        if (on("binary")) floats<T>();
        if (on("softmax")) {
            softmax<T>();
            softmax_of_infinities<T>();
        }
        if (on("normalize")) normalize<T>();
        if (on("reduce")) {
            reduce<T>();
            reduce_one_axis<T>();
        }
        if (on("cast")) casts<T>();
        if (on("product")) product<T>(64);
    });
    if (on("unary")) {
        all_bits();
        activate_in_place<float>();
        activate_in_place<__half>();
        activate_in_place<__nv_bfloat16>();
    }
    if (on("binary")) {
        integers<int32_t>();
        integers<int64_t>();
    }
    if (on("cast")) {
        casts<int32_t>();
        casts<int64_t>();
        casts<uint8_t>();
        casts<bool>();
        cast_case<int32_t, int64_t>();
        cast_case<int64_t, int32_t>();
        cast_case<uint8_t, int32_t>();
        cast_case<bool, int64_t>();
    }
    if (on("movement")) {
        each_movement<uint8_t>("1");
        each_movement<uint16_t>("2");
        each_movement<uint32_t>("4");
        each_movement<uint64_t>("8");
        each_movement<Bytes16>("16");
    }
    if (on("product")) product<float>(128);
    for (size_t tile : {64, 128}) {
        if (!on("product_mma")) continue;
        product_mma<__half>(tile);
        product_mma<__nv_bfloat16>(tile);
    }
    printf("%d failures\n", failures);
    return failures != 0;
}
