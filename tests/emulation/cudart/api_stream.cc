// Streams, events, capture and graphs.
#include <cstdio>

#include "tests/emulation/cudart/api.h"

namespace emulation {
namespace {

Event* Of(cudaEvent_t handle) { return reinterpret_cast<Event*>(handle); }
cudaEvent_t HandleOf(Event* event) { return reinterpret_cast<cudaEvent_t>(event); }
Graph* Of(cudaGraph_t handle) { return reinterpret_cast<Graph*>(handle); }
GraphExec* Of(cudaGraphExec_t handle) { return reinterpret_cast<GraphExec*>(handle); }

// Calls that wait are no work that a graph could hold: they break the capture.
bool BreaksCapture(const Stream& stream) {
  if (!stream.capture) return false;
  stream.capture->broken = true;
  return true;
}

cudaError_t CreateStream(cudaStream_t* handle, unsigned int flags) {
  if (const cudaError_t error = Enter(); error != cudaSuccess) return error;
  *handle = AddStream(std::make_shared<Stream>(CurrentDevice(), (flags & cudaStreamNonBlocking) == 0));
  return cudaSuccess;
}

uint64_t BytesOf(const Graph& graph) { return GetSettings().graph * (1 + graph.nodes.size() / 16); }

}  // namespace
}  // namespace emulation

using namespace emulation;  // NOLINT(google-build-using-namespace): the functions below are in no namespace

extern "C" {

cudaError_t cudaStreamCreate(cudaStream_t* stream) { return Note(CreateStream(stream, cudaStreamDefault)); }
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned int flags) {
  return Note(CreateStream(stream, flags));
}
cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned int flags, int) {
  return Note(CreateStream(stream, flags));
}
cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  *least = 0;
  *greatest = -5;
  return cudaSuccess;
}

// What was pushed still happens; on a card too the stream's resources go when its work is done.
cudaError_t cudaStreamDestroy(cudaStream_t handle) {
  const std::shared_ptr<Stream> stream = FindStream(handle);
  if (handle == nullptr || stream == nullptr) return Note(cudaErrorInvalidResourceHandle);
  Wait(*stream, stream->end());
  RemoveStream(handle);
  return Note(stream->device.error());
}

cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
  if (const cudaError_t error = Enter(); error != cudaSuccess) return Note(error);
  const std::shared_ptr<Stream> stream = FindStream(handle);
  if (stream == nullptr) return Note(cudaErrorInvalidResourceHandle);
  if (BreaksCapture(*stream)) return Note(cudaErrorStreamCaptureUnsupported);
  // The default stream's work includes what blocking streams did before it.
  if (handle == nullptr) PushOperation(stream, [] { return true; });
  return Note(Wait(*stream, stream->end()));
}

cudaError_t cudaStreamQuery(cudaStream_t handle) {
  if (const cudaError_t error = Enter(); error != cudaSuccess) return Note(error);
  const std::shared_ptr<Stream> stream = FindStream(handle);
  if (stream == nullptr) return Note(cudaErrorInvalidResourceHandle);
  return Note(Step(*stream, stream->end()) ? stream->device.error() : cudaErrorNotReady);
}

cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event, unsigned int) {
  if (const cudaError_t error = Enter(); error != cudaSuccess) return Note(error);
  const std::shared_ptr<Stream> stream = FindStream(handle);
  if (stream == nullptr || event == nullptr) return Note(cudaErrorInvalidResourceHandle);
  const Event& e = *Of(event);
  if (e.capture) {  // joins the capture that the event comes from
    stream->capture = e.capture;
    return cudaSuccess;
  }
  if (stream->capture) return Note(cudaErrorIllegalState);  // an event from outside of the capture
  if (!e.stream || e.stream == stream) return cudaSuccess;
  return Note(PushOperation(stream, [from = e.stream, position = e.position] { return from->Advance(position); }));
}

cudaError_t cudaLaunchHostFunc(cudaStream_t handle, cudaHostFn_t function, void* data) {
  if (const cudaError_t error = Enter(); error != cudaSuccess) return Note(error);
  const std::shared_ptr<Stream> stream = FindStream(handle);
  if (stream == nullptr) return Note(cudaErrorInvalidResourceHandle);
  return Note(Push(stream, [=] { function(data); }));
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned int flags) {
  if (const cudaError_t error = Enter(); error != cudaSuccess) return Note(error);
  auto* created = new Event();
  created->device = &CurrentDevice();
  created->timed = (flags & cudaEventDisableTiming) == 0;
  *event = HandleOf(created);
  return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t* event) { return cudaEventCreateWithFlags(event, cudaEventDefault); }

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  if (event == nullptr) return Note(cudaErrorInvalidResourceHandle);
  delete Of(event);
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t handle) {
  if (const cudaError_t error = Enter(); error != cudaSuccess) return Note(error);
  const std::shared_ptr<Stream> stream = FindStream(handle);
  if (stream == nullptr || event == nullptr) return Note(cudaErrorInvalidResourceHandle);
  Event& e = *Of(event);
  if (e.device != &stream->device) return Note(cudaErrorInvalidResourceHandle);
  e.capture = stream->capture;
  if (e.capture) return cudaSuccess;
  e.state = std::make_shared<EventState>();
  e.stream = stream;
  const cudaError_t error = PushOperation(stream, [state = e.state] {
    state->time = std::chrono::steady_clock::now();
    state->done = true;
    return true;
  });
  e.position = stream->end();
  return Note(error);
}
cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t stream, unsigned int) {
  return cudaEventRecord(event, stream);
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  if (const cudaError_t error = Enter(); error != cudaSuccess) return Note(error);
  if (event == nullptr) return Note(cudaErrorInvalidResourceHandle);
  const Event& e = *Of(event);
  if (!e.stream) return cudaSuccess;
  return Note(Step(*e.stream, e.position) ? e.stream->device.error() : cudaErrorNotReady);
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  if (const cudaError_t error = Enter(); error != cudaSuccess) return Note(error);
  if (event == nullptr) return Note(cudaErrorInvalidResourceHandle);
  const Event& e = *Of(event);
  if (e.capture) return Note(cudaErrorStreamCaptureUnsupported);
  return Note(e.stream ? Wait(*e.stream, e.position) : cudaSuccess);
}

