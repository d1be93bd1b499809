#include "common/compute_thread.h"

#include <dlfcn.h>

namespace headroom {
namespace {

// The guard comes as a shared library, linked to tests and preloaded into servers.
struct Guard {
  using Mark = void (*)();
  using Note = void (*)(const char*);
  Mark enter, leave, stay;
  Note built;

  template <typename Function>
  static Function Find(const char* name) {
    return reinterpret_cast<Function>(dlsym(RTLD_DEFAULT, name));
  }
};

const Guard& TheGuard() {
  static const Guard guard = {Guard::Find<Guard::Mark>("headroom_allocation_guard_enter"),
                              Guard::Find<Guard::Mark>("headroom_allocation_guard_leave"),
                              Guard::Find<Guard::Mark>("headroom_allocation_guard_stay"),
                              Guard::Find<Guard::Note>("headroom_allocation_guard_built")};
  return guard;
}

}  // namespace

ComputeScope::ComputeScope() {
  if (const auto enter = TheGuard().enter) enter();
}

ComputeScope::~ComputeScope() {
  if (const auto leave = TheGuard().leave) leave();
}

void BeComputeThread() {
  if (const auto stay = TheGuard().stay) stay();
}

void BuiltWhileComputing(const char* what) {
  if (const auto built = TheGuard().built) built(what);
}

}  // namespace headroom
