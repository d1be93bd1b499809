#include "llm-worker/decoder.h"

#include <algorithm>
#include <cmath>

#include "common/check.h"
#include "runtime/ops/elementwise.h"
#include "runtime/ops/gather.h"
#include "runtime/ops/linear.h"
#include "runtime/ops/norm.h"
#include "runtime/ops/paged_attention.h"
#include "runtime/ops/rope.h"
#include "worker/views.h"

namespace headroom::llm_worker {
namespace {

using runtime::ConstMatrix;
using runtime::LinearSpec;
using runtime::Matrix;

int64_t QueryWidth(const model::DecoderConfig& config) { return config.heads * config.head_dim; }
int64_t KeyWidth(const model::DecoderConfig& config) { return config.kv_heads * config.head_dim; }
int64_t QkvWidth(const model::DecoderConfig& config) { return QueryWidth(config) + 2 * KeyWidth(config); }

// Every product of a step.
std::vector<LinearSpec> LinearSpecs(const model::DecoderConfig& c, DType compute, int64_t tokens, int64_t logit_rows) {
  LinearSpec qkv = {.n = QkvWidth(c), .k = c.hidden_size, .dtype = compute, .rows_max = tokens, .bias = c.qkv_bias};
  LinearSpec o = {.n = c.hidden_size,
                  .k = QueryWidth(c),
                  .dtype = compute,
                  .rows_max = tokens,
                  .bias = c.output_bias,
                  .accumulate = true};
  LinearSpec gate_up = {.n = 2 * c.intermediate_size, .k = c.hidden_size, .dtype = compute, .rows_max = tokens};
  LinearSpec down = {
      .n = c.hidden_size, .k = c.intermediate_size, .dtype = compute, .rows_max = tokens, .accumulate = true};
  LinearSpec head = {.n = c.vocab_size, .k = c.hidden_size, .dtype = compute, .rows_max = logit_rows};
  return {qkv, o, gate_up, down, head};
}

}  // namespace

absl::StatusOr<runtime::LinearNeeds> DecoderLinearNeeds(runtime::Device& device, const model::ModelConfig& config,
                                                        DType compute, int64_t tokens, int64_t logit_rows) {
  runtime::LinearNeeds needs;
  for (const LinearSpec& product : LinearSpecs(config.llm, compute, tokens, logit_rows)) {
    HEADROOM_ASSIGN_OR_RETURN(const runtime::LinearNeeds own, runtime::DescribeLinear(device, product));
    needs.scratch_bytes = std::max(needs.scratch_bytes, own.scratch_bytes);
    needs.library_bytes += own.library_bytes;
  }
  return needs;
}

void AddDecoderNeeds(runtime::Device& device, const model::ModelConfig& config, DType compute,
                     memory::KernelNeeds& needs) {
  needs.rows = runtime::LinearRows;
  needs.llm_linear_scratch = [&device, config, compute](int64_t tokens, int64_t sequences) -> absl::StatusOr<int64_t> {
    HEADROOM_ASSIGN_OR_RETURN(const auto products, DecoderLinearNeeds(device, config, compute, tokens, sequences));
    return products.scratch_bytes;
  };
  needs.llm_library = [&device, config, compute](int64_t tokens, int64_t sequences) -> absl::StatusOr<int64_t> {
    HEADROOM_ASSIGN_OR_RETURN(const auto products, DecoderLinearNeeds(device, config, compute, tokens, sequences));
    return products.library_bytes;
  };
  needs.llm_attention_scratch = [&device, head_dim = config.llm.head_dim](int64_t, int64_t) -> absl::StatusOr<int64_t> {
    return runtime::AttentionScratchBytes(head_dim, device.threads());
  };
}

// What one step computes with, placed in the workspace.
struct Decoder::Step {
  int64_t rows = 0;
  std::span<int32_t> positions;  // [rows]
  std::span<int64_t> slots;      // [rows]
  std::vector<runtime::PagedSequence> sequences;
  Matrix x;       // f32 [rows, hidden]
  Matrix normed;  // compute [rows, hidden]
};

Decoder::Decoder(runtime::Device& device, const model::ModelConfig& config, const memory::Plan& plan)
    : device_(device),
      config_(config.llm),
      weights_(plan.weights),
      layout_(plan.llm_step),
      kv_(plan.kv),
      kv_blocks_(plan.kv_blocks) {}

absl::StatusOr<std::unique_ptr<Decoder>> Decoder::Create(runtime::Device& device, const model::ModelConfig& config,
                                                         const memory::Plan& plan, memory::Arena& arena) {
  if (!plan.roles.llm) return absl::InvalidArgumentError("the plan of this device has no llm role");
  std::unique_ptr<Decoder> decoder(new Decoder(device, config, plan));
  HEADROOM_RETURN_IF_ERROR(decoder->TakeMemory(arena, plan));
  const memory::LlmStepLayout& step = plan.llm_step;
  for (const LinearSpec& product : LinearSpecs(config.llm, plan.compute, step.limits.tokens, step.limits.sequences)) {
    HEADROOM_ASSIGN_OR_RETURN(const int64_t scratch, runtime::PrepareLinear(device, product));
    if (scratch <= step.linear_scratch.bytes()) continue;
    return absl::InternalError(absl::StrCat("a matrix product needs ", scratch, " bytes of scratch, the plan has ",
                                            step.linear_scratch.bytes()));
  }
  return decoder;
}

absl::Status Decoder::TakeMemory(memory::Arena& arena, const memory::Plan& plan) {
  using memory::Component;
  HEADROOM_ASSIGN_OR_RETURN(llm_memory_, arena.Take(Component::kLlmWeights, weights_.Bytes(model::WeightPart::kLlm)));
  if (weights_.Bytes(model::WeightPart::kHead) > 0) {
    HEADROOM_ASSIGN_OR_RETURN(head_memory_,
                              arena.Take(Component::kHeadWeights, weights_.Bytes(model::WeightPart::kHead)));
  }
  HEADROOM_ASSIGN_OR_RETURN(kv_pool_, arena.Take(Component::kKvPool, plan.kv_blocks * plan.kv.BlockBytes()));
  HEADROOM_ASSIGN_OR_RETURN(workspace_, arena.Take(Component::kLlmWorkspace, layout_.buffers.bytes));
  NameWeights();
  return absl::OkStatus();
}

void Decoder::NameWeights() {
  const worker::WeightViews llm(weights_, llm_memory_);
  layers_.reserve(static_cast<size_t>(config_.layers));
  for (int64_t i = 0; i < config_.layers; ++i) {
    const std::string prefix = absl::StrCat("llm.layers.", i, ".");
    layers_.push_back({.input_norm = llm.Vector(prefix + "input_norm.weight"),
                       .qkv = llm[prefix + "qkv.weight"],
                       .qkv_bias = llm.OptionalVector(prefix + "qkv.bias"),
                       .o = llm[prefix + "o.weight"],
                       .o_bias = llm.OptionalVector(prefix + "o.bias"),
                       .post_norm = llm.Vector(prefix + "post_norm.weight"),
                       .gate_up = llm[prefix + "gate_up.weight"],
                       .down = llm[prefix + "down.weight"]});
  }
  embedding_ = llm["llm.embed_tokens.weight"];
  final_norm_ = llm.Vector("llm.norm.weight");
  inv_freq_ = {llm.Vector("llm.rope.inv_freq"), static_cast<size_t>(config_.head_dim / 2)};
  head_ = weights_.Has("llm.head.weight") ? worker::WeightViews(weights_, head_memory_)["llm.head.weight"] : embedding_;
}

absl::Status Decoder::Load(const model::Checkpoint& checkpoint, const memory::LoadProgress& progress) {
  HEADROOM_RETURN_IF_ERROR(weights_.Load(checkpoint, model::WeightPart::kLlm, llm_memory_, progress));
  if (head_memory_.empty()) return absl::OkStatus();
  return weights_.Load(checkpoint, model::WeightPart::kHead, head_memory_,
                       memory::After(static_cast<int64_t>(llm_memory_.size()), progress));
}

runtime::Matrix Decoder::View(const memory::StepBuffer& buffer, int64_t rows) const {
  return worker::ViewOf(workspace_, buffer, rows);
}

absl::Status Decoder::CheckBatch(const StepBatch& batch) const {
  const int64_t rows = static_cast<int64_t>(batch.token_ids.size());
  if (rows < 1 || rows > layout_.limits.tokens) {
    return absl::InvalidArgumentError(absl::StrCat("step of ", rows, " tokens, limit ", layout_.limits.tokens));
  }
  for (const int32_t id : batch.token_ids) {
    if (id < 0 || id >= config_.vocab_size) {
      return absl::InvalidArgumentError(absl::StrCat("token id ", id, " outside a vocabulary of ", config_.vocab_size));
    }
  }
  for (const EmbeddingRows& e : batch.embeddings) {
    if (e.first_row < 0 || e.rows.rows < 0 || e.first_row > rows - e.rows.rows || e.rows.cols != config_.hidden_size) {
      return absl::InvalidArgumentError(absl::StrCat("embeddings ", e.rows.rows, " × ", e.rows.cols, " at row ",
                                                     e.first_row, " in a step of ", rows, " × ", config_.hidden_size));
    }
  }
  HEADROOM_RETURN_IF_ERROR(CheckSequences(batch.sequences, rows));
  HEADROOM_RETURN_IF_ERROR(CheckCopies(batch.copies));
  return CheckLogitRows(batch.logit_rows, rows);
}

absl::Status Decoder::CheckSequences(std::span<const StepSequence> sequences, int64_t rows) const {
  if (static_cast<int64_t>(sequences.size()) > layout_.limits.sequences) {
    return absl::InvalidArgumentError(
        absl::StrCat("step of ", sequences.size(), " sequences, limit ", layout_.limits.sequences));
  }
  const int64_t tokens_max =
      std::min(config_.max_position_embeddings, layout_.limits.blocks_per_sequence * kv_.block_size());
  int64_t next_row = 0;
  for (const StepSequence& s : sequences) {
    if (s.first_row != next_row || s.rows < 1 || s.rows > rows - next_row) {
      return absl::InvalidArgumentError(
          absl::StrCat("sequence of rows ", s.first_row, " + ", s.rows, " in a step of ", rows));
    }
    next_row += s.rows;
    if (s.cached < 0 || s.cached > tokens_max - s.rows) {
      return absl::InvalidArgumentError(
          absl::StrCat("sequence of ", s.cached, " + ", s.rows, " tokens, limit ", tokens_max));
    }
    if (kv_.BlocksFor(s.cached + s.rows) > static_cast<int64_t>(s.blocks.size())) {
      return absl::InvalidArgumentError(
          absl::StrCat("sequence of ", s.cached + s.rows, " tokens has only ", s.blocks.size(), " KV blocks"));
    }
    for (const int32_t block : s.blocks) {
      if (block < 0 || block >= kv_blocks_) {
        return absl::InvalidArgumentError(absl::StrCat("KV block ", block, " of ", kv_blocks_));
      }
    }
  }
  if (next_row == rows) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("sequences cover ", next_row, " of ", rows, " rows"));
}

