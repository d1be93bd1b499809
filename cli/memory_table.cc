#include "cli/memory_table.h"

#include <set>

#include "absl/strings/str_format.h"
#include "common/units.h"

namespace headroom::cli {
namespace {

std::string Row(const std::string& name, const std::string& planned, const std::string& reserved,
                const std::string& used, const std::string& high_water) {
  return absl::StrFormat("  %-20s %12s %12s %12s %12s\n", name, planned, reserved, used, high_water);
}

std::string Table(const v1::DeviceLedger& ledger) {
  std::string table = "memory of " + ledger.device() + ", " + FormatBytes(ledger.total_bytes()) +
                      " promised, high water " + FormatBytes(ledger.high_water_bytes()) + "\n";
  table += Row("", "planned", "reserved", "used", "high water");
  for (const v1::LedgerLine& line : ledger.lines()) {
    if (line.planned_bytes() == 0) continue;
    table += Row(line.component(), FormatBytes(line.planned_bytes()), FormatBytes(line.reserved_bytes()),
                 FormatBytes(line.used_bytes()), FormatBytes(line.high_water_bytes()));
  }
  return table;
}

}  // namespace

std::string MemoryTables(const v1::ClusterState& cluster) {
  std::string tables;
  // Roles that are reached in-process live on one device and report one ledger.
  std::set<std::string> shown;
  for (const v1::WorkerView& worker : cluster.workers()) {
    const bool in_process = worker.endpoint().rfind("inproc:", 0) == 0;
    const std::string owner = in_process ? worker.ledger().device() : worker.worker();
    if (!worker.has_ledger() || !shown.insert(owner).second) continue;
    tables += Table(worker.ledger());
  }
  return tables;
}

}  // namespace headroom::cli
