// Attention of a few queries that ask the same keys, by one block: its warps share the keys,
// and put together what they found (Dao et al. 2022; Milakov and Gimelshein 2018).
#pragma once
#include "device.cuh"

// What a block needs to share: the queries, then what each warp found.
//   queries  R * 32 * C
//   best     WARPS * R
//   sums     WARPS * R
//   found    WARPS * R * 32 * C
template <int C, int R>
struct Room {
    static constexpr int COLUMNS = WARP * C;
    float* queries;
    float* best;
    float* sums;
    float* found;

    __device__ Room(float* start, int warps) {
        queries = start;
        best = queries + R * COLUMNS;
        sums = best + warps * R;
        found = sums + warps * R;
    }
};

// Asks the tokens of [begin, end) that are not before `first_seen`, in units of 32. `keys`
// stands for where a number is: keys.key(token, column), keys.value(token, column), for tokens
// below keys.limit(). Leaves in each thread the weighted values of its columns, in `found`, with
// the best score and the sum of weights, the same in all threads of the block.
//
// The queries in the room are scaled by log2(e) and the root of the width.
template <int C, int R, typename Keys>
__device__ void ask(const Keys& keys, Room<C, R> room, int queries, int width, int begin, int end,
                    int first_seen) {
    const int lane = lane_of_thread();
    const int warp = warp_of_thread();
    const int warps = blockDim.x / WARP;
    float best[R];
    float sums[R];
    float found[R][C];
    UNROLL
    for (int r = 0; r < R; ++r) {
        best[r] = -INFINITY;
        sums[r] = 0.0f;
        UNROLL
        for (int c = 0; c < C; ++c) found[r][c] = 0.0f;
    }
    for (int start = begin + warp * WARP; start < end; start += warps * WARP) {
        const int token = start + lane;
        const bool seen = token < end && token >= first_seen;
        float scores[R];
        UNROLL
        for (int r = 0; r < R; ++r) scores[r] = 0.0f;
        if (seen) {
            for (int column = 0; column < width; ++column) {
                const float key = keys.key(token, column);
                UNROLL
                for (int r = 0; r < R; ++r) {
                    scores[r] += key * room.queries[r * Room<C, R>::COLUMNS + column];
                }
            }
        }
        float weights[R];
        UNROLL
        for (int r = 0; r < R; ++r) {
            const float score = seen ? scores[r] : -INFINITY;
            const float now = fmaxf(best[r], warp_max(score));
            // Nothing seen yet: minus infinity less minus infinity would be no number.
            const float shrink = now == -INFINITY ? 1.0f : exp2f(best[r] - now);
            weights[r] = seen ? exp2f(score - now) : 0.0f;
            best[r] = now;
            sums[r] = sums[r] * shrink + warp_sum(weights[r]);
            UNROLL
            for (int c = 0; c < C; ++c) found[r][c] *= shrink;
        }
        for (int at = 0; at < WARP && start + at < end; ++at) {
            if (start + at < first_seen) continue;
            float weight[R];
            UNROLL
            for (int r = 0; r < R; ++r) weight[r] = __shfl_sync(ALL_LANES, weights[r], at);
            UNROLL
            for (int c = 0; c < C; ++c) {
                const int column = c * WARP + lane;
                const float value = column < width ? keys.value(start + at, column) : 0.0f;
                UNROLL
                for (int r = 0; r < R; ++r) found[r][c] += weight[r] * value;
            }
        }
    }
    for (int r = 0; r < queries; ++r) {
        if (lane == 0) {
            room.best[warp * R + r] = best[r];
            room.sums[warp * R + r] = sums[r];
        }
        for (int c = 0; c < C; ++c) {
            room.found[(warp * R + r) * Room<C, R>::COLUMNS + c * WARP + lane] = found[r][c];
        }
    }
    __syncthreads();
}

// What one query found, put together from the block's warps: calls `write(column, found)` with
// weighted values that are not yet divided by the sum of weights.
template <int C, int R, typename Write>
__device__ void gather(Room<C, R> room, int query, int width, float* best, float* sum,
                       Write write) {
    const int warps = blockDim.x / WARP;
    *best = -INFINITY;
    for (int warp = 0; warp < warps; ++warp) *best = fmaxf(*best, room.best[warp * R + query]);
    *sum = 0.0f;
    for (int warp = 0; warp < warps; ++warp) {
        const float theirs = room.best[warp * R + query];
        if (theirs != -INFINITY) *sum += exp2f(theirs - *best) * room.sums[warp * R + query];
    }
    for (int column = threadIdx.x; column < width; column += blockDim.x) {
        float total = 0.0f;
        for (int warp = 0; warp < warps; ++warp) {
            const float theirs = room.best[warp * R + query];
            if (theirs == -INFINITY) continue;
            total += exp2f(theirs - *best) *
                     room.found[(warp * R + query) * Room<C, R>::COLUMNS + column];
        }
        write(column, total);
    }
}
