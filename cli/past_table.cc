#include "cli/past_table.h"

#include <algorithm>
#include <array>
#include <map>
#include <vector>

#include "absl/strings/str_format.h"
#include "common/refusal_reason.h"
#include "common/status.h"
#include "common/units.h"

namespace headroom::cli {
namespace {

using std::chrono::milliseconds;

// A leg and what it takes of its device.
struct Holder {
  const v1::WorkerPast* worker;
  const v1::LegPast* leg;
  int64_t kv_bytes = 0;
  int64_t bytes = 0;
};

struct Device {
  std::vector<const v1::WorkerPast*> workers;
  const v1::WorkerPast* with_ledger = nullptr;  // the one with the latest report
  std::vector<Holder> holders;
  int64_t left_out = 0;
};

std::map<std::string, Device> Devices(const v1::GetHistoryResponse& history) {
  std::map<std::string, Device> devices;
  for (const v1::WorkerPast& worker : history.workers()) {
    // Roles that are reached in-process live on one device and report one ledger.
    const bool in_process = worker.endpoint().rfind("inproc:", 0) == 0;
    Device& device = devices[in_process ? worker.device() : worker.worker()];
    device.workers.push_back(&worker);
    if (worker.has_ledger() &&
        (device.with_ledger == nullptr || worker.ledger_before_ms() < device.with_ledger->ledger_before_ms())) {
      device.with_ledger = &worker;
    }
    for (const v1::LegPast& leg : worker.legs()) {
      const int64_t kv_bytes = leg.resources().kv_blocks() * worker.kv_block_bytes();
      device.holders.push_back({&worker, &leg, kv_bytes, kv_bytes + leg.resources().embedding_bytes()});
    }
    device.left_out += worker.legs_left_out();
  }
  for (auto& [name, device] : devices) {
    std::stable_sort(device.holders.begin(), device.holders.end(), [](const Holder& a, const Holder& b) {
      if (a.bytes != b.bytes) return a.bytes > b.bytes;
      return a.leg->resources().host_bytes() > b.leg->resources().host_bytes();
    });
  }
  return devices;
}

std::string LedgerRow(const std::string& name, const std::string& planned, const std::string& reserved,
                      const std::string& used) {
  return absl::StrFormat("  %-20s %12s %12s %12s\n", name, planned, reserved, used);
}

std::string LedgerTable(const v1::DeviceLedger& ledger) {
  std::string table = LedgerRow("", "planned", "reserved", "used");
  int64_t planned = 0, reserved = 0, used = 0;
  for (const v1::LedgerLine& line : ledger.lines()) {
    planned += line.planned_bytes();
    reserved += line.reserved_bytes();
    used += line.used_bytes();
    if (line.planned_bytes() == 0) continue;
    table += LedgerRow(line.component(), FormatBytes(line.planned_bytes()), FormatBytes(line.reserved_bytes()),
                       FormatBytes(line.used_bytes()));
  }
  return table + LedgerRow("all", FormatBytes(planned), FormatBytes(reserved), FormatBytes(used));
}

// Names come from clients and peers: nothing of them may steer a terminal.
std::string Printable(const std::string& text) {
  std::string result = text;
  for (char& c : result) {
    if (static_cast<unsigned char>(c) < ' ' || c == 0x7f) c = '?';
  }
  return result;
}

std::string Amount(int64_t count) { return count == 0 ? "-" : std::to_string(count); }
std::string Bytes(int64_t bytes) { return bytes == 0 ? "-" : FormatBytes(bytes); }

std::string HolderRow(const std::array<std::string, 10>& cells, const std::string& state) {
  return absl::StrFormat("  %-32s %-8s %-6s %-10s %5s %6s %11s %8s %11s %11s  %s\n", cells[0], cells[1], cells[2],
                         cells[3], cells[4], cells[5], cells[6], cells[7], cells[8], cells[9], state);
}

std::string State(const v1::LegPast& leg) {
  std::string text = leg.active_ms() >= 0 ? "active since " + SpanText(leg.active_ms())
                                          : "granted since " + SpanText(leg.held_ms()) + ", not active yet";
  return text + (leg.left_ms() >= 0 ? ", went on for " + SpanText(leg.left_ms()) : ", held still");
}

std::string HolderTable(const Device& device) {
  if (device.holders.empty()) return "  nobody held anything\n";
  std::string table = HolderRow(
      {"request", "tenant", "role", "worker", "slots", "blocks", "KV", "patches", "embeddings", "host"}, "state");
  for (const Holder& holder : device.holders) {
    const v1::Resources& resources = holder.leg->resources();
    const std::string id = Printable(holder.leg->request_id());
    table += HolderRow({id.empty() ? "(of another scheduler)" : id,
                        holder.leg->tenant().empty() ? "-" : Printable(holder.leg->tenant()),
                        holder.leg->role() == v1::ROLE_VISION ? "vision" : "llm", holder.worker->worker(),
                        Amount(resources.slots()), Amount(resources.kv_blocks()), Bytes(holder.kv_bytes),
                        Amount(resources.patches()), Bytes(resources.embedding_bytes()), Bytes(resources.host_bytes())},
                       State(*holder.leg));
  }
  if (device.left_out > 0) table += absl::StrCat("  and ", device.left_out, " smaller ones\n");
  return table;
}

std::string Timeline(const v1::WorkerPast& worker, WallTime moment, WallTime now) {
  if (worker.points().empty()) return "";
  std::string table = "  reserved and used over time\n";
  int64_t most = 1;
  for (const v1::LedgerPoint& point : worker.points()) most = std::max(most, point.reserved_bytes());
  most = std::max(most, worker.ledger().total_bytes());
  for (const v1::LedgerPoint& point : worker.points()) {
    constexpr int kWidth = 40;
    const auto columns = [most](int64_t bytes) {
      const double part = static_cast<double>(bytes) / static_cast<double>(most);
      return static_cast<size_t>(std::clamp(part, 0.0, 1.0) * kWidth);
    };
    const size_t used = columns(std::min(point.used_bytes(), point.reserved_bytes()));
    const size_t reserved = columns(point.reserved_bytes());
    const std::string bar = std::string(used, '#') + std::string(reserved - used, '=') +
                            std::string(static_cast<size_t>(kWidth) - reserved, '.');
    table += absl::StrFormat("    %-19s %12s %12s  %s\n", ClockText(moment - milliseconds(point.before_ms()), now),
                             FormatBytes(point.reserved_bytes()), FormatBytes(point.used_bytes()), bar);
  }
  return table;
}

// Empty for a reason that this version does not know.
std::string MeaningText(const v1::RefusalView& refusal) {
  const std::optional<RefusalReason> reason = FindRefusalReason(refusal.reason());
  if (!reason) return "";
  const RefusalReasonInfo& info = InfoOf(*reason);
  return absl::StrCat("  meaning   ", info.meaning, info.retry ? "" : " Retrying does not help.", "\n");
}

std::string CodeName(int32_t code) { return absl::StatusCodeToString(static_cast<absl::StatusCode>(code)); }

// "12 (1.50 MiB)", or bytes where the budget counts bytes.
std::string Quantity(int64_t count, int64_t unit_bytes) {
  if (unit_bytes == 0) return std::to_string(count);
  if (unit_bytes == 1) return absl::StrCat(count, " (", FormatBytes(count), ")");
  int64_t bytes = 0;
  if (__builtin_mul_overflow(count, unit_bytes, &bytes)) return std::to_string(count);
  return absl::StrCat(count, " (", FormatBytes(bytes), ")");
}

std::string PriceText(const v1::Price& price) {
  std::string text;
  if (price.prompt_tokens() > 0) {
    absl::StrAppend(&text, "  request   prompt of ", price.prompt_tokens(), " tokens");
    if (price.image_tokens() > 0) absl::StrAppend(&text, " (", price.image_tokens(), " of images)");
    absl::StrAppend(&text, ", max_tokens ", price.sequence_tokens() - price.prompt_tokens());
    if (price.vision().slots() > 0) {
      absl::StrAppend(&text, ", ", price.vision().slots(), " images in ", price.pieces(), " pieces, ",
                      price.vision().patches(), " patches");
    }
    text += "\n";
  }
  return text;
}

std::string RemedyRow(const v1::Remedy& remedy) {
  const auto value = [&](int64_t number) {
    return remedy.bytes() ? absl::StrCat(number, " (", FormatBytes(number), ")") : std::to_string(number);
  };
  std::string row =
      absl::StrCat("  ", remedy.what(), remedy.request() ? " at most " : " at least ", value(remedy.fits()));
  if (remedy.now() > 0) absl::StrAppend(&row, ", was ", value(remedy.now()));
  if (!remedy.note().empty()) absl::StrAppend(&row, "; ", remedy.note());
  return row + "\n";
}

}  // namespace

std::string PastTable(const v1::GetHistoryResponse& history, WallTime now) {
  const WallTime moment = now - milliseconds(history.age_ms());
  const WallTime begin = now - milliseconds(history.covered_ms());
  std::string text = absl::StrCat("at ", ClockText(moment, now), ", ", SpanText(history.age_ms()),
                                  " ago (the scheduler remembers from ", ClockText(begin, now), " on)\n");
  const std::map<std::string, Device> devices = Devices(history);
  if (devices.empty()) text += "nothing is known of any worker at that moment\n";
  for (const auto& [name, device] : devices) {
    std::string workers;
    for (const v1::WorkerPast* worker : device.workers) workers += (workers.empty() ? "" : ", ") + worker->worker();
    absl::StrAppend(&text, "\n", device.workers.front()->device(), " of ", workers);
    if (device.with_ledger != nullptr) {
      const v1::WorkerPast& worker = *device.with_ledger;
      absl::StrAppend(&text, ": ", FormatBytes(worker.ledger().total_bytes()), " promised; ledger of ",
                      SpanText(worker.ledger_before_ms()), " before\n", LedgerTable(worker.ledger()));
    } else {
      text += ": no ledger is near that moment\n";
    }
    text += HolderTable(device);
    if (device.with_ledger != nullptr) text += Timeline(*device.with_ledger, moment, now);
  }
  return text;
}

std::string RefusalText(const v1::RefusalView& refusal, WallTime now) {
  const std::string id = refusal.request_id().empty() ? "a request without an id" : Printable(refusal.request_id());
  std::string text =
      absl::StrCat(id, refusal.tenant().empty() ? "" : " of tenant " + Printable(refusal.tenant()),
                   refusal.model().empty() ? "" : " for " + Printable(refusal.model()), ": refused by the ",
                   refusal.refused_by(), " at ", ClockText(now - milliseconds(refusal.age_ms()), now), ", ",
                   SpanText(refusal.age_ms()), " ago, after ", SpanText(refusal.waited_ms()), " in the queue\n");
  absl::StrAppend(&text, "  ", CodeName(refusal.code()), " ", Printable(refusal.reason()), ": ",
                  Printable(refusal.message()), "\n", MeaningText(refusal), PriceText(refusal.price()));
  if (refusal.has_shortfall()) {
    const v1::Shortfall& shortfall = refusal.shortfall();
    const int64_t unit = refusal.unit_bytes();
    absl::StrAppend(&text, "  budget    ", shortfall.budget());
    if (!shortfall.worker().empty()) absl::StrAppend(&text, " of ", shortfall.worker());
    if (!refusal.device().empty()) absl::StrAppend(&text, " on ", refusal.device());
    absl::StrAppend(&text, "\n  needed    ", Quantity(shortfall.needed(), unit), "\n  free      ",
                    Quantity(shortfall.free(), unit), " of ", Quantity(shortfall.capacity(), unit), "\n  short by  ",
                    Quantity(shortfall.needed() - shortfall.free(), unit), "\n");
  } else {
    text += "  no budget was short\n";
  }
  if (refusal.queue_entries() > 0) absl::StrAppend(&text, "  queue     ", refusal.queue_entries(), " waited\n");
  if (!refusal.remedies().empty()) text += "what would have made it fit\n";
  for (const v1::Remedy& remedy : refusal.remedies()) text += RemedyRow(remedy);
  if (refusal.retry_ms() > 0) absl::StrAppend(&text, "  waiting: try again in ", SpanText(refusal.retry_ms()), "\n");
  return text;
}

}  // namespace headroom::cli
