#include "runtime/cuda/nvml.h"

#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

namespace headroom::runtime::cuda {
namespace {

constexpr char kLibrary[] = "libnvidia-ml.so.1";
constexpr int kSuccess = 0, kInsufficientSize = 7, kTimeout = 10, kCardIsLost = 15;
constexpr unsigned long long kDoubleBitEcc = 0x2, kXid = 0x8;
constexpr unsigned long long kNotTold = ~0ull;

struct MemoryInfo {
  unsigned int version = 0x02000028;  // of this layout
  unsigned long long total = 0, reserved = 0, free = 0, used = 0;
};
struct ProcessInfo {
  unsigned int pid = 0;
  unsigned long long used = 0;                          // kNotTold
  unsigned int gpu_instance = 0, compute_instance = 0;  // Held for: what NVML writes there
};
struct EventData {
  void* device = nullptr;
  unsigned long long type = 0, data = 0;                // data: the number of an XID
  unsigned int gpu_instance = 0, compute_instance = 0;  // Held for: what NVML writes there
};

// Numbers of the driver's messages that a program brings about by what it does, and that end that program alone:
// exceptions and page faults of kernels, channels that were reset. Ours show as errors of the lane.
constexpr unsigned long long kXidsOfPrograms[] = {13, 31, 43, 45, 68, 109};

std::string UuidText(const cudaUUID_t& uuid, const char* prefix) {
  std::string text = prefix;
  for (size_t i = 0; i < sizeof uuid.bytes; ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    absl::StrAppend(&text, absl::Hex(static_cast<unsigned char>(uuid.bytes[i]), absl::kZeroPad2));
  }
  return text;
}

}  // namespace

struct NvmlFunctions {
  int (*init)() = nullptr;
  int (*shutdown)() = nullptr;
  const char* (*error_string)(int error) = nullptr;
  int (*device_by_uuid)(const char* uuid, void** device) = nullptr;
  int (*memory)(void* device, MemoryInfo* memory) = nullptr;
  int (*processes)(void* device, unsigned int* count, ProcessInfo* processes) = nullptr;
  int (*supported_events)(void* device, unsigned long long* types) = nullptr;
  int (*create_events)(void** set) = nullptr;
  int (*register_events)(void* device, unsigned long long types, void* set) = nullptr;
  int (*wait_for_event)(void* set, EventData* event, unsigned int milliseconds) = nullptr;
  int (*free_events)(void* set) = nullptr;

