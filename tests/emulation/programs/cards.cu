// What NVML tells, as a program that loads it at run time sees it.
#include <cuda_runtime.h>
#include <dlfcn.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <vector>

#include "../nvml/nvml.h"
#include "case.h"

__global__ void Touch(char* memory, int bytes) {
  for (int k = 0; k < bytes; k++) memory[k] = 1;
}

namespace {

template <class Function>
Function* Symbol(const char* name) {
  static void* const kLibrary = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
  void* symbol = kLibrary == nullptr ? nullptr : dlsym(kLibrary, name);
  if (symbol == nullptr) {
    printf("%s is not there\n", name);
    exit(1);
  }
  return reinterpret_cast<Function*>(symbol);
}
#define NVML(name) Symbol<decltype(name)>(#name)
#define ANSWERS(wanted, call)                                                              \
  do {                                                                                     \
    const nvmlReturn_t result_of_call = (call);                                            \
    if (result_of_call != (wanted)) {                                                      \
      printf("line %d: NVML answers %d, %d is wanted\n", __LINE__, result_of_call, wanted); \
      exit(1);                                                                             \
    }                                                                                      \
  } while (0)
#define FINE(call) ANSWERS(NVML_SUCCESS, call)

constexpr size_t kMiB = 1 << 20;

nvmlDevice_t First() {
  nvmlDevice_t device;
  FINE(NVML(nvmlInit_v2)());
  FINE(NVML(nvmlDeviceGetHandleByIndex_v2)(0, &device));
  return device;
}

nvmlMemory_v2_t MemoryOf(nvmlDevice_t device) {
  nvmlMemory_v2_t memory{};
  memory.version = NVML_MEMORY_V2;
  FINE(NVML(nvmlDeviceGetMemoryInfo_v2)(device, &memory));
  EXPECT(memory.total == memory.reserved + memory.used + memory.free);
  return memory;
}

std::vector<nvmlProcessInfo_t> ProcessesOf(nvmlDevice_t device) {
  unsigned int count = 64;
  std::vector<nvmlProcessInfo_t> processes(count);
  FINE(NVML(nvmlDeviceGetComputeRunningProcesses_v3)(device, &count, processes.data()));
  processes.resize(count);
  return processes;
}

// Another process, which was there before anything of CUDA was used here: it holds bytes for as long as it is told.
struct Other {
  pid_t pid;
  int orders[2], answers[2];

  Other() {
    if (pipe(orders) != 0 || pipe(answers) != 0) exit(1);
    pid = fork();
    if (pid != 0) return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);  // a parent that fails leaves nobody behind
    void* memory = nullptr;
    char order = 0;
    while (read(orders[0], &order, 1) == 1) {
      if (order == 'a') OK(cudaMalloc(&memory, 100 * kMiB));
      if (order == 'f') OK(cudaFree(memory));
      if (write(answers[1], &order, 1) != 1) break;
    }
    _exit(0);
  }
  void Do(char order) {
    char answer = 0;
    if (write(orders[1], &order, 1) != 1 || read(answers[0], &answer, 1) != 1) exit(1);
  }
  void Kill() {
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
  }
};

