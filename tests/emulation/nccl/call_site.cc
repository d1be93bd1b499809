#include "tests/emulation/nccl/call_site.h"

#include <dlfcn.h>
#include <execinfo.h>

#include <cstdint>
#include <cstdio>
#include <sstream>

namespace emulation {
namespace {

constexpr int kShown = 3;

// "file:line"; empty where addr2line is missing or knows nothing.
std::string Line(const std::string& file, const std::string& offset) {
  if (file.find('\'') != std::string::npos) return "";
  const std::string command = "addr2line -e '" + file + "' " + offset + " 2>/dev/null";
  FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return "";
  std::string line;
  for (int c; (c = fgetc(pipe)) != EOF && c != '\n';) line += static_cast<char>(c);
  pclose(pipe);
  line = line.substr(0, line.find(" (discriminator"));
  return line.find('?') == std::string::npos ? line : "";
}

}  // namespace

CallSite CallSite::Here() {
  CallSite site;
  site.count_ = backtrace(site.frames_, kFrames);
  return site;
}

std::string CallSite::Text() const {
  Dl_info own{}, info{};
  dladdr(reinterpret_cast<void*>(&CallSite::Here), &own);
  std::ostringstream text;
  int shown = 0;
  for (int k = 0; k < count_ && shown < kShown; k++) {
    // The instruction before the return address is the call.
    const char* address = static_cast<const char*>(frames_[k]) - 1;
    if (dladdr(address, &info) == 0 || info.dli_fbase == own.dli_fbase) continue;
    text << (shown++ == 0 ? "" : " ") << info.dli_fname << "+0x" << std::hex
         << address - static_cast<const char*>(info.dli_fbase);
  }
  return text.str();
}

std::string ResolveSite(const std::string& text) {
  std::istringstream frames(text);
  std::string resolved;
  for (std::string frame; frames >> frame;) {
    const size_t plus = frame.rfind('+');
    const std::string line = plus == std::string::npos ? "" : Line(frame.substr(0, plus), frame.substr(plus + 1));
    if (line.rfind("/usr/", 0) == 0) continue;  // the standard library's way from one caller to the next
    resolved += (resolved.empty() ? "" : ", called from ") + (line.empty() ? frame : line);
  }
  return resolved;
}

}  // namespace emulation
