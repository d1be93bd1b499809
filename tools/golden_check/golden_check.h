// A whole run of golden_check over one directory.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "common/dtype.h"
#include "common/status.h"
#include "runtime/device.h"

namespace headroom::tools {

struct CheckOptions {
  std::string directory;
  std::vector<std::string> cases;  // empty: all
  DType compute = DType::kF32;
  runtime::DeviceOptions device;
  runtime::CreateDevice create_device = runtime::Device::Create;
  int64_t max_num_batched_tokens = 512;
  int64_t max_patches_per_step = 4096;  // raised to the largest piece
  int64_t block_size = 16;
};

struct CheckSummary {
  int64_t within = 0;  // cases within tolerance
  int64_t past = 0;
  int64_t broken = 0;  // could not be run
  bool tokenizer_equal = true;

  bool passed() const { return past == 0 && broken == 0 && tokenizer_equal; }
};

// Runs the cases and hands the report to `print`, piece by piece. An error means that nothing could be run: no golden
// directory, no such case, a model that does not load.
absl::StatusOr<CheckSummary> RunGoldenCheck(const CheckOptions& options,
                                            const std::function<void(const std::string&)>& print);

}  // namespace headroom::tools
