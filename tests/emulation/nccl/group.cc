#include "tests/emulation/nccl/group.h"

#include <cstdio>
#include <map>
#include <utility>
#include <vector>

namespace emulation {
namespace {

struct Collected {
  std::shared_ptr<Endpoint> endpoint;
  cudaStream_t stream;
  std::vector<Part> parts;
};

struct Group {
  int depth = 0;
  ncclResult_t error = ncclSuccess;
  std::vector<Collected> calls;  // one for each communicator
  std::vector<std::shared_ptr<Endpoint>> joining;
};
thread_local Group group;

// The rank that this thread last served outside of a group, by communicator.
struct Served {
  int rank;
  Call call;
  CallSite site;
};
thread_local std::map<std::string, Served> served;

thread_local std::string last_refusal;

ncclResult_t WaitFor(Endpoint& endpoint) {
  const ncclResult_t state = endpoint.communicator().WaitUntilJoined();
  return state == ncclSuccess ? ncclSuccess
                              : Refuse(state, "the communicator was not made: " + endpoint.communicator().why());
}

ncclResult_t CheckServed(const Endpoint& endpoint, int rank, const Part& part) {
  const auto [it, first] = served.try_emplace(endpoint.hub(), Served{rank, part.call, part.site});
  if (first || it->second.rank == rank) return ncclSuccess;
  return Refuse(ncclInvalidUsage, "one thread serves two ranks of a communicator outside of a group:\n  rank " +
                                      std::to_string(it->second.rank) + ": " + Describe(it->second.call) + " at " +
                                      ResolveSite(it->second.site.Text()) + "\n  rank " + std::to_string(rank) + ": " +
                                      Describe(part.call) + " at " + ResolveSite(part.site.Text()));
}

ncclResult_t Collect(const std::shared_ptr<Endpoint>& endpoint, cudaStream_t stream, Part part) {
  for (Collected& collected : group.calls) {
    if (collected.endpoint != endpoint) continue;
    if (collected.stream != stream)
      return Refuse(ncclInvalidUsage, "calls of one communicator and group in different streams");
    collected.parts.push_back(std::move(part));
    return ncclSuccess;
  }
  group.calls.push_back({endpoint, stream, {}});
  group.calls.back().parts.push_back(std::move(part));
  return ncclSuccess;
}

}  // namespace

ncclResult_t Refuse(ncclResult_t result, const std::string& why) {
  last_refusal = why;
  fprintf(stderr, "emulated NCCL: %s (%s)\n", why.c_str(), ncclGetErrorString(result));
  return result;
}
const char* LastRefusal() { return last_refusal.c_str(); }

bool InGroup() { return group.depth > 0; }
void StartGroup() { group.depth++; }

ncclResult_t NoteInGroup(ncclResult_t result) {
  if (InGroup() && result != ncclSuccess && result != ncclInProgress && group.error == ncclSuccess)
    group.error = result;
  return result;
}

ncclResult_t EndGroup() {
  if (!InGroup()) return Refuse(ncclInvalidUsage, "ncclGroupEnd without ncclGroupStart");
  if (--group.depth > 0) return ncclSuccess;
  const Group ended = std::exchange(group, Group());
  ncclResult_t result = ended.error;
  for (const std::shared_ptr<Endpoint>& endpoint : ended.joining) {
    if (const ncclResult_t joined = WaitFor(*endpoint); result == ncclSuccess) result = joined;
  }
  if (result != ncclSuccess) return result;
  for (const Collected& collected : ended.calls) {
    if (const ncclResult_t pushed = collected.endpoint->Push(collected.stream, collected.parts); result == ncclSuccess)
      result = pushed;
  }
  return result;
}

ncclResult_t Submit(const std::shared_ptr<Endpoint>& endpoint, cudaStream_t stream, Part part) {
  if (InGroup()) return Collect(endpoint, stream, std::move(part));
  if (const ncclResult_t result = CheckServed(*endpoint, endpoint->communicator().rank(), part); result != ncclSuccess)
    return result;
  return endpoint->Push(stream, {std::move(part)});
}

ncclResult_t Join(const std::shared_ptr<Endpoint>& endpoint) {
  if (!InGroup()) return WaitFor(*endpoint);
  group.joining.push_back(endpoint);
  return ncclSuccess;
}

}  // namespace emulation
