#include "memory/plan.h"

#include <algorithm>
#include <limits>
#include <set>
#include <utility>

#include "absl/strings/str_join.h"
#include "common/embedding_pages.h"
#include "common/status.h"
#include "memory/alignment.h"
#include "memory/plan_sizing.h"
#include "memory/rank_share.h"

namespace headroom::memory {
namespace {

constexpr int64_t kSequencesDefaultMax = 256;
constexpr int64_t kStepTokensDefault = 2048;
constexpr int64_t kStepTokensDefaultMin = 256;
// A chosen max_num_seqs is at most what the pool feeds when each holds this many tokens (or max_model_len, if that is
// less).
constexpr int64_t kFedTokens = 1024;
// A max_model_len of our choice does not go below this; the fewest tokens that are of any use.
constexpr int64_t kModelLenChosenMin = 256;
// Sequences that a plan with a reduced max_model_len is laid out for.
constexpr int64_t kSequencesWhenTight = 8;
constexpr int64_t kImagesInStore = 8;
constexpr int64_t kPiecesDefault = 4;

// Patches that let so many pieces through in one step. Where nothing cuts a picture into pieces, a step must hold the
// largest one, until memory gets tight.
int64_t PatchesFor(const model::EncoderShape& encoder, int64_t pieces) {
  if (encoder.merge == 0) return pieces * encoder.largest_patches;
  const int64_t usual = pieces * encoder.usual_patches;
  return pieces >= kPiecesDefault ? std::max(usual, encoder.largest_patches) : usual;
}

// Room for some pictures of the usual size with every piece that they may have, and for the largest one at least.
int64_t StorePagesFor(const model::EncoderShape& encoder) {
  return std::max(kImagesInStore * encoder.pieces_max * EmbeddingPages(encoder.usual_rows),
                  encoder.pieces_max * EmbeddingPages(encoder.largest_rows));
}

// So many pieces fill any step. A slice never has fewer than about 0.6 of the usual patches.
int64_t PiecesFor(const model::EncoderShape& encoder, int64_t patches) {
  const int64_t smallest = encoder.smallest_patches > 0 ? encoder.smallest_patches : encoder.usual_patches / 2;
  return std::max<int64_t>(1, patches / std::max<int64_t>(1, smallest));
}

// Largest value in [low, high] for which `holds`, or low - 1. `holds` must be true up to some point and false after it.
template <typename Predicate>
absl::StatusOr<int64_t> Largest(int64_t low, int64_t high, Predicate holds) {
  int64_t good = low - 1;
  while (good < high) {
    const int64_t middle = good + (high - good + 1) / 2;
    HEADROOM_ASSIGN_OR_RETURN(const bool held, holds(middle));
    if (held) {
      good = middle;
    } else {
      high = middle - 1;
    }
  }
  return good;
}

class Solver {
 public:
  explicit Solver(const PlanBasis& basis) : basis_(basis), spec_(basis.spec), asked_(basis.request.knobs) {}

  // A sizing that fits, or FAILED_PRECONDITION.
  absl::StatusOr<Sizing> Solve() {
    for (const ResolvedKnobs& start : Starts()) {
      HEADROOM_ASSIGN_OR_RETURN(const Sizing sizing, WithMostSequences(start));
      if (sizing.fits) return Noted(sizing);
    }
    HEADROOM_ASSIGN_OR_RETURN(const Sizing sizing, WithShorterSequences(Starts().back()));
    if (sizing.fits) return Noted(sizing);
    return Refusal(sizing);
  }

  std::vector<std::string> TakeNotes() { return std::move(notes_); }

 private:
  // From generous to tight; what was asked for is in all of them.
  std::vector<ResolvedKnobs> Starts() const {
    ResolvedKnobs knobs;
    knobs.gpu_memory_utilization = asked_.gpu_memory_utilization.value_or(1);
    knobs.block_size = basis_.kv.block_size();
    knobs.kv_cache_dtype = basis_.kv.dtype();
    knobs.max_model_len = asked_.max_model_len.value_or(spec_.llm.max_position_embeddings);
    knobs.max_num_seqs = asked_.max_num_seqs.value_or(1);
    if (spec_.encoder) {
      knobs.embedding_store_pages = asked_.embedding_store_pages.value_or(StorePagesFor(*spec_.encoder));
    }
    std::vector<ResolvedKnobs> starts;
    const auto add = [&](int64_t pieces, int64_t tokens) {
      if (spec_.encoder) {
        knobs.max_patches_per_step = asked_.max_patches_per_step.value_or(PatchesFor(*spec_.encoder, pieces));
        knobs.max_pieces_per_step = PiecesFor(*spec_.encoder, knobs.max_patches_per_step);
      }
      knobs.max_num_batched_tokens = asked_.max_num_batched_tokens.value_or(std::max(tokens, knobs.max_num_seqs));
      starts.push_back(knobs);
    };
    add(kPiecesDefault, kStepTokensDefault);
    // Two pieces' worth also lets a single piece of an aspect ratio of 4000 to 1 pass.
    for (int64_t tokens = kStepTokensDefault; tokens >= kStepTokensDefaultMin; tokens /= 2) add(2, tokens);
    return starts;
  }

