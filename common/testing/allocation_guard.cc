#include "common/testing/allocation_guard.h"

#include <dlfcn.h>
#include <execinfo.h>
#include <malloc.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace headroom {
namespace {

struct ThreadState {
  int depth = 0;       // of scopes
  bool stays = false;  // until the thread ends
  bool reporting = false;
  int64_t held = 0;  // since the outermost scope began; what it frees of older memory counts negative
};
// Plain data and in the static block: touching it must not allocate.
__attribute__((tls_model("initial-exec"))) thread_local constinit ThreadState state;
std::atomic<int64_t> looked_at{0};
bool armed = true;

bool Marked() { return (state.depth > 0 || state.stays) && !state.reporting; }

[[noreturn]] void Die(const char* what, int64_t bytes) {
  state.reporting = true;
  char text[256];
  const int length = std::snprintf(
      text, sizeof text, "allocation guard: a thread that computes %s %lld bytes after start; the limit is %lld\n",
      what, static_cast<long long>(bytes), static_cast<long long>(kAllocationBytesMax));
  [[maybe_unused]] ssize_t written = write(STDERR_FILENO, text, static_cast<size_t>(length));
  void* frames[64];
  backtrace_symbols_fd(frames, backtrace(frames, 64), STDERR_FILENO);
  abort();
}

void Look(int64_t asked, int64_t got) {
  looked_at.fetch_add(1, std::memory_order_relaxed);
  if (!armed) return;
  if (asked > kAllocationBytesMax) Die("asks for", asked);
  if (state.depth == 0) return;  // of a team: nothing says where a step begins
  state.held += got;
  if (state.held > kAllocationBytesMax) Die("holds", state.held);
}

// backtrace() loads a library at its first call, which allocates.
__attribute__((constructor)) void LoadUnwinder() {
  const char* const setting = std::getenv("HEADROOM_ALLOCATION_GUARD");
  armed = setting == nullptr || std::strcmp(setting, "off") != 0;
  void* frame[1];
  backtrace(frame, 1);
}

}  // namespace

bool AllocationGuardWorks() {
  const int64_t before = looked_at.load();
  ++state.depth;
  // volatile: the pair may not be optimised away
  void* volatile memory = std::malloc(64);
  std::free(memory);
  --state.depth;
  return looked_at.load() > before;
}

int64_t GuardedAllocations() { return looked_at.load(); }

}  // namespace headroom

namespace guard = headroom;

extern "C" {

void headroom_allocation_guard_enter() {
  if (guard::state.depth++ == 0) guard::state.held = 0;
}

void headroom_allocation_guard_leave() { --guard::state.depth; }

void headroom_allocation_guard_stay() { guard::state.stays = true; }

void headroom_allocation_guard_built(const char* what) {
  if (!guard::Marked()) return;
  guard::state.reporting = true;
  char text[256];
  const int length =
      std::snprintf(text, sizeof text, "allocation guard: a thread that computes builds after start: %s\n", what);
  [[maybe_unused]] ssize_t written = write(STDERR_FILENO, text, static_cast<size_t>(length));
  void* frames[64];
  backtrace_symbols_fd(frames, backtrace(frames, 64), STDERR_FILENO);
  abort();
}

#ifdef HEADROOM_GUARD_BY_HOOKS

// NOLINTBEGIN(bugprone-reserved-identifier)
int __sanitizer_install_malloc_and_free_hooks(void (*malloc_hook)(const volatile void*, size_t),
                                              void (*free_hook)(const volatile void*));
size_t __sanitizer_get_allocated_size(const volatile void* p);
// NOLINTEND(bugprone-reserved-identifier)

}  // extern "C"

namespace {

void Allocated(const volatile void*, size_t size) {
  if (guard::Marked()) guard::Look(static_cast<int64_t>(size), static_cast<int64_t>(size));
}

void Freed(const volatile void* p) {
  if (p != nullptr && guard::Marked()) guard::state.held -= static_cast<int64_t>(__sanitizer_get_allocated_size(p));
}

__attribute__((constructor)) void Install() {
  if (__sanitizer_install_malloc_and_free_hooks(Allocated, Freed) == 0) std::abort();
}

}  // namespace

#else

// glibc's own entry points, for those who replace malloc.
// NOLINTBEGIN(bugprone-reserved-identifier)
void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* p, size_t size);
void* __libc_memalign(size_t alignment, size_t size);
void __libc_free(void* p);
// NOLINTEND(bugprone-reserved-identifier)

static void* Seen(void* p, size_t asked) {
  if (p != nullptr && guard::Marked()) {
    guard::Look(static_cast<int64_t>(asked), static_cast<int64_t>(malloc_usable_size(p)));
  }
  return p;
}

static void Gone(void* p) {
  if (p != nullptr && guard::Marked()) guard::state.held -= static_cast<int64_t>(malloc_usable_size(p));
}

void* malloc(size_t size) { return Seen(__libc_malloc(size), size); }

void* calloc(size_t count, size_t size) {
  size_t bytes = 0;
  if (__builtin_mul_overflow(count, size, &bytes)) bytes = SIZE_MAX;  // glibc refuses it
  return Seen(__libc_calloc(count, size), bytes);
}

void* realloc(void* p, size_t size) {
  Gone(p);
  return Seen(__libc_realloc(p, size), size);
}

void free(void* p) {
  Gone(p);
  __libc_free(p);
}

void* memalign(size_t alignment, size_t size) { return Seen(__libc_memalign(alignment, size), size); }
void* aligned_alloc(size_t alignment, size_t size) { return Seen(__libc_memalign(alignment, size), size); }

int posix_memalign(void** out, size_t alignment, size_t size) {
  if (alignment < sizeof(void*) || (alignment & (alignment - 1)) != 0) return EINVAL;
  const int before = errno;
  void* const p = Seen(__libc_memalign(alignment, size), size);
  errno = before;
  if (p == nullptr) return ENOMEM;
  *out = p;
  return 0;
}

void* mmap(void* address, size_t length, int protection, int flags, int fd, off_t offset) {
  if ((flags & MAP_ANONYMOUS) != 0 && guard::Marked()) {
    guard::looked_at.fetch_add(1, std::memory_order_relaxed);
    if (guard::armed && static_cast<int64_t>(length) > guard::kAllocationBytesMax)
      guard::Die("maps", static_cast<int64_t>(length));
  }
  const long result = syscall(SYS_mmap, address, length, protection, flags, fd, offset);
  return reinterpret_cast<void*>(result);  // NOLINT(performance-no-int-to-ptr): the address that the kernel chose
}

}  // extern "C"

#endif
