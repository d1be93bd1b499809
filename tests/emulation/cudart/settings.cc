#include "tests/emulation/cudart/settings.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <stdexcept>

namespace emulation {
namespace {

[[noreturn]] void Bad(const std::string& name, const std::string& value, const std::string& wanted) {
  throw std::invalid_argument(name + "='" + value + "': " + wanted);
}

uint64_t ToNumber(const std::string& name, const std::string& value, const std::string& unit = "") {
  size_t end = 0;
  uint64_t number = 0;
  try {
    number = std::stoull(value, &end);
  } catch (const std::exception&) {
    Bad(name, value, "a number is wanted");
  }
  const std::string rest = value.substr(end);
  if (rest.empty()) return number;
  if (unit == "bytes" && rest == "KiB") return number << 10;
  if (unit == "bytes" && rest == "MiB") return number << 20;
  if (unit == "bytes" && rest == "GiB") return number << 30;
  Bad(name, value, "a number is wanted" + std::string(unit == "bytes" ? " of bytes, KiB, MiB or GiB" : ""));
}

Faults ReadFaults(const std::string& name, const std::string& value) {
  Faults faults;
  std::stringstream list(value);
  for (std::string item; std::getline(list, item, ',');) {
    const size_t colon = item.find(':');
    const std::string what = item.substr(0, colon);
    static const std::vector<std::string> kKinds = {"malloc", "hostalloc", "launch", "ecc", "xid", "grow"};
    if (colon == std::string::npos || std::find(kKinds.begin(), kKinds.end(), what) == kKinds.end()) {
      Bad(name, value, "malloc:N, hostalloc:N, launch:N, ecc:N, xid:N or grow:N is wanted");
    }
    faults.numbers[what].push_back(ToNumber(name, item.substr(colon + 1)));
  }
  return faults;
}

StreamOrder ReadOrder(const std::string& name, const std::string& value) {
  if (value == "eager") return StreamOrder::kEager;
  if (value == "late") return StreamOrder::kLate;
  if (value == "seeded") return StreamOrder::kSeeded;
  Bad(name, value, "eager, late or seeded is wanted");
}

int ReadCapability(const std::string& name, const std::string& value) {
  int major = 0, minor = 0;
  if (sscanf(value.c_str(), "%d.%d", &major, &minor) != 2 || major < 7 || minor > 9)
    Bad(name, value, "a capability like 8.0 is wanted");
  return major * 10 + minor;
}

}  // namespace

bool Faults::Hits(const std::string& what, uint64_t count) const {
  const auto it = numbers.find(what);
  return it != numbers.end() && std::find(it->second.begin(), it->second.end(), count) != it->second.end();
}

Settings ReadSettings(const char* (*variable)(const char* name)) {
  Settings s;
  const auto read = [&](const std::string& name, auto use) {
    const char* value = variable(name.c_str());
    if (value != nullptr && *value != 0) use(name, std::string(value));
  };
  const auto number = [&](const char* name, auto& to, const std::string& unit = "") {
    read(name, [&](const std::string& full, const std::string& value) {
      to = static_cast<std::decay_t<decltype(to)>>(ToNumber(full, value, unit));
    });
  };
  const auto text = [&](const char* name, std::string& to) {
    read(name, [&](const std::string&, const std::string& value) { to = value; });
  };
  number("EMULATED_GPU_COUNT", s.count);
  number("EMULATED_GPU_MEMORY", s.memory, "bytes");
  number("EMULATED_GPU_SMS", s.multiprocessors);
  number("EMULATED_GPU_DRIVER", s.driver);
  number("EMULATED_GPU_CONTEXT", s.context, "bytes");
  number("EMULATED_GPU_MODULE", s.module, "bytes");
  number("EMULATED_GPU_GRANULE", s.granule, "bytes");
  number("EMULATED_GPU_GROWTH", s.growth, "bytes");
  number("EMULATED_GPU_GRAPH", s.graph, "bytes");
  number("EMULATED_GPU_OTHERS", s.others, "bytes");
  number("EMULATED_GPU_SLOW", s.slow);
  number("EMULATED_GPU_SEED", s.seed);
  number("EMULATED_GPU_CHECKS", s.checked);
  number("EMULATED_GPU_SPLIT_WARPS", s.split_warps);
  text("EMULATED_GPU_NAME", s.name);
  text("EMULATED_GPU_STATE", s.state);
  text("EMULATED_GPU_COVERAGE", s.coverage);
  text("EMULATED_GPU_INSTRUCTIONS", s.instructions);
  text("EMULATED_GPU_COUNTERS", s.counters);
  read("EMULATED_GPU_CAPABILITY",
       [&](const std::string& full, const std::string& value) { s.capability = ReadCapability(full, value); });
  read("EMULATED_GPU_STREAMS",
       [&](const std::string& full, const std::string& value) { s.streams = ReadOrder(full, value); });
  read("EMULATED_GPU_FAULTS",
       [&](const std::string& full, const std::string& value) { s.faults = ReadFaults(full, value); });
  if (const char* visible = variable("CUDA_VISIBLE_DEVICES"); visible != nullptr) s.visible = visible;
  const char* loading = variable("CUDA_MODULE_LOADING");
  s.lazy_modules = loading == nullptr || std::string(loading) != "EAGER";
  return s;
}

namespace {

template <typename Read>
auto OrEnd(const Read& read) {
  try {
    return read();
  } catch (const std::invalid_argument& error) {
    fprintf(stderr, "emulated GPU: %s\n", error.what());
    std::exit(2);
  }
}

}  // namespace

const Settings& GetSettings() {
  static const auto* const kSettings = OrEnd(
      [] { return new Settings(ReadSettings([](const char* name) -> const char* { return std::getenv(name); })); });
  return *kSettings;
}

uint64_t BytesSetting(const char* name, uint64_t standard) {
  const char* const value = std::getenv(name);
  if (value == nullptr || *value == 0) return standard;
  return OrEnd([&] { return ToNumber(name, value, "bytes"); });
}

}  // namespace emulation
