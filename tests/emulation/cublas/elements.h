// Element types of matrices: sizes, names, and runs of elements as floats.
#pragma once

#include <library_types.h>

#include <cstddef>
#include <cstdint>

namespace emulation {

// Bytes of an element; 0: a type that no combination of rules.h uses.
size_t BytesOf(cudaDataType type);
const char* NameOf(cudaDataType type);

// `count` elements that lie side by side, widened or rounded to nearest even (fp8: and kept finite, as cuBLAS does).
// int8 has a widening alone.
void Widen(cudaDataType type, const void* from, int64_t count, float* to);
void Widen(cudaDataType type, const void* from, int64_t count, uint32_t* to);
void Narrow(cudaDataType type, const float* from, int64_t count, void* to);

}  // namespace emulation
