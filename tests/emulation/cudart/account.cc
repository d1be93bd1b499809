#include "tests/emulation/cudart/account.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <stdexcept>

namespace emulation {
namespace {

constexpr int kUsersMax = 64;
constexpr uint64_t kEventsMax = 64;

// When the process began, in ticks since the machine did: tells a process from another that got its number later.
uint64_t StartOf(int pid) {
  std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  if (!std::getline(stat, text)) return 0;
  // Field 22; the name in parentheses may hold blanks.
  size_t at = text.rfind(')');
  for (int field = 2; field < 22 && at != std::string::npos; field++) at = text.find(' ', at + 1);
  return at == std::string::npos ? 0 : std::stoull(text.substr(at + 1));
}

}  // namespace

struct Account::Shared {
  bool ready;
  pthread_mutex_t mutex;  // robust: the death of its holder does not lock everybody out
  struct {
    int pid;
    uint64_t start;
    uint64_t bytes;
  } users[kUsersMax];
  uint64_t event_count;
  uint32_t events[kEventsMax];  // a ring
};

class Account::Lock {
 public:
  explicit Lock(Shared& shared) : shared_(shared) {
    // Every change is one store, so that what a dead holder left is whole.
    if (pthread_mutex_lock(&shared_.mutex) == EOWNERDEAD) pthread_mutex_consistent(&shared_.mutex);
  }
  ~Lock() { pthread_mutex_unlock(&shared_.mutex); }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

 private:
  Shared& shared_;
};

Account::Account(const std::string& file, uint64_t total, uint64_t others) : total_(total), others_(others) {
  int fd = -1;
  if (!file.empty()) {
    fd = open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || flock(fd, LOCK_EX) != 0 || ftruncate(fd, sizeof(Shared)) != 0)
      throw std::runtime_error("emulated GPU: cannot open " + file);
  }
  void* p =
      mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED, fd, 0);
  if (p == MAP_FAILED) throw std::runtime_error("emulated GPU: cannot map " + file);
  shared_ = static_cast<Shared*>(p);
  if (!shared_->ready) {
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&shared_->mutex, &attributes);
    pthread_mutexattr_destroy(&attributes);
    shared_->ready = true;
  }
  if (fd >= 0) {
    // The mapping would keep the lock.
    flock(fd, LOCK_UN);
    close(fd);
  }
}

Account::~Account() {
  {
    const Lock lock(*shared_);
    for (auto& user : shared_->users) {
      if (user.pid == getpid()) user = {};
    }
  }
  munmap(shared_, sizeof(Shared));
}

uint64_t Account::Used() {
  uint64_t used = others_;
  for (auto& user : shared_->users) {
    if (user.pid == 0) continue;
    if (user.pid != getpid() && StartOf(user.pid) != user.start) user = {};
    used += user.bytes;
  }
  return used;
}

bool Account::Take(uint64_t bytes) {
  const Lock lock(*shared_);
  const uint64_t used = Used();
  if (bytes > total_ || used > total_ - bytes) return false;
  for (int pass = 0; pass < 2; pass++) {
    for (auto& user : shared_->users) {
      // First the own entry, then a free one.
      if (user.pid != (pass == 0 ? getpid() : 0)) continue;
      if (pass == 1) {
        user.start = StartOf(getpid());
        user.pid = getpid();
      }
      user.bytes += bytes;
      return true;
    }
  }
  return false;
}

void Account::GiveBack(uint64_t bytes) {
  const Lock lock(*shared_);
  for (auto& user : shared_->users) {
    if (user.pid == getpid()) user.bytes -= bytes;
  }
}

uint64_t Account::free_bytes() {
  const Lock lock(*shared_);
  const uint64_t used = Used();
  return used > total_ ? 0 : total_ - used;
}

std::vector<Account::User> Account::Users() {
  const Lock lock(*shared_);
  Used();
  std::vector<User> users;
  for (const auto& user : shared_->users) {
    if (user.pid != 0) users.push_back({user.pid, user.bytes});
  }
  return users;
}

void Account::Report(uint32_t xid) {
  const Lock lock(*shared_);
  shared_->events[shared_->event_count % kEventsMax] = xid;
  shared_->event_count++;
}

uint64_t Account::event_count() {
  const Lock lock(*shared_);
  return shared_->event_count;
}

bool Account::Event(uint64_t index, uint32_t* xid) {
  const Lock lock(*shared_);
  if (index >= shared_->event_count || index + kEventsMax < shared_->event_count) return false;
  *xid = shared_->events[index % kEventsMax];
  return true;
}

}  // namespace emulation
