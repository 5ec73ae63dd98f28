// A cuBLASLt without a device, beside the driver of `driver.cpp`: products are computed by plain loops when their stream comes to them.
// Names and numbers are those of `cublasLt.h`. Whatever a real library would refuse or read outside of memory is an error here.
//
// Environment variables make it fail:
//   FAKE_CUBLAS_FAIL   `create` for no handle, `matmul` for products that do not start
//   FAKE_CUBLAS_NONE   set: no product has an algorithm
#include <algorithm>
#include <cstdint>
#include <string>

#include "../prims.cuh"

extern "C" {
void fake_cuda_put_off(void* stream, void (*work)(void*), void* data);
int fake_cuda_owns(void* stream, uint64_t at, size_t n);
void fake_cuda_log(const char* line);
}

namespace {

constexpr int SUCCESS = 0, NOT_INITIALIZED = 1, INVALID_VALUE = 7, EXECUTION_FAILED = 13, NOT_SUPPORTED = 15;
constexpr int R_32F = 0, R_16F = 2, R_16BF = 14, COMPUTE_32F = 68, COMPUTE_32F_FAST_TF32 = 77;
constexpr uint32_t PLAIN = 1, RELU = 2, BIAS = 4, RELU_BIAS = 6;
// What an algorithm of ours begins with, and the workspace that it asks for.
constexpr uint64_t OURS = 0x0e7a1e57;
constexpr size_t WORKSPACE = 4096;

bool asked(const char* variable, const char* value) {
    const char* text = getenv(variable);
    return text && std::string(text) == value;
}

struct Desc {
    int compute, scale;
    int trans[2] = {0, 0};
    uint32_t epilogue = PLAIN;
    const void* bias = nullptr;
};

struct Layout {
    int type;
    uint64_t rows, cols;
    int64_t ld;
    int32_t batch = 1;
    int64_t stride = 0;

    size_t width() const { return type == R_32F ? 4 : 2; }
    // Bytes from the first element to the last.
    size_t reach() const { return (static_cast<size_t>((batch - 1) * stride) + (cols - 1) * static_cast<size_t>(ld) + rows) * width(); }
};

struct Preference {
    uint64_t workspace = 0;
    uint32_t alignment[4] = {256, 256, 256, 256};
};

struct Result {
    uint64_t algorithm[8];
    size_t workspace;
    int status;
    float waves;
    int reserved[4];
};

float read(int type, const void* at, int64_t i) {
    if (type == R_32F) return static_cast<const float*>(at)[i];
    if (type == R_16F) return __half2float(static_cast<const __half*>(at)[i]);
    return __bfloat162float(static_cast<const __nv_bfloat16*>(at)[i]);
}

void write(int type, void* at, int64_t i, float v) {
    if (type == R_32F) {
        static_cast<float*>(at)[i] = v;
    } else if (type == R_16F) {
        static_cast<__half*>(at)[i] = __float2half_rn(v);
    } else {
        static_cast<__nv_bfloat16*>(at)[i] = __float2bfloat16_rn(v);
    }
}

template <class T> int copy_attribute(T& to, const void* from, size_t size) {
    if (size != sizeof(T)) return INVALID_VALUE;
    memcpy(&to, from, size);
    return SUCCESS;
}

// One product that waits for its turn. Matrices are stored column after column.
struct Work {
    Desc desc;
    Layout a, b, c, d;
    const void *at_a, *at_b, *at_c;
    void* at_d;
    float alpha, beta;

    float element(const Layout& l, const void* at, int trans, uint64_t row, uint64_t col, int64_t batch) const {
        if (trans) std::swap(row, col);
        return read(l.type, at, batch * l.stride + static_cast<int64_t>(col) * l.ld + static_cast<int64_t>(row));
    }

