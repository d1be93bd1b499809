// Plans beside what vLLM of 2024 would have asked for.
#include <array>
#include <cstdio>

#include "cli/plan/plans.h"
#include "common/status.h"
#include "common/units.h"

namespace headroom::cli {
namespace {

std::string Outcome(const VllmEstimate& estimate) {
  std::array<char, 160> text{};
  switch (estimate.outcome) {
    case VllmOutcome::kStarts:
      snprintf(text.data(), text.size(), "starts; %.3f GiB are left for KV, %lld sequence(s) of full length",
               InGib(estimate.kv_bytes), static_cast<long long>(estimate.full_length_seqs));
      break;
    case VllmOutcome::kOutOfMemory:
      snprintf(text.data(), text.size(), "out of memory in its profile run, %.3f GiB short",
               InGib(estimate.over_bytes));
      break;
    case VllmOutcome::kNoKvCache:
      return "its profile run leaves no room for one sequence of full length";
  }
  return text.data();
}

}  // namespace

absl::StatusOr<std::vector<VllmEstimate>> VllmEstimates(const Planned& planned) {
  std::vector<VllmEstimate> estimates;
  if (!planned.card.served) return estimates;
  for (const PlannedDevice& device : planned.devices) {
    const memory::Knobs& asked = device.request.knobs;
    VllmRequest request;
    request.knobs.max_num_seqs = asked.max_num_seqs;
    request.knobs.max_model_len = asked.max_model_len;
    request.knobs.max_num_batched_tokens = asked.max_num_batched_tokens;
    request.knobs.gpu_memory_utilization = asked.gpu_memory_utilization;
    request.device = device.device.name;
    request.device_bytes = device.device.memory;
    HEADROOM_ASSIGN_OR_RETURN(VllmEstimate estimate, Vllm2024(*planned.card.served, request));
    estimates.push_back(std::move(estimate));
  }
  return estimates;
}

std::string VllmText(const std::vector<VllmEstimate>& estimates) {
  std::string text;
  for (const VllmEstimate& estimate : estimates) {
    absl::StrAppend(&text, "\nestimate of ", std::string(VllmEraName(estimate.era)), " on ", estimate.device,
                    " (another program; nothing here is sized by it)\n");
    for (const VllmLine& line : estimate.lines) {
      if (!estimate.Peaks(line)) continue;
      std::array<char, 400> row{};
      snprintf(row.data(), row.size(), "%-24s %18lld %10.3f GiB  %s\n", VllmPartTitle(line.part),
               static_cast<long long>(line.bytes), InGib(line.bytes), line.formula.c_str());
      text += row.data();
    }
    std::array<char, 160> total{};
    snprintf(total.data(), total.size(), "%-24s %18lld %10.3f GiB of %.3f\n", "asked for at its peak",
             static_cast<long long>(estimate.total_bytes), InGib(estimate.total_bytes), InGib(estimate.device_bytes));
    text += total.data() + Outcome(estimate) + "\n";
    for (const std::string& note : estimate.notes) text += "note: " + note + "\n";
  }
  return text;
}

}  // namespace headroom::cli
