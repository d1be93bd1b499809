// The decoder that runs inside the sandbox, called directly.
#include <zlib.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "common/check.h"
#include "model/image/header.h"
#include "tests/fuzz/fuzz_target.h"
#include "vision-worker/image/codec.h"

// Of sanitizer/allocator_interface.h, which GCC does not bring although its library has them.
extern "C" {
int __sanitizer_install_malloc_and_free_hooks(void (*on_malloc)(const volatile void*, size_t),  // NOLINT(bugprone-*)
                                              void (*on_free)(const volatile void*));
int __sanitizer_get_ownership(const volatile void* pointer);          // NOLINT(bugprone-*)
size_t __sanitizer_get_allocated_size(const volatile void* pointer);  // NOLINT(bugprone-*)
}

namespace headroom::fuzz {
namespace {

using vision_worker::DecodeOutcome;
using vision_worker::DecodeSpec;
using vision_worker::Transparency;

// Small pictures: large ones only take longer.
constexpr model::ImageLimits kLimits = {.bytes_max = 1 << 20, .side_max = 4096, .pixels_max = 1 << 16};

// Bytes that are allocated, and the most that ever were.
std::atomic<int64_t> allocated;
std::atomic<int64_t> allocated_max;

void OnAllocate(const volatile void* /*pointer*/, size_t bytes) {
  const int64_t now = allocated += static_cast<int64_t>(bytes);
  if (now > allocated_max) allocated_max = now;
}

void OnFree(const volatile void* pointer) {
  if (pointer != nullptr && __sanitizer_get_ownership(pointer) != 0) {
    allocated -= static_cast<int64_t>(__sanitizer_get_allocated_size(pointer));
  }
}

// An attacker makes the checksums of PNG chunks right, so do we: else nearly every change would end there.
std::string WithChecksums(std::string png) {
  const auto byte = [&](size_t at) { return static_cast<uint32_t>(static_cast<unsigned char>(png[at])); };
  for (size_t at = 8; at + 12 <= png.size();) {
    const size_t length = byte(at) << 24 | byte(at + 1) << 16 | byte(at + 2) << 8 | byte(at + 3);
    if (length > png.size() - at - 12) break;
    const auto crc = crc32(0, reinterpret_cast<const Bytef*>(&png[at + 4]), static_cast<uInt>(length + 4));
    for (size_t i = 0; i < 4; ++i) png[at + 8 + length + i] = static_cast<char>(crc >> (24 - 8 * i));
    at += 12 + length;
  }
  return png;
}

// Fills the buffer first, so that a pixel which the decoder leaves as it was shows.
DecodeOutcome Decode(const DecodeSpec& spec, const std::string& bytes, uint8_t fill, std::vector<uint8_t>* pixels) {
  pixels->assign(static_cast<size_t>(spec.width()) * spec.height() * 3, fill);
  allocated = allocated_max = 0;
  const DecodeOutcome outcome =
      vision_worker::DecodeImage(spec, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size(), pixels->data());
  HEADROOM_CHECK(outcome <= vision_worker::kDecodeOutcomeLast);
  HEADROOM_CHECK(allocated_max <= vision_worker::DecodeScratchBytesMax(spec.header.width, spec.header.height))
      << allocated_max;
  return outcome;
}

void CheckDecode(const DecodeSpec& spec, const std::string& bytes) {
  std::vector<uint8_t> first;
  std::vector<uint8_t> second;
  const DecodeOutcome outcome = Decode(spec, bytes, 0x00, &first);
  HEADROOM_CHECK(Decode(spec, bytes, 0xFF, &second) == outcome);
  if (outcome != DecodeOutcome::kOk) return;
  // Else one client would see what the buffer held before: another's picture.
  HEADROOM_CHECK(first == second) << "the decoder left pixels as they were";
  // The priced size is the only one that decodes.
  DecodeSpec other = spec;
  other.header.width += spec.shrink;
  HEADROOM_CHECK(Decode(other, bytes, 0, &second) != DecodeOutcome::kOk);
}

void Run(const std::string& input) {
  static const bool hooked = __sanitizer_install_malloc_and_free_hooks(OnAllocate, OnFree) != 0;
  HEADROOM_CHECK(hooked);
  const auto header = model::ProbeImage(input, kLimits);
  if (!header.ok()) return;
  const std::string bytes = header->format == model::ImageFormat::kPng ? WithChecksums(input) : input;
  for (const Transparency transparency : {Transparency::kWhite, Transparency::kDropped}) {
    CheckDecode({.header = *header, .transparency = transparency}, bytes);
  }
  if (header->format == model::ImageFormat::kJpeg) CheckDecode({.header = *header, .shrink = 4}, bytes);
}

std::vector<std::string> Seeds() {
  return TreeFiles("vision-worker/image/testdata", {".png", ".jpg", ".webp", ".gif", ".bmp"});
}

const Registration registration({"image_codec", Run, Seeds});

}  // namespace
}  // namespace headroom::fuzz
