// Registration of what nvcc embeds, launches, attributes of kernels. The functions with two underscores are those that
// the toolkit's own headers declare and every program that nvcc links calls.
#include <atomic>
#include <cstdio>
#include <cstring>
#include <map>
#include <mutex>

#include "tests/emulation/cudart/api.h"

namespace emulation {
namespace {

constexpr int kDynamicSharedStandard = 48 << 10;

struct KernelEntry {
  const FatBinary* binary;
  std::string name;
  int dynamic_shared_max = kDynamicSharedStandard;
};
struct SymbolEntry {
  const FatBinary* binary;
  std::string name;
};

std::mutex mutex;
struct Registered {
  std::map<const void*, KernelEntry> kernels;  // by the address of the host's stub
  std::map<const void*, SymbolEntry> symbols;
  std::vector<const FatBinary*> binaries;
};
std::atomic<size_t> registered_binaries = 0;
Registered& All() {
  static auto* const all = new Registered();
  return *all;
}

struct CallConfiguration {
  dim3 grid, block;
  size_t shared;
  cudaStream_t stream;
};
thread_local std::vector<CallConfiguration> configurations;

KernelEntry* FindKernel(const void* stub) {
  const std::lock_guard lock(mutex);
  const auto it = All().kernels.find(stub);
  return it == All().kernels.end() ? nullptr : &it->second;
}

struct Loaded {
  const Program* program = nullptr;
  const Function* function = nullptr;
};

cudaError_t Load(const KernelEntry& entry, Device& device, Loaded* loaded) {
  cudaError_t error = cudaErrorInvalidDeviceFunction;
  loaded->program = device.Load(*entry.binary, &error);
  if (loaded->program == nullptr) return error;
  loaded->function = loaded->program->Kernel(entry.name);
  return loaded->function == nullptr ? cudaErrorInvalidDeviceFunction : cudaSuccess;
}

size_t SharedBytesMax() {
  cudaDeviceProp properties;
  cudaGetDeviceProperties(&properties, CurrentDeviceNumber());
  return properties.sharedMemPerBlockOptin;
}

cudaError_t CheckShape(const KernelEntry& entry, const Function& function, dim3 grid, dim3 block, size_t shared) {
  const uint64_t threads = uint64_t{block.x} * block.y * block.z;
  if (threads == 0 || threads > 1024 || block.z > 64 || grid.x == 0 || grid.x > INT32_MAX || grid.y == 0 ||
      grid.y > 65535 || grid.z == 0 || grid.z > 65535) {
    return cudaErrorInvalidConfiguration;
  }
  if (threads > function.max_threads) return cudaErrorInvalidValue;
  const size_t fixed = function.shared_bytes - kSharedReserved;
  if (shared > static_cast<size_t>(entry.dynamic_shared_max) || fixed + shared > SharedBytesMax())
    return cudaErrorInvalidValue;
  return cudaSuccess;
}

// Blocks of a kernel that fit on one multiprocessor, by threads and shared memory. Registers are ptxas' matter and not
// known here.
int BlocksPerMultiprocessor(const Function& function, int threads, size_t dynamic_shared) {
  const size_t shared = function.shared_bytes - kSharedReserved + dynamic_shared + 1024;
  const int by_threads = 2048 / std::max(threads, 1), by_shared = static_cast<int>((SharedBytesMax() + 1024) / shared);
  return std::min({32, by_threads, by_shared});
}

cudaError_t LaunchKernel(const void* stub, dim3 grid, dim3 block, void** values, size_t shared, cudaStream_t handle,
                         bool cooperative) {
  if (const cudaError_t error = Enter(); error != cudaSuccess) return error;
  const KernelEntry* entry = FindKernel(stub);
  if (entry == nullptr) return cudaErrorInvalidDeviceFunction;
  const std::shared_ptr<Stream> stream = FindStream(handle);
  if (stream == nullptr) return cudaErrorInvalidResourceHandle;
  Device& device = stream->device;
  if (&device != &CurrentDevice()) return cudaErrorInvalidResourceHandle;
  Loaded loaded;
  if (const cudaError_t error = Load(*entry, device, &loaded); error != cudaSuccess) return error;
  if (const cudaError_t error = CheckShape(*entry, *loaded.function, grid, block, shared); error != cudaSuccess)
    return error;
  if (cooperative) {
    const uint64_t resident =
        uint64_t(BlocksPerMultiprocessor(*loaded.function, static_cast<int>(block.x * block.y * block.z), shared)) *
        GetSettings().multiprocessors;
    if (uint64_t{grid.x} * grid.y * grid.z > resident) return cudaErrorCooperativeLaunchTooLarge;
  }
  if (const cudaError_t error = device.ReserveLocalMemory(*loaded.program, *loaded.function); error != cudaSuccess)
    return error;
  LaunchArguments arguments;
  arguments.grid = {grid.x, grid.y, grid.z};
  arguments.block = {block.x, block.y, block.z};
  arguments.dynamic_shared = static_cast<uint32_t>(shared);
  arguments.cooperative = cooperative;
  arguments.parameters.resize(loaded.function->parameter_bytes);
  for (size_t k = 0; k < loaded.function->parameters.size(); k++) {
    const Function::Parameter& parameter = loaded.function->parameters[k];
    memcpy(arguments.parameters.data() + parameter.offset, values[k], parameter.bytes);
  }
  return Push(stream, [&device, loaded, arguments] { device.Execute(*loaded.program, *loaded.function, arguments); });
}

}  // namespace

cudaError_t LoadRegistered(Device& device) {
  if (GetSettings().lazy_modules || device.eager_binaries == registered_binaries) return cudaSuccess;
  std::vector<const FatBinary*> binaries;
  {
    const std::lock_guard lock(mutex);
    binaries = All().binaries;
  }
  for (const FatBinary* binary : binaries) {
    cudaError_t error = cudaSuccess;
    // What cannot be loaded for another reason is an error of whoever launches its kernels.
    if (device.Load(*binary, &error) == nullptr && error == cudaErrorMemoryAllocation) return error;
  }
  device.eager_binaries = binaries.size();
  return cudaSuccess;
}

cudaError_t FindSymbol(const void* symbol, uint64_t* address, uint64_t* bytes) {
  if (const cudaError_t error = Enter(); error != cudaSuccess) return error;
  SymbolEntry entry;
  {
    const std::lock_guard lock(mutex);
    const auto it = All().symbols.find(symbol);
    if (it == All().symbols.end()) return cudaErrorInvalidSymbol;
    entry = it->second;
  }
  cudaError_t error = cudaErrorInvalidSymbol;
  const Program* program = CurrentDevice().Load(*entry.binary, &error);
  if (program == nullptr) return error;
  const auto variable = program->variables.find(entry.name);
  if (variable == program->variables.end()) return cudaErrorInvalidSymbol;
  *address = variable->second.address;
  *bytes = variable->second.bytes;
  return cudaSuccess;
}

}  // namespace emulation

