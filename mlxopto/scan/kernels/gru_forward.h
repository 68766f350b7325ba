// The gated recurrent unit.
//
// gates (batch, time, 3 H), weight (3 H, H), bias (H,), state (batch, H) -> h (batch, time, H)
// One group a batch item (x). A thread holds one row of the weights in registers; H, AHEAD are constants, THREADS >= 3 H.

const int tid = int(position.x);
const int batch = int(place.x);
const int time = gates_shape[1];
const int row = smaller(tid, 3 * H - 1);
const int unit = row % H;
const bool candidate = row >= 2 * H;

SHARED(float, before, H);
SHARED(float, sums, 3 * H);
SHARED(float, inputs, H); // the input's share of the candidate

float w[H], ahead[AHEAD];
UNROLL
for (int k = 0; k < H; k++) {
    w[k] = weight[row * H + k];
}
const float offset = candidate ? bias[unit] : 0.0f;
const size_t rows = size_t(batch) * time;
UNROLL
for (int j = 0; j < AHEAD; j++) {
    ahead[j] = gates[(rows + smaller(j, time - 1)) * 3 * H + row];
}
float own = state[batch * H + unit];
if (tid < H) {
    before[tid] = own;
}
BARRIER;
for (int start = 0; start < time; start += AHEAD) {
    UNROLL
    for (int j = 0; j < AHEAD; j++) {
        const int t = start + j;
        if (t < time) { // the same for every thread
            const float gate = ahead[j];
            ahead[j] = gates[(rows + smaller(t + AHEAD, time - 1)) * 3 * H + row];
            float even = offset, odd = candidate ? 0.0f : gate;
            UNROLL
            for (int k = 0; k < H; k += 2) {
                even = FMA(w[k], before[k], even);
                odd = k + 1 < H ? FMA(w[k + 1], before[k + 1], odd) : odd;
            }
            if (tid < 3 * H) {
                sums[row] = candidate ? even + odd : sigmoid(even + odd);
                if (candidate) {
                    inputs[unit] = gate;
                }
            }
            BARRIER;
            if (tid < H) {
                const float n = TANH(FMA(sums[tid], sums[2 * H + tid], inputs[tid]));
                own = FMA(sums[H + tid], own - n, n);
                before[tid] = own;
                h[(rows + t) * H + tid] = own;
            }
            BARRIER;
        }
    }
}
