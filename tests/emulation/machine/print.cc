#include "tests/emulation/machine/print.h"

#include <cstdio>
#include <string>

#include "tests/emulation/machine/access.h"
#include "tests/emulation/machine/frame.h"

namespace emulation {
namespace {

constexpr size_t kStringMax = 4096;

// Argument `k` of the call, from the caller's local memory.
template <class T>
T Argument(Warp& w, const Instruction& i, int lane, size_t k) {
  const CallSite& site = w.launch->program->calls[i.value];
  T value{};
  memcpy(&value, LocalMemory(w, lane, w.frame->local_begin + site.arguments.at(k).from),
         std::min<size_t>(sizeof value, site.arguments[k].bytes));
  return value;
}

const uint8_t* Pointer(Warp& w, const Instruction& i, int lane, uint64_t address, uint32_t bytes) {
  WarpAccess access;
  access.mask = 1u << lane;
  access.bytes = 1;
  for (uint32_t k = 0; k < bytes; k++) {
    access.address[lane] = address + bytes - 1 - k;
    Resolve<ptx::Space::kGeneric>(w, i, access);
  }
  return access.host[lane];
}

std::string ReadString(Warp& w, const Instruction& i, int lane, uint64_t address) {
  std::string text;
  while (text.size() < kStringMax) {
    const char c = static_cast<char>(*Pointer(w, i, lane, address + text.size(), 1));
    if (c == 0) break;
    text += c;
  }
  return text;
}

template <class T>
std::string FormatOne(const std::string& specifier, T value) {
  char buffer[512];
  const int n = snprintf(buffer, sizeof buffer, specifier.c_str(), value);
  return {buffer, static_cast<size_t>(std::clamp(n, 0, static_cast<int>(sizeof buffer) - 1))};
}

// Walks the format and the buffer of arguments, in which each is aligned to its size of 4 or 8 bytes.
class Formatter {
 public:
  Formatter(Warp& w, const Instruction& i, int lane, uint64_t arguments)
      : w_(w), i_(i), lane_(lane), arguments_(arguments) {}

  std::string Format(const std::string& format) {
    std::string out;
    for (size_t at = 0; at < format.size();) {
      if (format[at] != '%') {
        out += format[at++];
        continue;
      }
      const size_t end = format.find_first_of("diouxXeEfFgGaAcsp%", at + 1);
      if (end == std::string::npos) return out + format.substr(at);
      out += One(format.substr(at, end + 1 - at));
      at = end + 1;
    }
    return out;
  }

 private:
  std::string One(const std::string& specifier) {
    const char kind = specifier.back();
    if (kind == '%') return "%";
    if (specifier.find('*') != std::string::npos) return specifier;  // a width from an argument: left as it is
    if (kind == 's') return FormatOne(specifier, ReadString(w_, i_, lane_, Take<uint64_t>()).c_str());
    if (kind == 'p') return FormatOne(specifier, reinterpret_cast<void*>(Take<uint64_t>()));
    if (std::string("eEfFgGaA").find(kind) != std::string::npos) return FormatOne(specifier, Take<double>());
    const bool wide = specifier.find('l') != std::string::npos || specifier.find('z') != std::string::npos ||
                      specifier.find('j') != std::string::npos;
    return wide ? FormatOne(specifier, Take<uint64_t>()) : FormatOne(specifier, Take<uint32_t>());
  }

  template <class T>
  T Take() {
    offset_ = (offset_ + sizeof(T) - 1) / sizeof(T) * sizeof(T);
    T value;
    memcpy(&value, Pointer(w_, i_, lane_, arguments_ + offset_, sizeof value), sizeof value);
    offset_ += sizeof(T);
    return value;
  }

  Warp& w_;
  const Instruction& i_;
  int lane_;
  uint64_t arguments_;
  uint64_t offset_ = 0;
};

void Print(Warp& w, const Instruction& i, Mask mask) {
  ForLanes(mask, [&](int lane) {
    const std::string format = ReadString(w, i, lane, Argument<uint64_t>(w, i, lane, 0));
    const std::string text = Formatter(w, i, lane, Argument<uint64_t>(w, i, lane, 1)).Format(format);
    if (w.launch->options->print) {
      w.launch->options->print(text);
    } else {
      fputs(text.c_str(), stdout);
    }
    const CallSite& site = w.launch->program->calls[i.value];
    const int printed = static_cast<int>(text.size());
    if (!site.results.empty())
      memcpy(LocalMemory(w, lane, w.frame->local_begin + site.results[0].to), &printed, sizeof printed);
  });
}

// __assertfail(message, file, line, function, size of a character)
void AssertFail(Warp& w, const Instruction& i, Mask mask) {
  const int lane = std::countr_zero(mask);
  const std::string message = ReadString(w, i, lane, Argument<uint64_t>(w, i, lane, 0));
  const std::string function = ReadString(w, i, lane, Argument<uint64_t>(w, i, lane, 3));
  Fail(w, i, lane, FaultKind::kAssert, "`" + message + "` does not hold in " + function);
}

}  // namespace

Handler SystemCall(std::string_view name) {
  if (name == "vprintf") return Print;
  if (name == "__assertfail") return AssertFail;
  return nullptr;
}

}  // namespace emulation