void Identity() {
  char text[128];
  unsigned int count = 0, index = 9;
  int major = 0, minor = 0;
  ANSWERS(NVML_ERROR_UNINITIALIZED, NVML(nvmlDeviceGetCount_v2)(&count));
  FINE(NVML(nvmlInit_v2)());
  FINE(NVML(nvmlDeviceGetCount_v2)(&count));
  EXPECT(count == 2);
  FINE(NVML(nvmlSystemGetDriverVersion)(text, sizeof text));
  for (unsigned int number = 0; number < count; number++) {
    // CUDA and NVML agree about the card by its UUID.
    cudaDeviceProp properties;
    OK(cudaGetDeviceProperties(&properties, int(number)));
    std::string uuid = "GPU-";
    for (int k = 0; k < 16; k++) {
      snprintf(text, sizeof text, "%02x", static_cast<unsigned char>(properties.uuid.bytes[k]));
      uuid += std::string(k == 4 || k == 6 || k == 8 || k == 10 ? "-" : "") + text;
    }
    nvmlDevice_t device, by_index;
    FINE(NVML(nvmlDeviceGetHandleByUUID)(uuid.c_str(), &device));
    FINE(NVML(nvmlDeviceGetHandleByIndex_v2)(number, &by_index));
    EXPECT(device == by_index);
    FINE(NVML(nvmlDeviceGetUUID)(device, text, sizeof text));
    EXPECT(uuid == text);
    FINE(NVML(nvmlDeviceGetIndex)(device, &index));
    EXPECT(index == number);
    FINE(NVML(nvmlDeviceGetName)(device, text, sizeof text));
    EXPECT(std::string(text) == properties.name);
    FINE(NVML(nvmlDeviceGetCudaComputeCapability)(device, &major, &minor));
    EXPECT(major == properties.major && minor == properties.minor);
    EXPECT(MemoryOf(device).total - MemoryOf(device).reserved == properties.totalGlobalMem);
    ANSWERS(NVML_ERROR_INSUFFICIENT_SIZE, NVML(nvmlDeviceGetUUID)(device, text, 10));
    EXPECT(ProcessesOf(device).empty());  // nothing above has made a context
  }
  nvmlDevice_t none;
  ANSWERS(NVML_ERROR_NOT_FOUND, NVML(nvmlDeviceGetHandleByUUID)("GPU-0", &none));
  ANSWERS(NVML_ERROR_INVALID_ARGUMENT, NVML(nvmlDeviceGetHandleByIndex_v2)(2, &none));
  nvmlMemory_v2_t memory{};
  FINE(NVML(nvmlDeviceGetHandleByIndex_v2)(0, &none));
  ANSWERS(NVML_ERROR_ARGUMENT_VERSION_MISMATCH, NVML(nvmlDeviceGetMemoryInfo_v2)(none, &memory));
  FINE(NVML(nvmlShutdown)());
  ANSWERS(NVML_ERROR_UNINITIALIZED, NVML(nvmlDeviceGetName)(none, text, sizeof text));
}

void MemoryOfOthers() {
  Other other;
  nvmlDevice_t device = First();
  const nvmlMemory_v2_t empty = MemoryOf(device);
  EXPECT(empty.used == 0);
  other.Do('a');
  const nvmlMemory_v2_t one = MemoryOf(device);
  EXPECT(one.used >= 100 * kMiB);  // and the context
  std::vector<nvmlProcessInfo_t> processes = ProcessesOf(device);
  EXPECT(processes.size() == 1);
  EXPECT(processes[0].pid == unsigned(other.pid));
  EXPECT(processes[0].usedGpuMemory == one.used);
  // Own bytes come to them, and both libraries see one card.
  void* own = nullptr;
  OK(cudaMalloc(&own, 50 * kMiB));
  size_t free = 0, total = 0;
  OK(cudaMemGetInfo(&free, &total));
  EXPECT(MemoryOf(device).free == free);
  processes = ProcessesOf(device);
  EXPECT(processes.size() == 2);
  nvmlMemory_t first_version{};
  FINE(NVML(nvmlDeviceGetMemoryInfo)(device, &first_version));
  EXPECT(first_version.used == MemoryOf(device).used + MemoryOf(device).reserved);
  unsigned int room = 1;
  ANSWERS(NVML_ERROR_INSUFFICIENT_SIZE, NVML(nvmlDeviceGetComputeRunningProcesses_v3)(device, &room, processes.data()));
  EXPECT(room == 2);
  other.Do('f');
  EXPECT(MemoryOf(device).free == free + 100 * kMiB);
  other.Do('a');
  other.Kill();
  EXPECT(MemoryOf(device).used == MemoryOf(device).total - MemoryOf(device).reserved - free - one.used);
  EXPECT(ProcessesOf(device).size() == 1);
  EXPECT(ProcessesOf(device)[0].pid == unsigned(getpid()));
}

