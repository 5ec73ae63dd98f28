// A CUDA driver without a device: memory is the host's, kernels run through the shim. For tests of whatever calls the driver.
//
// Work on a stream is put off until somebody waits for it, so that whoever forgets to wait finds poison. Every copy must lie inside an
// allocation. Environment variables make it fail:
//   FAKE_CUDA_VERSION     the version that it tells, 12040 if unset
//   FAKE_CUDA_DEVICES     how many devices there are, 1 if unset
//   FAKE_CUDA_INIT        the status of cuInit
//   FAKE_CUDA_CAPABILITY  the capability of the devices, 80 if unset
//   FAKE_CUDA_MEMORY      bytes of each device
//   FAKE_CUDA_FAIL        a kernel whose launches fail
//   FAKE_CUDA_DAMAGED     text in a module that makes it fail to compile
//   FAKE_CUDA_ORDER       0, 1 or 2: the order of threads
//   FAKE_CUDA_LOG         a file to which every launch and copy is written
#include <cinttypes>
#include <deque>
#include <mutex>
#include <set>

#include "../prims.cuh"

namespace {

typedef int Status;
typedef uint64_t Address;
constexpr Status SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, INVALID_PTX = 218, NOT_FOUND = 500, LAUNCH_FAILED = 719;
// The limits of every device that there is.
constexpr unsigned MAX_THREADS = 1024, MAX_GRID = 0x7fffffff;

const char* setting(const char* name) {
    const char* text = getenv(name);
    return text && *text ? text : nullptr;
}

long long number(const char* name, long long otherwise) {
    const char* text = setting(name);
    return text ? atoll(text) : otherwise;
}

struct Stream {
    int device = 0;
    std::deque<std::function<void()>> work;
    // Pieces of work that were done.
    uint64_t done = 0;
};

struct Event {
    Stream* stream = nullptr;
    uint64_t after = 0;
};

struct Driver {
    std::recursive_mutex mutex;
    std::map<Address, size_t> memory;
    // The device of each allocation.
    std::map<Address, int> home;
    std::map<Address, size_t> pinned;
    std::map<int, size_t> used;
    std::set<Stream*> streams;
    std::map<int, Stream> null_streams;
};

Driver& driver() {
    static Driver* driver = new Driver;
    return *driver;
}

#define LOCK std::lock_guard<std::recursive_mutex> lock(driver().mutex)

void log_line(const std::string& line) {
    if (const char* path = setting("FAKE_CUDA_LOG")) {
        FILE* file = fopen(path, "a");
        fprintf(file, "%s\n", line.c_str());
        fclose(file);
    }
}

// The device whose context is current in this thread.
thread_local int current = 0;

Stream& stream_of(void* stream) { return stream ? *static_cast<Stream*>(stream) : driver().null_streams[current]; }

// Does the work of a stream until `upto` pieces of it are done.
void run(Stream& stream, uint64_t upto) {
    while (stream.done < upto && !stream.work.empty()) {
        std::function<void()> piece = std::move(stream.work.front());
        stream.work.pop_front();
        piece();
        stream.done++;
    }
}

void run_all() {
    for (auto& [device, stream] : driver().null_streams) run(stream, UINT64_MAX);
    for (Stream* stream : driver().streams) run(*stream, UINT64_MAX);
}

void put_off(void* stream, std::function<void()> piece) { stream_of(stream).work.push_back(std::move(piece)); }

// Whether `n` bytes at `at` lie in one allocation.
bool inside(const std::map<Address, size_t>& memory, Address at, size_t n) {
    auto after = memory.upper_bound(at);
    if (after == memory.begin()) return false;
    const auto& [start, len] = *std::prev(after);
    return at - start <= len && n <= len - (at - start);
}

// Whether they lie in one allocation of the device of `stream`.
bool on_device(void* stream, Address at, size_t n) {
    if (!inside(driver().memory, at, n)) return false;
    const int device = stream ? static_cast<Stream*>(stream)->device : current;
    return std::prev(driver().home.upper_bound(at))->second == device;
}

Address address(const void* p) { return reinterpret_cast<Address>(p); }
void* pointer(Address a) { return reinterpret_cast<void*>(a); }

struct Function {
    std::string name;
    shim::Entry entry;
};

struct Module {
    std::string ptx;
    std::map<std::string, Function> functions;
};

// A context is the address of one of these, by device.
constexpr int MOST_DEVICES = 16;
int contexts[MOST_DEVICES];

}  // namespace

