// libnvidia-ml: XID and ECC events.
#include <chrono>
#include <mutex>
#include <thread>
#include <vector>

#include "tests/emulation/cudart/stand_in.h"
#include "tests/emulation/nvml/library.h"

namespace emulation {
namespace {

constexpr unsigned long long kSupported = NVML_EVENT_XID | NVML_EVENT_DOUBLE_BIT_ECC;
constexpr auto kPoll = std::chrono::milliseconds(2);

}  // namespace
}  // namespace emulation

// The header leaves it open.
struct nvmlEventSet_st {
  struct Watched {
    nvmlDevice_t device;
    unsigned long long types;
    unsigned long long next;  // event of the card that was not looked at yet
    bool ecc_first = false;   // the ECC half of that event was told
  };
  std::mutex mutex;
  std::vector<Watched> devices;

  // The next event that was asked for. An uncorrectable error is two of them: ECC, then XID.
  bool Take(nvmlEventData_t* data) {
    const std::lock_guard lock(mutex);
    for (Watched& watched : devices) {
      while (watched.next < emulated_event_count(watched.device->number)) {
        unsigned int xid = 0;
        const bool known = emulated_event(watched.device->number, watched.next, &xid) != 0;
        const bool ecc = known && xid == emulation::kXidEcc && !watched.ecc_first &&
                         (watched.types & NVML_EVENT_DOUBLE_BIT_ECC) != 0;
        watched.ecc_first = ecc;
        if (!ecc) watched.next++;
        if (!known || (!ecc && (watched.types & NVML_EVENT_XID) == 0)) continue;
        *data = {watched.device, ecc ? NVML_EVENT_DOUBLE_BIT_ECC : NVML_EVENT_XID, ecc ? 0 : xid, 0xffffffff,
                 0xffffffff};
        return true;
      }
    }
    return false;
  }
};

extern "C" {

nvmlReturn_t nvmlDeviceGetSupportedEventTypes(nvmlDevice_t device, unsigned long long* types) {
  if (types == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
  *types = emulation::kSupported;
  return emulation::Check(device);
}

nvmlReturn_t nvmlEventSetCreate(nvmlEventSet_t* set) {
  if (!emulation::IsInitialized()) return NVML_ERROR_UNINITIALIZED;
  if (set == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
  *set = new nvmlEventSet_st;
  return NVML_SUCCESS;
}

// Events from before the registration are not told.
nvmlReturn_t nvmlDeviceRegisterEvents(nvmlDevice_t device, unsigned long long types, nvmlEventSet_t set) {
  if (set == nullptr || types == 0) return NVML_ERROR_INVALID_ARGUMENT;
  if (const nvmlReturn_t result = emulation::Check(device); result != NVML_SUCCESS) return result;
  if ((types & ~emulation::kSupported) != 0) return NVML_ERROR_NOT_SUPPORTED;
  const std::lock_guard lock(set->mutex);
  for (nvmlEventSet_st::Watched& watched : set->devices) {
    if (watched.device != device) continue;
    watched.types |= types;
    return NVML_SUCCESS;
  }
  set->devices.push_back({device, types, emulated_event_count(device->number)});
  return NVML_SUCCESS;
}

nvmlReturn_t nvmlEventSetWait_v2(nvmlEventSet_t set, nvmlEventData_t* data, unsigned int timeout_ms) {
  if (!emulation::IsInitialized()) return NVML_ERROR_UNINITIALIZED;
  if (set == nullptr || data == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(timeout_ms);
  while (true) {
    if (set->Take(data)) return NVML_SUCCESS;
    if (std::chrono::steady_clock::now() >= end) return NVML_ERROR_TIMEOUT;
    std::this_thread::sleep_for(emulation::kPoll);
  }
}

nvmlReturn_t nvmlEventSetFree(nvmlEventSet_t set) {
  if (set == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
  delete set;
  return NVML_SUCCESS;
}

}  // extern "C"
