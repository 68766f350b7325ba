// The gated recurrent unit backward: the gradient by every hidden state.
//
// grad_h (batch, time, H), factors (batch, time, 3 H): the slope of each row's sum by the gradient of h,
// hold (batch, time, H): z, weight (3 H, H) -> adjoint (batch, time, H), grad_state (batch, H)
// Groups and threads as in gru_forward.h, but a thread holds a column: of one gate, the weights that one unit feeds.

const int tid = int(position.x);
const int batch = int(place.x);
const int time = grad_h_shape[1];
const int row = smaller(tid, 3 * H - 1);
const int unit = row % H;
const int gate = row / H;

SHARED(float, flows, 3 * H); // the gradient by each row's sum
SHARED(float, sums, 3 * H);

float w[H], ahead[AHEAD], ahead_h[AHEAD], ahead_hold[AHEAD];
UNROLL
for (int k = 0; k < H; k++) {
    w[k] = weight[(gate * H + k) * H + unit];
}
const size_t rows = size_t(batch) * time;
UNROLL
for (int j = 0; j < AHEAD; j++) {
    const int at = smaller(j, time - 1); // from the end
    ahead[j] = factors[(rows + time - 1 - at) * 3 * H + row];
    ahead_h[j] = grad_h[(rows + time - 1 - at) * H + unit];
    ahead_hold[j] = hold[(rows + time - 1 - at) * H + unit];
}
float carried = 0.0f; // from step t + 1; every gate's thread of a unit has its own copy
for (int start = 0; start < time; start += AHEAD) {
    UNROLL
    for (int j = 0; j < AHEAD; j++) {
        const int t = time - 1 - start - j;
        if (t >= 0) { // the same for every thread
            const float grad = ahead_h[j] + carried;
            const float held = grad * ahead_hold[j];
            if (tid < 3 * H) {
                flows[row] = grad * ahead[j];
                if (gate == 0) {
                    adjoint[(rows + t) * H + unit] = grad;
                }
            }
            const int next = t > AHEAD ? t - AHEAD : 0;
            ahead[j] = factors[(rows + next) * 3 * H + row];
            ahead_h[j] = grad_h[(rows + next) * H + unit];
            ahead_hold[j] = hold[(rows + next) * H + unit];
            BARRIER;
            float even = 0.0f, odd = 0.0f;
            UNROLL
            for (int k = 0; k < H; k += 2) {
                even = FMA(w[k], flows[gate * H + k], even);
                odd = k + 1 < H ? FMA(w[k + 1], flows[gate * H + k + 1], odd) : odd;
            }
            if (tid < 3 * H) {
                sums[row] = even + odd;
            }
            BARRIER;
            carried = held + sums[unit] + sums[H + unit] + sums[2 * H + unit];
        }
    }
}
if (tid < H) {
    grad_state[batch * H + tid] = carried;
}
