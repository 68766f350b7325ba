// Leaky sums, chunk by chunk from the value that each starts with.
//
// v (batch, time, K), leak (K,), edges (batch, chunks, K) -> p (batch, time, K)
// Threads and constants as in leaky_local.h.

const int tid = int(position.x);
const int group = int(place.x);
const int batch = int(place.y);
const int time = v_shape[1];
const int chunks = (time + CHUNK - 1) / CHUNK;
const int i = group * THREADS + tid;
if (i < chunks * K) {
    const int k = i % K;
    const int start = i / K * CHUNK;
    const int steps = smaller(CHUNK, time - start);
    const float a = leak[k];
    float sum = edges[size_t(batch) * chunks * K + i];
    for (int from = 0; from < steps; from += AHEAD) {
        float v_[AHEAD]; // loaded together: no load may be moved over a store
        UNROLL
        for (int j = 0; j < AHEAD; j++) {
            const int step = smaller(from + j, steps - 1);
            v_[j] = v[(size_t(batch) * time + start + (REVERSE ? steps - 1 - step : step)) * K + k];
        }
        UNROLL
        for (int j = 0; j < AHEAD; j++) {
            const int step = from + j;
            if (step < steps) {
                sum += FMA(-a, sum, v_[j]);
                p[(size_t(batch) * time + start + (REVERSE ? steps - 1 - step : step)) * K + k] = sum;
            }
        }
    }
}
