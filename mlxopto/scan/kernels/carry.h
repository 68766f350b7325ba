// From what each chunk adds on its own to the states that the chunks start from.
//
// local (batch, chunks - 1, D, N), span (batch, chunks - 1, D), A (D, N), state (batch, D, N)
//   -> edges (batch, chunks, D, N): edge 0 is the state, edge c + 1 = exp(A span[c]) edge c + local[c].
// With REVERSE, from the other end: the last edge is the state, edge c = exp(A span[c]) edge c + 1 + local[c].
// At least two chunks. One thread a state, THREADS a group, along x; batch along y.

const int tid = int(position.x);
const int group = int(place.x);
const int batch = int(place.y);
const int chunks = local_shape[1] + 1;
const int i = group * THREADS + tid;
if (i < D * N) {
    const float a = A[i];
    float h = state[batch * D * N + i];
    for (int start = 0; start < chunks; start += AHEAD) {
        float decay[AHEAD], add[AHEAD]; // loaded together, because the compiler may not move a load over a store
        UNROLL
        for (int j = 0; j < AHEAD; j++) {
            const int c = smaller(start + j, chunks - 2);
            const int at = batch * (chunks - 1) + (REVERSE ? chunks - 2 - c : c);
            decay[j] = EXP(a * span[at * D + i / N]);
            add[j] = local[at * D * N + i];
        }
        UNROLL
        for (int j = 0; j < AHEAD; j++) {
            const int c = start + j;
            if (c < chunks) {
                edges[(batch * chunks + (REVERSE ? chunks - 1 - c : c)) * D * N + i] = h;
                h = FMA(decay[j], h, add[j]);
            }
        }
    }
}
