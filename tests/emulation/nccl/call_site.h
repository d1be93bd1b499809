// Where the program called the library, for messages about ranks that disagree.
#pragma once

#include <string>

namespace emulation {

class CallSite {
 public:
  // The callers of the library's function that calls this, innermost first.
  static CallSite Here();
  // "file+0xoffset file+0xoffset": another process of this machine can look the lines up.
  std::string Text() const;

 private:
  static constexpr int kFrames = 12;
  void* frames_[kFrames] = {};
  int count_ = 0;
};

// Files and lines for a Text(), where the program has debug information; else the text itself.
std::string ResolveSite(const std::string& text);

}  // namespace emulation
