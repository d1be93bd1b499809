// Devices, errors, versions, limits.
#include <cstdio>
#include <cstring>

#include "tests/emulation/cudart/api.h"

namespace emulation {
namespace {

thread_local cudaError_t last_error = cudaSuccess;

constexpr int kVersion = 13000;
constexpr size_t kSharedBytesStandard = 48 << 10;

// Shared memory that one block may ask for, by capability: 163 KiB on 8.0, 99 on 8.6, 8.9 and 12.x, 227 on 9.0 and
// 10.0.
size_t SharedBytesMax() {
  switch (GetSettings().capability) {
    case 75:
      return 64 << 10;
    case 80:
    case 87:
      return 163 << 10;
    case 90:
    case 100:
      return 227 << 10;
    default:
      return 99 << 10;
  }
}

struct ErrorText {
  cudaError_t error;
  const char *name, *text;
};
constexpr ErrorText kErrors[] = {
    {cudaSuccess, "cudaSuccess", "no error"},
    {cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    {cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
    {cudaErrorInvalidConfiguration, "cudaErrorInvalidConfiguration", "invalid configuration argument"},
    {cudaErrorInvalidSymbol, "cudaErrorInvalidSymbol", "invalid device symbol"},
    {cudaErrorInvalidMemcpyDirection, "cudaErrorInvalidMemcpyDirection", "invalid copy direction for memcpy"},
    {cudaErrorInvalidDeviceFunction, "cudaErrorInvalidDeviceFunction", "invalid device function"},
    {cudaErrorNoDevice, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
    {cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
    {cudaErrorNoKernelImageForDevice, "cudaErrorNoKernelImageForDevice",
     "no kernel image is available for execution on the device"},
    {cudaErrorECCUncorrectable, "cudaErrorECCUncorrectable", "uncorrectable ECC error encountered"},
    {cudaErrorDevicesUnavailable, "cudaErrorDevicesUnavailable", "CUDA-capable device(s) is/are busy or unavailable"},
    {cudaErrorInvalidPtx, "cudaErrorInvalidPtx", "a PTX JIT compilation failed"},
    {cudaErrorInvalidResourceHandle, "cudaErrorInvalidResourceHandle", "invalid resource handle"},
    {cudaErrorNotReady, "cudaErrorNotReady", "device not ready"},
    {cudaErrorIllegalAddress, "cudaErrorIllegalAddress", "an illegal memory access was encountered"},
    {cudaErrorLaunchOutOfResources, "cudaErrorLaunchOutOfResources", "too many resources requested for launch"},
    {cudaErrorLaunchTimeout, "cudaErrorLaunchTimeout", "the launch timed out and was terminated"},
    {cudaErrorHostMemoryAlreadyRegistered, "cudaErrorHostMemoryAlreadyRegistered",
     "part or all of the requested memory range is already mapped"},
    {cudaErrorHostMemoryNotRegistered, "cudaErrorHostMemoryNotRegistered",
     "pointer does not correspond to a registered memory region"},
    {cudaErrorInsufficientDriver, "cudaErrorInsufficientDriver",
     "CUDA driver version is insufficient for CUDA runtime version"},
    {cudaErrorAssert, "cudaErrorAssert", "device-side assert triggered"},
    {cudaErrorHardwareStackError, "cudaErrorHardwareStackError", "hardware stack error"},
    {cudaErrorMisalignedAddress, "cudaErrorMisalignedAddress", "misaligned address"},
    {cudaErrorLaunchFailure, "cudaErrorLaunchFailure", "unspecified launch failure"},
    {cudaErrorCooperativeLaunchTooLarge, "cudaErrorCooperativeLaunchTooLarge", "too many blocks in cooperative launch"},
    {cudaErrorNotSupported, "cudaErrorNotSupported", "operation not supported"},
    {cudaErrorStreamCaptureUnsupported, "cudaErrorStreamCaptureUnsupported",
     "operation not permitted when stream is capturing"},
    {cudaErrorStreamCaptureInvalidated, "cudaErrorStreamCaptureInvalidated",
     "operation failed due to a previous error during capture"},
    {cudaErrorStreamCaptureUnmatched, "cudaErrorStreamCaptureUnmatched",
     "capture was not ended in the same stream as it began"},
    {cudaErrorIllegalState, "cudaErrorIllegalState", "the operation cannot be performed in the present state"},
};

// A driver serves every CUDA of its major version.
bool DriverIsOld() {
  constexpr int kMajor = 1000;
  return GetSettings().driver != 0 && GetSettings().driver / kMajor < kVersion / kMajor;
}

const ErrorText* Find(cudaError_t error) {
  for (const ErrorText& entry : kErrors) {
    if (entry.error == error) return &entry;
  }
  return nullptr;
}

}  // namespace

cudaError_t Note(cudaError_t error) {
  if (error != cudaSuccess && error != cudaErrorNotReady) last_error = error;
  return error;
}

cudaError_t Enter() {
  if (DriverIsOld()) return cudaErrorInsufficientDriver;
  if (VisibleNumbers().empty()) return cudaErrorNoDevice;
  if (CurrentDevice().error() != cudaSuccess) return CurrentDevice().error();
  const cudaError_t error = CurrentDevice().UseContext();
  return error != cudaSuccess ? error : LoadRegistered(CurrentDevice());
}

}  // namespace emulation

using namespace emulation;  // NOLINT(google-build-using-namespace): the functions below are in no namespace

extern "C" {

const char* cudaGetErrorName(cudaError_t error) {
  return Find(error) == nullptr ? "unrecognized error code" : Find(error)->name;
}
const char* cudaGetErrorString(cudaError_t error) {
  return Find(error) == nullptr ? "unrecognized error code" : Find(error)->text;
}

cudaError_t cudaGetLastError() {
  const cudaError_t error = cudaPeekAtLastError();
  last_error = cudaSuccess;
  return error;
}
cudaError_t cudaPeekAtLastError() {
  return CurrentDevice().error() != cudaSuccess ? CurrentDevice().error() : last_error;
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = kVersion;
  return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int* version) {
  *version = GetSettings().driver != 0 ? GetSettings().driver : kVersion;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int* count) {
  if (DriverIsOld()) return Note(cudaErrorInsufficientDriver);
  *count = static_cast<int>(VisibleNumbers().size());
  return *count > 0 ? cudaSuccess : Note(cudaErrorNoDevice);
}
cudaError_t cudaGetDevice(int* device) {
  *device = CurrentDeviceNumber();
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
  if (VisibleDevice(device) == nullptr) return Note(cudaErrorInvalidDevice);
  SetCurrentDevice(device);
  return Note(Enter());
}
// Makes the context. Modules that are loaded eagerly follow with the first call that needs the device: it is left
// open with which they come.
cudaError_t cudaInitDevice(int device, unsigned int, unsigned int) {
  if (VisibleDevice(device) == nullptr) return Note(cudaErrorInvalidDevice);
  SetCurrentDevice(device);
  if (CurrentDevice().error() != cudaSuccess) return Note(CurrentDevice().error());
  return Note(CurrentDevice().UseContext());
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  if (VisibleDevice(device) == nullptr) return Note(cudaErrorInvalidDevice);
  const Settings& settings = GetSettings();
  memset(properties, 0, sizeof *properties);
  snprintf(properties->name, sizeof properties->name, "%s", settings.name.c_str());
  const std::string uuid = VisibleDevice(device)->Uuid();
  memcpy(properties->uuid.bytes, uuid.data(), sizeof properties->uuid.bytes);
  properties->totalGlobalMem = settings.memory;
  properties->sharedMemPerBlock = kSharedBytesStandard;
  properties->sharedMemPerBlockOptin = SharedBytesMax();
  properties->sharedMemPerMultiprocessor = SharedBytesMax() + 1024;
  properties->regsPerBlock = properties->regsPerMultiprocessor = 65536;
  properties->warpSize = 32;
  properties->maxThreadsPerBlock = 1024;
  properties->maxThreadsPerMultiProcessor = 2048;
  properties->maxBlocksPerMultiProcessor = 32;
  const int dim[3] = {1024, 1024, 64}, grid[3] = {INT32_MAX, 65535, 65535};
  memcpy(properties->maxThreadsDim, dim, sizeof dim);
  memcpy(properties->maxGridSize, grid, sizeof grid);
  properties->major = settings.capability / 10;
  properties->minor = settings.capability % 10;
  properties->multiProcessorCount = settings.multiprocessors;
  properties->unifiedAddressing = properties->cooperativeLaunch = properties->concurrentKernels =
      properties->ECCEnabled = 1;
  properties->asyncEngineCount = 2;
  properties->pciDeviceID = device;
  properties->l2CacheSize = 40 << 20;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  cudaDeviceProp p;
  if (const cudaError_t error = cudaGetDeviceProperties(&p, device); error != cudaSuccess) return error;
  switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock:
      *value = p.maxThreadsPerBlock;
      break;
    case cudaDevAttrMaxSharedMemoryPerBlock:
      *value = static_cast<int>(p.sharedMemPerBlock);
      break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = static_cast<int>(p.sharedMemPerBlockOptin);
      break;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
      *value = static_cast<int>(p.sharedMemPerMultiprocessor);
      break;
    case cudaDevAttrWarpSize:
      *value = p.warpSize;
      break;
    case cudaDevAttrMultiProcessorCount:
      *value = p.multiProcessorCount;
      break;
    case cudaDevAttrMaxThreadsPerMultiProcessor:
      *value = p.maxThreadsPerMultiProcessor;
      break;
    case cudaDevAttrMaxRegistersPerBlock:
    case cudaDevAttrMaxRegistersPerMultiprocessor:
      *value = p.regsPerBlock;
      break;
    case cudaDevAttrComputeCapabilityMajor:
      *value = p.major;
      break;
    case cudaDevAttrComputeCapabilityMinor:
      *value = p.minor;
      break;
    case cudaDevAttrMaxGridDimX:
      *value = p.maxGridSize[0];
      break;
    case cudaDevAttrMaxBlockDimX:
      *value = p.maxThreadsDim[0];
      break;
    case cudaDevAttrL2CacheSize:
      *value = p.l2CacheSize;
      break;
    case cudaDevAttrCooperativeLaunch:
    case cudaDevAttrUnifiedAddressing:
      *value = 1;
      break;
    case cudaDevAttrMemoryPoolsSupported:
    case cudaDevAttrManagedMemory:
    case cudaDevAttrConcurrentManagedAccess:
    case cudaDevAttrPageableMemoryAccess:
      *value = 0;
      break;
    default:
      fprintf(stderr, "emulated GPU: cudaDeviceGetAttribute(%d) is not known\n", attribute);
      return Note(cudaErrorNotSupported);
  }
  return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize() {
  if (const cudaError_t error = Enter(); error != cudaSuccess) return Note(error);
  if (CaptureForbids()) return Note(cudaErrorStreamCaptureUnsupported);
  return Note(WaitForDevice(CurrentDevice()));
}

// Limits are accepted and change nothing: printf writes at once, there is no heap on the device, and stacks are what
// kernels need.
cudaError_t cudaDeviceSetLimit(cudaLimit, size_t) { return Note(Enter()); }

cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  if (const cudaError_t error = Enter(); error != cudaSuccess) return Note(error);
  *free = CurrentDevice().account().free_bytes();
  *total = CurrentDevice().account().total();
  return cudaSuccess;
}

cudaError_t cudaDeviceCanAccessPeer(int* can, int device, int peer) {
  *can = device != peer;
  return cudaSuccess;
}
cudaError_t cudaDeviceEnablePeerAccess(int, unsigned int) { return cudaSuccess; }

}  // extern "C"