using namespace emulation;  // NOLINT(google-build-using-namespace): the functions below are in no namespace

extern "C" {

// NOLINTBEGIN(bugprone-reserved-identifier): the names are nvcc's
void** __cudaRegisterFatBinary(void* wrapper) { return reinterpret_cast<void**>(new FatBinary(wrapper)); }
void __cudaRegisterFatBinaryEnd(void** handle) {
  const std::lock_guard lock(mutex);
  All().binaries.push_back(reinterpret_cast<FatBinary*>(handle));
  ++registered_binaries;
}
void __cudaUnregisterFatBinary(void**) {}
char __cudaInitModule(void**) { return 1; }

void __cudaRegisterFunction(void** handle, const char* stub, char*, const char* name, int, uint3*, uint3*, dim3*, dim3*,
                            int*) {
  const std::lock_guard lock(mutex);
  All().kernels[stub] = {reinterpret_cast<FatBinary*>(handle), name};
}
void __cudaRegisterVar(void** handle, char* address, char*, const char* name, int, size_t, int, int) {
  const std::lock_guard lock(mutex);
  All().symbols[address] = {reinterpret_cast<FatBinary*>(handle), name};
}

unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared, cudaStream_t stream) {
  configurations.push_back({grid, block, shared, stream});
  return 0;
}
cudaError_t __cudaPopCallConfiguration(dim3* grid, dim3* block, size_t* shared, void* stream) {
  if (configurations.empty()) return Note(cudaErrorInvalidConfiguration);
  *grid = configurations.back().grid;
  *block = configurations.back().block;
  *shared = configurations.back().shared;
  *static_cast<cudaStream_t*>(stream) = configurations.back().stream;
  configurations.pop_back();
  return cudaSuccess;
}

