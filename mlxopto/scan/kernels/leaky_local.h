// What a chunk of leaky sums p[t] = (1 - leak) p[t-1] + v[t] adds, from zeros; with REVERSE from p[t+1].
//
// v (batch, time, K), leak (K,) -> local (batch, chunks - 1, K)
// One thread a chunk and sum, THREADS a group, along x; batch along y. CHUNK is a constant.

const int tid = int(position.x);
const int group = int(place.x);
const int batch = int(place.y);
const int time = v_shape[1];
const int chunks = (time + CHUNK - 1) / CHUNK;
const int i = group * THREADS + tid;
if (i < (chunks - 1) * K) {
    const int k = i % K;
    const int start = (i / K + (REVERSE ? 1 : 0)) * CHUNK;
    const int steps = smaller(CHUNK, time - start);
    const float a = leak[k];
    float p = 0.0f;
    for (int j = 0; j < steps; j++) {
        const int t = REVERSE ? start + steps - 1 - j : start + j;
        p += FMA(-a, p, v[(size_t(batch) * time + t) * K + k]);
    }
    local[size_t(batch) * (chunks - 1) * K + i] = p;
}
