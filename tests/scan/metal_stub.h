// The part of the Metal shading language that the kernels use, for clang, whose address spaces are as strict as Metal's.
// What MSL does not have is poisoned.

#define device __attribute__((address_space(1)))
#define constant __attribute__((address_space(2)))
#define threadgroup static __attribute__((address_space(3)))
typedef unsigned int uint;
typedef unsigned short ushort;
typedef unsigned long size_t;
typedef __fp16 half;
typedef __fp16 bfloat; // another type there; it is only converted to and from float here
struct uint3 {
    uint x, y, z;
};
enum class mem_flags { mem_none, mem_device, mem_threadgroup };

namespace metal {
float fma(float a, float b, float c);
float abs(float x);
namespace precise {
float exp(float x);
float tanh(float x);
} // namespace precise
namespace fast {
float exp2(float x);
}
} // namespace metal

float simd_shuffle_xor(float value, ushort mask);
void threadgroup_barrier(mem_flags flags);

// not in MSL
#pragma GCC poison double long goto throw try catch new delete virtual typeid dynamic_cast std asm printf malloc
// words of MSL that cannot be names
#pragma GCC poison thread kernel vertex fragment sampler texture vec matrix atomic quad complex imaginary assert restrict
#pragma GCC poison ray_data object_data threadgroup_imageblock as_type packed_vec llong ullong
