#include "llm-worker/decoder.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <utility>

#include "common/check.h"
#include "worker/views.h"

namespace headroom::llm_worker {
namespace {

using runtime::LinearSpec;
using runtime::Matrix;

int64_t QueryWidth(const model::DecoderSpec& config) { return config.heads * config.head_dim; }
int64_t KeyWidth(const model::DecoderSpec& config) { return config.kv_heads * config.head_dim; }
int64_t QkvWidth(const model::DecoderSpec& config) { return QueryWidth(config) + 2 * KeyWidth(config); }

// What a device starts in a step that decodes, at most: an operation may be several kernels there.
int64_t DecodeLaunchesMax(const model::DecoderSpec& config) { return 16 * config.layers + 16; }

std::array<int32_t, runtime::kRopeAxesMax> SectionsOf(const model::Rope& rope) {
  std::array<int32_t, runtime::kRopeAxesMax> sections = {};
  HEADROOM_CHECK(rope.sections.size() <= sections.size()) << rope.sections.size() << " axes";  // served.cc refuses more
  std::ranges::transform(rope.sections, sections.begin(), [](int64_t pairs) { return static_cast<int32_t>(pairs); });
  return sections;
}

float ScoreScale(const model::DecoderSpec& config) {
  const auto turned = static_cast<float>(config.rope.scaling.attention_factor);
  return turned * turned / std::sqrt(static_cast<float>(config.head_dim));
}

// Every product of a step.
std::vector<LinearSpec> LinearSpecs(const model::DecoderSpec& c, DType compute, int64_t tokens, int64_t logit_rows) {
  LinearSpec qkv = {.n = QkvWidth(c), .k = c.hidden_size, .dtype = compute, .rows_max = tokens, .bias = c.qkv_bias};
  LinearSpec o = {.n = c.hidden_size,
                  .k = QueryWidth(c),
                  .dtype = compute,
                  .rows_max = tokens,
                  .bias = c.output_bias,
                  .accumulate = !c.sandwich_norms};
  LinearSpec gate_up = {.n = 2 * c.intermediate_size, .k = c.hidden_size, .dtype = compute, .rows_max = tokens};
  LinearSpec down = {.n = c.hidden_size,
                     .k = c.intermediate_size,
                     .dtype = compute,
                     .rows_max = tokens,
                     .accumulate = !c.sandwich_norms};
  LinearSpec head = {.n = c.vocab_size, .k = c.hidden_size, .dtype = compute, .rows_max = logit_rows};
  return {qkv, o, gate_up, down, head};
}

}  // namespace

absl::StatusOr<runtime::LinearNeeds> DecoderLinearNeeds(runtime::KernelSizes& sizes, const model::ModelSpec& config,
                                                        DType compute, int64_t tokens, int64_t logit_rows) {
  runtime::LinearNeeds needs;
  for (const LinearSpec& product : LinearSpecs(config.llm, compute, tokens, logit_rows)) {
    HEADROOM_ASSIGN_OR_RETURN(const runtime::LinearNeeds own, runtime::DescribeLinear(sizes, product));
    needs.scratch_bytes = std::max(needs.scratch_bytes, own.scratch_bytes);
    needs.library_bytes += own.library_bytes;
  }
  return needs;
}

void AddDecoderNeeds(runtime::KernelSizes& sizes, const model::ModelSpec& config, DType compute,
                     memory::KernelNeeds& needs) {
  needs.rows = [&sizes](int64_t rows) { return sizes.LinearRows(rows); };
  needs.llm_linear_scratch = [&sizes, config, compute](int64_t tokens, int64_t sequences) -> absl::StatusOr<int64_t> {
    HEADROOM_ASSIGN_OR_RETURN(const auto products, DecoderLinearNeeds(sizes, config, compute, tokens, sequences));
    return products.scratch_bytes;
  };
  needs.llm_library = [&sizes, config, compute](int64_t tokens, int64_t sequences) -> absl::StatusOr<int64_t> {
    HEADROOM_ASSIGN_OR_RETURN(const auto products, DecoderLinearNeeds(sizes, config, compute, tokens, sequences));
    return products.library_bytes;
  };
  needs.llm_graphs = [&sizes, launches = DecodeLaunchesMax(config.llm)](int64_t,
                                                                        int64_t sequences) -> absl::StatusOr<int64_t> {
    return static_cast<int64_t>(runtime::LinearBuckets(sizes, sequences).size()) * sizes.RecordingBytes(launches);
  };
  needs.llm_attention_scratch = [&sizes, head_dim = config.llm.head_dim](int64_t, int64_t) -> absl::StatusOr<int64_t> {
    return sizes.AttentionScratchBytes(head_dim);
  };
}

Decoder::Decoder(runtime::Device& device, const model::ModelSpec& config, const memory::Plan& plan)
    : device_(device),
      config_(config.llm),
      weights_(plan.weights),
      layout_(plan.llm_step),
      kv_(plan.kv),
      kv_blocks_(plan.kv_blocks),
      inputs_(config.llm, plan.llm_step, plan.kv, plan.kv_blocks),
      pads_(device.sizes().RecordingBytes(1) > 0),
      records_(pads_ && plan.Bytes(memory::Component::kGraphs) > 0),
      first_rows_(static_cast<size_t>(layout_.limits.sequences)) {
  std::iota(first_rows_.begin(), first_rows_.end(), 0);
  sample_rows_.reserve(static_cast<size_t>(layout_.limits.sequences + layout_.limits.tokens));
}

absl::StatusOr<std::unique_ptr<Decoder>> Decoder::Create(runtime::Device& device, const model::ModelSpec& config,
                                                         const memory::Plan& plan, memory::Arena& arena) {
  if (!plan.roles.llm) return absl::InvalidArgumentError("the plan of this device has no llm role");
  std::unique_ptr<Decoder> decoder(new Decoder(device, config, plan));
  HEADROOM_RETURN_IF_ERROR(decoder->TakeMemory(arena, plan));
  const std::vector<uint32_t> all(static_cast<size_t>(runtime::SeenWords(config.llm.vocab_size)), ~uint32_t{0});
  HEADROOM_RETURN_IF_ERROR(decoder->SetVocabulary(all));
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
  memory_ = &arena.memory();
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
                       .q_norm = llm.OptionalVector(prefix + "q_norm.weight"),
                       .k_norm = llm.OptionalVector(prefix + "k_norm.weight"),
                       .o = llm[prefix + "o.weight"],
                       .o_bias = llm.OptionalVector(prefix + "o.bias"),
                       .post_norm = llm.Vector(prefix + "post_norm.weight"),
                       .gate_up = llm[prefix + "gate_up.weight"],
                       .down = llm[prefix + "down.weight"],
                       .attention_out_norm = llm.OptionalVector(prefix + "attention_out_norm.weight"),
                       .mlp_out_norm = llm.OptionalVector(prefix + "mlp_out_norm.weight")});
  }
  embedding_ = llm["llm.embed_tokens.weight"];
  final_norm_ = llm.Vector("llm.norm.weight");
  inv_freq_ = llm.Vector("llm.rope.inv_freq");
  head_ = weights_.Has("llm.head.weight") ? worker::WeightViews(weights_, head_memory_)["llm.head.weight"] : embedding_;
}

