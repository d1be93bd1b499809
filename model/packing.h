// How published checkpoints write a matrix whose elements are quantized: the tensors that stand for NAME.weight of
// [rows, cols], of `bits` an element. Sources: compressed-tensors 0.20 and what it writes (tests/checkpoints), linear
// modules of the GPTQ and AWQ projects, the script that DeepSeek-V3 comes with to turn its fp8 weights into bf16.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/checkpoint.h"
#include "model/weight_format.h"

namespace headroom::model {

// G = columns of scales (1 with one scale a row). Packed words are int32.
enum class Packing : uint8_t {
  kPlain,       // NAME.weight in a float type
  kPackedRows,  // compressed-tensors pack-quantized: weight_packed [rows, cols·bits/32], weight_scale [rows, G]
  kTyped,       // compressed-tensors int- and float-quantized: weight int8 or fp8, weight_scale as its tiles lie
  kScaleInv,    // fp8 of DeepSeek-V3: weight fp8, weight_scale_inv fp32 a block; weight_scale where the matrix has one
  kGptq,        // qweight [cols·bits/32, rows], qzeros [G, rows·bits/32] always, scales [G, rows], g_idx [cols]
  kAwq,         // qweight [cols, rows·bits/32], qzeros [G, rows·bits/32], scales [G, rows]
};

// One tensor of a checkpoint.
struct StoredPart {
  enum class Role : uint8_t {
    kValues,
    kScales,
    kZeroPoints,
    kOther,  // no part of the matrix in memory: its shape, an order of columns, zero points of a symmetric format
  };
  std::string name;
  std::vector<int64_t> shape;
  std::vector<StoredType> types;  // any of them
  Role role = Role::kValues;
  bool optional = false;
};

// `name` ends with ".weight"; `shape` is [rows, cols] (any with kPlain).
std::vector<StoredPart> StoredParts(Packing packing, const WeightFormat& format, const std::string& name,
                                    const std::vector<int64_t>& shape);

}  // namespace headroom::model
