// The words that the kernels use, for Metal on Apple silicon (MSL 3). dialect_cuda.h says the same for NVIDIA.

#define SHARED(type, name, size) threadgroup type name[size]
#define BARRIER threadgroup_barrier(mem_flags::mem_threadgroup)
#define SHUFFLE_XOR(value, mask) simd_shuffle_xor(value, ushort(mask))
#define UNROLL _Pragma("clang loop unroll(full)")
#define FUNCTION inline

#define EXP(x) metal::precise::exp(x)
#define EXP2_FAST(x) metal::fast::exp2(x)
#define TANH(x) metal::precise::tanh(x)
#define FMA(a, b, c) metal::fma(a, b, c)
#define MAGNITUDE(x) metal::abs(x)