cudaError_t __cudaGetKernel(cudaKernel_t* kernel, const void* stub) {
  *kernel = reinterpret_cast<cudaKernel_t>(const_cast<void*>(stub));
  return cudaSuccess;
}
cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void** arguments, size_t shared,
                               cudaStream_t stream) {
  return Note(LaunchKernel(kernel, grid, block, arguments, shared, stream, false));
}
// NOLINTEND(bugprone-reserved-identifier)

cudaError_t cudaLaunchKernel(const void* function, dim3 grid, dim3 block, void** arguments, size_t shared,
                             cudaStream_t stream) {
  return Note(LaunchKernel(function, grid, block, arguments, shared, stream, false));
}
cudaError_t cudaLaunchCooperativeKernel(const void* function, dim3 grid, dim3 block, void** arguments, size_t shared,
                                        cudaStream_t stream) {
  return Note(LaunchKernel(function, grid, block, arguments, shared, stream, true));
}

cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* config, const void* function, void** arguments) {
  bool cooperative = false;
  for (unsigned int k = 0; k < config->numAttrs; k++) {
    const cudaLaunchAttribute& attribute = config->attrs[k];
    if (attribute.id == cudaLaunchAttributeCooperative) {
      cooperative = attribute.val.cooperative != 0;
    } else if (attribute.id != cudaLaunchAttributeProgrammaticStreamSerialization &&
               attribute.id != cudaLaunchAttributePriority) {
      fprintf(stderr, "emulated GPU: launch attribute %d is not known\n", attribute.id);
      return Note(cudaErrorNotSupported);
    }
  }
  return Note(LaunchKernel(function, config->gridDim, config->blockDim, arguments, config->dynamicSmemBytes,
                           config->stream, cooperative));
}

cudaError_t cudaFuncSetAttribute(const void* function, cudaFuncAttribute attribute, int value) {
  if (const cudaError_t error = Enter(); error != cudaSuccess) return Note(error);
  KernelEntry* entry = FindKernel(function);
  if (entry == nullptr) return Note(cudaErrorInvalidDeviceFunction);
  if (attribute == cudaFuncAttributePreferredSharedMemoryCarveout) return cudaSuccess;
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return Note(cudaErrorNotSupported);
  Loaded loaded;
  if (const cudaError_t error = Load(*entry, CurrentDevice(), &loaded); error != cudaSuccess) return Note(error);
  if (value < 0 || loaded.function->shared_bytes - kSharedReserved + value > SharedBytesMax())
    return Note(cudaErrorInvalidValue);
  entry->dynamic_shared_max = value;
  return cudaSuccess;
}

// Registers are ptxas' matter: 0 says that they are not known.
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* function) {
  if (const cudaError_t error = Enter(); error != cudaSuccess) return Note(error);
  const KernelEntry* entry = FindKernel(function);
  if (entry == nullptr) return Note(cudaErrorInvalidDeviceFunction);
  Loaded loaded;
  if (const cudaError_t error = Load(*entry, CurrentDevice(), &loaded); error != cudaSuccess) return Note(error);
  memset(attributes, 0, sizeof *attributes);
  attributes->sharedSizeBytes = loaded.function->shared_bytes - kSharedReserved;
  attributes->localSizeBytes = loaded.function->local_bytes;
  attributes->maxThreadsPerBlock = static_cast<int>(loaded.function->max_threads);
  attributes->maxDynamicSharedSizeBytes = entry->dynamic_shared_max;
  attributes->ptxVersion = loaded.program->target;
  attributes->binaryVersion = GetSettings().capability;
  return cudaSuccess;
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, const void* function, int threads,
                                                                   size_t dynamic_shared, unsigned int) {
  if (const cudaError_t error = Enter(); error != cudaSuccess) return Note(error);
  const KernelEntry* entry = FindKernel(function);
  if (entry == nullptr) return Note(cudaErrorInvalidDeviceFunction);
  Loaded loaded;
  if (const cudaError_t error = Load(*entry, CurrentDevice(), &loaded); error != cudaSuccess) return Note(error);
  *blocks = BlocksPerMultiprocessor(*loaded.function, threads, dynamic_shared);
  return cudaSuccess;
}
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void* function, int threads,
                                                          size_t dynamic_shared) {
  return cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(blocks, function, threads, dynamic_shared,
                                                                cudaOccupancyDefault);
}

}  // extern "C"
