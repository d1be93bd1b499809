// ncclGroupStart … ncclGroupEnd of a thread.
#pragma once

#include <driver_types.h>
#include <nccl.h>

#include <memory>
#include <string>

#include "tests/emulation/nccl/endpoint.h"

namespace emulation {

bool InGroup();
void StartGroup();
// What was collected goes into the streams, and communicators that were begun are waited for. After an error in the
// group nothing is done.
ncclResult_t EndGroup();
// For calls that fail within a group.
ncclResult_t NoteInGroup(ncclResult_t result);

// At once, or at the end of the group. One thread that serves several ranks of a communicator outside of a group would
// wait for itself: refused.
ncclResult_t Submit(const std::shared_ptr<Endpoint>& endpoint, cudaStream_t stream, Part part);
ncclResult_t Join(const std::shared_ptr<Endpoint>& endpoint);

// Says it on stderr and keeps it for ncclGetLastError().
ncclResult_t Refuse(ncclResult_t result, const std::string& why);
const char* LastRefusal();

}  // namespace emulation