  absl::Status Load();
  absl::Status Check(int error, const char* what) const {
    if (error == kSuccess) return absl::OkStatus();
    return absl::UnavailableError(absl::StrCat("NVML: ", what, ": ", error_string(error)));
  }
};

absl::Status NvmlFunctions::Load() {
  // Never closed: it stays loaded as long as the driver's other libraries.
  void* const library = dlopen(kLibrary, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return absl::UnavailableError(absl::StrCat("NVML: ", dlerror()));
  absl::Status status;
  const auto find = [&](const char* name, auto& function) {
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(library, name));
    if (function == nullptr) status.Update(absl::UnavailableError(absl::StrCat("NVML: ", kLibrary, " has no ", name)));
  };
  find("nvmlInit_v2", init);
  find("nvmlShutdown", shutdown);
  find("nvmlErrorString", error_string);
  find("nvmlDeviceGetHandleByUUID", device_by_uuid);
  find("nvmlDeviceGetMemoryInfo_v2", memory);
  find("nvmlDeviceGetComputeRunningProcesses_v3", processes);
  find("nvmlDeviceGetSupportedEventTypes", supported_events);
  find("nvmlEventSetCreate", create_events);
  find("nvmlDeviceRegisterEvents", register_events);
  find("nvmlEventSetWait_v2", wait_for_event);
  find("nvmlEventSetFree", free_events);
  HEADROOM_RETURN_IF_ERROR(status);
  return Check(init(), "starting");
}

NvmlMonitor::NvmlMonitor(std::unique_ptr<NvmlFunctions> nvml) : nvml_(std::move(nvml)) {}

absl::StatusOr<std::unique_ptr<NvmlMonitor>> NvmlMonitor::Create(const cudaUUID_t& card) {
  auto functions = std::make_unique<NvmlFunctions>();
  HEADROOM_RETURN_IF_ERROR(functions->Load());
  std::unique_ptr<NvmlMonitor> monitor(new NvmlMonitor(std::move(functions)));
  const NvmlFunctions& nvml = *monitor->nvml_;
  // A part of a card (MIG) has a UUID of its own kind.
  if (nvml.device_by_uuid(UuidText(card, "GPU-").c_str(), &monitor->card_) != kSuccess) {
    HEADROOM_RETURN_IF_ERROR(nvml.Check(nvml.device_by_uuid(UuidText(card, "MIG-").c_str(), &monitor->card_),
                                        "looking for the card by its UUID"));
  }
  HEADROOM_ASSIGN_OR_RETURN(monitor->used_before_, monitor->UsedBytes());
  unsigned long long types = 0;
  HEADROOM_RETURN_IF_ERROR(nvml.Check(nvml.supported_events(monitor->card_, &types), "asking for its events"));
  types &= kDoubleBitEcc | kXid;
  HEADROOM_RETURN_IF_ERROR(nvml.Check(nvml.create_events(&monitor->events_), "making a set of events"));
  if (types != 0) {
    HEADROOM_RETURN_IF_ERROR(
        nvml.Check(nvml.register_events(monitor->card_, types, monitor->events_), "asking to be told of its events"));
  }
  return monitor;
}

NvmlMonitor::~NvmlMonitor() {
  if (events_ != nullptr) nvml_->free_events(events_);
  nvml_->shutdown();
}

absl::StatusOr<int64_t> NvmlMonitor::UsedBytes() const {
  MemoryInfo memory;
  HEADROOM_RETURN_IF_ERROR(nvml_->Check(nvml_->memory(card_, &memory), "asking for the card's memory"));
  return static_cast<int64_t>(memory.used);
}

int64_t NvmlMonitor::ToldBytes() const {
  std::vector<ProcessInfo> processes(16);
  auto count = static_cast<unsigned int>(processes.size());
  int error = nvml_->processes(card_, &count, processes.data());
  while (error == kInsufficientSize) {
    processes.resize(2 * static_cast<size_t>(count));
    count = static_cast<unsigned int>(processes.size());
    error = nvml_->processes(card_, &count, processes.data());
  }
  if (error != kSuccess) return -1;
  processes.resize(count);
  // In a container the driver's numbers of processes are those of the machine, and ours is not among them.
  const auto own = std::find_if(processes.begin(), processes.end(), [](const ProcessInfo& process) {
    return process.pid == static_cast<unsigned int>(getpid()) && process.used != kNotTold;
  });
  return own == processes.end() ? -1 : static_cast<int64_t>(own->used);
}

absl::Status NvmlMonitor::CountOpening() {
  HEADROOM_ASSIGN_OR_RETURN(const int64_t used, UsedBytes());
  opening_ = std::max<int64_t>(0, used - used_before_);
  return absl::OkStatus();
}

absl::StatusOr<DeviceUse> NvmlMonitor::Use() {
  MemoryInfo memory;
  HEADROOM_RETURN_IF_ERROR(nvml_->Check(nvml_->memory(card_, &memory), "asking for the card's memory"));
  const int64_t told = ToldBytes();
  DeviceUse use;
  use.total_bytes = static_cast<int64_t>(memory.total - memory.reserved);
  use.free_bytes = static_cast<int64_t>(memory.free);
  use.own_is_told = told >= 0;
  use.own_bytes = use.own_is_told ? told : opening_ + reserved_;
  use.other_bytes = std::max<int64_t>(0, static_cast<int64_t>(memory.used) - use.own_bytes);
  return use;
}

std::string NvmlMonitor::WaitForFault(std::chrono::milliseconds patience) {
  EventData event;
  const int error = nvml_->wait_for_event(events_, &event, static_cast<unsigned int>(patience.count()));
  if (error == kTimeout) return "";
  if (error == kCardIsLost) return "the driver has lost the card";
  if (error != kSuccess) {  // of NVML alone; the card may be well
    std::this_thread::sleep_for(patience);
    return "";
  }
  if (event.type == kDoubleBitEcc) return "an uncorrectable memory error of the card (double-bit ECC)";
  if (event.type != kXid ||
      std::find(std::begin(kXidsOfPrograms), std::end(kXidsOfPrograms), event.data) != std::end(kXidsOfPrograms)) {
    return "";
  }
  return absl::StrCat("the driver reports XID ", event.data, " of the card");
}

}  // namespace headroom::runtime::cuda