  absl::StatusOr<Sizing> WithMostSequences(ResolvedKnobs knobs) const {
    if (asked_.max_num_seqs || !basis_.reads) return Size(basis_, knobs);
    const int64_t fed_blocks = basis_.kv.BlocksFor(std::min(knobs.max_model_len, kFedTokens));
    const int64_t most = std::min(kSequencesDefaultMax, knobs.max_num_batched_tokens);
    HEADROOM_ASSIGN_OR_RETURN(const int64_t sequences, Largest(1, most, [&](int64_t count) -> absl::StatusOr<bool> {
                                knobs.max_num_seqs = count;
                                HEADROOM_ASSIGN_OR_RETURN(const Sizing sizing, Size(basis_, knobs));
                                return sizing.fits && sizing.kv_blocks >= count * fed_blocks;
                              }));
    knobs.max_num_seqs = std::max<int64_t>(1, sequences);
    return Size(basis_, knobs);
  }

  absl::StatusOr<Sizing> WithShorterSequences(ResolvedKnobs knobs) const {
    if (asked_.max_model_len || !basis_.reads) return Size(basis_, knobs);
    const int64_t longest = spec_.llm.max_position_embeddings;
    const int64_t shortest = std::min(kModelLenChosenMin, longest);
    for (int64_t sequences = kSequencesWhenTight; sequences >= 1; sequences /= 2) {
      knobs.max_num_seqs = asked_.max_num_seqs.value_or(std::min(sequences, knobs.max_num_batched_tokens));
      HEADROOM_ASSIGN_OR_RETURN(int64_t length, LongestThatFits(knobs, shortest, longest));
      if (length < shortest) continue;
      knobs.max_model_len = std::max(shortest, length / basis_.kv.block_size() * basis_.kv.block_size());
      return Size(basis_, knobs);
    }
    knobs.max_model_len = shortest;
    return Size(basis_, knobs);
  }

  absl::StatusOr<int64_t> LongestThatFits(ResolvedKnobs knobs, int64_t shortest, int64_t longest) const {
    return Largest(shortest, longest, [&](int64_t length) -> absl::StatusOr<bool> {
      knobs.max_model_len = length;
      HEADROOM_ASSIGN_OR_RETURN(const Sizing sizing, Size(basis_, knobs));
      return sizing.fits;
    });
  }

  Sizing Noted(const Sizing& sizing) {
    const int64_t own_length = spec_.llm.max_position_embeddings;
    if (basis_.reads && !asked_.max_model_len && sizing.knobs.max_model_len < own_length) {
      notes_.push_back(absl::StrCat("max_model_len reduced from the model's ", own_length, " to ",
                                    sizing.knobs.max_model_len, ", so that ", asked_.min_full_length_seqs,
                                    " sequence(s) of that length fit"));
    }
    if (basis_.reads && !asked_.max_num_batched_tokens && sizing.knobs.max_num_batched_tokens < kStepTokensDefault) {
      notes_.push_back(absl::StrCat("max_num_batched_tokens reduced from ", kStepTokensDefault, " to ",
                                    sizing.knobs.max_num_batched_tokens, " to make room"));
    }
    const int64_t patches = basis_.sees ? PatchesFor(*spec_.encoder, kPiecesDefault) : 0;
    if (basis_.sees && !asked_.max_patches_per_step && sizing.knobs.max_patches_per_step < patches) {
      notes_.push_back(absl::StrCat("max_patches_per_step reduced from ", patches, " to ",
                                    sizing.knobs.max_patches_per_step, " to make room"));
    }
    return sizing;
  }

  // Which line does not fit any more when they are laid down one after the other, the hardest to give up first.
  absl::Status Refusal(const Sizing& sizing) const {
    constexpr Component kOrder[] = {
        Component::kContextFloor,  Component::kOtherProcesses, Component::kLibraries,      Component::kGraphs,
        Component::kLlmWeights,    Component::kHeadWeights,    Component::kVisionWeights,  Component::kResamplerWeights,
        Component::kCommunication, Component::kAlignment,      Component::kEmbeddingStore, Component::kVisionWorkspace,
        Component::kLlmWorkspace};
    int64_t left = basis_.usable_bytes - (kPageBytes - 1);
    for (const Component component : kOrder) {
      const int64_t bytes = sizing.bytes[static_cast<int>(component)];
      if (bytes > left) return RefusalOf(sizing, ComponentTitle(component), bytes, left);
      left -= bytes;
    }
    const std::string line = absl::StrCat("KV pool for ", asked_.min_full_length_seqs, " sequence(s) of ",
                                          sizing.knobs.max_model_len, " tokens");
    return RefusalOf(sizing, line, sizing.kv_bytes_min, left);
  }

