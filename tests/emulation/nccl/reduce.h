// Element types and reductions of collectives.
#pragma once

#include <nccl.h>

#include <cstddef>
#include <string>
#include <vector>

#include "tests/emulation/nccl/message.h"

namespace emulation {

// 0: no such type.
size_t BytesOf(ncclDataType_t type);
const char* NameOfType(ncclDataType_t type);
const char* NameOfOp(ncclRedOp_t op);
bool Reduces(CallKind kind);

// The inputs of all ranks, `count` elements each, combined in the order of the ranks: 16-bit floats and f32 in f32 and
// rounded once, f64 in f64, integers modulo their width. An average is the sum divided by the number of ranks.
std::string Reduce(const std::vector<const char*>& inputs, size_t count, ncclDataType_t type, ncclRedOp_t op);

}  // namespace emulation