absl::Status Decoder::CheckCopies(std::span<const BlockCopy> copies) const {
  if (static_cast<int64_t>(copies.size()) > layout_.limits.sequences) {
    return absl::InvalidArgumentError(
        absl::StrCat("copies of ", copies.size(), " KV blocks, limit ", layout_.limits.sequences));
  }
  for (const BlockCopy& copy : copies) {
    for (const int32_t block : {copy.from, copy.to}) {
      if (block >= 0 && block < kv_blocks_) continue;
      return absl::InvalidArgumentError(absl::StrCat("copy of KV block ", block, " of ", kv_blocks_));
    }
  }
  return absl::OkStatus();
}

absl::Status Decoder::CheckLogitRows(std::span<const int32_t> logit_rows, int64_t rows) const {
  if (static_cast<int64_t>(logit_rows.size()) > max_logit_rows()) {
    return absl::InvalidArgumentError(absl::StrCat("logits of ", logit_rows.size(), " rows, limit ", max_logit_rows()));
  }
  for (const int32_t row : logit_rows) {
    if (row < 0 || row >= rows) {
      return absl::InvalidArgumentError(absl::StrCat("logits of row ", row, " in a step of ", rows));
    }
  }
  return absl::OkStatus();
}

Decoder::Step Decoder::PlaceStep(const StepBatch& batch) {
  Step step;
  step.rows = static_cast<int64_t>(batch.token_ids.size());
  step.positions = worker::SpanOf<int32_t>(workspace_, layout_.positions, step.rows);
  step.slots = worker::SpanOf<int64_t>(workspace_, layout_.slots, step.rows);
  step.x = View(layout_.x, step.rows);
  step.normed = View(layout_.normed, step.rows);
  step.sequences.reserve(batch.sequences.size());
  const int64_t table_size = layout_.limits.blocks_per_sequence;
  const std::span<int32_t> tables = worker::SpanOf<int32_t>(workspace_, layout_.block_tables,
                                                            static_cast<int64_t>(batch.sequences.size()) * table_size);
  for (size_t n = 0; n < batch.sequences.size(); ++n) {
    const StepSequence& s = batch.sequences[n];
    const int64_t context = s.cached + s.rows;
    const std::span<int32_t> table = tables.subspan(n * table_size, kv_.BlocksFor(context));
    std::copy_n(s.blocks.begin(), table.size(), table.begin());
    step.sequences.push_back({.q_begin = s.first_row, .q_count = s.rows, .context_len = context, .blocks = table});
    for (int64_t i = 0; i < s.rows; ++i) {
      const int64_t position = s.cached + i;
      step.positions[s.first_row + i] = static_cast<int32_t>(position);
      step.slots[s.first_row + i] =
          int64_t{table[position / kv_.block_size()]} * kv_.block_size() + position % kv_.block_size();
    }
  }
  return step;
}