  absl::Status RefusalOf(const Sizing& sizing, const std::string& line, int64_t needed, int64_t available) const {
    std::string message =
        absl::StrCat("plan: does not fit on ", basis_.request.device.name, ": ", line, " needs ", needed, " bytes, ",
                     std::max<int64_t>(0, available), " of ", basis_.usable_bytes, " are left");
    std::string would_fit;
    for (const std::string& choice : Choices(sizing.knobs))
      absl::StrAppend(&would_fit, would_fit.empty() ? "" : ", or ", choice);
    int64_t total = 0;
    if (!__builtin_add_overflow(sizing.fixed_bytes, sizing.kv_bytes_min, &total)) {
      const double device = static_cast<double>(total) / sizing.knobs.gpu_memory_utilization;
      absl::StrAppend(&would_fit, would_fit.empty() ? "" : ", or ", "a device of ", static_cast<int64_t>(device) + 1,
                      " bytes");
      const int64_t less = total + 1 - basis_.usable_bytes;
      if (less <= basis_.request.device.other_processes_bytes) {
        absl::StrAppend(&would_fit, ", or ", less, " bytes less of other processes");
      }
    }
    return absl::FailedPreconditionError(absl::StrCat(message, "; would fit: ", would_fit));
  }

  // For each knob that was asked for: the largest value with which everything would fit, if there is one.
  std::vector<std::string> Choices(const ResolvedKnobs& knobs) const {
    struct Choice {
      const char* name;
      bool asked;
      int64_t ResolvedKnobs::*field;
    };
    const Choice choices[] = {
        {"max_model_len", asked_.max_model_len.has_value(), &ResolvedKnobs::max_model_len},
        {"max_num_seqs", asked_.max_num_seqs.has_value(), &ResolvedKnobs::max_num_seqs},
        {"max_num_batched_tokens", asked_.max_num_batched_tokens.has_value(), &ResolvedKnobs::max_num_batched_tokens},
        {"max_patches_per_step", asked_.max_patches_per_step.has_value(), &ResolvedKnobs::max_patches_per_step},
        {"embedding_store_pages", asked_.embedding_store_pages.has_value(), &ResolvedKnobs::embedding_store_pages}};
    std::vector<std::string> fitting;
    for (const Choice& choice : choices) {
      if (!choice.asked) continue;
      const int64_t lowest = choice.field == &ResolvedKnobs::max_num_batched_tokens ? knobs.max_num_seqs : 1;
      const auto largest = Largest(lowest, knobs.*choice.field - 1, [&](int64_t value) -> absl::StatusOr<bool> {
        ResolvedKnobs changed = knobs;
        changed.*choice.field = value;
        if (spec_.encoder) changed.max_pieces_per_step = PiecesFor(*spec_.encoder, changed.max_patches_per_step);
        HEADROOM_ASSIGN_OR_RETURN(const Sizing sizing, Size(basis_, changed));
        return sizing.fits;
      });
      if (largest.ok() && *largest >= lowest) fitting.push_back(absl::StrCat(choice.name, " ", *largest));
    }
    return fitting;
  }