    void run() const {
        const uint64_t depth = desc.trans[0] ? a.rows : a.cols;
        for (int64_t batch = 0; batch < d.batch; batch++) {
            for (uint64_t col = 0; col < d.cols; col++) {
                for (uint64_t row = 0; row < d.rows; row++) {
                    float sum = 0;
                    for (uint64_t i = 0; i < depth; i++) {
                        sum += element(a, at_a, desc.trans[0], row, i, batch) * element(b, at_b, desc.trans[1], i, col, batch);
                    }
                    float v = alpha * sum;
                    if (beta != 0) v += beta * element(c, at_c, 0, row, col, batch);
                    if (desc.epilogue & BIAS) v += read(d.type, desc.bias, static_cast<int64_t>(row));
                    if (desc.epilogue & RELU) v = std::max(v, 0.0f);
                    write(d.type, at_d, batch * d.stride + static_cast<int64_t>(col) * d.ld + static_cast<int64_t>(row), v);
                }
            }
        }
    }
};

// Whether the descriptions fit each other.
bool fits(const Desc& desc, const Layout& a, const Layout& b, const Layout& c, const Layout& d) {
    for (const Layout* l : {&a, &b, &c, &d}) {
        const bool known = l->type == R_32F || l->type == R_16F || l->type == R_16BF;
        if (!known || l->type != d.type || l->batch != d.batch || l->rows == 0 || l->cols == 0) return false;
        if (l->ld < static_cast<int64_t>(l->rows)) return false;
    }
    const bool rounds = desc.compute == COMPUTE_32F_FAST_TF32 && d.type == R_32F;
    const bool computes = desc.scale == R_32F && (desc.compute == COMPUTE_32F || rounds);
    const bool has_epilogue = desc.epilogue == PLAIN || desc.epilogue == RELU || desc.epilogue == BIAS || desc.epilogue == RELU_BIAS;
    const uint64_t m = desc.trans[0] ? a.cols : a.rows, depth = desc.trans[0] ? a.rows : a.cols;
    const uint64_t n = desc.trans[1] ? b.rows : b.cols, other = desc.trans[1] ? b.cols : b.rows;
    return computes && has_epilogue && depth == other && m == d.rows && n == d.cols && c.rows == d.rows && c.cols == d.cols;
}

}  // namespace

