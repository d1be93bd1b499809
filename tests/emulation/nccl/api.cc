// libnccl: communicators, collectives, sends and receives.
#include <cuda_runtime_api.h>
#include <nccl.h>

#include <climits>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <string>
#include <vector>

#include "tests/emulation/nccl/endpoint.h"
#include "tests/emulation/nccl/group.h"
#include "tests/emulation/nccl/hub.h"
#include "tests/emulation/nccl/reduce.h"

// The header leaves it open.
struct ncclComm {
  std::shared_ptr<emulation::Endpoint> endpoint;
};

namespace emulation {
namespace {

constexpr unsigned kConfigMagic = 0xcafebeef;
constexpr int kFirstWith8BitSums = 90;  // capability

std::mutex registry_mutex;
std::map<ncclComm_t, std::shared_ptr<Endpoint>>& Registry() {
  static auto* const registry = new std::map<ncclComm_t, std::shared_ptr<Endpoint>>();
  return *registry;
}

std::shared_ptr<Endpoint> Find(ncclComm_t handle) {
  const std::lock_guard lock(registry_mutex);
  const auto it = Registry().find(handle);
  return it == Registry().end() ? nullptr : it->second;
}

ncclResult_t NoCommunicator() {
  return Refuse(ncclInvalidArgument, "not a communicator, or one that was destroyed or aborted");
}

std::shared_ptr<Endpoint> Forget(ncclComm_t handle) {
  const std::lock_guard lock(registry_mutex);
  const auto it = Registry().find(handle);
  if (it == Registry().end()) return nullptr;
  std::shared_ptr<Endpoint> endpoint = std::move(it->second);
  Registry().erase(it);
  delete handle;
  return endpoint;
}

ncclResult_t Init(ncclComm_t* handle, int ranks, const ncclUniqueId& id, int rank, const ncclConfig_t* config,
                  const CallSite& site) {
  if (handle == nullptr || ranks < 1 || rank < 0 || rank >= ranks)
    return Refuse(ncclInvalidArgument, "rank " + std::to_string(rank) + " of " + std::to_string(ranks));
  *handle = nullptr;
  if (config != nullptr && (config->magic != kConfigMagic || config->size != sizeof(ncclConfig_t)))
    return Refuse(ncclInvalidArgument, "a configuration that NCCL_CONFIG_INITIALIZER did not begin");
  const bool blocking = config == nullptr || config->blocking == NCCL_CONFIG_UNDEF_INT || config->blocking != 0;
  const int channels_max = config == nullptr || config->maxCTAs == NCCL_CONFIG_UNDEF_INT ? INT_MAX : config->maxCTAs;
  const std::string hub(id.internal, strnlen(id.internal, sizeof id.internal));
  std::shared_ptr<Endpoint> endpoint = Endpoint::Make(hub, ranks, rank, channels_max, site.Text());
  if (endpoint == nullptr) return Refuse(ncclUnhandledCudaError, "the device has no bytes left for a communicator");
  const ncclResult_t result = blocking ? Join(endpoint) : ncclInProgress;
  if (result != ncclSuccess && result != ncclInProgress) {
    endpoint->End(true);
    return result;
  }
  *handle = new ncclComm{endpoint};
  const std::lock_guard lock(registry_mutex);
  Registry()[*handle] = std::move(endpoint);
  return result;
}

bool OnDevice(const void* pointer, int device) {
  cudaPointerAttributes attributes{};
  return cudaPointerGetAttributes(&attributes, pointer) == cudaSuccess && attributes.type == cudaMemoryTypeDevice &&
         attributes.device == device;
}

// Whole, or apart.
bool Overlap(const Part& part, uint64_t in_offset, uint64_t out_offset) {
  const char *in = static_cast<const char*>(part.in), *out = static_cast<const char*>(part.out);
  if (in + in_offset == out + out_offset) return false;  // in place, as documented
  return in < out + part.out_bytes && out < in + part.in_bytes;
}

bool Is8BitFloat(ncclDataType_t type) { return type == ncclFloat8e4m3 || type == ncclFloat8e5m2; }

int CapabilityOf(int device) {
  int major = 0, minor = 0;
  cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device);
  cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device);
  return 10 * major + minor;
}

// How often `count` this rank brings and gets, by kind.
struct Share {
  uint64_t in, out;
  uint64_t in_place_in, in_place_out;  // offsets at which input and output may be one
};
Share ShareOf(CallKind kind, bool root, uint64_t rank, uint64_t ranks) {
  switch (kind) {
    case CallKind::kAllReduce:
      return {1, 1, 0, 0};
    case CallKind::kReduce:
      return {1, root ? 1u : 0u, 0, 0};
    case CallKind::kBroadcast:
      return {root ? 1u : 0u, 1, 0, 0};
    case CallKind::kAllGather:
      return {1, ranks, 0, rank};
    case CallKind::kReduceScatter:
      return {ranks, 1, rank, 0};
    case CallKind::kSend:
      return {1, 0, 0, 0};
    case CallKind::kReceive:
      return {0, 1, 0, 0};
  }
  return {};
}

