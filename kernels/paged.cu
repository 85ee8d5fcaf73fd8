// Attention over keys and values in blocks of a few tokens: new ones are stored, all are asked.
//
// A block of one layer holds, head by head, its keys column by column (so that neighbouring
// lanes read neighbouring tokens) and its values token by token, padded to `padded` columns.
#include "attention.cuh"

// Numbers that every kernel here takes, in the order of `Shape` in trunkline-kernels.
struct PagedShape {
    unsigned heads;
    unsigned kv_heads;
    unsigned width;
    unsigned padded;
    unsigned block_tokens;
    // A query sees so many tokens, itself included; all when 0.
    unsigned window;
    float epsilon;
};

// Brings the pair of columns `at` and `at + width / 2` of a head to where it is compared: the
// norm, where there is one, then the turn to the token's position (Su et al. 2021).
template <typename T>
__device__ void turned(const T* head, const float* norm, const float* turns, unsigned at,
                       unsigned half, float scale, float* first, float* second) {
    float a = to_float(head[at]) * scale;
    float b = to_float(head[at + half]) * scale;
    if (norm != nullptr) {
        a *= norm[at];
        b *= norm[at + half];
    }
    const float cosine = turns[at];
    const float sine = turns[half + at];
    *first = a * cosine - b * sine;
    *second = b * cosine + a * sine;
}

// What a head is divided by before its norm's weights; 1 where there is no norm. By one warp.
template <typename T>
__device__ float head_scale(const T* head, const float* norm, unsigned width, float epsilon) {
    if (norm == nullptr) return 1.0f;
    float squares = 0.0f;
    for (unsigned at = lane_of_thread(); at < width; at += WARP) {
        squares += to_float(head[at]) * to_float(head[at]);
    }
    return 1.0f / sqrtf(warp_sum(squares) / static_cast<float>(width) + epsilon);
}

// Stores the keys and values of each new token where `slots` says: block * block_tokens + place.
// One warp for each token and head; `projected` has the queries, keys and values of a token.
template <typename T>
__device__ void store(T* keys, T* values, const T* projected, const float* turns,
                      const float* norm, const unsigned* slots, PagedShape shape) {
    const unsigned token = blockIdx.x;
    const unsigned head = blockIdx.y;
    const unsigned half = shape.width / 2;
    const unsigned columns = (shape.heads + 2 * shape.kv_heads) * shape.width;
    const T* line = projected + static_cast<size_t>(token) * columns;
    const T* key = line + (shape.heads + head) * shape.width;
    const T* value = line + (shape.heads + shape.kv_heads + head) * shape.width;
    const size_t block = slots[token] / shape.block_tokens;
    const unsigned place = slots[token] % shape.block_tokens;
    const size_t number = block * shape.kv_heads + head;
    T* kept_keys = keys + number * shape.width * shape.block_tokens + place;
    T* kept_values = values + (number * shape.block_tokens + place) * shape.padded;
    const float scale = head_scale(key, norm, shape.width, shape.epsilon);
    const float* turn = turns + static_cast<size_t>(token) * shape.width;
    for (unsigned at = threadIdx.x; at < half; at += blockDim.x) {
        float first, second;
        turned(key, norm, turn, at, half, scale, &first, &second);
        kept_keys[static_cast<size_t>(at) * shape.block_tokens] = from_float<T>(first);
        kept_keys[static_cast<size_t>(at + half) * shape.block_tokens] = from_float<T>(second);
    }
    for (unsigned at = threadIdx.x; at < shape.width; at += blockDim.x) kept_values[at] = value[at];
}

// Where the numbers of one sequence and one head lie.
template <typename T>
struct PagedKeys {
    const T* keys;
    const T* values;
    const unsigned* blocks;
    unsigned head;
    PagedShape shape;

