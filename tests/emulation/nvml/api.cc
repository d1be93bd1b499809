// libnvidia-ml: devices, memory, processes. The figures are those of libcudart's stand-in, for all processes that name
// the card; no context is made.
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "tests/emulation/cudart/stand_in.h"
#include "tests/emulation/nvml/library.h"

namespace emulation {
namespace {

constexpr unsigned int kNoInstance = 0xffffffff;  // without MIG
constexpr int kCudaVersion = 13000;
constexpr char kDriverVersion[] = "580.00.00", kNvmlVersion[] = "13.580.00.00";

std::atomic<int> initialized = 0;

// Handles are compared and kept by programs: one for each card, for good.
std::vector<nvmlDevice_st>& Handles() {
  static auto* const kHandles = [] {
    auto* handles = new std::vector<nvmlDevice_st>();
    emulated_device_info info;
    for (int number = 0; emulated_device(number, &info) != 0; number++) handles->push_back({number});
    return handles;
  }();
  return *kHandles;
}

std::string UuidOf(const emulated_device_info& info) {
  std::string text = "GPU";
  char digits[3];
  for (int k = 0; k < 16; k++) {
    if (k == 0 || k == 4 || k == 6 || k == 8 || k == 10) text += '-';
    snprintf(digits, sizeof digits, "%02x", static_cast<unsigned char>(info.uuid[k]));
    text += digits;
  }
  return text;
}

nvmlReturn_t Copy(const std::string& text, char* to, unsigned int length) {
  if (to == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
  if (text.size() + 1 > length) return NVML_ERROR_INSUFFICIENT_SIZE;
  memcpy(to, text.c_str(), text.size() + 1);
  return NVML_SUCCESS;
}

nvmlReturn_t CopySystem(const std::string& text, char* to, unsigned int length) {
  return IsInitialized() ? Copy(text, to, length) : NVML_ERROR_UNINITIALIZED;
}

// `use` gets what is known of the card.
template <class Use>
nvmlReturn_t About(nvmlDevice_t device, Use use) {
  if (const nvmlReturn_t result = Check(device); result != NVML_SUCCESS) return result;
  emulated_device_info info;
  emulated_device(device->number, &info);
  return use(info);
}

[[noreturn]] void Bad(const char* name, const std::string& wanted) {
  fprintf(stderr, "emulated NVML: %s: %s is wanted\n", name, wanted.c_str());
  std::exit(2);
}

}  // namespace

const NvmlSettings& GetNvmlSettings() {
  static const auto* const kSettings = [] {
    auto* settings = new NvmlSettings;
    if (const char* reserved = getenv("EMULATED_NVML_RESERVED"); reserved != nullptr) {
      char* end = nullptr;
      settings->reserved = strtoull(reserved, &end, 10);
      if (*reserved == 0 || *end != 0) Bad("EMULATED_NVML_RESERVED", "a number of bytes");
    }
    if (const char* processes = getenv("EMULATED_NVML_PROCESSES"); processes != nullptr) {
      const std::string word = processes;
      if (word != "sizes" && word != "no-sizes" && word != "none")
        Bad("EMULATED_NVML_PROCESSES", "sizes, no-sizes or none");
      settings->sizes = word == "sizes";
      settings->processes = word != "none";
    }
    return settings;
  }();
  return *kSettings;
}

bool IsInitialized() { return initialized > 0; }

nvmlReturn_t Check(nvmlDevice_t device) {
  if (!IsInitialized()) return NVML_ERROR_UNINITIALIZED;
  const auto known = [&](const nvmlDevice_st& handle) { return &handle == device; };
  if (std::none_of(Handles().begin(), Handles().end(), known)) return NVML_ERROR_INVALID_ARGUMENT;
  for (unsigned long long index = 0; index < emulated_event_count(device->number); index++) {
    unsigned int xid = 0;
    if (emulated_event(device->number, index, &xid) != 0 && xid == kXidLost) return NVML_ERROR_GPU_IS_LOST;
  }
  return NVML_SUCCESS;
}

}  // namespace emulation

using namespace emulation;  // NOLINT(google-build-using-namespace): the functions below are in no namespace

extern "C" {

nvmlReturn_t nvmlInit_v2() {
  GetNvmlSettings();
  initialized++;
  return NVML_SUCCESS;
}
nvmlReturn_t nvmlInitWithFlags(unsigned int) { return nvmlInit_v2(); }
nvmlReturn_t nvmlShutdown() {
  if (!IsInitialized()) return NVML_ERROR_UNINITIALIZED;
  initialized--;
  return NVML_SUCCESS;
}

const char* nvmlErrorString(nvmlReturn_t result) {
  switch (result) {
    case NVML_SUCCESS:
      return "Success";
    case NVML_ERROR_UNINITIALIZED:
      return "Uninitialized";
    case NVML_ERROR_INVALID_ARGUMENT:
      return "Invalid Argument";
    case NVML_ERROR_NOT_SUPPORTED:
      return "Not Supported";
    case NVML_ERROR_NOT_FOUND:
      return "Not Found";
    case NVML_ERROR_INSUFFICIENT_SIZE:
      return "Insufficient Size";
    case NVML_ERROR_DRIVER_NOT_LOADED:
      return "Driver Not Loaded";
    case NVML_ERROR_TIMEOUT:
      return "Timeout";
    case NVML_ERROR_GPU_IS_LOST:
      return "GPU is lost";
    case NVML_ERROR_ARGUMENT_VERSION_MISMATCH:
      return "Argument version mismatch";
  }
  return "Unknown Error";
}

nvmlReturn_t nvmlSystemGetDriverVersion(char* version, unsigned int length) {
  return CopySystem(kDriverVersion, version, length);
}
nvmlReturn_t nvmlSystemGetNVMLVersion(char* version, unsigned int length) {
  return CopySystem(kNvmlVersion, version, length);
}
nvmlReturn_t nvmlSystemGetCudaDriverVersion_v2(int* version) {
  if (version == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
  *version = kCudaVersion;
  return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetCount_v2(unsigned int* count) {
  if (!IsInitialized()) return NVML_ERROR_UNINITIALIZED;
  if (count == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
  *count = Handles().size();
  return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned int index, nvmlDevice_t* device) {
  if (!IsInitialized()) return NVML_ERROR_UNINITIALIZED;
  if (device == nullptr || index >= Handles().size()) return NVML_ERROR_INVALID_ARGUMENT;
  *device = &Handles()[index];
  return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetHandleByUUID(const char* uuid, nvmlDevice_t* device) {
  if (!IsInitialized()) return NVML_ERROR_UNINITIALIZED;
  if (uuid == nullptr || device == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
  for (nvmlDevice_st& handle : Handles()) {
    emulated_device_info info;
    emulated_device(handle.number, &info);
    if (UuidOf(info) != uuid) continue;
    *device = &handle;
    return NVML_SUCCESS;
  }
  return NVML_ERROR_NOT_FOUND;
}

nvmlReturn_t nvmlDeviceGetUUID(nvmlDevice_t device, char* uuid, unsigned int length) {
  return About(device, [&](const emulated_device_info& info) { return Copy(UuidOf(info), uuid, length); });
}
nvmlReturn_t nvmlDeviceGetName(nvmlDevice_t device, char* name, unsigned int length) {
  return About(device, [&](const emulated_device_info& info) { return Copy(info.name, name, length); });
}
nvmlReturn_t nvmlDeviceGetIndex(nvmlDevice_t device, unsigned int* index) {
  return About(device, [&](const emulated_device_info&) {
    *index = device->number;
    return NVML_SUCCESS;
  });
}
nvmlReturn_t nvmlDeviceGetCudaComputeCapability(nvmlDevice_t device, int* major, int* minor) {
  return About(device, [&](const emulated_device_info& info) {
    *major = info.capability / 10;
    *minor = info.capability % 10;
    return NVML_SUCCESS;
  });
}

nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t device, nvmlMemory_t* memory) {
  nvmlMemory_v2_t apart{};
  apart.version = NVML_MEMORY_V2;
  const nvmlReturn_t result = nvmlDeviceGetMemoryInfo_v2(device, &apart);
  if (result == NVML_SUCCESS) *memory = {apart.total, apart.free, apart.used + apart.reserved};
  return result;
}

nvmlReturn_t nvmlDeviceGetMemoryInfo_v2(nvmlDevice_t device, nvmlMemory_v2_t* memory) {
  if (memory == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
  if (memory->version != NVML_MEMORY_V2) return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
  return About(device, [&](const emulated_device_info& info) {
    memory->reserved = GetNvmlSettings().reserved;
    memory->total = info.total + memory->reserved;
    memory->used = info.used;
    memory->free = info.total - info.used;
    return NVML_SUCCESS;
  });
}

nvmlReturn_t nvmlDeviceGetComputeRunningProcesses_v3(nvmlDevice_t device, unsigned int* count,
                                                     nvmlProcessInfo_t* infos) {
  if (count == nullptr || (*count > 0 && infos == nullptr)) return NVML_ERROR_INVALID_ARGUMENT;
  if (const nvmlReturn_t result = Check(device); result != NVML_SUCCESS) return result;
  const NvmlSettings& settings = GetNvmlSettings();
  std::vector<emulated_user> users(*count);
  const unsigned int all =
      settings.processes ? emulated_users(device->number, users.data(), static_cast<int>(users.size())) : 0;
  const unsigned int room = *count;
  *count = all;
  if (all > room) return NVML_ERROR_INSUFFICIENT_SIZE;
  for (unsigned int k = 0; k < all; k++)
    infos[k] = {static_cast<unsigned int>(users[k].pid), settings.sizes ? users[k].bytes : NVML_VALUE_NOT_AVAILABLE,
                kNoInstance, kNoInstance};
  return NVML_SUCCESS;
}

}  // extern "C"
