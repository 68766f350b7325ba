// Attack and release backward.
//
// u, e, grad_e (batch, time, K), attack, release, rise, fall, state (batch, K)
//     -> grad_u (batch, time, K), grad_attack, grad_release, grad_rise, grad_fall, grad_state (batch, K)
// Groups and threads as in ballistics_forward.h.

const int lane = int(place.x) * THREADS + int(position.x);
const int batch = int(place.y);
const int time = u_shape[1];
if (lane < K) {
    const float up = attack[batch * K + lane];
    const float down = release[batch * K + lane];
    const float most_up = rise[batch * K + lane];
    const float most_down = -fall[batch * K + lane];
    const float before_all = state[batch * K + lane];
    const size_t first = size_t(batch) * time;
    float ahead_u[AHEAD], ahead_e[AHEAD], ahead_grad[AHEAD]; // e of the step before
    UNROLL
    for (int j = 0; j < AHEAD; j++) {
        const int t = time - 1 - smaller(j, time - 1);
        ahead_u[j] = u[(first + t) * K + lane];
        ahead_e[j] = t > 0 ? e[(first + t - 1) * K + lane] : before_all;
        ahead_grad[j] = grad_e[(first + t) * K + lane];
    }
    float carried = 0.0f, by_attack = 0.0f, by_release = 0.0f, by_rise = 0.0f, by_fall = 0.0f;
    for (int start = 0; start < time; start += AHEAD) {
        UNROLL
        for (int j = 0; j < AHEAD; j++) {
            const int t = time - 1 - start - j;
            if (t >= 0) {
                const float distance = ahead_u[j] - ahead_e[j];
                const float grad = carried + ahead_grad[j];
                const int next = t > AHEAD ? t - AHEAD : 0;
                ahead_u[j] = u[(first + next) * K + lane];
                ahead_e[j] = next > 0 ? e[(first + next - 1) * K + lane] : before_all;
                ahead_grad[j] = grad_e[(first + next) * K + lane];
                const bool rising = distance > 0.0f;
                const float rate = rising ? up : down;
                const bool too_high = rate * distance > most_up, too_low = rate * distance < most_down;
                const float passed = too_high || too_low ? 0.0f : grad * rate;
                const float by_rate = too_high || too_low ? 0.0f : grad * distance;
                grad_u[(first + t) * K + lane] = passed;
                by_attack += rising ? by_rate : 0.0f;
                by_release += rising ? 0.0f : by_rate;
                by_rise += too_high ? grad : 0.0f;
                by_fall -= too_low ? grad : 0.0f;
                carried = grad - passed;
            }
        }
    }
    grad_attack[batch * K + lane] = by_attack;
    grad_release[batch * K + lane] = by_release;
    grad_rise[batch * K + lane] = by_rise;
    grad_fall[batch * K + lane] = by_fall;
    grad_state[batch * K + lane] = carried;
}
