// A stream of messages over a socket that never blocks.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "tests/emulation/nccl/message.h"

namespace emulation {

class Connection {
 public:
  // Takes the socket over.
  explicit Connection(int fd);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // To the hub of this name; −1 when nobody listens.
  static int Dial(const std::string& name);
  // A listening socket, in Linux's abstract namespace: no file is left behind.
  static int Listen(const std::string& name);

  int fd() const { return fd_; }
  bool open() const { return open_; }
  void Close();
  bool sends() const { return !out_.empty(); }

  void Send(MessageKind kind, int32_t rank = 0, uint64_t number = 0, const std::string& payload = "");
  // Sends, or receives, what it can without waiting. Whole messages are appended to `messages`. False: the other side
  // is gone.
  bool Flush();
  bool Receive(std::vector<Message>* messages);

 private:
  int fd_;
  bool open_ = true;
  std::deque<std::string> out_;
  size_t sent_ = 0;  // of the first
  Message in_;
  size_t received_ = 0;  // of header and payload
};

}  // namespace emulation