absl::StatusOr<ConstMatrix> Decoder::Forward(const StepBatch& batch) {
  HEADROOM_RETURN_IF_ERROR(CheckBatch(batch));
  {
    const auto lane = device_.EnterLane();
    step_rows_ = 0;
    const Step step = PlaceStep(batch);
    HEADROOM_RETURN_IF_ERROR(runtime::CopyKvBlocks(
        device_,
        {.copies = batch.copies, .pool = kv_pool_.data(), .block_bytes = kv_.BlockBytes(), .blocks = kv_blocks_}));
    HEADROOM_RETURN_IF_ERROR(Embed(batch, step));
    for (int64_t i = 0; i < config_.layers; ++i) {
      HEADROOM_RETURN_IF_ERROR(Attend(layers_[i], i, step));
      HEADROOM_RETURN_IF_ERROR(FeedForward(layers_[i], step));
    }
    step_rows_ = step.rows;
  }
  return Logits(batch.logit_rows);
}

absl::Status Decoder::Embed(const StepBatch& batch, const Step& step) {
  HEADROOM_RETURN_IF_ERROR(
      runtime::EmbeddingGather(device_, {.ids = batch.token_ids, .table = embedding_, .y = step.x}));
  for (const EmbeddingRows& e : batch.embeddings) {
    HEADROOM_RETURN_IF_ERROR(runtime::Convert(device_, {.x = e.rows, .y = step.x.RowRange(e.first_row, e.rows.rows)}));
  }
  return absl::OkStatus();
}

