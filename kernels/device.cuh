// What every kernel here starts from: numbers, warps, and where a block keeps what it shares.
//
// The same sources are compiled three ways: to PTX by nvcc, for the card; and to a program of
// the processor by any C++ compiler, with emulator/emulator.h in CUDA's place, so that each
// kernel is run and compared with its reference on machines without a card.
#pragma once

#ifdef TRUNKLINE_EMULATED
#include "emulator/emulator.h"
#else
#include <cuda_bf16.h>
#include <cstdint>
using bf16 = __nv_bfloat16;
__device__ inline float to_float(bf16 x) { return __bfloat162float(x); }
template <typename T> __device__ inline T from_float(float x);
template <> __device__ inline bf16 from_float<bf16>(float x) { return __float2bfloat16_rn(x); }
template <> __device__ inline float from_float<float>(float x) { return x; }
#define SHARED_FLOATS(name) extern __shared__ float name[]
#define UNROLL _Pragma("unroll")
#endif

__device__ inline float to_float(float x) { return x; }

constexpr int WARP = 32;
constexpr unsigned ALL_LANES = 0xffffffffu;
constexpr float LOG2_E = 1.4426950408889634f;

__device__ inline int lane_of_thread() { return threadIdx.x % WARP; }
__device__ inline int warp_of_thread() { return threadIdx.x / WARP; }

// The sum over the lanes of a warp, in every lane.
__device__ inline float warp_sum(float x) {
    for (int apart = WARP / 2; apart > 0; apart /= 2) x += __shfl_xor_sync(ALL_LANES, x, apart);
    return x;
}

// The largest over the lanes of a warp, in every lane.
__device__ inline float warp_max(float x) {
    for (int apart = WARP / 2; apart > 0; apart /= 2) {
        x = fmaxf(x, __shfl_xor_sync(ALL_LANES, x, apart));
    }
    return x;
}

// The sum over the threads of a block, in every thread. `room` holds a float a warp.
__device__ inline float block_sum(float x, float* room) {
    x = warp_sum(x);
    if (lane_of_thread() == 0) room[warp_of_thread()] = x;
    __syncthreads();
    float sum = 0.0f;
    for (int warp = 0; warp < static_cast<int>(blockDim.x) / WARP; ++warp) sum += room[warp];
    __syncthreads();
    return sum;
}
