// CUDA's words on a processor: a block's threads are fibres that run in turn, on one thread of
// the machine, and hand over where they wait for one another. Exact about barriers and warps,
// silent about time. Memory errors are found by the compiler's sanitizers.
#pragma once

#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <vector>

#define __device__
#define __global__
#define SHARED_FLOATS(name) float* name = emulator::block->shared.data()
#define UNROLL

struct Dim3 {
    unsigned x = 1, y = 1, z = 1;
};

// Upper half of a float, rounded to the nearest even one.
struct bf16 {
    uint16_t bits;
};
inline float to_float(bf16 x) {
    const uint32_t bits = static_cast<uint32_t>(x.bits) << 16;
    float out;
    std::memcpy(&out, &bits, sizeof out);
    return out;
}
template <typename T>
inline T from_float(float x);
template <>
inline float from_float<float>(float x) {
    return x;
}
template <>
inline bf16 from_float<bf16>(float x) {
    uint32_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    if (std::isnan(x)) return {0x7fff};
    return {static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16)};
}

namespace emulator {

// Whoever comes waits until all have come.
struct Barrier {
    int expected = 0, arrived = 0;
    unsigned generation = 0;
};

struct Fibre {
    ucontext_t context;
    bool done = false;
    // What it waits for, and as of when.
    const Barrier* barrier = nullptr;
    unsigned generation = 0;
};

struct Block {
    std::vector<float> shared;
    std::vector<Fibre> fibres;
    Barrier all;
    std::vector<Barrier> warps;
    // What each thread of the block shows to its warp.
    std::vector<float> shown;
    ucontext_t scheduler;
    unsigned current = 0;
    std::function<void()> kernel;
};

inline Block* block = nullptr;
inline constexpr size_t STACK_BYTES = 64 * 1024;
// Used again by every block.
inline std::vector<std::unique_ptr<char[]>> stacks;

inline void hand_over() {
    swapcontext(&block->fibres[block->current].context, &block->scheduler);
}

inline void wait(Barrier& barrier) {
    Fibre& fibre = block->fibres[block->current];
    fibre.generation = barrier.generation;
    if (++barrier.arrived == barrier.expected) {
        barrier.arrived = 0;
        ++barrier.generation;
        return;
    }
    fibre.barrier = &barrier;
    hand_over();
}

}  // namespace emulator

inline Dim3 threadIdx, blockIdx, blockDim, gridDim;

inline void __syncthreads() { emulator::wait(emulator::block->all); }

inline float exchange(float x, unsigned from) {
    emulator::Block& block = *emulator::block;
    const unsigned warp = block.current / 32;
    block.shown[block.current] = x;
    emulator::wait(block.warps[warp]);
    const float theirs = block.shown[warp * 32 + from % 32];
    emulator::wait(block.warps[warp]);
    return theirs;
}

inline float __shfl_xor_sync(unsigned, float x, int apart) {
    return exchange(x, emulator::block->current % 32 ^ static_cast<unsigned>(apart));
}

inline float __shfl_sync(unsigned, float x, int from) {
    return exchange(x, static_cast<unsigned>(from));
}

namespace emulator {

inline void enter() {
    block->kernel();
    block->fibres[block->current].done = true;
    hand_over();
}

// Runs one block to its end. A block whose threads wait for ever for one another is an error.
inline bool run_block(unsigned threads, size_t shared_bytes, const std::function<void()>& kernel) {
    Block own;
    block = &own;
    // Of exactly the size asked for, so that a step beyond is found; never cleared on a card.
    own.shared.assign(shared_bytes / sizeof(float), std::nanf(""));
    own.fibres.resize(threads);
    own.shown.resize(threads);
    own.warps.resize((threads + 31) / 32);
    own.all.expected = static_cast<int>(threads);
    for (auto& warp : own.warps) warp.expected = 32;
    if (threads % 32 != 0) own.warps.back().expected = static_cast<int>(threads % 32);
    own.kernel = kernel;
    while (stacks.size() < threads) stacks.emplace_back(new char[STACK_BYTES]);
    for (unsigned thread = 0; thread < threads; ++thread) {
        Fibre& fibre = own.fibres[thread];
        getcontext(&fibre.context);
        fibre.context.uc_stack.ss_sp = stacks[thread].get();
        fibre.context.uc_stack.ss_size = STACK_BYTES;
        fibre.context.uc_link = nullptr;
        makecontext(&fibre.context, enter, 0);
    }
    for (bool any = true; any;) {
        any = false;
        for (unsigned thread = 0; thread < threads; ++thread) {
            Fibre& fibre = own.fibres[thread];
            const bool waits = fibre.barrier && fibre.barrier->generation == fibre.generation;
            if (fibre.done || waits) continue;
            any = true;
            fibre.barrier = nullptr;
            own.current = thread;
            threadIdx = {thread, 0, 0};
            swapcontext(&own.scheduler, &fibre.context);
        }
    }
    return std::all_of(own.fibres.begin(), own.fibres.end(),
                       [](const Fibre& fibre) { return fibre.done; });
}

}  // namespace emulator
