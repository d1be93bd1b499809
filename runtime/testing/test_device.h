// The device that a test runs on.
#pragma once

#include <cstdlib>
#include <memory>
#include <string>

#include "common/status.h"
#include "runtime/cpu/isa.h"
#include "runtime/device.h"
#include "runtime/testing/late_device.h"

namespace headroom::runtime {

// HEADROOM_TEST_DEVICE, "KIND" or "KIND/ISA", e.g. "cpu/avx2" or "late". Without it: the processor's fastest
// instruction set.
inline DeviceOptions TestDeviceOptions() {
  const char* const given = std::getenv("HEADROOM_TEST_DEVICE");
  const std::string name = given != nullptr ? given : "cpu";
  const size_t slash = name.find('/');
  return {
      .kind = name.substr(0, slash), .isa = slash == std::string::npos ? "auto" : name.substr(slash + 1), .threads = 2};
}

// Of the kind that TestDeviceOptions says, whatever `options` say; the rest is theirs.
inline absl::StatusOr<std::unique_ptr<Device>> CreateTestDevice(DeviceOptions options) {
  options.kind = TestDeviceOptions().kind;
  return options.kind == "late" ? CreateLateDevice(options) : Device::Create(options);
}

// Why this machine has no such device; empty when it has, or when that is for Device::Create to say.
inline std::string WhyAbsent(const DeviceOptions& options) {
  if (options.kind != "cpu" && options.kind != "late") return "";
  const auto present = cpu::DetectIsa();
  if (!present.ok()) return std::string(present.status().message());
  for (const cpu::Isa isa : {cpu::Isa::kAvx512, cpu::Isa::kAvx512Bf16, cpu::Isa::kAmx}) {
    if (options.isa == cpu::IsaName(isa) && isa > *present) {
      return absl::StrCat("this machine has no ", options.isa, ", only ", cpu::IsaName(*present));
    }
  }
  return "";
}

}  // namespace headroom::runtime
