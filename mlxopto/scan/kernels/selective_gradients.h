// The gradients of a selective scan, chunk by chunk from the gradient by the state at each chunk's end.
//
// u, dt, grad_y (batch, time, D), A (D, N), B, C (batch, time, N), skip (D,), kept (batch, ceil(time / KEEP), D, N),
// edges (batch, chunks, D, N): the gradient by the state after each chunk
//   -> grad_u, grad_dt (batch, time, D), grad_B, grad_C (batch, time, N), grad_state (batch, D, N),
//      grad_A (batch, chunks, D, N) and grad_skip (batch, chunks, D), to be summed over batch and chunks.
// Groups and threads as in selective_local.h; SIMD is 32, THREADS a multiple of it. TILE divides time, CHUNK and KEEP.
//
// The states are not stored but computed again: from the one kept before every KEEP-th step to the starts of tiles of TILE
// steps, which wait in shared memory; then, tile by tile from the last, to the states of a tile, which fit into registers.

const int tid = int(position.x);
const int chunk = int(place.x);
const int batch = int(place.y);
const int time = u_shape[1];
const int chunks = (time + CHUNK - 1) / CHUNK;
const int first = (tid % LANES) * STATES;
const bool writes = D * LANES == THREADS || tid < D * LANES; // the others repeat the last channel, as shuffles need all
const int d = smaller(tid / LANES, D - 1);
const int width = LANES * STATES; // N, filled up

SHARED(float, tile_starts, (KEEP / TILE) * STATES * THREADS);
SHARED(float, sums, TILE * (THREADS / SIMD) * 2 * LANES * STATES);

float a[STATES], gain[STATES], adjoint[STATES], sum_a[STATES];
UNROLL
for (int s = 0; s < STATES; s++) {
    const bool exists = first + s < N;
    a[s] = LOG2E * (exists ? A[d * N + first + s] : -1.0f);
    gain[s] = LOG2E / a[s];
    adjoint[s] = exists ? edges[((batch * chunks + chunk) * D + d) * N + first + s] : 0.0f;
    sum_a[s] = 0.0f;
}
const float skip_d = skip[d];
float sum_skip = 0.0f;
const int end = smaller((chunk + 1) * CHUNK, time);