// By the clock of the host at the moment when the emulation came to the events: of use to see that it was measured, not
// how fast a card is.
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end) {
  const Event &a = *Of(begin), &b = *Of(end);
  if (!a.timed || !b.timed || !a.state || !b.state) return Note(cudaErrorInvalidResourceHandle);
  if (!a.state->done || !b.state->done) return Note(cudaErrorNotReady);
  *milliseconds = std::chrono::duration<float, std::milli>(b.state->time - a.state->time).count();
  return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t handle, cudaStreamCaptureMode mode) {
  if (const cudaError_t error = Enter(); error != cudaSuccess) return Note(error);
  const std::shared_ptr<Stream> stream = FindStream(handle);
  if (stream == nullptr) return Note(cudaErrorInvalidResourceHandle);
  if (handle == nullptr) return Note(cudaErrorStreamCaptureUnsupported);  // the default stream cannot be captured
  if (stream->capture) return Note(cudaErrorIllegalState);
  stream->capture = std::make_shared<Graph>();
  NoteCapture(1, mode);
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t* graph) {
  const std::shared_ptr<Stream> stream = FindStream(handle);
  if (stream == nullptr || !stream->capture) return Note(cudaErrorIllegalState);
  const std::shared_ptr<Graph> captured = stream->capture;
  for (const std::shared_ptr<Stream>& other : StreamsOf(stream->device)) {
    if (other->capture == captured) other->capture.reset();
  }
  NoteCapture(-1, cudaStreamCaptureModeGlobal);
  *graph = nullptr;
  if (captured->broken) return Note(cudaErrorStreamCaptureInvalidated);
  *graph = reinterpret_cast<cudaGraph_t>(new Graph(*captured));
  return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t handle, cudaStreamCaptureStatus* status) {
  const std::shared_ptr<Stream> stream = FindStream(handle);
  if (stream == nullptr) return Note(cudaErrorInvalidResourceHandle);
  *status = !stream->capture          ? cudaStreamCaptureStatusNone
            : stream->capture->broken ? cudaStreamCaptureStatusInvalidated
                                      : cudaStreamCaptureStatusActive;
  return cudaSuccess;
}

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, size_t* count) {
  if (nodes != nullptr) {
    fprintf(stderr, "emulated GPU: cudaGraphGetNodes gives the number of nodes only\n");
    return Note(cudaErrorNotSupported);
  }
  *count = Of(graph)->nodes.size();
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  if (const cudaError_t error = Enter(); error != cudaSuccess) return Note(error);
  if (graph == nullptr) return Note(cudaErrorInvalidValue);
  const uint64_t bytes = BytesOf(*Of(graph));
  if (!CurrentDevice().Take(bytes)) return Note(cudaErrorMemoryAllocation);
  *exec = reinterpret_cast<cudaGraphExec_t>(new GraphExec{*Of(graph), &CurrentDevice(), bytes});
  return cudaSuccess;
}

cudaError_t cudaGraphUpload(cudaGraphExec_t, cudaStream_t) { return Note(Enter()); }

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t handle) {
  if (const cudaError_t error = Enter(); error != cudaSuccess) return Note(error);
  const std::shared_ptr<Stream> stream = FindStream(handle);
  if (stream == nullptr || exec == nullptr) return Note(cudaErrorInvalidResourceHandle);
  return Note(
      PushOperation(stream, [device = Of(exec)->device, nodes = Of(exec)->graph.nodes, next = size_t{0}]() mutable {
        // What is not ready is asked again; the ones before it have happened.
        for (; next < nodes.size(); next++) {
          if (device->error() == cudaSuccess && !nodes[next]()) return false;
        }
        return true;
      }));
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  if (exec == nullptr) return Note(cudaErrorInvalidValue);
  Of(exec)->device->GiveBack(Of(exec)->bytes);
  delete Of(exec);
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  if (graph == nullptr) return Note(cudaErrorInvalidValue);
  delete Of(graph);
  return cudaSuccess;
}

}  // extern "C"
