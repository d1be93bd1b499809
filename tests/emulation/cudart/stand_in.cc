#include "tests/emulation/cudart/stand_in.h"

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "tests/emulation/cudart/api.h"

namespace {

using emulation::Device;

// Owned by every copy of the operation, so that the last one releases it.
std::shared_ptr<void> Own(void* context, void (*release)(void*)) { return {context, release}; }

bool Fail(Device& device, const char* what, const std::string& why) {
  device.Break(cudaErrorIllegalAddress, std::string(what) + ": " + why);
  return false;
}

bool Check(Device& device, uint64_t address, size_t bytes, bool reads, const char* what) {
  const auto lock = device.memory().Lock();
  const emulation::DeviceMemory::Range range = device.memory().RangeAt(address);
  if (address < range.begin || address + bytes > range.end()) {
    return Fail(device, what,
                std::to_string(bytes) + " bytes, " + std::to_string(address - range.begin) + " into " +
                    (range.name.empty() ? "an allocation" : "region '" + range.name + "'") + " of " +
                    std::to_string(range.bytes));
  }
  if (reads && emulation::GetSettings().checked && memchr(device.memory().Written(address), 0, bytes) != nullptr) {
    return Fail(device, what, "reads device memory that nobody wrote");
  }
  return true;
}

}  // namespace

extern "C" {

cudaError_t emulated_push(cudaStream_t handle, int (*run)(void*), void (*release)(void*), void* context) {
  const std::shared_ptr<void> owned = Own(context, release);
  const std::shared_ptr<emulation::Stream> stream = emulation::FindStream(handle);
  if (stream == nullptr) return cudaErrorInvalidResourceHandle;
  return emulation::PushOperation(stream, [run, owned] { return run(owned.get()) != 0; });
}

void emulated_progress(int number) {
  const emulation::Device* device = emulation::VisibleDevice(number);
  if (device == nullptr) return;
  for (const std::shared_ptr<emulation::Stream>& stream : emulation::StreamsOf(*device))
    emulation::Step(*stream, ~uint64_t{0});
}

void emulated_fail(int number, cudaError_t error, const char* why) {
  if (emulation::Device* device = emulation::VisibleDevice(number); device != nullptr) device->Break(error, why);
}

void* emulated_host(const void* pointer, size_t bytes, int reads, const char* what) {
  const auto address = reinterpret_cast<uint64_t>(pointer);
  Device* device = emulation::OwnerOf(pointer);
  if (device == nullptr) {
    Fail(emulation::CurrentDevice(), what, "a pointer that is not of a device");
    return nullptr;
  }
  return Check(*device, address, bytes, reads != 0, what) ? device->memory().Host(address) : nullptr;
}

void emulated_written(const void* pointer, size_t bytes) {
  if (Device* device = emulation::OwnerOf(pointer); device != nullptr)
    device->memory().MarkWritten(reinterpret_cast<uint64_t>(pointer), bytes);
}

int emulated_take(size_t bytes) { return emulation::CurrentDevice().Take(bytes) ? 1 : 0; }
void emulated_give_back(size_t bytes) { emulation::CurrentDevice().GiveBack(bytes); }
size_t emulated_setting(const char* variable, size_t standard) { return emulation::BytesSetting(variable, standard); }

int emulated_device(int number, emulated_device_info* info) {
  if (number < 0 || number >= emulation::GetSettings().count) return 0;
  const emulation::Settings& settings = emulation::GetSettings();
  Device& device = *emulation::Devices()[number];
  *info = {};
  snprintf(info->name, sizeof info->name, "%s", settings.name.c_str());
  memcpy(info->uuid, device.Uuid().data(), sizeof info->uuid);
  info->total = device.account().total();
  info->used = info->total - device.account().free_bytes();
  info->capability = settings.capability;
  info->multiprocessors = settings.multiprocessors;
  return 1;
}

int emulated_users(int number, emulated_user* users, int max) {
  if (number < 0 || number >= emulation::GetSettings().count) return 0;
  const std::vector<emulation::Account::User> all = emulation::Devices()[number]->account().Users();
  for (int k = 0; k < max && k < static_cast<int>(all.size()); k++) users[k] = {all[k].pid, all[k].bytes};
  return static_cast<int>(all.size());
}

unsigned long long emulated_event_count(int number) {
  if (number < 0 || number >= emulation::GetSettings().count) return 0;
  return emulation::Devices()[number]->account().event_count();
}

int emulated_event(int number, unsigned long long index, unsigned int* xid) {
  if (number < 0 || number >= emulation::GetSettings().count) return 0;
  return emulation::Devices()[number]->account().Event(index, xid) ? 1 : 0;
}

int emulated_heap(const void* pointer) {
  Device* device = emulation::OwnerOf(pointer);
  return device != nullptr && device->memory().DeclareHeap(reinterpret_cast<uint64_t>(pointer)) ? 1 : 0;
}
int emulated_region(const void* pointer, size_t bytes, const char* name) {
  Device* device = emulation::OwnerOf(pointer);
  return device != nullptr &&
                 device->memory().DeclareRegion(reinterpret_cast<uint64_t>(pointer), bytes, name == nullptr ? "" : name)
             ? 1
             : 0;
}
int emulated_forget_region(const void* pointer) {
  Device* device = emulation::OwnerOf(pointer);
  return device != nullptr && device->memory().ForgetRegion(reinterpret_cast<uint64_t>(pointer)) ? 1 : 0;
}

}  // extern "C"
