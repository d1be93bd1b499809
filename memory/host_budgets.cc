#include "memory/host_budgets.h"

#include <algorithm>
#include <utility>

#include "common/log.h"
#include "common/status.h"
#include "common/units.h"
#include "memory/device_memory.h"

namespace headroom::memory {
namespace {

// Room for a few requests of usual size. A picture that needs more is refused with the key that would let it in.
constexpr int64_t kHostBytesMin = 128 * kMiB;
// A few grammars of usual size.
constexpr int64_t kGrammarBytesMin = 8 * kMiB;
// A decoder's resize takes up to 16 MiB of the vision-worker's budget before the first picture.
constexpr int64_t kDecoderBytesMin = 32 * kMiB;
constexpr int64_t kGrpcBytesMin = 64 * kMiB;
// Messages of the largest size that gRPC must be able to hold at once.
constexpr int64_t kLargestMessages = 4;
// Of a process without a device, which has no plan with a context floor: program, gRPC's threads, tokenizer.
constexpr int64_t kProcessBytes = 64 * kMiB;

bool HasCpuDevice(const HostedServices& services, const ClusterConfig& config) {
  return services.vision + services.llm > 0 && config.device.kind == "cpu";
}

// Lowers what may be lowered in equal shares of its play, until the lines take `room` or nothing is left to lower.
void Lower(int64_t room, std::vector<HostLine>& lines) {
  int64_t total = 0, play = 0;
  for (const HostLine& line : lines) {
    total += line.bytes;
    play += line.bytes - line.bytes_min;
  }
  if (total <= room || play == 0) return;
  const double share = std::min(1.0, static_cast<double>(total - room) / static_cast<double>(play));
  for (HostLine& line : lines) {
    if (line.bytes == line.bytes_min) continue;
    const auto given_up = static_cast<int64_t>(share * static_cast<double>(line.bytes - line.bytes_min)) + 1;
    // Whole MiB, for people.
    line.bytes = std::max(line.bytes_min, (line.bytes - given_up) / kMiB * kMiB);
  }
}

std::string Sum(const std::vector<HostLine>& lines) {
  std::string text;
  for (const HostLine& line : lines) {
    absl::StrAppend(&text, text.empty() ? "" : ", ", line.bytes, " ", line.service, ": ", line.what);
  }
  return text;
}

std::string KeysToLower(const std::vector<HostLine>& lines) {
  std::string text;
  for (const HostLine& line : lines) {
    if (!line.keys.empty()) absl::StrAppend(&text, text.empty() ? "" : ", ", line.keys);
  }
  return text;
}

}  // namespace

std::vector<HostLine> HostLines(const ClusterConfig& config, const HostedServices& services) {
  std::vector<HostLine> lines;
  const auto add = [&lines](const char* service, const char* what, int64_t bytes, const char* keys) {
    lines.push_back({.service = service, .what = what, .bytes = bytes, .bytes_min = bytes, .keys = keys});
  };
  const auto add_host = [&](const char* service, const char* what, const auto& section, const char* key,
                            int64_t bytes_min, int64_t& (*setting)(ClusterConfig&)) {
    add(service, what, section.host_bytes_max, key);
    if (section.host_bytes_given) return;
    lines.back().bytes_min = std::min(section.host_bytes_max, bytes_min);
    lines.back().setting = setting;
  };
  const auto add_grpc = [&](const char* service, const auto& section, int64_t largest_message,
                            int64_t& (*setting)(ClusterConfig&)) {
    add(service, "gRPC's buffers", section.grpc_bytes_max, "");
    lines.back().bytes_min =
        std::min(section.grpc_bytes_max, std::max(kGrpcBytesMin, kLargestMessages * largest_message));
    lines.back().setting = setting;
  };
  if (services.gateway) {
    add_host("gateway", "tokenizers, compressed images of open requests", config.gateway, "gateway.host_bytes_max",
             kHostBytesMin + services.model_files_bytes,
             [](ClusterConfig& c) -> int64_t& { return c.gateway.host_bytes_max; });
    add_grpc("gateway", config.gateway, config.gateway.receive_bytes_max,
             [](ClusterConfig& c) -> int64_t& { return c.gateway.grpc_bytes_max; });
  }
  if (services.scheduler) {
    add("scheduler", "requests that wait", config.scheduler.queue_bytes_max, "scheduler.queue_bytes_max");
    add_grpc("scheduler", config.scheduler, 0, [](ClusterConfig& c) -> int64_t& { return c.scheduler.grpc_bytes_max; });
  }
  for (int i = 0; i < services.vision; ++i) {
    add_host("vision-worker", "compressed and decoded pixels, patches", config.vision_worker,
             "vision_worker.host_bytes_max", kHostBytesMin + config.vision_worker.decoders * kDecoderBytesMin,
             [](ClusterConfig& c) -> int64_t& { return c.vision_worker.host_bytes_max; });
    add("vision-worker", "sandboxed image decoders", services.decoder_bytes,
        "gateway.image_pixels_max, vision_worker.decoders");
    add_grpc("vision-worker", config.vision_worker, 0,
             [](ClusterConfig& c) -> int64_t& { return c.vision_worker.grpc_bytes_max; });
  }
  if (services.vision + services.llm > 0 && config.device.kind == "cuda") {
    add("device", "pinned memory for copies", kPinnedBytes, "");
  }
  for (int i = 0; i < services.llm; ++i) {
    add_host("llm-worker", "fetched embeddings, token ids", config.llm_worker, "llm_worker.host_bytes_max",
             kHostBytesMin, [](ClusterConfig& c) -> int64_t& { return c.llm_worker.host_bytes_max; });
    add("llm-worker", "grammars of structured output", config.llm_worker.grammar_bytes_max,
        "llm_worker.grammar_bytes_max");
    if (!config.llm_worker.grammar_bytes_given) {
      lines.back().bytes_min = std::min(config.llm_worker.grammar_bytes_max, kGrammarBytesMin);
      lines.back().setting = [](ClusterConfig& c) -> int64_t& { return c.llm_worker.grammar_bytes_max; };
    }
    add_grpc("llm-worker", config.llm_worker, 0,
             [](ClusterConfig& c) -> int64_t& { return c.llm_worker.grpc_bytes_max; });
  }
  return lines;
}

int64_t HostFit::budget_bytes() const {
  int64_t bytes = 0;
  for (const HostLine& line : lines) bytes += line.bytes;
  return bytes;
}

int64_t HostFit::LackingBytes(int64_t device_bytes) const {
  return std::max<int64_t>(0, device_bytes + budget_bytes() - machine.available);
}

std::string HostFit::Account(int64_t device_bytes) const {
  std::string text = absl::StrCat("host memory: ", machine.available, " of ", machine.total,
                                  " bytes are available here (machine or control group), for ");
  if (device_bytes > 0) absl::StrAppend(&text, device_bytes, " of device.memory and ");
  absl::StrAppend(&text, budget_bytes(), " of host budgets (", Sum(lines), ")");
  const std::string keys = KeysToLower(lines);
  return keys.empty() ? text : text + "; what can be lowered: " + keys;
}

absl::StatusOr<HostFit> FitHostMemory(const HostedServices& services, ClusterConfig& config,
                                      const HostMemory& machine) {
  const bool has_device = HasCpuDevice(services, config);
  const int64_t device_bytes = has_device ? config.device.memory : 0;
  if (device_bytes > machine.total) {
    return absl::InvalidArgumentError(absl::StrCat("device.memory is ", device_bytes,
                                                   " bytes, but the machine or its control group has ", machine.total,
                                                   " at all"));
  }
  HostFit fit{.machine = machine, .lines = HostLines(config, services)};
  const int64_t process_bytes = has_device ? 0 : kProcessBytes;
  const std::vector<HostLine> configured = fit.lines;
  Lower(machine.available - device_bytes - process_bytes, fit.lines);
  for (size_t i = 0; i < fit.lines.size(); ++i) {
    const HostLine& line = fit.lines[i];
    if (line.bytes == configured[i].bytes) continue;
    line.setting(config) = line.bytes;
    Log(LogLevel::kInfo, "memory", "a host budget that is not set is lowered to what the machine has left")
        .With("service", line.service)
        .With("what", line.what)
        .With("bytes", line.bytes)
        .With("default_bytes", configured[i].bytes);
  }
  if (!has_device && fit.budget_bytes() + process_bytes > machine.available) {
    return absl::FailedPreconditionError(
        absl::StrCat(fit.Account(0), "; the process itself takes ", process_bytes, " more"));
  }
  return fit;
}

}  // namespace headroom::memory
