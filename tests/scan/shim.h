// Runs one thread group of a GPU kernel on a CPU: every thread is a fiber, and barriers and shuffles change fibers.
//
// Between two barriers a SIMD group runs through its shuffles alone, then the next one, in an order drawn from a seed, so that a
// missing barrier shows as a result that depends on the seed. Threads that disagree about where they meet end the process.

#pragma once
#include <sanitizer/common_interface_defs.h>
#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <numeric>
#include <random>
#include <vector>

struct uint3 {
    unsigned x, y, z;
};

struct bfloat16 {
    uint16_t bits;
    explicit bfloat16(float value) {
        uint32_t word;
        std::memcpy(&word, &value, 4);
        bits = uint16_t((word + 0x7fff + ((word >> 16) & 1)) >> 16); // to nearest, ties to even
    }
    explicit operator float() const {
        const uint32_t word = uint32_t(bits) << 16;
        float value;
        std::memcpy(&value, &word, 4);
        return value;
    }
};

namespace shim {

enum class State { ready, shuffle, barrier, done };

struct Fiber {
    ucontext_t context;
    std::unique_ptr<char[]> stack;
    void *fake_stack = nullptr;
    State state = State::ready;
    int line = 0, mask = 0;
    float sent = 0, received = 0;
    size_t arrays = 0; // shared arrays met so far
};

constexpr size_t stack_bytes = 256 << 10;
constexpr int simd = 32;

struct Group {
    std::vector<Fiber> fibers;
    std::vector<std::unique_ptr<float[]>> shared; // each its own allocation, so that the address sanitizer sees its ends
    std::function<void(unsigned)> body;
    ucontext_t main;
    void *main_fake = nullptr;
    const void *main_bottom = nullptr;
    size_t main_size = 0;
    unsigned current = 0;
    std::mt19937 random;
};

inline Group group;

inline void leave(bool forever) {
    Fiber &self = group.fibers[group.current];
    __sanitizer_start_switch_fiber(forever ? nullptr : &self.fake_stack, group.main_bottom, group.main_size);
    swapcontext(&self.context, &group.main);
    __sanitizer_finish_switch_fiber(self.fake_stack, &group.main_bottom, &group.main_size);
}

inline void entry() {
    __sanitizer_finish_switch_fiber(nullptr, &group.main_bottom, &group.main_size);
    group.body(group.current);
    group.fibers[group.current].state = State::done;
    leave(true);
}

inline void resume(unsigned thread) {
    Fiber &fiber = group.fibers[thread];
    group.current = thread;
    fiber.state = State::ready;
    __sanitizer_start_switch_fiber(&group.main_fake, fiber.stack.get(), stack_bytes);
    swapcontext(&group.main, &fiber.context);
    __sanitizer_finish_switch_fiber(group.main_fake, nullptr, nullptr);
}

inline void meet(State state, int line, int mask = 0) {
    Fiber &self = group.fibers[group.current];
    self.state = state;
    self.line = line;
    self.mask = mask;
    leave(false);
}

inline float shuffle_xor(float value, int mask, int line) {
    Fiber &self = group.fibers[group.current];
    self.sent = value;
    meet(State::shuffle, line, mask);
    return group.fibers[group.current].received;
}

inline float *shared(size_t size) {
    Fiber &self = group.fibers[group.current];
    if (self.arrays == group.shared.size()) {
        group.shared.emplace_back(new float[size]);
        std::fill_n(group.shared.back().get(), size, std::numeric_limits<float>::quiet_NaN());
    }
    return group.shared[self.arrays++].get();
}

inline void disagree(const Fiber &a, const Fiber &b) {
    std::fprintf(stderr, "threads of one group meet at different places: lines %d and %d\n", a.line, b.line);
    std::exit(3);
}

inline void check_together(unsigned first, unsigned end) {
    for (unsigned i = first + 1; i < end; i++) {
        const Fiber &a = group.fibers[first], &b = group.fibers[i];
        if (a.state != b.state || (a.state != State::done && (a.line != b.line || a.mask != b.mask))) {
            disagree(a, b);
        }
    }
}

// One SIMD group to its next barrier or its end.
inline void run_simd_group(unsigned first, unsigned end) {
    std::vector<unsigned> order(end - first);
    std::iota(order.begin(), order.end(), first);
    do {
        std::shuffle(order.begin(), order.end(), group.random);
        for (unsigned thread : order) {
            resume(thread);
        }
        check_together(first, end);
        if (group.fibers[first].state == State::shuffle) {
            for (unsigned i = first; i < end; i++) {
                group.fibers[i].received = group.fibers[first + ((i - first) ^ unsigned(group.fibers[i].mask))].sent;
            }
        }
    } while (group.fibers[first].state == State::shuffle);
}

inline void run(unsigned threads, unsigned seed, std::function<void(unsigned)> body) {
    group.fibers.resize(threads);
    group.shared.clear();
    group.body = std::move(body);
    group.random.seed(seed);
    for (Fiber &fiber : group.fibers) {
        if (!fiber.stack) {
            fiber.stack.reset(new char[stack_bytes]);
        }
        fiber.arrays = 0;
        getcontext(&fiber.context);
        fiber.context.uc_stack.ss_sp = fiber.stack.get();
        fiber.context.uc_stack.ss_size = stack_bytes;
        makecontext(&fiber.context, entry, 0);
    }
    std::vector<unsigned> order(threads / simd);
    std::iota(order.begin(), order.end(), 0u);
    do {
        std::shuffle(order.begin(), order.end(), group.random);
        for (unsigned i : order) {
            run_simd_group(i * simd, (i + 1) * simd);
        }
        check_together(0, threads);
    } while (group.fibers[0].state == State::barrier);
}

} // namespace shim

#define SHARED(type, name, size) type *name = shim::shared(size)
#define BARRIER shim::meet(shim::State::barrier, __LINE__)
#define SHUFFLE_XOR(value, mask) shim::shuffle_xor(value, mask, __LINE__)
#define UNROLL
#define FUNCTION inline

#define EXP(x) std::exp(x)
#define EXP2_FAST(x) (std::exp2(x) * (1.0f + 2.4e-7f)) // as wrong as hardware may be, 2^-22
#define TANH(x) std::tanh(x)
#define FMA(a, b, c) std::fma(a, b, c)
#define MAGNITUDE(x) std::fabs(x)