// x += attention(RoPE(q), RoPE(k), v)·Woᵀ
absl::Status Decoder::Attend(const Layer& layer, int64_t index, const Step& step) {
  const float eps = static_cast<float>(config_.rms_norm_eps);
  const std::span<std::byte> linear_scratch = worker::BytesOf(workspace_, layout_.linear_scratch);
  const Matrix qkv = View(layout_.qkv, step.rows);
  const Matrix q = qkv.ColRange(0, QueryWidth(config_));
  const Matrix k = qkv.ColRange(QueryWidth(config_), KeyWidth(config_));
  const Matrix v = qkv.ColRange(QueryWidth(config_) + KeyWidth(config_), KeyWidth(config_));
  const Matrix attended = View(layout_.attention, step.rows);
  const runtime::KvView cache = {.base = kv_pool_.data(),
                                 .block_bytes = kv_.BlockBytes(),
                                 .k_offset = kv_.KOffset(index),
                                 .v_offset = kv_.VOffset(index),
                                 .dtype = kv_.dtype(),
                                 .blocks = kv_blocks_,
                                 .kv_heads = config_.kv_heads,
                                 .head_dim = config_.head_dim,
                                 .block_size = kv_.block_size()};

  HEADROOM_RETURN_IF_ERROR(
      runtime::RmsNorm(device_, {.x = step.x, .gain = layer.input_norm, .eps = eps, .y = step.normed}));
  HEADROOM_RETURN_IF_ERROR(runtime::Linear(
      device_, {.x = step.normed, .weight = layer.qkv, .bias = layer.qkv_bias, .y = qkv, .scratch = linear_scratch}));
  HEADROOM_RETURN_IF_ERROR(
      runtime::Rope(device_, {.x = q, .positions = step.positions, .inv_freq = inv_freq_, .heads = config_.heads}));
  HEADROOM_RETURN_IF_ERROR(
      runtime::Rope(device_, {.x = k, .positions = step.positions, .inv_freq = inv_freq_, .heads = config_.kv_heads}));
  HEADROOM_RETURN_IF_ERROR(runtime::PagedKvWrite(device_, {.k = k, .v = v, .slots = step.slots, .kv = cache}));
  HEADROOM_RETURN_IF_ERROR(
      runtime::PagedAttention(device_, {.q = q,
                                        .sequences = step.sequences,
                                        .heads = config_.heads,
                                        .kv = cache,
                                        .scale = 1.0f / std::sqrt(static_cast<float>(config_.head_dim)),
                                        .out = attended,
                                        .scratch = worker::BytesOf(workspace_, layout_.attention_scratch)}));
  return runtime::Linear(device_, {.x = attended,
                                   .weight = layer.o,
                                   .bias = layer.o_bias,
                                   .y = step.x,
                                   .accumulate = true,
                                   .scratch = linear_scratch});
}