ncclResult_t CheckCall(const Endpoint& endpoint, const Call& call, int ranks) {
  const auto type = static_cast<ncclDataType_t>(call.type);
  if (BytesOf(type) == 0) return Refuse(ncclInvalidArgument, "data type " + std::to_string(call.type));
  if (Reduces(call.kind) && (call.op < 0 || call.op >= ncclNumOps))
    return Refuse(ncclInvalidArgument, "operation " + std::to_string(call.op));
  const bool has_root =
      call.kind != CallKind::kAllReduce && call.kind != CallKind::kAllGather && call.kind != CallKind::kReduceScatter;
  if (has_root && (call.root < 0 || call.root >= ranks))
    return Refuse(ncclInvalidArgument, Describe(call) + ": there are " + std::to_string(ranks) + " ranks");
  if (Reduces(call.kind) && Is8BitFloat(type) && CapabilityOf(endpoint.device()) < kFirstWith8BitSums)
    return Refuse(ncclInvalidArgument, Describe(call) + " needs capability 9.0");
  return ncclSuccess;
}

ncclResult_t Enter(const Call& call, const void* in, void* out, ncclComm_t handle, cudaStream_t stream,
                   const CallSite& site) {
  const std::shared_ptr<Endpoint> endpoint = Find(handle);
  if (endpoint == nullptr) return NoteInGroup(NoCommunicator());
  Communicator& communicator = endpoint->communicator();
  const auto refuse = [&](ncclResult_t result, const std::string& why) {
    return NoteInGroup(Refuse(result, Describe(call) + ": " + why));
  };
  if (const ncclResult_t result = CheckCall(*endpoint, call, communicator.ranks()); result != ncclSuccess)
    return NoteInGroup(result);
  if (const ncclResult_t state = communicator.state(); state != ncclSuccess)
    return refuse(state == ncclInProgress ? ncclInvalidUsage : state,
                  state == ncclInProgress ? "the communicator is not ready yet" : communicator.why());
  const uint64_t element = BytesOf(static_cast<ncclDataType_t>(call.type)), rank = communicator.rank();
  const Share share = ShareOf(call.kind, call.root == communicator.rank(), rank, communicator.ranks());
  const uint64_t unit = call.count * element;
  Part part{call, in, share.in * unit, out, share.out * unit, site};
  if ((part.in_bytes > 0 && !OnDevice(in, endpoint->device())) ||
      (part.out_bytes > 0 && !OnDevice(out, endpoint->device())))
    return refuse(ncclInvalidArgument, "a buffer that is not of device " + std::to_string(endpoint->device()));
  if (part.in_bytes > 0 && part.out_bytes > 0 && Overlap(part, share.in_place_in * unit, share.in_place_out * unit))
    return refuse(ncclInvalidArgument, "input and output overlap");
  if (!endpoint->Connect())
    return refuse(ncclUnhandledCudaError, "the device has no bytes left for the buffers to its peers");
  return NoteInGroup(Submit(endpoint, stream, std::move(part)));
}

ncclResult_t Destroy(ncclComm_t handle) {
  const std::shared_ptr<Endpoint> endpoint = Find(handle);
  if (endpoint == nullptr) return NoCommunicator();
  if (!endpoint->Flush())
    return Refuse(ncclRemoteError,
                  "operations will never end: " + endpoint->communicator().why() + "; ncclCommAbort is for that");
  Forget(handle);
  endpoint->End(false);
  return ncclSuccess;
}

}  // namespace
}  // namespace emulation

using namespace emulation;  // NOLINT(google-build-using-namespace): the functions below are in no namespace

extern "C" {

ncclResult_t ncclGetVersion(int* version) {
  *version = NCCL_VERSION_CODE;
  return ncclSuccess;
}

const char* ncclGetErrorString(ncclResult_t result) {
  static const char* const kTexts[] = {"no error",
                                       "unhandled cuda error",
                                       "unhandled system error",
                                       "internal error",
                                       "invalid argument",
                                       "invalid usage",
                                       "remote process exited or there was a network error",
                                       "operation in progress"};
  return result >= 0 && result < ncclNumResults ? kTexts[result] : "unknown result code";
}
const char* ncclGetLastError(ncclComm_t) { return LastRefusal(); }

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  if (id == nullptr) return ncclInvalidArgument;
  memset(id, 0, sizeof *id);
  const std::string hub = Hub::Start();
  memcpy(id->internal, hub.data(), hub.size());
  return ncclSuccess;
}

ncclResult_t ncclCommInitRank(ncclComm_t* handle, int ranks, ncclUniqueId id, int rank) {
  return NoteInGroup(Init(handle, ranks, id, rank, nullptr, CallSite::Here()));
}
ncclResult_t ncclCommInitRankConfig(ncclComm_t* handle, int ranks, ncclUniqueId id, int rank, ncclConfig_t* config) {
  return NoteInGroup(Init(handle, ranks, id, rank, config, CallSite::Here()));
}

