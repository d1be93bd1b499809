#include "cli/plan/figure.h"

#include <algorithm>

#include "common/device_catalogue.h"
#include "common/status.h"
#include "common/units.h"

namespace headroom::cli {
namespace {

using memory::Component;

// From the bottom of the bar up: what is given, what a step needs, what is left for requests.
constexpr Component kOrder[] = {Component::kLlmWeights,       Component::kHeadWeights,     Component::kVisionWeights,
                                Component::kResamplerWeights, Component::kContextFloor,    Component::kOtherProcesses,
                                Component::kLibraries,        Component::kCommunication,   Component::kAlignment,
                                Component::kLlmWorkspace,     Component::kVisionWorkspace, Component::kEmbeddingStore,
                                Component::kKvPool,           Component::kHeadroom};
static_assert(std::size(kOrder) == memory::kComponents);

std::string SequencesText(int64_t sequences, int64_t length) {
  return GroupedDigits(sequences) + (sequences == 1 ? " sequence of " : " sequences of ") + GroupedDigits(length) +
         " tokens";
}

const char* KeyOf(VllmPart part) {
  switch (part) {
    case VllmPart::kVisionWeights:
      return "vision_weights";
    case VllmPart::kResamplerWeights:
      return "resampler_weights";
    case VllmPart::kLlmWeights:
      return "llm_weights";
    case VllmPart::kHeadWeights:
      return "head_weights";
    case VllmPart::kContext:
      return "context_floor";
    case VllmPart::kInputs:
      return "vision_inputs";
    case VllmPart::kTower:
      return "vision_activations";
    case VllmPart::kScores:
      return "scores";
    case VllmPart::kScaledScores:
      return "scores_scaled";
    case VllmPart::kScoresF32:
      return "scores_fp32";
    case VllmPart::kSoftmaxF32:
      return "softmax_fp32";
    case VllmPart::kResampler:
      return "resampler_activations";
    case VllmPart::kLlmStep:
      return "llm_activations";
    case VllmPart::kLogits:
      return "logits";
  }
  return "other";
}

std::string VllmNote(const VllmEstimate& estimate) {
  std::string note = "Estimate of the profile run at start: ";
  if (estimate.images > 0) {
    note += GroupedDigits(estimate.images) + " images of " + GroupedDigits(estimate.patches_per_image) +
            " patches in one call of the vision tower, then " + GroupedDigits(*estimate.knobs.max_num_batched_tokens) +
            " tokens through the decoder; the larger is shown.";
  } else {
    note += GroupedDigits(*estimate.knobs.max_num_batched_tokens) + " tokens through the decoder.";
  }
  for (const std::string& line : estimate.notes) note += " Note: " + line + ".";
  return note;
}

}  // namespace

PageColumn PlanColumn(const memory::Plan& plan, const std::string& group) {
  PageColumn column{.group = group, .title = "Headroom", .headline = "plan", .device_bytes = plan.device_bytes};
  if (plan.tensor_parallel_size > 1) column.title += ", rank " + std::to_string(plan.rank);
  for (const Component component : kOrder) {
    const memory::PlanLine& line = plan.lines[static_cast<size_t>(component)];
    if (line.bytes < 1) continue;
    column.parts.push_back(
        {memory::ComponentTitle(component), memory::ComponentLabel(component), line.bytes, line.detail});
  }
  if (plan.roles.llm) {
    const bool all = plan.full_length_seqs >= plan.knobs.max_num_seqs;
    column.headline = (all ? "all " : "") +
                      SequencesText(all ? plan.knobs.max_num_seqs : plan.full_length_seqs, plan.knobs.max_model_len);
  }
  const auto say = [&](const char* what, const std::vector<std::string>& lines) {
    for (const std::string& line : lines)
      column.note += std::string(column.note.empty() ? "" : " ") + what + line + ".";
  };
  say("Plan only: ", plan.plan_only);
  say("Assumed: ", plan.assumed);
  say("Note: ", plan.notes);
  return column;
}

PageColumn VllmColumn(const VllmEstimate& estimate, const std::string& group) {
  PageColumn column{.group = group, .title = VllmEraName(estimate.era), .device_bytes = estimate.device_bytes};
  for (const VllmLine& line : estimate.lines) {
    if (estimate.Peaks(line))
      column.parts.push_back({VllmPartTitle(line.part), KeyOf(line.part), line.bytes, line.formula});
  }
  switch (estimate.outcome) {
    case VllmOutcome::kStarts: {
      column.headline = SequencesText(estimate.full_length_seqs, *estimate.knobs.max_model_len);
      column.verdict = PageVerdict::kPoor;
      break;
    }
    case VllmOutcome::kOutOfMemory:
      column.headline = "out of memory at start";
      column.verdict = PageVerdict::kBad;
      break;
    case VllmOutcome::kNoKvCache:
      column.headline = "no room for one sequence of " + GroupedDigits(*estimate.knobs.max_model_len) + " tokens";
      column.verdict = PageVerdict::kBad;
      break;
  }
  if (estimate.over_bytes == 0) {
    if (estimate.kv_bytes > 0) {
      column.parts.push_back({"KV cache", "kv_pool", estimate.kv_bytes, "what the profile run left"});
    }
    column.parts.push_back({"not used", "unused", estimate.device_bytes - estimate.total_bytes - estimate.kv_bytes,
                            "beyond gpu_memory_utilization, or less than a block"});
  }
  column.note = VllmNote(estimate);
  return column;
}

std::vector<PageColumn> ComparedColumns(std::span<const ComparedPlan> cases) {
  std::vector<PageColumn> columns;
  for (const ComparedPlan& compared : cases) {
    columns.push_back(PlanColumn(compared.plan, compared.group));
    columns.push_back(VllmColumn(compared.vllm, compared.group));
    PageColumn& vllm = columns.back();
    const bool fewer = compared.vllm.full_length_seqs < compared.plan.full_length_seqs;
    if (vllm.verdict == PageVerdict::kPoor && !fewer) vllm.verdict = PageVerdict::kGood;
  }
  return columns;
}

PageText ComparedText(const std::string& model) {
  return {.title = model + ": every byte of the device, planned",
          .subtitle =
              "Every device is drawn to the same height; the solid line is the end of its memory. Numbers are "
              "GiB. Green is what is left for requests.",
          .footnotes = {
              "Headroom: the plan, computed from the config before a weight is read; the worker lays its buffers out "
              "with the same functions, so it allocates these bytes and no others.",
              "vLLM: our estimate of what its profile run at start took, from its code as published in 2024. That run "
              "put as many dummy images through the vision tower at once as their few tokens fitted the token budget, "
              "and wrote out all attention scores."}};
}

absl::StatusOr<std::vector<ComparedPlan>> ReferenceCases(const model::ModelConfig& config) {
  struct Case {
    const char* device;
    const char* group;
    memory::Knobs knobs;
    VllmKnobs vllm;
  };
  memory::Knobs advised;
  advised.max_num_seqs = advised.min_full_length_seqs = 32;
  advised.max_model_len = 4096;
  const Case cases[] = {{"rtx3090",
                         "24 GB, 32 sequences of 4,096 tokens",
                         advised,
                         // What users were told to set on such a card.
                         {.max_num_seqs = 32, .max_model_len = 4096, .gpu_memory_utilization = 1.0}},
                        {"l40s", "48 GB, default settings", {}, {}},
                        {"a100-80", "80 GB, default settings", {}, {}}};
  const DeviceCatalogue catalogue;
  std::vector<ComparedPlan> compared;
  for (const Case& wanted : cases) {
    HEADROOM_ASSIGN_OR_RETURN(const CatalogueDevice device, catalogue.Find(wanted.device));
    memory::PlanRequest request;
    request.device.name = device.name;
    request.device.memory_bytes = device.memory;
    request.device.context_floor_bytes = device.context_floor;
    request.device.library_bytes = device.libraries;
    request.knobs = wanted.knobs;
    HEADROOM_ASSIGN_OR_RETURN(memory::Plan plan, memory::MakePlan(config, request));
    HEADROOM_ASSIGN_OR_RETURN(
        VllmEstimate vllm,
        Vllm2024(config, {.knobs = wanted.vllm, .device = device.name, .device_bytes = device.memory}));
    compared.push_back({wanted.group, std::move(plan), std::move(vllm)});
  }
  return compared;
}

std::string ReferenceFigure(std::span<const ComparedPlan> cases) {
  PageText text = ComparedText("MiniCPM-V 2.6 in bf16");
  text.title = "MiniCPM-V 2.6 in bf16: what Headroom plans, and what vLLM would have asked for";
  text.footnotes = {
      text.footnotes[0] + " The backend for GPUs is not built yet: their bytes are a plan, with assumed floors.",
      text.footnotes[1] +
          " Reported then: around 70 GB with default settings on an 80 GB card; out of memory on 48 GB.",
      "Cards: RTX 3090, L40S, A100, with the memory that their drivers report (on an L40S, error correction takes "
      "a part of the 48 GB)."};
  return PlanSvg(ComparedColumns(cases), text);
}

}  // namespace headroom::cli
