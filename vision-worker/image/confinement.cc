#include "vision-worker/image/confinement.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>
#include <initializer_list>

namespace headroom::vision_worker {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitizerBuild = true;
#else
constexpr bool kSanitizerBuild = false;
#endif

// Pages of address space in use before the first request; read while /proc can still be opened.
int64_t g_mapped_bytes = 0;

int64_t ReadMappedBytes() {
  char text[64] = {};
  int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  ssize_t count = read(fd, text, sizeof(text) - 1);
  close(fd);
  return count > 0 ? std::strtoll(text, nullptr, 10) * sysconf(_SC_PAGESIZE) : 0;
}

// Best effort: some containers mount /proc read-only.
void BecomeFirstVictim() {
  int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  ssize_t written = write(fd, "1000", 4);
  (void)written;
  close(fd);
}

bool Limit(__rlimit_resource resource, rlim_t value) {
  rlimit limit{value, value};
  return setrlimit(resource, &limit) == 0;
}

bool DropCapabilities() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct none[2] = {};
  return syscall(SYS_capset, &header, none) == 0;
}

bool SetLimits(int cpu_seconds_max) {
  bool ok =
      Limit(RLIMIT_CORE, 0) && Limit(RLIMIT_CPU, static_cast<rlim_t>(cpu_seconds_max) * (kSanitizerBuild ? 20 : 1));
  // A sanitizer's report opens /proc and writes to stderr, and its shadow memory takes terabytes of address space.
  if (kSanitizerBuild) return ok;
  // Three standard descriptors, the socket, and the memory that the pixels go to.
  return ok && Limit(RLIMIT_NOFILE, kSandboxSocketFd + 2) && Limit(RLIMIT_FSIZE, 0);
}

bool Allow(scmp_filter_ctx filter, int call) { return seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 0) == 0; }

bool AddRules(scmp_filter_ctx filter) {
  for (int call : {SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(recvmsg), SCMP_SYS(recvfrom), SCMP_SYS(sendto),
                   SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(brk),
                   SCMP_SYS(madvise), SCMP_SYS(futex), SCMP_SYS(clock_gettime), SCMP_SYS(close), SCMP_SYS(exit),
                   SCMP_SYS(exit_group), SCMP_SYS(rt_sigreturn), SCMP_SYS(restart_syscall)}) {
    if (!Allow(filter, call)) return false;
  }
  if (kSanitizerBuild) {
    for (int call :
         {SCMP_SYS(mmap),        SCMP_SYS(mprotect),        SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask),
          SCMP_SYS(sigaltstack), SCMP_SYS(gettid),          SCMP_SYS(getpid),       SCMP_SYS(tgkill),
          SCMP_SYS(sched_yield), SCMP_SYS(clock_nanosleep), SCMP_SYS(nanosleep),    SCMP_SYS(prlimit64),
          SCMP_SYS(getrlimit),   SCMP_SYS(openat),          SCMP_SYS(readlink),     SCMP_SYS(fstat),
          SCMP_SYS(newfstatat),  SCMP_SYS(lseek),           SCMP_SYS(ioctl),        SCMP_SYS(prctl),
          SCMP_SYS(clone),       SCMP_SYS(wait4),           SCMP_SYS(getrandom),    SCMP_SYS(sched_getaffinity)}) {
      if (!Allow(filter, call)) return false;
    }
    return true;
  }
  // Memory may be mapped, but never made executable.
  for (int call : {SCMP_SYS(mmap), SCMP_SYS(mprotect)}) {
    if (seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)) != 0) return false;
  }
  return seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 3, SCMP_A0(SCMP_CMP_EQ, 0, 0),
                          SCMP_A1(SCMP_CMP_EQ, RLIMIT_AS, 0), SCMP_A3(SCMP_CMP_EQ, 0, 0)) == 0;
}

bool InstallFilter() {
  scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
  if (filter == nullptr) return false;
  bool ok = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS) == 0 && AddRules(filter) &&
            seccomp_load(filter) == 0;
  seccomp_release(filter);
  return ok;
}

}  // namespace

Confinement ConfineDecoder(int cpu_seconds_max, bool seccomp_required) {
  BecomeFirstVictim();
  g_mapped_bytes = ReadMappedBytes();
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || !DropCapabilities() || !SetLimits(cpu_seconds_max)) {
    return Confinement::kFailed;
  }
  if (InstallFilter()) return Confinement::kSeccomp;
  return seccomp_required ? Confinement::kFailed : Confinement::kNoSeccomp;
}

bool LimitNewMemory(int64_t bytes) {
  if (kSanitizerBuild) return true;
  // Not known: leave the room to the limit on the container.
  if (g_mapped_bytes == 0) return true;
  // The allocator rounds up and keeps some room at the top of the heap.
  constexpr int64_t kAllocatorSlack = int64_t{8} << 20;
  return Limit(RLIMIT_AS, static_cast<rlim_t>(g_mapped_bytes + kAllocatorSlack + bytes));
}

}  // namespace headroom::vision_worker
