// Attention of single queries over slots of fixed length: what a Whisper row said, and heard.
#include "attention.cuh"

// Where the numbers of one slot and one head lie: (slots, positions, heads * width).
template <typename T>
struct SlotKeys {
    const T* keys;
    const T* values;
    size_t line;

    __device__ float key(int token, int column) const {
        return to_float(keys[token * line + column]);
    }
    __device__ float value(int token, int column) const {
        return to_float(values[token * line + column]);
    }
};

// What each query finds among the first tokens of its slot. `asks` has two numbers a query: its
// slot, and how many tokens count, at least one. The queries are scaled by the root of the
// width. grid: (queries, heads).
template <typename T, int C>
__device__ void attend_slots(T* out, const T* queries, const T* keys, const T* values,
                             const unsigned* asks, unsigned heads, unsigned width,
                             unsigned positions) {
    SHARED_FLOATS(start);
    Room<C, 1> room(start, blockDim.x / WARP);
    const size_t line = static_cast<size_t>(heads) * width;
    const size_t own = blockIdx.x * line + static_cast<size_t>(blockIdx.y) * width;
    for (unsigned at = threadIdx.x; at < width; at += blockDim.x) {
        room.queries[at] = to_float(queries[own + at]) * LOG2_E;
    }
    __syncthreads();
    const size_t slot = asks[2 * blockIdx.x] * (positions * line) + blockIdx.y * width;
    const SlotKeys<T> where = {keys + slot, values + slot, line};
    ask<C, 1>(where, room, 1, width, 0, static_cast<int>(asks[2 * blockIdx.x + 1]), 0);
    float best, sum;
    gather<C, 1>(room, 0, width, &best, &sum, [&](int column, float found) {
        out[own + column] = from_float<T>(found / sum);
    });
}

#define SLOTS(T, C)                                                                               \
    extern "C" __global__ void attend_slots_##T##_c##C(                                           \
        T* out, const T* queries, const T* keys, const T* values, const unsigned* asks,           \
        unsigned heads, unsigned width, unsigned positions) {                                     \
        attend_slots<T, C>(out, queries, keys, values, asks, heads, width, positions);            \
    }

SLOTS(float, 2)
SLOTS(float, 4)
SLOTS(bf16, 2)
SLOTS(bf16, 4)
