// Preloaded into services under test: makes every read of a *.safetensors file take as many milliseconds as the file
// named by HEADROOM_TEST_READ_DELAY says, for as long as that file is there. So a test decides how far a load gets.
#include <dlfcn.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>

namespace {

using std::chrono::milliseconds;

bool IsWeights(int fd) {
  std::array<char, 4096> path{};
  const ssize_t length = readlink(("/proc/self/fd/" + std::to_string(fd)).c_str(), path.data(), path.size() - 1);
  return length > 0 && std::string(path.data()).ends_with(".safetensors");
}

// 0 when there is none.
milliseconds Delay() {
  const char* name = getenv("HEADROOM_TEST_READ_DELAY");
  FILE* file = name == nullptr ? nullptr : fopen(name, "r");
  if (file == nullptr) return milliseconds(0);
  int64_t delay_ms = 0;
  if (fscanf(file, "%ld", &delay_ms) != 1) delay_ms = 0;
  fclose(file);
  return milliseconds(delay_ms);
}

void WaitBefore(int fd) {
  if (!IsWeights(fd)) return;
  const auto begin = std::chrono::steady_clock::now();
  while (std::chrono::steady_clock::now() - begin < Delay()) std::this_thread::sleep_for(milliseconds(5));
}

using Pread = ssize_t (*)(int, void*, size_t, off_t);

}  // namespace

extern "C" ssize_t pread(int fd, void* buffer, size_t bytes, off_t offset) {
  static const auto real = reinterpret_cast<Pread>(dlsym(RTLD_NEXT, "pread"));
  WaitBefore(fd);
  return real(fd, buffer, bytes, offset);
}

extern "C" ssize_t pread64(int fd, void* buffer, size_t bytes, off_t offset) {
  return pread(fd, buffer, bytes, offset);
}
