// Attack and release: e[t] = e[t-1] + (u[t] > e[t-1] ? attack : release) (u[t] - e[t-1]), a step at most `rise` up and `fall` down.
//
// u (batch, time, K), attack, release, rise, fall, state (batch, K) -> e (batch, time, K)
// One thread a lane, THREADS a group, along x; batch along y. K, AHEAD are constants.

const int lane = int(place.x) * THREADS + int(position.x);
const int batch = int(place.y);
const int time = u_shape[1];
if (lane < K) {
    const float up = attack[batch * K + lane];
    const float down = release[batch * K + lane];
    const float most_up = rise[batch * K + lane];
    const float most_down = -fall[batch * K + lane];
    const size_t first = size_t(batch) * time;
    float ahead[AHEAD];
    UNROLL
    for (int j = 0; j < AHEAD; j++) {
        ahead[j] = u[(first + smaller(j, time - 1)) * K + lane];
    }
    float now = state[batch * K + lane];
    for (int start = 0; start < time; start += AHEAD) {
        UNROLL
        for (int j = 0; j < AHEAD; j++) {
            const int t = start + j;
            if (t < time) {
                const float distance = ahead[j] - now;
                ahead[j] = u[(first + smaller(t + AHEAD, time - 1)) * K + lane];
                const float step = (distance > 0.0f ? up : down) * distance;
                now += step > most_up ? most_up : (step < most_down ? most_down : step);
                e[(first + t) * K + lane] = now;
            }
        }
    }
}
