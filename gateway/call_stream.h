// A forced call as it comes: {"name": …, "arguments": …}, told apart before it is whole.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace headroom::gateway {

// Used by one thread. For text that a constraint wrote (ForcedCallSchema): the name first, white space anywhere.
class CallStream {
 public:
  // More of the text. Afterwards TakeArguments() gives what may be shown; nothing before has_name().
  void Add(std::string_view text);

  bool has_name() const { return state_ != State::kHead; }
  const std::string& name() const { return name_; }
  // Since it was asked last: bytes of the arguments' JSON.
  std::string TakeArguments();
  // All that came, while there is no name yet.
  const std::string& head() const { return head_; }

 private:
  enum class State : uint8_t { kHead, kArguments, kOver };

  void ReadHead();
  void ReadArguments(std::string_view text);

  State state_ = State::kHead;
  std::string head_, name_, arguments_;
  int depth_ = 0;  // of containers inside of the arguments
  bool in_string_ = false;
  bool escaped_ = false;  // the next byte of the string
};

}  // namespace headroom::gateway
