// The long short-term memory.
//
// gates (batch, time, 4 H) in the order i, f, g, o, weight (4 H, H), state, cell (batch, H) -> h, c (batch, time, H)
// Groups and threads as in gru_forward.h, THREADS >= 4 H.

const int tid = int(position.x);
const int batch = int(place.x);
const int time = gates_shape[1];
const int row = smaller(tid, 4 * H - 1);
const int unit = row % H;
const int gate = row / H;

SHARED(float, before, H);
SHARED(float, sums, 4 * H);

float w[H], ahead[AHEAD];
UNROLL
for (int k = 0; k < H; k++) {
    w[k] = weight[row * H + k];
}
const size_t rows = size_t(batch) * time;
UNROLL
for (int j = 0; j < AHEAD; j++) {
    ahead[j] = gates[(rows + smaller(j, time - 1)) * 4 * H + row];
}
float own = cell[batch * H + unit];
if (tid < H) {
    before[tid] = state[batch * H + tid];
}
BARRIER;
for (int start = 0; start < time; start += AHEAD) {
    UNROLL
    for (int j = 0; j < AHEAD; j++) {
        const int t = start + j;
        if (t < time) { // the same for every thread
            float even = ahead[j], odd = 0.0f;
            ahead[j] = gates[(rows + smaller(t + AHEAD, time - 1)) * 4 * H + row];
            UNROLL
            for (int k = 0; k < H; k += 2) {
                even = FMA(w[k], before[k], even);
                odd = k + 1 < H ? FMA(w[k + 1], before[k + 1], odd) : odd;
            }
            if (tid < 4 * H) {
                sums[row] = gate == 2 ? TANH(even + odd) : sigmoid(even + odd);
            }
            BARRIER;
            if (tid < H) {
                own = FMA(sums[H + tid], own, sums[tid] * sums[2 * H + tid]);
                const float out = sums[3 * H + tid] * TANH(own);
                before[tid] = out;
                h[(rows + t) * H + tid] = out;
                c[(rows + t) * H + tid] = own;
            }
            BARRIER;
        }
    }
}