absl::Status Decoder::Load(const model::Checkpoint& checkpoint, const memory::LoadProgress& progress) {
  HEADROOM_RETURN_IF_ERROR(weights_.Load(checkpoint, model::WeightPart::kLlm, *memory_, llm_memory_, progress));
  if (head_memory_.empty()) return absl::OkStatus();
  return weights_.Load(checkpoint, model::WeightPart::kHead, *memory_, head_memory_,
                       memory::After(llm_memory_.bytes, progress));
}

Matrix Decoder::View(const memory::StepBuffer& buffer, int64_t rows) const {
  return worker::ViewOf(workspace_, buffer, rows);
}

runtime::DeviceSpan Decoder::LinearScratch() const { return worker::BytesOf(workspace_, layout_.linear_scratch); }

runtime::KvView Decoder::Cache(int64_t layer) const {
  return {.base = kv_pool_.data,
          .block_bytes = kv_.BlockBytes(),
          .k_offset = kv_.KOffset(layer),
          .v_offset = kv_.VOffset(layer),
          .dtype = kv_.dtype(),
          .blocks = kv_blocks_,
          .kv_heads = config_.kv_heads,
          .head_dim = config_.head_dim,
          .block_size = kv_.block_size()};
}

// Rows that a step is computed with in which every sequence decodes one token; 0: another step, or it is not padded.
int64_t Decoder::DecodeRows(const StepBatch& batch) const {
  const size_t rows = batch.token_ids.size();
  if (!pads_ || rows != batch.sequences.size() || rows != batch.samples.size() || !batch.embeddings.empty()) return 0;
  for (size_t i = 0; i < rows; ++i) {
    if (batch.samples[i].row != static_cast<int32_t>(i)) return 0;
  }
  return std::min(runtime::LinearRows(device_, static_cast<int64_t>(rows)), layout_.limits.sequences);
}

