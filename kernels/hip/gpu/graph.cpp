// Graphs on a GPU: stream capture.
#include "kernels/hip/gpu/api.hpp"
#include "kernels/hip/platform.hpp"

namespace greta::hip {

bool platform::graphs_supported() { return true; }

void platform::begin_capture(Stream& stream) {
  gpu::check(hipStreamBeginCapture(stream.impl().handle, hipStreamCaptureModeThreadLocal),
             "starting a graph's capture");
}

void* platform::end_capture(Stream& stream, bool keep) {
  hipGraph_t graph = nullptr;
  const hipError_t ended = hipStreamEndCapture(stream.impl().handle, &graph);
  if (!keep) {
    (void)hipGetLastError();
    if (graph) (void)hipGraphDestroy(graph);
    return nullptr;
  }
  gpu::check(ended, "ending a graph's capture");
  hipGraphExec_t executable = nullptr;
  const hipError_t made = hipGraphInstantiateWithFlags(&executable, graph, 0);
  (void)hipGraphDestroy(graph);
  gpu::check(made, "instantiating a graph");
  return executable;
}

void platform::launch_graph(Stream& stream, void* graph) {
  gpu::check(hipGraphLaunch(static_cast<hipGraphExec_t>(graph), stream.impl().handle), "launching a graph");
  gpu::note_enqueued(stream, neutral::current_sequence());
}

void platform::start_after(Stream& later, Stream& earlier) {
  hipEvent_t event = nullptr;
  gpu::check(hipEventCreate(&event), "creating an event between streams");
  hipError_t error = hipEventRecord(event, earlier.impl().handle);
  if (error == hipSuccess) error = hipStreamWaitEvent(later.impl().handle, event, 0);
  (void)hipEventDestroy(event);  // given back when what waits for it is done
  gpu::check_after_wait(error, "ordering stream '" + later.name() + "' after '" + earlier.name() + "'");
}

void platform::free_graph(void* graph) noexcept { (void)hipGraphExecDestroy(static_cast<hipGraphExec_t>(graph)); }

}  // namespace greta::hip
