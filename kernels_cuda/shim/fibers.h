// Threads of one block as fibers of one thread of the CPU, so that a kernel runs in an order that we choose.
//
// A fiber runs until it waits: for its whole block, or for the lanes of its warp. Both kinds of barrier are checked: lanes that wait
// at different places, or for a lane that has ended, stop the program.
#pragma once
#include <algorithm>
#include <csetjmp>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <ucontext.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace shim {

struct Dim3 {
    unsigned x, y, z;
};

constexpr int WARP_SIZE = 32;
// Device code has little stack; AddressSanitizer wants more.
constexpr size_t STACK = 256 << 10;

// The order in which the threads of a block get their turn.
enum class Order { Ascending, Descending, Shuffled };

enum class State { Ready, AtBlockBarrier, AtWarpBarrier, Done };

// Bytes that a thread copies to shared memory without waiting.
struct LateCopy {
    void* to;
    const void* from;
    size_t bytes;
};

struct Fiber {
    ucontext_t start;
    jmp_buf here;
    std::vector<char> stack = std::vector<char>(STACK);
    bool begun = false;
    State state = State::Ready;
    const char* place = "";
    Dim3 thread;
    int number = 0;
    std::vector<LateCopy> open;
    std::vector<std::vector<LateCopy>> groups;
    // What this lane shows to the others of its warp.
    alignas(16) unsigned char shown[64];
    void* sanitizer = nullptr;
};

// What runs now.
struct Block {
    std::vector<std::unique_ptr<Fiber>> fibers;
    size_t threads = 0;
    Fiber* current = nullptr;
    jmp_buf scheduler;
    void* scheduler_sanitizer = nullptr;
    const void* scheduler_stack = nullptr;
    size_t scheduler_stack_size = 0;
    std::function<void()> body;
    Dim3 grid, size, number;
    Order order = Order::Ascending;
    // Shared variables, by what tells them apart. Each is an allocation of its own, so that AddressSanitizer guards its bounds.
    std::map<const void*, std::unique_ptr<void, void (*)(void*)>> shared;
};

inline Block& block() {
    static Block block;
    return block;
}

[[noreturn]] inline void fail(const std::string& what) {
    Block& b = block();
    fprintf(stderr, "cuda shim: %s (block %u of %u, thread %d)\n", what.c_str(), b.number.x, b.grid.x, b.current ? b.current->number : -1);
    abort();
}

// Tells AddressSanitizer, where it is at work, that the stack changes.
inline void leave_stack(void** save, const void* to, size_t size) {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(save, to, size);
#else
    (void)save, (void)to, (void)size;
#endif
}

inline void enter_stack(void* saved, const void** from, size_t* size) {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(saved, from, size);
#else
    (void)saved, (void)from, (void)size;
#endif
}

// Back to the scheduler, until this fiber gets its turn again.
inline void pause() {
    Block& b = block();
    Fiber* self = b.current;
    if (_setjmp(self->here) == 0) {
        leave_stack(&self->sanitizer, b.scheduler_stack, b.scheduler_stack_size);
        _longjmp(b.scheduler, 1);
    }
    enter_stack(self->sanitizer, &b.scheduler_stack, &b.scheduler_stack_size);
}

// The life of a fiber: one thread of one block after another.
inline void live() {
    Block& b = block();
    enter_stack(nullptr, &b.scheduler_stack, &b.scheduler_stack_size);
    for (;;) {
        b.body();
        b.current->state = State::Done;
        pause();
    }
}

inline void turn(Fiber& fiber) {
    Block& b = block();
    b.current = &fiber;
    if (_setjmp(b.scheduler) == 0) {
        leave_stack(&b.scheduler_sanitizer, fiber.stack.data(), fiber.stack.size());
        if (fiber.begun) _longjmp(fiber.here, 1);
        fiber.begun = true;
        setcontext(&fiber.start);
    }
    enter_stack(block().scheduler_sanitizer, nullptr, nullptr);
    block().current = nullptr;
}

