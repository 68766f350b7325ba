// What a chunk of a selective scan adds to the state, from a state of zeros, and how long it lasts.
//
// u, dt (batch, time, D), A (D, N), B (batch, time, N)
//   -> local (batch, chunks - 1, D, N), span (batch, chunks - 1, D): the sum of dt, so that the chunk decays by exp(A span).
// One group a chunk (x; the last needs none) and batch item (y). A thread holds STATES states of one channel; LANES neighbours
// share the channel. D, N, LANES, STATES, CHUNK, ZOH are constants.

const int tid = int(position.x);
const int chunk = int(place.x);
const int batch = int(place.y);
const int time = u_shape[1];
const int chunks = (time + CHUNK - 1) / CHUNK;
const int first = (tid % LANES) * STATES;
const int d = smaller(tid / LANES, D - 1);

float a[STATES], gain[STATES], h[STATES];
UNROLL
for (int s = 0; s < STATES; s++) {
    a[s] = LOG2E * (first + s < N ? A[d * N + first + s] : -1.0f);
    gain[s] = LOG2E / a[s];
    h[s] = 0.0f;
}
float sum = 0.0f;
const int start = batch * time + chunk * CHUNK;
for (int row = start; row < start + CHUNK; row++) {
    const float dt_t = float(dt[row * D + d]);
    const float drive = float(u[row * D + d]) * (ZOH ? 1.0f : dt_t);
    sum += dt_t;
    UNROLL
    for (int s = 0; s < STATES; s++) {
        const float b = first + s < N ? float(B[row * N + first + s]) : 0.0f;
        const float e = power_minus_one(dt_t * a[s]);
        h[s] = ZOH ? FMA(e, FMA(b * drive, gain[s], h[s]), h[s]) : FMA(b, drive, FMA(e, h[s], h[s]));
    }
}
if (tid < D * LANES) {
    const int at = (batch * (chunks - 1) + chunk) * D + d;
    if (first == 0) {
        span[at] = sum;
    }
    for (int s = 0; s < STATES; s++) {
        if (first + s < N) {
            local[at * N + first + s] = h[s];
        }
    }
}