    __device__ size_t number(int token) const {
        return static_cast<size_t>(blocks[token / shape.block_tokens]) * shape.kv_heads + head;
    }
    __device__ float key(int token, int column) const {
        return to_float(keys[(number(token) * shape.width + column) * shape.block_tokens +
                             token % shape.block_tokens]);
    }
    __device__ float value(int token, int column) const {
        return to_float(values[(number(token) * shape.block_tokens +
                                token % shape.block_tokens) * shape.padded + column]);
    }
};

// What the queries of one new token find that share a head of keys, among one share of the
// keys. grid: (tokens, kv_heads * chunks, splits); a chunk is R of the queries that share.
//
// `asks` has three numbers a token: its position, the first number of its sequence's list in
// `tables`, and how many tokens one split takes (a multiple of 32). With one split the result
// goes to `out`, (tokens, heads * width); with several, each leaves its part in `parts`:
// (splits, tokens, heads, width + 2), the weighted values, the best score, the sum of weights.
template <typename T, int C, int R>
__device__ void attend(T* out, float* parts, const T* projected, const T* keys, const T* values,
                       const float* turns, const float* norm, const unsigned* asks,
                       const unsigned* tables, PagedShape shape) {
    SHARED_FLOATS(start);
    Room<C, R> room(start, blockDim.x / WARP);
    const unsigned token = blockIdx.x;
    const unsigned sharing = shape.heads / shape.kv_heads;
    const unsigned chunks = (sharing + R - 1) / R;
    const unsigned head = blockIdx.y / chunks;
    const unsigned first_query = head * sharing + blockIdx.y % chunks * R;
    const int left = static_cast<int>((head + 1) * sharing - first_query);
    const int queries = left < R ? left : R;
    const unsigned half = shape.width / 2;
    const unsigned columns = (shape.heads + 2 * shape.kv_heads) * shape.width;
    const float* turn = turns + static_cast<size_t>(token) * shape.width;
    const float scale = LOG2_E / sqrtf(static_cast<float>(shape.width));
    for (int query = warp_of_thread(); query < R; query += blockDim.x / WARP) {
        float* kept = room.queries + query * Room<C, R>::COLUMNS;
        if (query >= queries) {
            for (int at = lane_of_thread(); at < Room<C, R>::COLUMNS; at += WARP) kept[at] = 0.0f;
            continue;
        }
        const T* line = projected + static_cast<size_t>(token) * columns +
                        (first_query + query) * shape.width;
        const float own = head_scale(line, norm, shape.width, shape.epsilon);
        for (unsigned at = lane_of_thread(); at < half; at += WARP) {
            float first, second;
            turned(line, norm, turn, at, half, own, &first, &second);
            kept[at] = first * scale;
            kept[at + half] = second * scale;
        }
    }
    __syncthreads();
    const int position = static_cast<int>(asks[3 * token]);
    const int window = static_cast<int>(shape.window);
    const int first_seen = window > 0 && position + 1 > window ? position + 1 - window : 0;
    const int share = static_cast<int>(asks[3 * token + 2]);
    const int begin = first_seen / WARP * WARP + static_cast<int>(blockIdx.z) * share;
    const int end = begin + share < position + 1 ? begin + share : position + 1;
    const PagedKeys<T> where = {keys, values, tables + asks[3 * token + 1], head, shape};
    ask<C, R>(where, room, queries, shape.width, begin, end, first_seen);
    for (int query = 0; query < queries; ++query) {
        const size_t line = static_cast<size_t>(token) * shape.heads + first_query + query;
        float best, sum;
        if (gridDim.z == 1) {
            gather<C, R>(room, query, shape.width, &best, &sum, [&](int column, float found) {
                out[line * shape.width + column] = from_float<T>(found / sum);
            });
            continue;
        }
        const size_t lines = static_cast<size_t>(gridDim.x) * shape.heads;
        float* part = parts + (blockIdx.z * lines + line) * (shape.width + 2);
        gather<C, R>(room, query, shape.width, &best, &sum,
                     [&](int column, float found) { part[column] = found; });
        if (threadIdx.x == 0) {
            part[shape.width] = best;
            part[shape.width + 1] = sum;
        }
    }
}

