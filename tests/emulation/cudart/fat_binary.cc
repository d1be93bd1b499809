#include "tests/emulation/cudart/fat_binary.h"

#include <cstdint>
#include <cstdio>
#include <cstring>

#include "tests/emulation/ptx/parser.h"

namespace emulation {
namespace {

constexpr uint32_t kWrapperMagic = 0x466243b1;
constexpr uint32_t kDataMagic = 0xba55ed50;
constexpr uint16_t kPtx = 1;
constexpr uint64_t kCompressedFlags = 0x2000 | 0x8000;  // LZ4, Zstandard

struct Wrapper {
  uint32_t magic;
  uint32_t version;
  const uint8_t* data;
};

template <class T>
T At(const uint8_t* p, size_t offset) {
  T value;
  memcpy(&value, p + offset, sizeof value);
  return value;
}

}  // namespace

FatBinary::FatBinary(const void* wrapper) {
  const auto* w = static_cast<const Wrapper*>(wrapper);
  if (w->magic != kWrapperMagic || At<uint32_t>(w->data, 0) != kDataMagic) {
    fprintf(stderr, "emulated GPU: a fat binary of a kind that is not known\n");
    return;
  }
  const uint8_t* entry = w->data + At<uint16_t>(w->data, 6);
  const uint8_t* const end = entry + At<uint64_t>(w->data, 8);
  while (entry < end) {
    const uint32_t header = At<uint32_t>(entry, 4);
    const uint64_t bytes = At<uint64_t>(entry, 8);
    if (At<uint16_t>(entry, 0) == kPtx) {
      const auto* text = reinterpret_cast<const char*>(entry + header);
      if (At<uint64_t>(entry, 40) & kCompressedFlags) {
        compressed_ = true;
      } else {
        texts_[At<uint32_t>(entry, 28)] = std::string(text, strnlen(text, bytes));
      }
    }
    entry += header + bytes;
  }
}

const ptx::Module* FatBinary::ModuleFor(int capability) const {
  const std::lock_guard lock(mutex_);
  auto it = texts_.upper_bound(capability);
  if (it == texts_.begin()) {
    fprintf(stderr, "emulated GPU: the program holds no PTX for capability %d.%d%s\n", capability / 10, capability % 10,
            compressed_ ? "; it is compressed: build with --compress-mode=none" : "");
    return nullptr;
  }
  --it;
  std::unique_ptr<ptx::Module>& module = modules_[it->first];
  if (!module) module = ptx::Parse(it->second);
  return module.get();
}

}  // namespace emulation
