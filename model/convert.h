// Element conversion of weights while they stream in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "common/dtype.h"
#include "model/checkpoint.h"

namespace headroom::model {

// source holds `elements` values of type `from` (kF32, kF16 or kBF16); target gets as many of type `to` (kF32 or
// kBF16), rounded to nearest even. The ranges must not overlap.
void ConvertElements(StoredType from, const std::byte* source, DType to, std::byte* target, int64_t elements);

}  // namespace headroom::model