inline void prepare(size_t threads) {
    Block& b = block();
    while (b.fibers.size() < threads) {
        b.fibers.push_back(std::make_unique<Fiber>());
        Fiber& fiber = *b.fibers.back();
        getcontext(&fiber.start);
        fiber.start.uc_stack.ss_sp = fiber.stack.data();
        fiber.start.uc_stack.ss_size = fiber.stack.size();
        fiber.start.uc_link = nullptr;
        makecontext(&fiber.start, live, 0);
    }
    b.threads = threads;
    for (size_t i = 0; i < threads; i++) {
        Fiber& fiber = *b.fibers[i];
        fiber.state = State::Ready;
        fiber.number = static_cast<int>(i);
        const unsigned n = static_cast<unsigned>(i);
        fiber.thread = {n % b.size.x, n / b.size.x % b.size.y, n / b.size.x / b.size.y};
        fiber.open.clear();
        fiber.groups.clear();
    }
}

// Numbers below `n` in the order of turns.
inline std::vector<size_t> turns(size_t n, unsigned seed) {
    std::vector<size_t> order(n);
    for (size_t i = 0; i < n; i++) order[i] = i;
    if (block().order == Order::Descending) std::reverse(order.begin(), order.end());
    if (block().order == Order::Shuffled) std::shuffle(order.begin(), order.end(), std::mt19937(seed));
    return order;
}

// Lets the lanes of a warp go on that all wait at one place; says whether it did. Lanes that ended are waited for by nobody.
inline bool release_warp(size_t first, size_t last) {
    Block& b = block();
    const char* place = nullptr;
    for (size_t i = first; i < last; i++) {
        const Fiber& lane = *b.fibers[i];
        if (lane.state == State::Done) continue;
        if (lane.state != State::AtWarpBarrier) return false;
        if (place && strcmp(place, lane.place) != 0) fail(std::string("lanes of a warp wait at ") + place + " and at " + lane.place);
        place = lane.place;
    }
    for (size_t i = first; i < last; i++) {
        if (b.fibers[i]->state == State::AtWarpBarrier) b.fibers[i]->state = State::Ready;
    }
    return place != nullptr;
}

inline void run_warp(size_t first, size_t last) {
    Block& b = block();
    do {
        for (size_t i : turns(last - first, b.number.x + static_cast<unsigned>(first))) {
            if (b.fibers[first + i]->state == State::Ready) turn(*b.fibers[first + i]);
        }
    } while (release_warp(first, last));
}

// Runs one block to its end.
inline void run_block() {
    Block& b = block();
    b.shared.clear();
    prepare(b.threads);
    const size_t warps = (b.threads + WARP_SIZE - 1) / WARP_SIZE;
    for (;;) {
        for (size_t warp : turns(warps, b.number.x)) run_warp(warp * WARP_SIZE, std::min(b.threads, (warp + 1) * WARP_SIZE));
        size_t done = 0;
        const char* place = nullptr;
        for (size_t i = 0; i < b.threads; i++) {
            const Fiber& fiber = *b.fibers[i];
            done += fiber.state == State::Done;
            if (fiber.state == State::AtWarpBarrier) fail(std::string("a warp waits for ever at ") + fiber.place);
            if (fiber.state != State::AtBlockBarrier) continue;
            if (place && strcmp(place, fiber.place) != 0) {
                fail(std::string("threads of a block wait at ") + place + " and at " + fiber.place);
            }
            place = fiber.place;
        }
        if (done == b.threads) return;
        if (done > 0) fail(std::string("some threads ended, others wait at ") + place);
        for (size_t i = 0; i < b.threads; i++) b.fibers[i]->state = State::Ready;
    }
}

// Runs `body` once for each thread of each block.
inline void launch(Dim3 grid, Dim3 size, std::function<void()> body) {
    Block& b = block();
    b.grid = grid;
    b.size = size;
    b.threads = static_cast<size_t>(size.x) * size.y * size.z;
    b.body = std::move(body);
    for (unsigned z = 0; z < grid.z; z++) {
        for (unsigned y = 0; y < grid.y; y++) {
            for (unsigned x = 0; x < grid.x; x++) {
                b.number = {x, y, z};
                run_block();
            }
        }
    }
}

inline void wait_at(State state, const char* place) {
    block().current->state = state;
    block().current->place = place;
    pause();
}

}  // namespace shim