ncclResult_t ncclCommInitAll(ncclComm_t* handles, int count, const int* devices) {
  if (handles == nullptr || count < 1) return Refuse(ncclInvalidArgument, std::to_string(count) + " devices");
  int current = 0;
  ncclUniqueId id;
  cudaGetDevice(&current);
  ncclGetUniqueId(&id);
  StartGroup();
  for (int rank = 0; rank < count; rank++) {
    if (cudaSetDevice(devices == nullptr ? rank : devices[rank]) != cudaSuccess) {
      NoteInGroup(Refuse(ncclInvalidArgument, "rank " + std::to_string(rank) + " has no such device"));
      break;
    }
    if (NoteInGroup(Init(&handles[rank], count, id, rank, nullptr, CallSite::Here())) != ncclSuccess) break;
  }
  const ncclResult_t result = EndGroup();
  cudaSetDevice(current);
  return result;
}

ncclResult_t ncclCommFinalize(ncclComm_t handle) {
  const std::shared_ptr<Endpoint> endpoint = Find(handle);
  if (endpoint == nullptr) return NoCommunicator();
  return endpoint->Flush() ? ncclSuccess : Refuse(ncclRemoteError, endpoint->communicator().why());
}

// What is in the streams still happens; for that the others are needed.
ncclResult_t ncclCommDestroy(ncclComm_t handle) { return Destroy(handle); }

ncclResult_t ncclCommAbort(ncclComm_t handle) {
  const std::shared_ptr<Endpoint> endpoint = Forget(handle);
  if (endpoint == nullptr) return NoCommunicator();
  endpoint->End(true);
  return ncclSuccess;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t handle, ncclResult_t* error) {
  const std::shared_ptr<Endpoint> endpoint = Find(handle);
  if (endpoint == nullptr || error == nullptr) return NoCommunicator();
  *error = endpoint->communicator().state();
  return ncclSuccess;
}

ncclResult_t ncclCommCount(const ncclComm_t handle, int* count) {
  const std::shared_ptr<Endpoint> endpoint = Find(handle);
  if (endpoint == nullptr || count == nullptr) return NoCommunicator();
  *count = endpoint->communicator().ranks();
  return ncclSuccess;
}
ncclResult_t ncclCommCuDevice(const ncclComm_t handle, int* device) {
  const std::shared_ptr<Endpoint> endpoint = Find(handle);
  if (endpoint == nullptr || device == nullptr) return NoCommunicator();
  *device = endpoint->device();
  return ncclSuccess;
}
ncclResult_t ncclCommUserRank(const ncclComm_t handle, int* rank) {
  const std::shared_ptr<Endpoint> endpoint = Find(handle);
  if (endpoint == nullptr || rank == nullptr) return NoCommunicator();
  *rank = endpoint->communicator().rank();
  return ncclSuccess;
}

ncclResult_t ncclAllReduce(const void* in, void* out, size_t count, ncclDataType_t type, ncclRedOp_t op,
                           ncclComm_t handle, cudaStream_t stream) {
  return Enter({CallKind::kAllReduce, type, op, -1, count}, in, out, handle, stream, CallSite::Here());
}
ncclResult_t ncclReduce(const void* in, void* out, size_t count, ncclDataType_t type, ncclRedOp_t op, int root,
                        ncclComm_t handle, cudaStream_t stream) {
  return Enter({CallKind::kReduce, type, op, root, count}, in, out, handle, stream, CallSite::Here());
}
ncclResult_t ncclBroadcast(const void* in, void* out, size_t count, ncclDataType_t type, int root, ncclComm_t handle,
                           cudaStream_t stream) {
  return Enter({CallKind::kBroadcast, type, 0, root, count}, in, out, handle, stream, CallSite::Here());
}
ncclResult_t ncclBcast(void* buffer, size_t count, ncclDataType_t type, int root, ncclComm_t handle,
                       cudaStream_t stream) {
  return Enter({CallKind::kBroadcast, type, 0, root, count}, buffer, buffer, handle, stream, CallSite::Here());
}
ncclResult_t ncclAllGather(const void* in, void* out, size_t count, ncclDataType_t type, ncclComm_t handle,
                           cudaStream_t stream) {
  return Enter({CallKind::kAllGather, type, 0, -1, count}, in, out, handle, stream, CallSite::Here());
}
ncclResult_t ncclReduceScatter(const void* in, void* out, size_t count, ncclDataType_t type, ncclRedOp_t op,
                               ncclComm_t handle, cudaStream_t stream) {
  return Enter({CallKind::kReduceScatter, type, op, -1, count}, in, out, handle, stream, CallSite::Here());
}
ncclResult_t ncclSend(const void* in, size_t count, ncclDataType_t type, int peer, ncclComm_t handle,
                      cudaStream_t stream) {
  return Enter({CallKind::kSend, type, 0, peer, count}, in, nullptr, handle, stream, CallSite::Here());
}
ncclResult_t ncclRecv(void* out, size_t count, ncclDataType_t type, int peer, ncclComm_t handle, cudaStream_t stream) {
  return Enter({CallKind::kReceive, type, 0, peer, count}, nullptr, out, handle, stream, CallSite::Here());
}

ncclResult_t ncclGroupStart() {
  StartGroup();
  return ncclSuccess;
}
ncclResult_t ncclGroupEnd() { return EndGroup(); }

}  // extern "C"
