// The long short-term memory backward: the gradient by every row's sum.
//
// grad_h (batch, time, H), grad_cell (batch, H): by the last c, weight (4 H, H), factors (batch, time, 4 H): the slope of each row's
// sum, for i, f, g by the gradient of c, for o by that of h, slope (batch, time, H): of c by the gradient of h,
// forget (batch, time, H): f -> adjoint (batch, time, 4 H), grad_state, grad_first (batch, H): by the first h and c
// Groups and threads as in gru_adjoint.h, THREADS >= 4 H.

const int tid = int(position.x);
const int batch = int(place.x);
const int time = grad_h_shape[1];
const int row = smaller(tid, 4 * H - 1);
const int unit = row % H;
const int gate = row / H;

SHARED(float, flows, 4 * H);
SHARED(float, sums, 4 * H);

float w[H], ahead[AHEAD], ahead_h[AHEAD], ahead_slope[AHEAD], ahead_forget[AHEAD];
UNROLL
for (int k = 0; k < H; k++) {
    w[k] = weight[(gate * H + k) * H + unit];
}
const size_t rows = size_t(batch) * time;
UNROLL
for (int j = 0; j < AHEAD; j++) {
    const int at = smaller(j, time - 1); // from the end
    ahead[j] = factors[(rows + time - 1 - at) * 4 * H + row];
    ahead_h[j] = grad_h[(rows + time - 1 - at) * H + unit];
    ahead_slope[j] = slope[(rows + time - 1 - at) * H + unit];
    ahead_forget[j] = forget[(rows + time - 1 - at) * H + unit];
}
float carried = 0.0f; // from step t + 1; every gate's thread of a unit has its own copies
float carried_c = grad_cell[batch * H + unit];
for (int start = 0; start < time; start += AHEAD) {
    UNROLL
    for (int j = 0; j < AHEAD; j++) {
        const int t = time - 1 - start - j;
        if (t >= 0) { // the same for every thread
            const float by_h = ahead_h[j] + carried;
            const float by_c = FMA(by_h, ahead_slope[j], carried_c);
            carried_c = by_c * ahead_forget[j];
            if (tid < 4 * H) {
                const float flow = (gate == 3 ? by_h : by_c) * ahead[j];
                flows[row] = flow;
                adjoint[(rows + t) * 4 * H + row] = flow;
            }
            const int next = t > AHEAD ? t - AHEAD : 0;
            ahead[j] = factors[(rows + next) * 4 * H + row];
            ahead_h[j] = grad_h[(rows + next) * H + unit];
            ahead_slope[j] = slope[(rows + next) * H + unit];
            ahead_forget[j] = forget[(rows + next) * H + unit];
            BARRIER;
            float even = 0.0f, odd = 0.0f;
            UNROLL
            for (int k = 0; k < H; k += 2) {
                even = FMA(w[k], flows[gate * H + k], even);
                odd = k + 1 < H ? FMA(w[k + 1], flows[gate * H + k + 1], odd) : odd;
            }
            if (tid < 4 * H) {
                sums[row] = even + odd;
            }
            BARRIER;
            carried = sums[unit] + sums[H + unit] + sums[2 * H + unit] + sums[3 * H + unit];
        }
    }
}
if (tid < H) {
    grad_state[batch * H + tid] = carried;
    grad_first[batch * H + tid] = carried_c;
}