extern "C" {

Status cuInit(unsigned) { return static_cast<Status>(number("FAKE_CUDA_INIT", SUCCESS)); }

Status cuDriverGetVersion(int* version) {
    *version = static_cast<int>(number("FAKE_CUDA_VERSION", 12040));
    return SUCCESS;
}

Status cuGetErrorName(int status, const char** text) {
    const std::map<int, const char*> names = {{INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE"}, {OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY"},
                                              {INVALID_PTX, "CUDA_ERROR_INVALID_PTX"},     {NOT_FOUND, "CUDA_ERROR_NOT_FOUND"},
                                              {LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED"}, {999, "CUDA_ERROR_UNKNOWN"}};
    const auto found = names.find(status);
    if (found == names.end()) return INVALID_VALUE;
    *text = found->second;
    return SUCCESS;
}

Status cuGetErrorString(int status, const char** text) { return cuGetErrorName(status, text); }

Status cuDeviceGetCount(int* count) {
    *count = static_cast<int>(number("FAKE_CUDA_DEVICES", 1));
    return SUCCESS;
}

Status cuDeviceGet(int* device, int ordinal) {
    *device = ordinal;
    return ordinal < number("FAKE_CUDA_DEVICES", 1) ? SUCCESS : INVALID_VALUE;
}

Status cuDeviceGetName(char* name, int len, int) {
    snprintf(name, static_cast<size_t>(len), "no device at all");
    return SUCCESS;
}

Status cuDeviceGetAttribute(int* value, int attribute, int) {
    const int capability = static_cast<int>(number("FAKE_CUDA_CAPABILITY", 80));
    *value = attribute == 75 ? capability / 10 : capability % 10;
    return attribute == 75 || attribute == 76 ? SUCCESS : INVALID_VALUE;
}

Status cuDevicePrimaryCtxRetain(void** to, int device) {
    *to = &contexts[device];
    return device < MOST_DEVICES ? SUCCESS : INVALID_VALUE;
}

Status cuCtxSetCurrent(void* given) {
    const int* context = static_cast<int*>(given);
    if (context < contexts || context >= contexts + MOST_DEVICES) return INVALID_VALUE;
    current = static_cast<int>(context - contexts);
    return SUCCESS;
}

Status cuCtxSynchronize() {
    LOCK;
    log_line("synchronize");
    run_all();
    return SUCCESS;
}

Status cuStreamCreate(void** to, unsigned) {
    LOCK;
    Stream* stream = new Stream;
    stream->device = current;
    driver().streams.insert(stream);
    *to = stream;
    return SUCCESS;
}

Status cuStreamDestroy_v2(void* given) {
    LOCK;
    Stream* stream = static_cast<Stream*>(given);
    run(*stream, UINT64_MAX);
    driver().streams.erase(stream);
    // Events may still speak of it.
    return SUCCESS;
}

Status cuStreamSynchronize(void* stream) {
    LOCK;
    run(stream_of(stream), UINT64_MAX);
    return SUCCESS;
}

Status cuStreamWaitEvent(void* stream, void* given, unsigned) {
    LOCK;
    const Event event = *static_cast<Event*>(given);
    put_off(stream, [event] {
        if (event.stream) run(*event.stream, event.after);
    });
    return SUCCESS;
}

Status cuEventCreate(void** to, unsigned) {
    *to = new Event;
    return SUCCESS;
}

Status cuEventRecord(void* given, void* stream) {
    LOCK;
    Stream& s = stream_of(stream);
    *static_cast<Event*>(given) = {&s, s.done + s.work.size()};
    return SUCCESS;
}

Status cuEventSynchronize(void* given) {
    LOCK;
    const Event event = *static_cast<Event*>(given);
    if (event.stream) run(*event.stream, event.after);
    return SUCCESS;
}

Status cuEventDestroy_v2(void* given) {
    delete static_cast<Event*>(given);
    return SUCCESS;
}

Status cuMemAlloc_v2(Address* to, size_t n) {
    LOCK;
    const auto limit = static_cast<size_t>(number("FAKE_CUDA_MEMORY", INT64_MAX));
    if (n == 0) return INVALID_VALUE;
    void* p = n <= limit - driver().used[current] ? aligned_alloc(256, (n + 255) / 256 * 256) : nullptr;
    if (!p) return OUT_OF_MEMORY;
    memset(p, 0xff, n);
    driver().used[current] += n;
    driver().memory[address(p)] = n;
    driver().home[address(p)] = current;
    *to = address(p);
    return SUCCESS;
}

Status cuMemFree_v2(Address at) {
    LOCK;
    const auto found = driver().memory.find(at);
    if (found == driver().memory.end()) return INVALID_VALUE;
    run_all();
    driver().used[driver().home[at]] -= found->second;
    driver().home.erase(at);
    driver().memory.erase(found);
    free(pointer(at));
    return SUCCESS;
}

Status cuMemHostAlloc(void** to, size_t n, unsigned) {
    LOCK;
    *to = aligned_alloc(256, (n + 255) / 256 * 256);
    if (!*to) return OUT_OF_MEMORY;
    memset(*to, 0xff, n);
    driver().pinned[address(*to)] = n;
    return SUCCESS;
}

Status cuMemFreeHost(void* p) {
    LOCK;
    if (!driver().pinned.erase(address(p))) return INVALID_VALUE;
    run_all();
    free(p);
    return SUCCESS;
}

Status cuMemHostGetDevicePointer_v2(Address* to, void* p, unsigned) {
    LOCK;
    *to = address(p);
    return driver().pinned.count(address(p)) ? SUCCESS : INVALID_VALUE;
}

Status cuMemsetD8Async(Address at, unsigned char byte, size_t n, void* stream) {
    LOCK;
    if (!on_device(stream, at, n)) return INVALID_VALUE;
    put_off(stream, [=] { memset(pointer(at), byte, n); });
    return SUCCESS;
}

Status cuPointerGetAttribute(void* to, int attribute, Address at) {
    LOCK;
    const bool pinned = inside(driver().pinned, at, 1);
    if (!pinned && !inside(driver().memory, at, 1)) return INVALID_VALUE;
    const auto& [start, size] = *std::prev((pinned ? driver().pinned : driver().memory).upper_bound(at));
    switch (attribute) {
        case 2: *static_cast<unsigned*>(to) = pinned ? 1 : 2; return SUCCESS;
        case 9: *static_cast<int*>(to) = pinned ? 0 : driver().home[start]; return SUCCESS;
        case 11: *static_cast<Address*>(to) = start; return SUCCESS;
        case 12: *static_cast<size_t*>(to) = size; return SUCCESS;
        default: return INVALID_VALUE;
    }
}

Status cuMemcpyHtoDAsync_v2(Address to, const void* from, size_t n, void* stream) {
    LOCK;
    if (!on_device(stream, to, n)) return INVALID_VALUE;
    log_line("to_device " + std::to_string(n));
    // Pinned memory is read when the copy is done; other memory before this returns.
    if (inside(driver().pinned, address(from), n)) {
        put_off(stream, [=] { memcpy(pointer(to), from, n); });
    } else {
        std::vector<char> bytes(static_cast<const char*>(from), static_cast<const char*>(from) + n);
        put_off(stream, [=] { memcpy(pointer(to), bytes.data(), n); });
    }
    return SUCCESS;
}

Status cuMemcpyDtoHAsync_v2(void* to, Address from, size_t n, void* stream) {
    LOCK;
    if (!on_device(stream, from, n)) return INVALID_VALUE;
    log_line("to_host " + std::to_string(n));
    put_off(stream, [=] { memcpy(to, pointer(from), n); });
    return SUCCESS;
}

Status cuMemcpyDtoDAsync_v2(Address to, Address from, size_t n, void* stream) {
    LOCK;
    if (!on_device(stream, from, n) || !on_device(stream, to, n)) return INVALID_VALUE;
    log_line("on_device " + std::to_string(n));
    put_off(stream, [=] { memcpy(pointer(to), pointer(from), n); });
    return SUCCESS;
}

Status cuModuleLoadDataEx(void** to, const void* image, unsigned count, int* options, void** values) {
    LOCK;
    const std::string text = static_cast<const char*>(image);
    const char* damage = setting("FAKE_CUDA_DAMAGED");
    if (text.find(".version 8.") == std::string::npos || (damage && text.find(damage) != std::string::npos)) {
        // Option 5 is the log, 6 its size.
        if (count == 2 && options[0] == 5 && options[1] == 6) {
            snprintf(static_cast<char*>(values[0]), reinterpret_cast<size_t>(values[1]), "ptxas fatal: damaged on purpose");
        }
        return INVALID_PTX;
    }
    log_line("module " + std::to_string(text.size()));
    *to = new Module{text, {}};
    return SUCCESS;
}

Status cuModuleUnload(void* module) {
    LOCK;
    run_all();
    delete static_cast<Module*>(module);
    return SUCCESS;
}

Status cuModuleGetFunction(void** to, void* given, const char* name) {
    LOCK;
    Module& module = *static_cast<Module*>(given);
    const auto found = shim::entries().find(name);
    // It must be in the PTX as well.
    if (found == shim::entries().end() || module.ptx.find(std::string(".entry ") + name + "(") == std::string::npos) return NOT_FOUND;
    *to = &(module.functions[name] = Function{name, found->second});
    return SUCCESS;
}

Status cuLaunchKernel(void* given, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared,
                      void* stream, void** arguments, void**) {
    LOCK;
    const Function& function = *static_cast<Function*>(given);
    log_line("launch " + function.name);
    const char* failing = setting("FAKE_CUDA_FAIL");
    if (failing && function.name == failing) return LAUNCH_FAILED;
    const bool grid_fits = gx > 0 && gx <= MAX_GRID && gy > 0 && gy < 65536 && gz > 0 && gz < 65536;
    const uint64_t threads = static_cast<uint64_t>(bx) * by * bz;
    if (!grid_fits || threads == 0 || threads > MAX_THREADS || shared > 0) return INVALID_VALUE;
    put_off(stream, [=, call = function.entry(arguments)] {
        shim::block().order = static_cast<shim::Order>(number("FAKE_CUDA_ORDER", 0));
        shim::launch({gx, gy, gz}, {bx, by, bz}, call);
    });
    return SUCCESS;
}

// What follows is for libraries beside the driver: see `cublaslt.cpp`.
void fake_cuda_put_off(void* stream, void (*work)(void*), void* data) {
    LOCK;
    put_off(stream, [=] { work(data); });
}

int fake_cuda_owns(void* stream, uint64_t at, size_t n) {
    LOCK;
    return on_device(stream, at, n);
}

void fake_cuda_log(const char* line) {
    LOCK;
    log_line(line);
}

}  // extern "C"
