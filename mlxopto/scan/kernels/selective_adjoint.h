// The backward counterpart of selective_local.h: what a chunk adds to the gradient by the state before it, from nothing behind it.
//
// dt, grad_y (batch, time, D), A (D, N), C (batch, time, N) -> local (batch, chunks - 1, D, N), span (batch, chunks - 1, D)
// One group a chunk (x; the first needs none, so group 0 is chunk 1) and batch item (y); threads as in selective_local.h.

const int tid = int(position.x);
const int group = int(place.x);
const int batch = int(place.y);
const int time = dt_shape[1];
const int chunks = (time + CHUNK - 1) / CHUNK;
const int first = (tid % LANES) * STATES;
const int d = smaller(tid / LANES, D - 1);

float a[STATES], adjoint[STATES];
UNROLL
for (int s = 0; s < STATES; s++) {
    a[s] = LOG2E * (first + s < N ? A[d * N + first + s] : -1.0f);
    adjoint[s] = 0.0f;
}
float sum = 0.0f;
const int start = (group + 1) * CHUNK;
const int steps = smaller(CHUNK, time - start);
for (int row = batch * time + start + steps - 1; row >= batch * time + start; row--) {
    const float dt_t = float(dt[row * D + d]);
    const float grad = float(grad_y[row * D + d]);
    sum += dt_t;
    UNROLL
    for (int s = 0; s < STATES; s++) {
        const float c = first + s < N ? float(C[row * N + first + s]) : 0.0f;
        const float grad_h = FMA(c, grad, adjoint[s]);
        adjoint[s] = FMA(grad_h, power_minus_one(dt_t * a[s]), grad_h);
    }
}
if (tid < D * LANES) {
    const int at = (batch * (chunks - 1) + group) * D + d;
    if (first == 0) {
        span[at] = sum;
    }
    for (int s = 0; s < STATES; s++) {
        if (first + s < N) {
            local[at * N + first + s] = adjoint[s];
        }
    }
}