  const PlanBasis& basis_;
  const model::ModelSpec& spec_;
  const Knobs& asked_;
  std::vector<std::string> notes_;
};

std::string WeightDetail(const PlanBasis& basis, model::WeightPart part) {
  std::set<std::string> formats;
  for (const model::TensorSpec& tensor : basis.spec.tensors) {
    if (tensor.part != part || tensor.format.kind == model::WeightFormat::Kind::kF32) continue;
    const model::WeightFormat format = PlannedFormat(tensor, basis.request.knobs.quantization);
    formats.insert(WeightFormatName(format, basis.request.compute));
  }
  return absl::StrCat(model::ParameterCount(basis.spec.tensors, part), " parameters in ",
                      absl::StrJoin(formats, " and "),
                      basis.ranks > 1 && (part == model::WeightPart::kLlm || part == model::WeightPart::kHead)
                          ? absl::StrCat(", this rank's part of ", basis.ranks)
                          : "");
}

// Why no worker of today can run it: `reasons` of the model, and those of the plan.
std::vector<std::string> PlanOnly(const PlanBasis& basis, std::vector<std::string> reasons) {
  if (basis.ranks > 1) reasons.push_back(absl::StrCat("tensor_parallel_size ", basis.ranks, " (the engine runs 1)"));
  if (basis.request.knobs.quantization) {
    reasons.push_back(WeightFormatName(*basis.request.knobs.quantization, basis.request.compute) +
                      " weights (the engine runs bf16 and fp32)");
  }
  if (basis.kv.dtype() == DType::kF8) reasons.push_back("kv_cache_dtype fp8 (the engine runs bf16 and fp32)");
  return reasons;
}

void Describe(const PlanBasis& basis, Plan& plan) {
  const auto detail = [&](Component component, std::string text) {
    PlanLine& line = plan.lines[static_cast<int>(component)];
    if (line.bytes > 0) line.detail = std::move(text);
  };
  const ResolvedKnobs& knobs = plan.knobs;
  for (int i = 0; i < model::kWeightParts; ++i) {
    const auto part = static_cast<model::WeightPart>(i);
    detail(WeightComponent(part), WeightDetail(basis, part));
  }
  detail(Component::kKvPool, absl::StrCat(plan.kv_blocks, " blocks of ", plan.kv.block_size(), " tokens in ",
                                          DTypeName(plan.kv.dtype()), ", ", plan.kv.BlockBytes(), " bytes each"));
  detail(Component::kLlmWorkspace, absl::StrCat("a step of ", knobs.max_num_batched_tokens, " tokens, logits of ",
                                                knobs.max_num_seqs, " sequences"));
  detail(Component::kVisionWorkspace, absl::StrCat("a step of ", knobs.max_patches_per_step, " patches in at most ",
                                                   knobs.max_pieces_per_step, " pieces"));
  detail(Component::kGraphs, absl::StrCat("decode steps of up to ", knobs.max_num_seqs, " sequences"));
  detail(Component::kEmbeddingStore, absl::StrCat(basis.stores * knobs.embedding_store_pages, " pages of ",
                                                  kEmbeddingPageRows, " rows, ", plan.page_bytes, " bytes each"));
}

absl::StatusOr<Plan> Assemble(const PlanBasis& basis, const Sizing& sizing) {
  const PlanRequest& request = basis.request;
  Plan plan;
  plan.device = request.device.name;
  plan.device_bytes = request.device.memory_bytes;
  plan.roles = request.roles;
  plan.compute = request.compute;
  plan.knobs = sizing.knobs;
  plan.assumed = basis.spec.assumed;
  plan.plan_only = PlanOnly(basis, WhyNotServed(basis.spec));
  plan.tensor_parallel_size = basis.ranks;
  plan.rank = request.rank;
  plan.vision_step = sizing.vision_step;
  plan.llm_step = sizing.llm_step;
  plan.kv = basis.kv;
  plan.kv_blocks = sizing.kv_blocks;
  plan.full_length_seqs = sizing.kv_blocks / plan.kv.BlocksFor(std::max<int64_t>(1, sizing.knobs.max_model_len));
  plan.page_bytes = basis.page_bytes;

  int64_t total = 0;
  for (const Component component : AllComponents()) {
    PlanLine& line = plan.lines[static_cast<int>(component)];
    line.component = component;
    line.bytes = sizing.bytes[static_cast<int>(component)];
    if (component == Component::kKvPool) line.bytes = plan.kv_blocks * plan.kv.BlockBytes();
    total += line.bytes;
    if (InArena(component)) plan.arena_bytes += line.bytes;
  }
  const int64_t padding = (kPageBytes - plan.arena_bytes % kPageBytes) % kPageBytes;
  plan.lines[static_cast<int>(Component::kAlignment)].bytes += padding;
  plan.arena_bytes += padding;
  plan.lines[static_cast<int>(Component::kHeadroom)].bytes = plan.device_bytes - total - padding;
  if (PlanOnly(basis, WhyNotServed(basis.spec)).empty()) {
    HEADROOM_ASSIGN_OR_RETURN(plan.weights, WeightLayout::Make(basis.spec, request.compute, plan.knobs.max_model_len));
  }
  Describe(basis, plan);
  return plan;
}

}  // namespace

absl::StatusOr<Plan> MakePlan(const model::ModelSpec& spec, const PlanRequest& request) {
  HEADROOM_ASSIGN_OR_RETURN(const PlanBasis basis, MakeBasis(spec, request));
  Solver solver(basis);
  HEADROOM_ASSIGN_OR_RETURN(const Sizing sizing, solver.Solve());
  HEADROOM_ASSIGN_OR_RETURN(Plan plan, Assemble(basis, sizing));
  plan.notes = solver.TakeNotes();
  return plan;
}

void Plan::Register(Ledger& ledger) const {
  for (const PlanLine& line : lines) ledger.SetPlanned(line.component, line.bytes);
}

}  // namespace headroom::memory
