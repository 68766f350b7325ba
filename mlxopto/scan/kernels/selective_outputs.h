// The outputs of a selective scan, chunk by chunk from the state that each starts with.
//
// u, dt (batch, time, D), A (D, N), B, C (batch, time, N), skip (D,), edges (batch, chunks, D, N)
//   -> y (batch, time, D), last (batch, D, N), kept (batch, ceil(time / KEEP), D, N): the state before every KEEP-th step.
// Groups and threads as in selective_local.h; AHEAD divides time, CHUNK and KEEP.

const int tid = int(position.x);
const int chunk = int(place.x);
const int batch = int(place.y);
const int time = u_shape[1];
const int chunks = (time + CHUNK - 1) / CHUNK;
const int first = (tid % LANES) * STATES;
const bool writes = D * LANES == THREADS || tid < D * LANES; // the others repeat the last channel, as shuffles need all
const int d = smaller(tid / LANES, D - 1);

float a[STATES], gain[STATES], h[STATES];
UNROLL
for (int s = 0; s < STATES; s++) {
    const bool exists = first + s < N;
    a[s] = LOG2E * (exists ? A[d * N + first + s] : -1.0f);
    gain[s] = LOG2E / a[s];
    h[s] = exists ? edges[((batch * chunks + chunk) * D + d) * N + first + s] : 0.0f;
}
const float skip_d = skip[d];
const int end = smaller((chunk + 1) * CHUNK, time);
for (int t = chunk * CHUNK; t < end; t += AHEAD) {
    const int row = batch * time + t;
    float u_[AHEAD], dt_[AHEAD], b_[AHEAD][STATES], c_[AHEAD][STATES]; // loaded together: no load may be moved over a store
    UNROLL
    for (int j = 0; j < AHEAD; j++) {
        u_[j] = float(u[(row + j) * D + d]);
        dt_[j] = float(dt[(row + j) * D + d]);
        UNROLL
        for (int s = 0; s < STATES; s++) {
            b_[j][s] = first + s < N ? float(B[(row + j) * N + first + s]) : 0.0f;
            c_[j][s] = first + s < N ? float(C[(row + j) * N + first + s]) : 0.0f;
        }
    }
    if (t % KEEP == 0 && writes) {
        const int at = (batch * ((time + KEEP - 1) / KEEP) + t / KEEP) * D + d;
        UNROLL
        for (int s = 0; s < STATES; s++) {
            if (first + s < N) {
                kept[at * N + first + s] = h[s];
            }
        }
    }
    UNROLL
    for (int j = 0; j < AHEAD; j++) {
        const float drive = ZOH ? u_[j] : u_[j] * dt_[j];
        float sum = 0.0f;
        UNROLL
        for (int s = 0; s < STATES; s++) {
            const float e = power_minus_one(dt_[j] * a[s]);
            h[s] = ZOH ? FMA(e, FMA(b_[j][s] * drive, gain[s], h[s]), h[s]) : FMA(b_[j][s], drive, FMA(e, h[s], h[s]));
            sum = FMA(c_[j][s], h[s], sum);
        }
        for (int mask = 1; mask < LANES; mask *= 2) {
            sum += SHUFFLE_XOR(sum, mask);
        }
        if (first == 0 && writes) {
            y[(row + j) * D + d] = T(FMA(skip_d, u_[j], sum));
        }
    }
}
if (chunk == chunks - 1 && writes) {
    for (int s = 0; s < STATES; s++) {
        if (first + s < N) {
            last[(batch * D + d) * N + first + s] = h[s];
        }
    }
}