for (int keep = (end - 1) / KEEP; keep >= chunk * (CHUNK / KEEP); keep--) {
    float h[STATES];
    UNROLL
    for (int s = 0; s < STATES; s++) {
        const int at = (batch * ((time + KEEP - 1) / KEEP) + keep) * D + d;
        h[s] = first + s < N ? kept[at * N + first + s] : 0.0f;
    }
    const int tiles = smaller(KEEP, end - keep * KEEP) / TILE;
    for (int tile = 0; tile < tiles; tile++) {
        UNROLL
        for (int s = 0; s < STATES; s++) {
            tile_starts[(tile * STATES + s) * THREADS + tid] = h[s];
        }
        for (int k = 0; k < TILE && tile < tiles - 1; k++) {
            const int row = batch * time + keep * KEEP + tile * TILE + k;
            const float dt_t = float(dt[row * D + d]);
            const float drive = float(u[row * D + d]) * (ZOH ? 1.0f : dt_t);
            UNROLL
            for (int s = 0; s < STATES; s++) {
                const float b = first + s < N ? float(B[row * N + first + s]) : 0.0f;
                const float e = power_minus_one(dt_t * a[s]);
                h[s] = ZOH ? FMA(e, FMA(b * drive, gain[s], h[s]), h[s]) : FMA(b, drive, FMA(e, h[s], h[s]));
            }
        }
    }
    for (int tile = tiles - 1; tile >= 0; tile--) {
        const int start = batch * time + keep * KEEP + tile * TILE;
        float e[TILE][STATES], before[TILE + 1][STATES];
        UNROLL
        for (int s = 0; s < STATES; s++) {
            before[0][s] = tile_starts[(tile * STATES + s) * THREADS + tid];
        }
        UNROLL
        for (int k = 0; k < TILE; k++) {
            const int row = start + k;
            const float dt_t = float(dt[row * D + d]);
            const float drive = float(u[row * D + d]) * (ZOH ? 1.0f : dt_t);
            UNROLL
            for (int s = 0; s < STATES; s++) {
                const float b = first + s < N ? float(B[row * N + first + s]) : 0.0f;
                const float h_s = before[k][s];
                e[k][s] = power_minus_one(dt_t * a[s]);
                before[k + 1][s] =
                    ZOH ? FMA(e[k][s], FMA(b * drive, gain[s], h_s), h_s) : FMA(b, drive, FMA(e[k][s], h_s, h_s));
            }
        }
        UNROLL
        for (int k = TILE - 1; k >= 0; k--) {
            const int row = start + k;
            const float dt_t = float(dt[row * D + d]);
            const float u_t = float(u[row * D + d]);
            const float grad = float(grad_y[row * D + d]);
            float grad_drive = 0.0f, grad_step = 0.0f, grad_drive_step = 0.0f, by_b[STATES], by_c[STATES];
            UNROLL
            for (int s = 0; s < STATES; s++) {
                const bool exists = first + s < N;
                const float b = exists ? float(B[row * N + first + s]) : 0.0f;
                const float c = exists ? float(C[row * N + first + s]) : 0.0f;
                const float grad_h = FMA(c, grad, adjoint[s]);
                const float part = ZOH ? b * u_t * gain[s] : 0.0f;
                const float grad_e = grad_h * (before[k][s] + part);
                const float grad_log = FMA(grad_e, e[k][s], grad_e); // by dt A
                const float grad_part = grad_h * (ZOH ? e[k][s] * gain[s] : dt_t); // by B u
                grad_step = FMA(grad_log, a[s], grad_step);
                grad_drive_step = ZOH ? 0.0f : FMA(grad_h, b, grad_drive_step);
                sum_a[s] = FMA(grad_log, dt_t, ZOH ? FMA(-grad_part, part, sum_a[s]) : sum_a[s]);
                grad_drive = FMA(grad_part, b, grad_drive);
                by_b[s] = writes ? grad_part * u_t : 0.0f;
                by_c[s] = writes ? grad * before[k + 1][s] : 0.0f;
                adjoint[s] = FMA(grad_h, e[k][s], grad_h);
            }
            grad_step = FMA(grad_step, 1.0f / LOG2E, grad_drive_step * u_t);
            sum_skip = FMA(grad, u_t, sum_skip);
            for (int mask = 1; mask < LANES; mask *= 2) {
                grad_drive += SHUFFLE_XOR(grad_drive, mask);
                grad_step += SHUFFLE_XOR(grad_step, mask);
            }
            if (first == 0 && writes) {
                grad_u[row * D + d] = T(FMA(skip_d, grad, grad_drive));
                grad_dt[row * D + d] = T(grad_step);
            }
            // Over the channels of a SIMD group: while a thread has several sums, each of two threads gives half of them away.
            int held = first;
            int count = STATES;
            UNROLL
            for (int mask = LANES; mask < SIMD; mask *= 2) {
                const bool upper = (tid & mask) != 0;
                if (count > 1) {
                    count /= 2;
                    held += upper ? count : 0;
                    UNROLL
                    for (int s = 0; s < STATES / 2; s++) {
                        if (s < count) {
                            const float give_b = upper ? by_b[s] : by_b[s + count];
                            const float give_c = upper ? by_c[s] : by_c[s + count];
                            by_b[s] = (upper ? by_b[s + count] : by_b[s]) + SHUFFLE_XOR(give_b, mask);
                            by_c[s] = (upper ? by_c[s + count] : by_c[s]) + SHUFFLE_XOR(give_c, mask);
                        }
                    }
                } else {
                    by_b[0] += SHUFFLE_XOR(by_b[0], mask);
                    by_c[0] += SHUFFLE_XOR(by_c[0], mask);
                }
            }
            const int place = (k * (THREADS / SIMD) + tid / SIMD) * 2 * width;
            UNROLL
            for (int s = 0; s < STATES; s++) {
                if (s < count) {
                    sums[place + held + s] = by_b[s];
                    sums[place + width + held + s] = by_c[s];
                }
            }
        }
        BARRIER;
        for (int i = tid; i < TILE * N; i += THREADS) {
            const int n = i % N;
            float total_b = 0.0f, total_c = 0.0f;
            for (int simd = 0; simd < THREADS / SIMD; simd++) {
                const int place = ((i / N) * (THREADS / SIMD) + simd) * 2 * width;
                total_b += sums[place + n];
                total_c += sums[place + width + n];
            }
            grad_B[start * N + i] = T(total_b);
            grad_C[start * N + i] = T(total_c);
        }
        BARRIER;
    }
}
if (writes) {
    const int at = (batch * chunks + chunk) * D + d;
    if (first == 0) {
        grad_skip[at] = sum_skip;
    }
    for (int s = 0; s < STATES; s++) {
        if (first + s < N) {
            grad_A[at * N + first + s] = sum_a[s];
            if (chunk == 0) {
                grad_state[(batch * D + d) * N + first + s] = adjoint[s];
            }
        }
    }
}