absl::StatusOr<StepTokens> Decoder::Forward(const StepBatch& batch) {
  HEADROOM_RETURN_IF_ERROR(inputs_.Build(batch));
  const int64_t decode_rows = DecodeRows(batch);
  if (decode_rows > 0) inputs_.Pad(decode_rows);
  StepTokens sampled;
  step_rows_ = 0;
  runtime::Step step(device_);
  step.Upload(inputs_.bytes(), workspace_.data);
  step.CopyKvBlocks(
      {.copies = worker::ArrayOf<BlockCopy>(workspace_, layout_.copies, static_cast<int64_t>(batch.copies.size())),
       .pool = kv_pool_.data,
       .block_bytes = kv_.BlockBytes()});
  if (decode_rows == 0) {
    Compute(step, batch);
  } else if (const auto recorded = recordings_.find(decode_rows); recorded != recordings_.end()) {
    step.Launch(*recorded->second);
  } else {
    Decode(step, decode_rows);
  }
  UploadRules(step, batch.samples);
  Sample(step, batch, /*has_logits=*/decode_rows > 0, sampled);
  HEADROOM_RETURN_IF_ERROR(step.End());
  step_rows_ = static_cast<int64_t>(batch.token_ids.size());
  return sampled;
}

// Any step, up to its last layer.
void Decoder::Compute(runtime::Step& step, const StepBatch& batch) {
  const auto rows = static_cast<int64_t>(batch.token_ids.size());
  int64_t fewest = rows;
  for (const StepSequence& sequence : batch.sequences) fewest = std::min(fewest, sequence.rows);
  Gather(step, rows);
  Embed(step, batch);
  Layers(step, rows, static_cast<int64_t>(batch.sequences.size()), fewest);
}

// A step of one row a sequence, up to the logits of all of them. What it calls depends on `rows` alone.
void Decoder::Decode(runtime::Step& step, int64_t rows) {
  Gather(step, rows);
  Layers(step, rows, rows, 1);
  Head(step, std::span(first_rows_).first(static_cast<size_t>(rows)), rows);
}

void Decoder::Gather(runtime::Step& step, int64_t rows) {
  step.EmbeddingGather({.ids = worker::ArrayOf<int32_t>(workspace_, layout_.token_ids, rows),
                        .table = embedding_,
                        .y = View(layout_.x, rows)});
}

// `fewest`: rows of a sequence.
void Decoder::Layers(runtime::Step& step, int64_t rows, int64_t sequences, int64_t fewest) {
  for (int64_t i = 0; i < config_.layers; ++i) {
    Attend(step, layers_[static_cast<size_t>(i)], i, rows, sequences, fewest);
    FeedForward(step, layers_[static_cast<size_t>(i)], rows);
  }
}

void Decoder::Embed(runtime::Step& step, const StepBatch& batch) {
  const auto rows = static_cast<int64_t>(batch.token_ids.size());
  const Matrix x = View(layout_.x, rows), normed = View(layout_.normed, rows);
  for (const EmbeddingRows& e : batch.embeddings) {
    const Matrix place = x.RowRange(e.first_row, e.rows.rows);
    if (e.rows.dtype == DType::kF32) {
      step.Upload(e.rows.bytes(), place.data);
      continue;
    }
    // `normed` is free until the first norm, and has room for as many rows of either type.
    const Matrix arrived = {normed.RowRange(e.first_row, e.rows.rows).data, DType::kBF16, e.rows.rows, x.cols, x.cols};
    step.Upload(e.rows.bytes(), arrived.data);
    step.Convert({.x = arrived, .y = place});
  }
}

