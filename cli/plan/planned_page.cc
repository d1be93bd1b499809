#include "cli/plan/planned_page.h"

#include <algorithm>
#include <optional>

#include "cli/plan/figure.h"
#include "cli/plan/vllm_2024.h"

namespace headroom::cli {
namespace {

bool EqualRanks(const memory::Plan& a, const memory::Plan& b) {
  return std::equal(a.lines.begin(), a.lines.end(), b.lines.begin(), [](const auto& left, const auto& right) {
    return left.bytes == right.bytes && left.detail == right.detail;
  });
}

std::string GroupOf(const PlannedDevice& device) {
  return device.device.memory > 0 && device.device.kind == "cuda" && device.device.name.rfind("cuda", 0) != 0
             ? device.device.title
             : device.device.name;
}

void AddRanks(const PlannedDevice& device, std::vector<PageColumn>& columns) {
  const std::vector<memory::Plan>& ranks = device.ranks;
  for (size_t first = 0; first < ranks.size();) {
    size_t end = first + 1;
    while (end < ranks.size() && EqualRanks(ranks[first], ranks[end])) ++end;
    columns.push_back(PlanColumn(ranks[first], GroupOf(device)));
    if (end - first > 1) {
      columns.back().title = absl::StrCat("Headroom, ranks ", first, " to ", end - 1);
    }
    first = end;
  }
}

// Its bf16 on one card is what we can compare with.
std::optional<PageColumn> VllmBeside(const Planned& planned, const PlannedDevice& device) {
  const memory::Knobs& knobs = device.request.knobs;
  const bool comparable =
      planned.card.served && planned.roles.llm && planned.compute == DType::kBF16 && device.device.kind == "cuda" &&
      !knobs.quantization && knobs.kv_cache_dtype.value_or(DType::kBF16) == DType::kBF16 &&
      knobs.tensor_parallel_size.value_or(1) == 1 && planned.roles.vision == planned.card.encoder.has_value();
  if (!comparable) return std::nullopt;
  const auto estimate =
      Vllm2024(*planned.card.served, {.knobs = {.max_num_seqs = knobs.max_num_seqs,
                                                .max_model_len = knobs.max_model_len,
                                                .max_num_batched_tokens = knobs.max_num_batched_tokens,
                                                .gpu_memory_utilization = knobs.gpu_memory_utilization},
                                      .device = device.device.name,
                                      .device_bytes = device.device.memory});
  if (!estimate.ok()) return std::nullopt;
  return VllmColumn(*estimate, GroupOf(device));
}

PageText TextOf(const Planned& planned, std::span<const PageColumn> columns) {
  // Other families may come quantized; their tables say how.
  const bool plain = planned.card.served.has_value() && !planned.devices.empty() &&
                     !planned.devices.front().request.knobs.quantization;
  PageText text = ComparedText(planned.card.family + (plain ? std::string(" in ") + DTypeName(planned.compute) : ""));
  const bool compared = std::any_of(columns.begin(), columns.end(),
                                    [](const PageColumn& column) { return column.title.rfind("vLLM", 0) == 0; });
  if (!compared) text.footnotes.resize(1);
  std::vector<std::string> reasons;
  for (const PlannedDevice& device : planned.devices) {
    for (const memory::Plan& plan : device.ranks) {
      for (const std::string& reason : plan.plan_only) {
        if (std::find(reasons.begin(), reasons.end(), reason) == reasons.end()) reasons.push_back(reason);
      }
    }
  }
  for (const std::string& reason : reasons) text.footnotes.push_back("Plan only: " + reason + ".");
  return text;
}

}  // namespace

std::vector<PageColumn> PlannedColumns(const Planned& planned) {
  std::vector<PageColumn> columns;
  for (const PlannedDevice& device : planned.devices) {
    AddRanks(device, columns);
    if (!device.fits()) {
      columns.push_back({.group = GroupOf(device),
                         .title = "Headroom",
                         .headline = "does not fit: refused before start",
                         .verdict = PageVerdict::kBad,
                         .device_bytes = device.device.memory,
                         .note = std::string(device.refusal.message())});
    }
    if (std::optional<PageColumn> vllm = VllmBeside(planned, device)) columns.push_back(*std::move(vllm));
  }
  return columns;
}

std::string PlannedHtml(const Planned& planned) {
  const std::vector<PageColumn> columns = PlannedColumns(planned);
  return PlanPage(columns, TextOf(planned, columns));
}

std::string PlannedSvg(const Planned& planned) {
  const std::vector<PageColumn> columns = PlannedColumns(planned);
  return PlanSvg(columns, TextOf(planned, columns));
}

}  // namespace headroom::cli