void ProcessesWithoutSizes() {
  OK(cudaFree(nullptr));
  const std::vector<nvmlProcessInfo_t> processes = ProcessesOf(First());
  EXPECT(processes.size() == 1);
  EXPECT(processes[0].usedGpuMemory == NVML_VALUE_NOT_AVAILABLE);
}

void ProcessesHidden() {
  OK(cudaFree(nullptr));
  nvmlDevice_t device = First();
  EXPECT(ProcessesOf(device).empty());
  EXPECT(MemoryOf(device).used > 0);
}

// Another process runs a kernel that leaves an error on the card; this one hears of it.
struct Listener {
  nvmlDevice_t device;
  nvmlEventSet_t set;
  pid_t child;

  explicit Listener(int bytes_too_many) {
    int go[2];
    if (pipe(go) != 0) exit(1);
    child = fork();
    if (child == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);  // a parent that fails leaves nobody behind
      char order = 0;
      if (read(go[0], &order, 1) != 1) _exit(1);
      char* memory = nullptr;
      OK(cudaMalloc(reinterpret_cast<void**>(&memory), 64));
      Touch<<<1, 1>>>(memory, 64 + bytes_too_many);
      EXPECT(cudaDeviceSynchronize() != cudaSuccess);
      _exit(0);
    }
    device = First();
    unsigned long long types = 0;
    FINE(NVML(nvmlDeviceGetSupportedEventTypes)(device, &types));
    EXPECT(types == (NVML_EVENT_XID | NVML_EVENT_DOUBLE_BIT_ECC));
    FINE(NVML(nvmlEventSetCreate)(&set));
    ANSWERS(NVML_ERROR_NOT_SUPPORTED, NVML(nvmlDeviceRegisterEvents)(device, 1, set));
    FINE(NVML(nvmlDeviceRegisterEvents)(device, types, set));
    Nothing();
    if (write(go[1], "x", 1) != 1) exit(1);
  }
  void Nothing() {
    nvmlEventData_t data;
    ANSWERS(NVML_ERROR_TIMEOUT, NVML(nvmlEventSetWait_v2)(set, &data, 10));
  }
  void Expect(unsigned long long type, unsigned long long number) {
    nvmlEventData_t data;
    FINE(NVML(nvmlEventSetWait_v2)(set, &data, 60000));
    EXPECT(data.device == device);
    EXPECT(data.eventType == type);
    EXPECT(data.eventData == number);
  }
  ~Listener() {
    Nothing();
    FINE(NVML(nvmlEventSetFree)(set));
    int status = 0;
    waitpid(child, &status, 0);
    EXPECT(status == 0);
  }
};

void IllegalAddress() {
  Listener listener(1);
  listener.Expect(NVML_EVENT_XID, 31);
}

// EMULATED_GPU_FAULTS=ecc:1
void EccError() {
  Listener listener(0);
  listener.Expect(NVML_EVENT_DOUBLE_BIT_ECC, 0);
  listener.Expect(NVML_EVENT_XID, 48);
  EXPECT(MemoryOf(listener.device).total > 0);
}

// EMULATED_GPU_FAULTS=xid:1
void CardIsGone() {
  Listener listener(0);
  listener.Expect(NVML_EVENT_XID, 79);
  char name[96];
  ANSWERS(NVML_ERROR_GPU_IS_LOST, NVML(nvmlDeviceGetName)(listener.device, name, sizeof name));
}

constexpr Case kCases[] = {{"identity", Identity},
                           {"memory_of_others", MemoryOfOthers},
                           {"processes_without_sizes", ProcessesWithoutSizes},
                           {"processes_hidden", ProcessesHidden},
                           {"illegal_address", IllegalAddress},
                           {"ecc_error", EccError},
                           {"card_is_gone", CardIsGone}};

}  // namespace

int main(int argc, char** argv) { return RunCase(kCases, sizeof kCases / sizeof *kCases, argc, argv); }