// x += (silu(gate) · up)·Wdownᵀ
absl::Status Decoder::FeedForward(const Layer& layer, const Step& step) {
  const float eps = static_cast<float>(config_.rms_norm_eps);
  const std::span<std::byte> linear_scratch = worker::BytesOf(workspace_, layout_.linear_scratch);
  const Matrix gate_up = View(layout_.gate_up, step.rows);
  const Matrix activated = View(layout_.activated, step.rows);
  HEADROOM_RETURN_IF_ERROR(
      runtime::RmsNorm(device_, {.x = step.x, .gain = layer.post_norm, .eps = eps, .y = step.normed}));
  HEADROOM_RETURN_IF_ERROR(
      runtime::Linear(device_, {.x = step.normed, .weight = layer.gate_up, .y = gate_up, .scratch = linear_scratch}));
  HEADROOM_RETURN_IF_ERROR(runtime::SiluMul(device_, {.gate_up = gate_up, .y = activated}));
  return runtime::Linear(
      device_, {.x = activated, .weight = layer.down, .y = step.x, .accumulate = true, .scratch = linear_scratch});
}

absl::StatusOr<ConstMatrix> Decoder::Logits(std::span<const int32_t> rows) {
  HEADROOM_RETURN_IF_ERROR(CheckLogitRows(rows, step_rows_));
  const int64_t count = static_cast<int64_t>(rows.size());
  const auto lane = device_.EnterLane();
  const Matrix logits = View(layout_.logits, count);
  HEADROOM_RETURN_IF_ERROR(Head(rows, logits));
  return logits;
}

absl::Status Decoder::Head(std::span<const int32_t> rows, Matrix logits) {
  const float eps = static_cast<float>(config_.rms_norm_eps);
  const int64_t count = static_cast<int64_t>(rows.size());
  const Matrix x = View(layout_.x, step_rows_);
  const Matrix input = View(layout_.head_input, count);
  // Runs of rows that follow one another, as in a step where all sequences decode, are normalised in one call.
  for (int64_t begin = 0, end = 0; begin < count; begin = end) {
    for (end = begin + 1; end < count && rows[end] == rows[end - 1] + 1;) ++end;
    HEADROOM_RETURN_IF_ERROR(runtime::RmsNorm(device_, {.x = x.RowRange(rows[begin], end - begin),
                                                        .gain = final_norm_,
                                                        .eps = eps,
                                                        .y = input.RowRange(begin, end - begin)}));
  }
  return runtime::Linear(
      device_,
      {.x = input, .weight = head_, .y = logits, .scratch = worker::BytesOf(workspace_, layout_.linear_scratch)});
}

}  // namespace headroom::llm_worker
