// Plans as tables for people.
#include <algorithm>

#include "absl/strings/str_format.h"
#include "cli/plan/outputs.h"
#include "common/status.h"
#include "common/units.h"

namespace headroom::cli {
namespace {

using memory::Component;
using memory::Plan;

// One column of the table of several devices or ranks.
struct Column {
  std::string title;
  const Plan* plan;
};

std::vector<Column> Columns(const Plans& plans) {
  std::vector<Column> columns;
  for (const DevicePlans& device : plans.devices) {
    // Ranks after the second are equal to it.
    for (size_t i = 0; i < std::min<size_t>(device.ranks.size(), 2); ++i) {
      const std::string rank = device.ranks.size() == 1  ? ""
                               : i == 0                  ? " rank 0"
                               : device.ranks.size() > 2 ? absl::StrCat(" ranks 1-", device.ranks.size() - 1)
                                                         : " rank 1";
      columns.push_back({device.device.name + rank, &device.ranks[i]});
    }
  }
  return columns;
}

std::string Cell(const std::string& text) { return absl::StrFormat(" %16s", text); }

std::string RowTitle(const std::string& text) { return absl::StrFormat("%-24s", text); }

template <typename Value>
std::string Row(const std::string& title, const std::vector<Column>& columns, Value value) {
  std::string row = RowTitle(title);
  for (const Column& column : columns) row += Cell(value(*column.plan));
  return row + "\n";
}

std::string SideBySide(const std::vector<Column>& columns) {
  std::string table = RowTitle("GiB");
  for (const Column& column : columns) table += Cell(column.title);
  table += "\n";
  for (const Component component : memory::AllComponents()) {
    const bool anywhere = std::any_of(columns.begin(), columns.end(),
                                      [&](const Column& column) { return column.plan->Bytes(component) > 0; });
    if (!anywhere) continue;
    table += Row(memory::ComponentTitle(component), columns,
                 [&](const Plan& plan) { return absl::StrFormat("%.3f", InGib(plan.Bytes(component))); });
  }
  table += Row("device", columns, [](const Plan& plan) { return absl::StrFormat("%.3f", InGib(plan.device_bytes)); });
  const auto number = [](int64_t value) { return std::to_string(value); };
  table += Row("max_num_seqs", columns, [&](const Plan& plan) { return number(plan.knobs.max_num_seqs); });
  table += Row("max_model_len", columns, [&](const Plan& plan) { return number(plan.knobs.max_model_len); });
  table += Row("max_num_batched_tokens", columns,
               [&](const Plan& plan) { return number(plan.knobs.max_num_batched_tokens); });
  table += Row("max_patches_per_step", columns,
               [&](const Plan& plan) { return number(plan.roles.vision ? plan.knobs.max_patches_per_step : 0); });
  table += Row("full-length sequences", columns, [&](const Plan& plan) { return number(plan.full_length_seqs); });
  return table;
}

// The same reason is told once, whatever the number of devices.
void AddUnique(std::vector<std::string>& lines, const std::string& line) {
  if (std::find(lines.begin(), lines.end(), line) == lines.end()) lines.push_back(line);
}

std::string Remarks(const Plans& plans) {
  std::vector<std::string> lines;
  for (const DevicePlans& device : plans.devices) {
    for (const Plan& plan : device.ranks) {
      for (const std::string& reason : plan.plan_only) AddUnique(lines, "plan only: " + reason);
      for (const std::string& value : plan.assumed) AddUnique(lines, "assumed: " + value);
      for (const std::string& note : plan.notes) {
        AddUnique(lines, "note: " + (plans.devices.size() > 1 ? device.device.name + ": " : "") + note);
      }
    }
  }
  std::string text;
  for (const std::string& line : lines) text += line + "\n";
  return text;
}

std::string RefusalText(const DevicePlans& device) {
  std::string text = std::string(device.refusal.message()) + "\n";
  if (device.frontier.empty()) return text;
  text += "what " + device.device.name + " can hold with the other knobs as they are:\n";
  for (const memory::FrontierPoint& point : device.frontier) {
    absl::StrAppend(&text, "  ", point.full_length_seqs, " sequence(s) of ", point.max_model_len, " tokens\n");
  }
  return text;
}

std::string HostText(const std::vector<HostLine>& host) {
  std::string text = "host memory beside the device, at most:\n";
  int64_t total = 0, lowest = 0;
  for (const HostLine& line : host) {
    text += absl::StrFormat("  %-14s %10.3f GiB  %s\n", line.service, InGib(line.bytes), line.what);
    total += line.bytes;
    lowest += line.bytes_min;
  }
  text += absl::StrFormat("  %-14s %10.3f GiB\n", "together", InGib(total));
  if (lowest == total) return text;
  return text +
         absl::StrFormat(
             "where the machine has less beside the device, a start lowers what is not set, to %.3f GiB together "
             "at least; then the KV pool yields\n",
             InGib(lowest));
}

std::string Outcome(const VllmEstimate& estimate) {
  switch (estimate.outcome) {
    case VllmOutcome::kStarts:
      return absl::StrFormat("starts; %.3f GiB are left for KV, %d sequence(s) of full length",
                             InGib(estimate.kv_bytes), estimate.full_length_seqs);
    case VllmOutcome::kOutOfMemory:
      return absl::StrFormat("out of memory in its profile run, %.3f GiB short", InGib(estimate.over_bytes));
    case VllmOutcome::kNoKvCache:
      return "its profile run leaves no room for one sequence of full length";
  }
  return "";
}

std::string VllmRow(const char* title, int64_t bytes) {
  return absl::StrFormat("%-24s %18d %10.3f GiB", title, bytes, InGib(bytes));
}

}  // namespace

std::string PlanText(const Plans& plans) {
  std::string text =
      absl::StrCat(plans.spec.family, ", ", model::ParameterCount(plans.spec.tensors), " parameters\n\n");
  const std::vector<Column> columns = Columns(plans);
  if (columns.size() == 1) {
    text += columns.front().plan->ToTable();
  } else if (!columns.empty()) {
    text += SideBySide(columns) + Remarks(plans);
  }
  if (columns.empty()) {
    for (const std::string& value : plans.spec.assumed) text += "assumed: " + value + "\n";
  }
  for (const DevicePlans& device : plans.devices) {
    if (!device.fits()) text += RefusalText(device);
    if (!device.device.source.empty() && device.device.kind != "cpu") {
      text += "assumed: " + device.device.name + ": " + device.device.source + "\n";
    }
  }
  if (!plans.host.empty()) text += "\n" + HostText(plans.host);
  return text;
}

std::string PlanText(const std::vector<Plans>& all) {
  if (all.size() == 1) return PlanText(all.front());
  std::string text;
  for (const Plans& plans : all)
    absl::StrAppend(&text, text.empty() ? "" : "\n", "== ", plans.name, ": ", PlanText(plans));
  for (size_t i = 0; i < all.front().devices.size(); ++i) {
    // Workers of one role have a device each.
    if (all[0].devices[i].device.name == all[1].devices[i].device.name) continue;
    int64_t total = 0;
    text += "\nshares of the device:\n";
    for (const Plans& plans : all) {
      const DevicePlans& device = plans.devices[i];
      total += device.device.memory;
      text += absl::StrFormat("  %-32s %18d %10.3f GiB%s\n", device.device.name, device.device.memory,
                              InGib(device.device.memory), device.fits() ? "" : "  does not fit");
    }
    text += absl::StrFormat("  %-32s %18d %10.3f GiB\n", "together", total, InGib(total));
  }
  return text;
}

absl::StatusOr<std::string> VllmText(const Plans& plans) {
  std::string text;
  for (const DevicePlans& device : plans.devices) {
    HEADROOM_ASSIGN_OR_RETURN(const VllmEstimate estimate, EstimateVllm(plans, device));
    absl::StrAppend(&text, "\nestimate of ", kVllmName, " on ", estimate.device,
                    " (another program; nothing here is sized by it)\n");
    for (const VllmLine& line : estimate.lines) {
      if (estimate.Peaks(line)) text += VllmRow(VllmTitle(line.item), line.bytes) + "  " + line.formula + "\n";
    }
    text += VllmRow("asked for at its peak", estimate.total_bytes) +
            absl::StrFormat(" of %.3f\n", InGib(estimate.device_bytes)) + Outcome(estimate) + "\n";
    for (const std::string& note : estimate.notes) text += "note: " + note + "\n";
  }
  return text;
}

}  // namespace headroom::cli
