// The model of a golden directory, loaded with the code of the services: one plan, one arena, encoder and decoder.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "common/dtype.h"
#include "common/status.h"
#include "llm-worker/decoder.h"
#include "memory/arena.h"
#include "memory/ledger.h"
#include "memory/plan.h"
#include "model/spec.h"
#include "runtime/device.h"
#include "vision-worker/piece_encoder.h"

namespace headroom::tools {

struct ModelOptions {
  std::string directory;
  DType compute = DType::kF32;
  runtime::DeviceOptions device;
  runtime::CreateDevice create_device = runtime::Device::Create;
  int64_t max_model_len = 0;           // tokens of the longest case
  int64_t max_num_batched_tokens = 0;  // tokens of a step
  int64_t max_patches_per_step = 0;
  int64_t block_size = 16;
};

struct CheckedModel {
  model::ModelSpec config;
  std::unique_ptr<runtime::Device> device;
  memory::Plan plan;
  std::unique_ptr<memory::Ledger> ledger;
  std::unique_ptr<memory::Arena> arena;
  std::unique_ptr<vision_worker::PieceEncoder> encoder;  // null for a model that does not see
  std::unique_ptr<llm_worker::Decoder> decoder;
};

absl::StatusOr<CheckedModel> LoadCheckedModel(const model::ModelSpec& config, const ModelOptions& options);

}  // namespace headroom::tools