// Puts the parts of several splits together. grid: (tokens, heads).
template <typename T>
__device__ void combine(T* out, const float* parts, unsigned splits, PagedShape shape) {
    const size_t lines = static_cast<size_t>(gridDim.x) * shape.heads;
    const size_t line = static_cast<size_t>(blockIdx.x) * shape.heads + blockIdx.y;
    const size_t length = shape.width + 2;
    float best = -INFINITY;
    for (unsigned split = 0; split < splits; ++split) {
        best = fmaxf(best, parts[(split * lines + line) * length + shape.width]);
    }
    float sum = 0.0f;
    for (unsigned split = 0; split < splits; ++split) {
        const float* part = parts + (split * lines + line) * length;
        if (part[shape.width] == -INFINITY) continue;
        sum += exp2f(part[shape.width] - best) * part[shape.width + 1];
    }
    for (unsigned column = threadIdx.x; column < shape.width; column += blockDim.x) {
        float total = 0.0f;
        for (unsigned split = 0; split < splits; ++split) {
            const float* part = parts + (split * lines + line) * length;
            if (part[shape.width] == -INFINITY) continue;
            total += exp2f(part[shape.width] - best) * part[column];
        }
        out[line * shape.width + column] = from_float<T>(total / sum);
    }
}

// Copies a block onto another one, of as many numbers. grid: any.
template <typename T>
__device__ void copy_block(T* pool, unsigned from, unsigned to, unsigned numbers) {
    for (size_t at = blockIdx.x * blockDim.x + threadIdx.x; at < numbers;
         at += static_cast<size_t>(gridDim.x) * blockDim.x) {
        pool[static_cast<size_t>(to) * numbers + at] =
            pool[static_cast<size_t>(from) * numbers + at];
    }
}

#define SHAPE                                                                                     \
    unsigned heads, unsigned kv_heads, unsigned width, unsigned padded, unsigned block_tokens,    \
        unsigned window, float epsilon
#define SHAPE_OF {heads, kv_heads, width, padded, block_tokens, window, epsilon}

#define ATTEND(T, C, R)                                                                           \
    extern "C" __global__ void attend_##T##_c##C##_r##R(                                          \
        T* out, float* parts, const T* projected, const T* keys, const T* values,                 \
        const float* turns, const float* norm, const unsigned* asks, const unsigned* tables,      \
        SHAPE) {                                                                                  \
        attend<T, C, R>(out, parts, projected, keys, values, turns, norm, asks, tables,           \
                        PagedShape SHAPE_OF);                                                     \
    }

#define PAGED(T)                                                                                  \
    extern "C" __global__ void store_##T(T* keys, T* values, const T* projected,                  \
                                         const float* turns, const float* norm,                   \
                                         const unsigned* slots, SHAPE) {                          \
        store<T>(keys, values, projected, turns, norm, slots, PagedShape SHAPE_OF);               \
    }                                                                                             \
    extern "C" __global__ void combine_##T(T* out, const float* parts, unsigned splits, SHAPE) {  \
        combine<T>(out, parts, splits, PagedShape SHAPE_OF);                                      \
    }                                                                                             \
    extern "C" __global__ void copy_block_##T(T* pool, unsigned from, unsigned to,                \
                                              unsigned numbers) {                                 \
        copy_block<T>(pool, from, to, numbers);                                                   \
    }                                                                                             \
    ATTEND(T, 2, 1) ATTEND(T, 2, 4) ATTEND(T, 2, 8)                                               \
    ATTEND(T, 4, 1) ATTEND(T, 4, 4) ATTEND(T, 4, 8)                                               \
    ATTEND(T, 8, 1) ATTEND(T, 8, 4) ATTEND(T, 8, 8)

PAGED(float)
PAGED(bf16)
