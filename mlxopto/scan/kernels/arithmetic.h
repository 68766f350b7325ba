// Arithmetic of a single thread, the same on every GPU.

#define LOG2E 1.44269504f

// 2^x - 1 without cancellation near zero, wrong by about 1e-6 of its value at most. Half of a scan's work is here, so it takes the
// hardware's power of two where that is exact enough, and a least-maximum polynomial (9e-8) below 0.36.
FUNCTION float power_minus_one(float x) {
    const float near_zero =
        x * FMA(x, FMA(x, FMA(x, FMA(x, 0.00133582891f, 0.00964311045f), 0.0555040278f), 0.240225703f), 0.693147182f);
    const float far = EXP2_FAST(x) - 1.0f;
    return MAGNITUDE(x) < 0.36f ? near_zero : far;
}

FUNCTION float sigmoid(float x) {
    return 1.0f / (1.0f + EXP(-x));
}

FUNCTION int smaller(int a, int b) {
    return a < b ? a : b;
}
