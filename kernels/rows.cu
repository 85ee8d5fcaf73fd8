// Operations on rows of activations: the norm with the sum before it, and the gated unit.
#include "device.cuh"

// out[0] = x + delta; out[1] = out[0] brought to a root mean square of 1 and weighed.
// One block a row; `out` holds all sums, then all norms.
template <typename T>
__device__ void add_rms_norm(T* out, const T* x, const T* delta, const T* weight, unsigned rows,
                             unsigned width, float epsilon) {
    SHARED_FLOATS(room);
    const size_t row = static_cast<size_t>(blockIdx.x) * width;
    T* sums = out + row;
    T* normed = out + static_cast<size_t>(rows) * width + row;
    float squares = 0.0f;
    for (unsigned at = threadIdx.x; at < width; at += blockDim.x) {
        // The norm is of the sum as it is kept, not of a finer one.
        const T sum = from_float<T>(to_float(x[row + at]) + to_float(delta[row + at]));
        sums[at] = sum;
        squares += to_float(sum) * to_float(sum);
    }
    const float mean = block_sum(squares, room) / static_cast<float>(width);
    const float scale = 1.0f / sqrtf(mean + epsilon);
    for (unsigned at = threadIdx.x; at < width; at += blockDim.x) {
        normed[at] = from_float<T>(to_float(sums[at]) * scale * to_float(weight[at]));
    }
}

// out = silu(gate) * up, where a row of `x` is `width` gates, then `width` values.
template <typename T>
__device__ void swiglu(T* out, const T* x, unsigned width) {
    const size_t row = blockIdx.x;
    for (unsigned at = threadIdx.x + blockIdx.y * blockDim.x; at < width;
         at += blockDim.x * gridDim.y) {
        const float gate = to_float(x[row * 2 * width + at]);
        const float up = to_float(x[row * 2 * width + width + at]);
        out[row * width + at] = from_float<T>(gate / (1.0f + expf(-gate)) * up);
    }
}

#define ROWS(T)                                                                                   \
    extern "C" __global__ void add_rms_norm_##T(T* out, const T* x, const T* delta,               \
                                                const T* weight, unsigned rows, unsigned width,   \
                                                float epsilon) {                                  \
        add_rms_norm<T>(out, x, delta, weight, rows, width, epsilon);                             \
    }                                                                                             \
    extern "C" __global__ void swiglu_##T(T* out, const T* x, unsigned width) {                   \
        swiglu<T>(out, x, width);                                                                 \
    }

ROWS(float)
ROWS(bf16)
