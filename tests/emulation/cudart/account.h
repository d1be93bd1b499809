// The bytes of one device, shared by the processes that name it: in a file that they map, with an entry for each. A
// process that dies without giving back is noticed by the next one that asks.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace emulation {

class Account {
 public:
  struct User {
    int pid;
    uint64_t bytes;
  };

  // `file` empty: in this process alone. `others`: bytes that are taken by nobody who is known.
  Account(const std::string& file, uint64_t total, uint64_t others);
  ~Account();
  Account(const Account&) = delete;
  Account& operator=(const Account&) = delete;

  // Thread and process safe. False when fewer bytes are free.
  bool Take(uint64_t bytes);
  void GiveBack(uint64_t bytes);
  uint64_t free_bytes();
  uint64_t total() const { return total_; }
  std::vector<User> Users();
  // Events of the card, seen by all processes: XID numbers as the driver logs them. The latest kEventsMax are kept.
  void Report(uint32_t xid);
  uint64_t event_count();
  bool Event(uint64_t index, uint32_t* xid);

 private:
  struct Shared;
  class Lock;
  uint64_t Used();  // under the lock; forgets the dead

  uint64_t total_, others_;
  Shared* shared_;
};

}  // namespace emulation
