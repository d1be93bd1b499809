#include "cli/plan/figure.h"

#include <algorithm>
#include <limits>

#include "common/status.h"
#include "common/units.h"

namespace headroom::cli {
namespace {

using memory::Component;

// From the beginning of the bar to its end: what is given, what a step needs, what is left for requests.
constexpr Component kOrder[] = {Component::kLlmWeights,       Component::kHeadWeights,  Component::kVisionWeights,
                                Component::kResamplerWeights, Component::kContextFloor, Component::kOtherProcesses,
                                Component::kLibraries,        Component::kGraphs,       Component::kCommunication,
                                Component::kAlignment,        Component::kLlmWorkspace, Component::kVisionWorkspace,
                                Component::kEmbeddingStore,   Component::kKvPool,       Component::kHeadroom};
static_assert(std::size(kOrder) == memory::kComponents);

std::string SequencesText(int64_t sequences, int64_t length) {
  return GroupedDigits(sequences) + (sequences == 1 ? " sequence of " : " sequences of ") + GroupedDigits(length) +
         " tokens";
}

std::string VllmNote(const VllmEstimate& estimate) {
  const std::string tokens = GroupedDigits(*estimate.knobs.max_num_batched_tokens) + " tokens through the decoder";
  std::string note = "Estimate of the profile run at start: ";
  if (estimate.images > 0) {
    note += GroupedDigits(estimate.images) + " images of " + GroupedDigits(estimate.patches_per_image) +
            " patches in one call of the vision tower, then " + tokens + "; the larger is shown.";
  } else {
    note += tokens + ".";
  }
  for (const std::string& line : estimate.notes) note += " Note: " + line + ".";
  return note;
}

bool EqualRanks(const memory::Plan& a, const memory::Plan& b) {
  return std::equal(a.lines.begin(), a.lines.end(), b.lines.begin(), [](const auto& left, const auto& right) {
    return left.bytes == right.bytes && left.detail == right.detail;
  });
}

std::string GroupOf(const CatalogueDevice& device) {
  const bool known_card = device.memory > 0 && device.kind == "cuda" && device.name.rfind("cuda", 0) != 0;
  return known_card ? device.title : device.name;
}

void AddRanks(const std::vector<memory::Plan>& ranks, std::vector<Bar>& bars) {
  for (size_t first = 0; first < ranks.size();) {
    size_t end = first + 1;
    while (end < ranks.size() && EqualRanks(ranks[first], ranks[end])) ++end;
    bars.push_back(PlanBar(ranks[first]));
    if (end - first > 1) bars.back().title = absl::StrCat("Headroom, ranks ", first, " to ", end - 1);
    first = end;
  }
}

// Its bf16 on one card is what we can compare with.
bool Comparable(const Plans& plans, const DevicePlans& device) {
  const memory::Knobs& knobs = device.request.knobs;
  return plans.served && plans.roles.llm && plans.compute == DType::kBF16 && device.device.kind == "cuda" &&
         !knobs.quantization && knobs.kv_cache_dtype.value_or(DType::kBF16) == DType::kBF16 &&
         knobs.tensor_parallel_size.value_or(1) == 1 && plans.roles.vision == plans.spec.encoder.has_value();
}

std::vector<Bar> BarsOf(const Plans& plans, const DevicePlans& device) {
  std::vector<Bar> bars;
  AddRanks(device.ranks, bars);
  if (!device.fits()) {
    bars.push_back({.title = "Headroom",
                    .headline = "does not fit: refused before start",
                    .tone = Tone::kBad,
                    .device_bytes = device.device.memory,
                    .note = std::string(device.refusal.message())});
  }
  if (Comparable(plans, device)) {
    if (const auto estimate = EstimateVllm(plans, device); estimate.ok()) {
      bars.push_back(VllmBar(*estimate));
      const int64_t ours = device.fits() ? device.ranks.front().full_length_seqs : 0;
      const bool fewer = estimate->full_length_seqs < ours;
      if (estimate->outcome == VllmOutcome::kStarts) bars.back().tone = fewer ? Tone::kPoor : Tone::kGood;
    }
  }
  for (Bar& bar : bars) bar.group = GroupOf(device.device);
  return bars;
}

std::string Title(const Plans& plans) {
  // Other families may come quantized; their tables say how.
  const bool plain = plans.served && !plans.devices.empty() && !plans.devices.front().request.knobs.quantization;
  return plans.spec.family + (plain ? std::string(" in ") + DTypeName(plans.compute) : "") +
         ": every byte of the device, planned";
}

std::vector<std::string> Footnotes(const Plans& plans, bool compared) {
  std::vector<std::string> notes = {
      "Headroom: the plan, computed from the config before a weight is read; the worker lays its buffers out with the "
      "same functions, so it allocates these bytes and no others."};
  if (compared) {
    notes.push_back(
        "vLLM: our estimate of what its profile run at start took, from its code as published in 2024. That run put as "
        "many dummy images through the vision tower at once as their few tokens fitted the token budget, and wrote out "
        "all attention scores.");
  }
  const auto add = [&notes](const std::string& note) {
    if (std::find(notes.begin(), notes.end(), note) == notes.end()) notes.push_back(note);
  };
  for (const DevicePlans& device : plans.devices) {
    for (const memory::Plan& plan : device.ranks) {
      for (const std::string& reason : plan.plan_only) add("Plan only: " + reason + ".");
    }
    if (device.device.kind == "cuda") {
      add("Assumed of GPUs: what context and libraries take beside the arena. No card has run Headroom yet.");
    }
  }
  return notes;
}

}  // namespace

int64_t Bar::Bytes(bool with_unused) const {
  int64_t sum = 0;
  for (const Segment& segment : segments) {
    if (segment.bytes < 1 || (!with_unused && segment.unused())) continue;
    if (__builtin_add_overflow(sum, segment.bytes, &sum)) return std::numeric_limits<int64_t>::max();
  }
  return sum;
}

int64_t Bar::BytesBeyond(bool with_unused) const {
  return std::max<int64_t>(0, Bytes(with_unused) - std::max<int64_t>(0, device_bytes));
}

Bar PlanBar(const memory::Plan& plan) {
  Bar bar{.title = "Headroom", .headline = "plan", .device_bytes = plan.device_bytes};
  if (plan.tensor_parallel_size > 1) bar.title += ", rank " + std::to_string(plan.rank);
  for (const Component component : kOrder) {
    const memory::PlanLine& line = plan.lines[static_cast<size_t>(component)];
    if (line.bytes < 1) continue;
    bar.segments.push_back(
        {memory::ComponentTitle(component), memory::ComponentLabel(component), line.bytes, line.detail});
  }
  if (plan.roles.llm) {
    const bool all = plan.full_length_seqs >= plan.knobs.max_num_seqs;
    bar.headline = (all ? "all " : "") +
                   SequencesText(all ? plan.knobs.max_num_seqs : plan.full_length_seqs, plan.knobs.max_model_len);
  }
  const auto say = [&](const char* what, const std::vector<std::string>& lines) {
    for (const std::string& line : lines) bar.note += std::string(bar.note.empty() ? "" : " ") + what + line + ".";
  };
  say("Plan only: ", plan.plan_only);
  say("Assumed: ", plan.assumed);
  say("Note: ", plan.notes);
  return bar;
}

Bar VllmBar(const VllmEstimate& estimate) {
  Bar bar{.title = kVllmName, .device_bytes = estimate.device_bytes, .note = VllmNote(estimate)};
  for (const VllmLine& line : estimate.lines) {
    if (!estimate.Peaks(line)) continue;
    bar.segments.push_back({VllmTitle(line.item), VllmKey(line.item), line.bytes, line.formula});
  }
  const int64_t length = *estimate.knobs.max_model_len;
  switch (estimate.outcome) {
    case VllmOutcome::kStarts:
      bar.headline = SequencesText(estimate.full_length_seqs, length);
      break;
    case VllmOutcome::kOutOfMemory:
      bar.headline = "out of memory at start";
      bar.tone = Tone::kBad;
      return bar;
    case VllmOutcome::kNoKvCache:
      bar.headline = "no room for one sequence of " + GroupedDigits(length) + " tokens";
      bar.tone = Tone::kBad;
      break;
  }
  if (estimate.kv_bytes > 0) {
    bar.segments.push_back({"KV cache", "kv_pool", estimate.kv_bytes, "what the profile run left"});
  }
  bar.segments.push_back({"not used", "unused", estimate.device_bytes - estimate.total_bytes - estimate.kv_bytes,
                          "beyond gpu_memory_utilization, or less than a block"});
  return bar;
}

Figure PlanFigure(const Plans& plans) {
  Figure figure{.title = Title(plans),
                .subtitle =
                    "Every device is drawn to the same length; the solid line is the end of its memory. "
                    "Numbers are GiB. Green is what is left for requests."};
  bool compared = false;
  for (const DevicePlans& device : plans.devices) {
    for (Bar& bar : BarsOf(plans, device)) {
      compared = compared || bar.title == kVllmName;
      figure.bars.push_back(std::move(bar));
    }
  }
  figure.footnotes = Footnotes(plans, compared);
  return figure;
}

}  // namespace headroom::cli
