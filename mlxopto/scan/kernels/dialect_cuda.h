// The words that the kernels use, for CUDA. dialect_metal.h says the same for Apple silicon.

#define SHARED(type, name, size) __shared__ type name[size]
#define BARRIER __syncthreads()
#define SHUFFLE_XOR(value, mask) __shfl_xor_sync(0xffffffffu, value, mask)
#define UNROLL _Pragma("unroll")
#define FUNCTION __device__ inline

#define EXP(x) expf(x)
#define EXP2_FAST(x) mlxopto_exp2(x)
#define TANH(x) tanhf(x)
#define FMA(a, b, c) fmaf(a, b, c)
#define MAGNITUDE(x) fabsf(x)


__device__ inline float mlxopto_exp2(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}
