#include "tests/emulation/machine/device_memory.h"

#include <sys/mman.h>

#include <cstring>
#include <mutex>
#include <stdexcept>

namespace emulation {
namespace {

constexpr uint64_t kPage = 4096;
// Between allocations, so that one that runs over its end by less than this meets nobody.
constexpr uint64_t kGap = 512;

uint8_t* Map(uint64_t bytes, int protection) {
  void* p = mmap(nullptr, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED)
    throw std::runtime_error("emulated device: no address space for " + std::to_string(bytes) + " bytes");
  return static_cast<uint8_t*>(p);
}

}  // namespace

DeviceMemory::DeviceMemory(uint64_t address_bytes)
    : address_bytes_((address_bytes + kPage - 1) / kPage * kPage),
      base_(reinterpret_cast<uint64_t>(Map(address_bytes_, PROT_NONE))),
      host_(Map(address_bytes_, PROT_READ | PROT_WRITE)),
      written_(Map(address_bytes_, PROT_READ | PROT_WRITE)),
      host_offset_(static_cast<int64_t>(reinterpret_cast<uint64_t>(host_) - base_)) {}

DeviceMemory::~DeviceMemory() {
  munmap(reinterpret_cast<void*>(base_), address_bytes_);  // NOLINT(performance-no-int-to-ptr)
  munmap(host_, address_bytes_);
  munmap(written_, address_bytes_);
}

uint64_t DeviceMemory::Allocate(uint64_t bytes, uint64_t alignment) {
  const std::unique_lock lock(mutex_);
  uint64_t begin =
      base_ + kPage;  // the first page stays free: small offsets from a null pointer of the device are errors
  for (const auto& [address, range] : allocations_) {
    if (begin + bytes + kGap <= address) break;
    begin = (range.end() + kGap + alignment - 1) / alignment * alignment;
  }
  if (bytes > address_bytes_ || begin + bytes + kGap > base_ + address_bytes_) return 0;
  allocations_[begin] = ranges_[begin] = {begin, bytes, ""};
  return begin;
}

uint64_t DeviceMemory::Free(uint64_t address) {
  const std::unique_lock lock(mutex_);
  const auto it = allocations_.find(address);
  if (it == allocations_.end()) return 0;
  const Range range = it->second;
  allocations_.erase(it);
  ranges_.erase(ranges_.lower_bound(range.begin), ranges_.lower_bound(range.end()));
  ForgetBytes(range.begin, range.bytes);
  return range.bytes;
}

// Whole pages go back to the system and read as zero afterwards, so that a large arena costs nothing here.
void DeviceMemory::ForgetBytes(uint64_t address, uint64_t bytes) {
  const uint64_t end = address + bytes, first = (address + kPage - 1) / kPage * kPage, last = end / kPage * kPage;
  if (first >= last) {
    memset(Written(address), 0, bytes);
    return;
  }
  memset(Written(address), 0, first - address);
  memset(Written(last), 0, end - last);
  madvise(Host(first), last - first, MADV_DONTNEED);
  madvise(Written(first), last - first, MADV_DONTNEED);
}

DeviceMemory::Range DeviceMemory::AllocationAt(uint64_t address) const {
  const std::shared_lock lock(mutex_);
  auto it = allocations_.upper_bound(address);
  if (it == allocations_.begin()) return {};
  --it;
  return address < it->second.end() ? it->second : Range{};
}

bool DeviceMemory::DeclareHeap(uint64_t address) {
  const std::unique_lock lock(mutex_);
  const auto it = allocations_.find(address);
  if (it == allocations_.end()) return false;
  ranges_.erase(ranges_.lower_bound(address), ranges_.lower_bound(it->second.end()));
  return true;
}

bool DeviceMemory::DeclareRegion(uint64_t address, uint64_t bytes, const std::string& name) {
  const std::unique_lock lock(mutex_);
  auto it = allocations_.upper_bound(address);
  if (it == allocations_.begin()) return false;
  --it;
  if (address + bytes > it->second.end()) return false;
  // Said again, with another name, it is the same region.
  const auto before = ranges_.find(address);
  const bool known = before != ranges_.end() && before->second.bytes == bytes;
  ranges_[address] = {address, bytes, name};
  if (!known) ForgetBytes(address, bytes);
  return true;
}

bool DeviceMemory::ForgetRegion(uint64_t address) {
  const std::unique_lock lock(mutex_);
  return ranges_.erase(address) > 0;
}

bool DeviceMemory::ResizeRegion(uint64_t address, uint64_t bytes) {
  const std::unique_lock lock(mutex_);
  const auto region = ranges_.find(address);
  auto allocation = allocations_.upper_bound(address);
  if (region == ranges_.end() || allocation == allocations_.begin()) return false;
  if (address + bytes > (--allocation)->second.end()) return false;
  const uint64_t before = region->second.bytes;
  region->second.bytes = bytes;
  if (bytes > before) ForgetBytes(address + before, bytes - before);
  return true;
}

DeviceMemory::Range DeviceMemory::RangeAt(uint64_t address) const {
  auto it = ranges_.upper_bound(address);
  if (it == ranges_.begin()) return {};
  return (--it)->second;
}

void DeviceMemory::MarkWritten(uint64_t address, uint64_t bytes) { memset(Written(address), 1, bytes); }

}  // namespace emulation