// x += attention(RoPE(q), RoPE(k), v)·Woᵀ; heads pass a norm before they turn (Qwen3), behind it (HunyuanOCR) or none
void Decoder::Attend(runtime::Step& step, const Layer& layer, int64_t index, int64_t rows, int64_t sequences,
                     int64_t fewest) {
  const float eps = static_cast<float>(config_.rms_norm_eps);
  const int64_t table_size = layout_.limits.blocks_per_sequence;
  const Matrix x = View(layout_.x, rows), normed = View(layout_.normed, rows);
  const Matrix qkv = View(layout_.qkv, rows), attended = View(layout_.attention, rows);
  const Matrix q = qkv.ColRange(0, QueryWidth(config_));
  const Matrix k = qkv.ColRange(QueryWidth(config_), KeyWidth(config_));
  const Matrix v = qkv.ColRange(QueryWidth(config_) + KeyWidth(config_), KeyWidth(config_));
  const auto positions = worker::ArrayOf<int32_t>(workspace_, layout_.positions, rows * config_.rope.axes());
  const runtime::KvView cache = Cache(index);

  step.RmsNorm({.x = x, .gain = layer.input_norm, .eps = eps, .y = normed});
  step.Linear({.x = normed, .weight = layer.qkv, .bias = layer.qkv_bias, .y = qkv, .scratch = LinearScratch()});
  if (config_.head_norm == model::HeadNorm::kBeforeRotation) NormalizeHeads(step, layer, q, k);
  runtime::RopeArgs rope{.q = q,
                         .heads = config_.heads,
                         .positions = positions,
                         .inv_freq = inv_freq_,
                         .sections = SectionsOf(config_.rope),
                         .neighbours = config_.rope.neighbours};
  runtime::PagedKvWriteArgs write{
      .k = k, .v = v, .slots = worker::ArrayOf<int64_t>(workspace_, layout_.slots, rows), .kv = cache};
  if (config_.head_norm == model::HeadNorm::kBehindRotation) {
    rope.q = qkv.ColRange(0, QueryWidth(config_) + KeyWidth(config_));  // keys as well: nothing turns on the way
    rope.heads += config_.kv_heads;
    step.Rope(rope);
    NormalizeHeads(step, layer, q, k);
  } else {
    write.rope = rope;
  }
  step.PagedKvWrite(write);
  step.PagedAttention(
      {.q = q,
       .sequences = worker::ArrayOf<runtime::PagedSequence>(workspace_, layout_.sequences, sequences),
       .block_tables = worker::ArrayOf<int32_t>(workspace_, layout_.block_tables, sequences * table_size),
       .table_size = table_size,
       .q_count_min = fewest,
       .heads = config_.heads,
       .kv = cache,
       .scale = ScoreScale(config_),
       .out = attended,
       .scratch = worker::BytesOf(workspace_, layout_.attention_scratch)});
  AddProduct(step, attended, layer.o, layer.o_bias, layer.attention_out_norm);
}

void Decoder::NormalizeHeads(runtime::Step& step, const Layer& layer, const Matrix& q, const Matrix& k) {
  const float eps = static_cast<float>(config_.rms_norm_eps);
  step.RmsNorm({.x = q, .gain = layer.q_norm, .eps = eps, .groups = config_.heads, .y = q});
  step.RmsNorm({.x = k, .gain = layer.k_norm, .eps = eps, .groups = config_.kv_heads, .y = k});
}

// x += in·Wᵀ + b, or the norm of that
void Decoder::AddProduct(runtime::Step& step, const Matrix& in, const runtime::ConstMatrix& weight,
                         const FloatArray& bias, const FloatArray& norm) {
  const Matrix x = View(layout_.x, in.rows);
  if (!norm) {
    step.Linear({.x = in, .weight = weight, .bias = bias, .y = x, .accumulate = true, .scratch = LinearScratch()});
    return;
  }
  const Matrix branch = View(layout_.branch, in.rows);
  step.Linear({.x = in, .weight = weight, .bias = bias, .y = branch, .scratch = LinearScratch()});
  step.RmsNorm(
      {.x = branch, .gain = norm, .eps = static_cast<float>(config_.rms_norm_eps), .accumulate = true, .y = x});
}

// x += (silu(gate) · up)·Wdownᵀ
void Decoder::FeedForward(runtime::Step& step, const Layer& layer, int64_t rows) {
  const float eps = static_cast<float>(config_.rms_norm_eps);
  const Matrix x = View(layout_.x, rows), normed = View(layout_.normed, rows);
  const Matrix gate_up = View(layout_.gate_up, rows), activated = View(layout_.activated, rows);
  step.RmsNorm({.x = x, .gain = layer.post_norm, .eps = eps, .y = normed});
  step.Linear({.x = normed, .weight = layer.gate_up, .y = gate_up, .scratch = LinearScratch()});
  step.SiluMul({.gate_up = gate_up, .y = activated});
  AddProduct(step, activated, layer.down, {}, layer.mlp_out_norm);
}

}  // namespace headroom::llm_worker
