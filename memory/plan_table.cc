#include "absl/strings/str_format.h"
#include "common/status.h"
#include "common/units.h"
#include "memory/plan.h"

namespace headroom::memory {
namespace {

std::string Row(const std::string& title, int64_t bytes, const std::string& detail) {
  return absl::StrFormat("%-18s %18d %10.3f GiB", title, bytes, InGib(bytes)) + (detail.empty() ? "" : "  " + detail) +
         "\n";
}

}  // namespace

std::string Plan::ToTable() const {
  const std::string of = tensor_parallel_size > 1 ? absl::StrCat(", rank ", rank, " of ", tensor_parallel_size) : "";
  std::string table = absl::StrCat("plan for ", device, of, ", ", DTypeName(compute), "\n");
  for (const PlanLine& line : lines) {
    if (line.bytes != 0) table += Row(ComponentTitle(line.component), line.bytes, line.detail);
  }
  table += Row("device", device_bytes, "");
  if (roles.llm) {
    absl::StrAppend(&table, "the KV pool promises ", full_length_seqs, " sequence(s) of ", knobs.max_model_len,
                    " tokens; max_num_seqs is ", knobs.max_num_seqs, "\n");
  }
  for (const std::string& reason : plan_only) absl::StrAppend(&table, "plan only: ", reason, "\n");
  for (const std::string& value : assumed) absl::StrAppend(&table, "assumed: ", value, "\n");
  for (const std::string& note : notes) absl::StrAppend(&table, "note: ", note, "\n");
  return table;
}

}  // namespace headroom::memory
