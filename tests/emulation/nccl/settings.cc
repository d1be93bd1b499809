#include "tests/emulation/nccl/settings.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <stdexcept>
#include <string>

namespace emulation {
namespace {

constexpr int kChannelsMax = 64;
constexpr uint64_t kCommunicatorBytes = 16 << 20;

uint64_t ToNumber(const std::string& name, const std::string& text) {
  size_t end = 0;
  try {
    const uint64_t number = std::stoull(text, &end);
    if (end == text.size()) return number;
  } catch (const std::exception&) {
  }
  throw std::invalid_argument(name + ": '" + text + "' is no number");
}

NcclFault ReadFault(const std::string& name, const std::string& item) {
  std::istringstream parts(item);
  std::string kind, rank, operation;
  std::getline(parts, kind, ':');
  std::getline(parts, rank, ':');
  std::getline(parts, operation);
  if (kind != "lost" && kind != "stuck")
    throw std::invalid_argument(name + ": '" + item + "': lost:RANK:N or stuck:RANK:N is wanted");
  return {kind == "lost", static_cast<int>(ToNumber(name, rank)), ToNumber(name, operation)};
}

}  // namespace

NcclSettings ReadNcclSettings(const char* (*variable)(const char* name)) {
  NcclSettings settings;
  const auto read = [&](const std::string& name, auto use) {
    const char* value = variable(name.c_str());
    if (value != nullptr && *value != 0) use(name, std::string(value));
  };
  read("NCCL_MAX_NCHANNELS", [&](const std::string& name, const std::string& value) {
    settings.channels = static_cast<int>(std::clamp<uint64_t>(ToNumber(name, value), 1, kChannelsMax));
  });
  read("NCCL_BUFFSIZE",
       [&](const std::string& name, const std::string& value) { settings.buffer_bytes = ToNumber(name, value); });
  read("NCCL_RUNTIME_CONNECT", [&](const std::string& name, const std::string& value) {
    settings.connect_at_first_call = ToNumber(name, value) != 0;
  });
  read("EMULATED_NCCL_FAULTS", [&](const std::string& name, const std::string& value) {
    std::istringstream list(value);
    for (std::string item; std::getline(list, item, ',');) settings.faults.push_back(ReadFault(name, item));
  });
  return settings;
}

const NcclSettings& GetNcclSettings() {
  static const auto* const kSettings = [] {
    try {
      return new NcclSettings(ReadNcclSettings([](const char* name) -> const char* { return std::getenv(name); }));
    } catch (const std::invalid_argument& error) {
      fprintf(stderr, "emulated NCCL: %s\n", error.what());
      std::exit(2);
    }
  }();
  return *kSettings;
}

uint64_t CommunicatorBytes() { return kCommunicatorBytes; }

uint64_t ConnectionBytes(int ranks, int channels_max) {
  const NcclSettings& settings = GetNcclSettings();
  return settings.buffer_bytes * std::min(settings.channels, channels_max) * (ranks - 1);
}

}  // namespace emulation