extern "C" {

int cublasLtCreate(void** to) {
    if (asked("FAKE_CUBLAS_FAIL", "create")) return NOT_INITIALIZED;
    *to = new int;
    return SUCCESS;
}

int cublasLtDestroy(void* handle) {
    delete static_cast<int*>(handle);
    return SUCCESS;
}

size_t cublasLtGetVersion() { return 120000; }

const char* cublasLtGetStatusName(int status) {
    switch (status) {
        case NOT_INITIALIZED: return "CUBLAS_STATUS_NOT_INITIALIZED";
        case INVALID_VALUE: return "CUBLAS_STATUS_INVALID_VALUE";
        case EXECUTION_FAILED: return "CUBLAS_STATUS_EXECUTION_FAILED";
        case NOT_SUPPORTED: return "CUBLAS_STATUS_NOT_SUPPORTED";
        default: return nullptr;
    }
}

int cublasLtMatmulDescCreate(void** to, int compute, int scale) {
    *to = new Desc{compute, scale};
    return SUCCESS;
}

int cublasLtMatmulDescSetAttribute(void* given, int attribute, const void* from, size_t size) {
    Desc& desc = *static_cast<Desc*>(given);
    switch (attribute) {
        case 3: return copy_attribute(desc.trans[0], from, size);
        case 4: return copy_attribute(desc.trans[1], from, size);
        case 7: return copy_attribute(desc.epilogue, from, size);
        case 8: return copy_attribute(desc.bias, from, size);
        default: return INVALID_VALUE;
    }
}

int cublasLtMatmulDescDestroy(void* desc) {
    delete static_cast<Desc*>(desc);
    return SUCCESS;
}

int cublasLtMatrixLayoutCreate(void** to, int type, uint64_t rows, uint64_t cols, int64_t ld) {
    *to = new Layout{type, rows, cols, ld};
    return SUCCESS;
}

int cublasLtMatrixLayoutSetAttribute(void* given, int attribute, const void* from, size_t size) {
    Layout& layout = *static_cast<Layout*>(given);
    switch (attribute) {
        case 5: return copy_attribute(layout.batch, from, size);
        case 6: return copy_attribute(layout.stride, from, size);
        default: return INVALID_VALUE;
    }
}

int cublasLtMatrixLayoutDestroy(void* layout) {
    delete static_cast<Layout*>(layout);
    return SUCCESS;
}

int cublasLtMatmulPreferenceCreate(void** to) {
    *to = new Preference;
    return SUCCESS;
}

int cublasLtMatmulPreferenceSetAttribute(void* given, int attribute, const void* from, size_t size) {
    Preference& preference = *static_cast<Preference*>(given);
    if (attribute == 1) return copy_attribute(preference.workspace, from, size);
    if (attribute >= 5 && attribute <= 8) return copy_attribute(preference.alignment[attribute - 5], from, size);
    return INVALID_VALUE;
}

int cublasLtMatmulPreferenceDestroy(void* preference) {
    delete static_cast<Preference*>(preference);
    return SUCCESS;
}

// The algorithm remembers the alignments that it was promised.
int cublasLtMatmulAlgoGetHeuristic(void*, void* desc, void* a, void* b, void* c, void* d, void* preference, int wanted, Result* results,
                                   int* found) {
    const Preference& p = *static_cast<Preference*>(preference);
    *found = 0;
    if (getenv("FAKE_CUBLAS_NONE")) return NOT_SUPPORTED;
    const bool good = fits(*static_cast<Desc*>(desc), *static_cast<Layout*>(a), *static_cast<Layout*>(b), *static_cast<Layout*>(c),
                           *static_cast<Layout*>(d));
    if (!good || wanted < 1 || p.workspace < WORKSPACE) return INVALID_VALUE;
    *results = Result{{OURS, p.alignment[0], p.alignment[1], p.alignment[2], p.alignment[3]}, WORKSPACE, SUCCESS, 1, {}};
    *found = 1;
    return SUCCESS;
}

int cublasLtMatmul(void*, void* desc, const float* alpha, const void* a, void* of_a, const void* b, void* of_b, const float* beta,
                   const void* c, void* of_c, void* d, void* of_d, const uint64_t* algorithm, void* workspace, size_t workspace_size,
                   void* stream) {
    if (asked("FAKE_CUBLAS_FAIL", "matmul")) return EXECUTION_FAILED;
    Work work{*static_cast<Desc*>(desc), *static_cast<Layout*>(of_a), *static_cast<Layout*>(of_b), *static_cast<Layout*>(of_c),
              *static_cast<Layout*>(of_d), a, b, c, d, *alpha, *beta};
    if (!algorithm || algorithm[0] != OURS || !fits(work.desc, work.a, work.b, work.c, work.d)) return INVALID_VALUE;
    const auto address = [](const void* p) { return reinterpret_cast<uint64_t>(p); };
    const uint64_t places[4] = {address(a), address(b), address(c), address(d)};
    const Layout* layouts[4] = {&work.a, &work.b, &work.c, &work.d};
    for (int i = 0; i < 4; i++) {
        if (!fake_cuda_owns(stream, places[i], layouts[i]->reach()) || places[i] % algorithm[1 + i] != 0) return INVALID_VALUE;
    }
    if (workspace_size < WORKSPACE || !fake_cuda_owns(stream, address(workspace), workspace_size)) return INVALID_VALUE;
    const bool has_bias = work.desc.epilogue & BIAS;
    if (has_bias && !fake_cuda_owns(stream, address(work.desc.bias), work.d.rows * work.d.width())) return INVALID_VALUE;
    fake_cuda_log(("matmul " + std::to_string(work.d.rows) + " " + std::to_string(work.d.cols) + " " +
                   std::to_string(work.desc.epilogue) + " " + std::to_string(work.desc.compute)).c_str());
    fake_cuda_put_off(stream, [](void* data) {
        static_cast<Work*>(data)->run();
        delete static_cast<Work*>(data);
    }, new Work(work));
    return SUCCESS;
}

}  // extern "C"
