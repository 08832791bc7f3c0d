// Graphs: what a stream is given while a thread records, kept and replayed. The platform captures; here is what the
// runtime knows of the launches in it.
#include "kernels/hip/graph.hpp"

#include <utility>

#include "kernels/hip/launch_ring.hpp"
#include "kernels/hip/markers.hpp"
#include "kernels/hip/platform.hpp"
#include "kernels/hip/progress.hpp"
#include "kernels/hip/text.hpp"

namespace greta::hip {

struct Graph::Impl {
  std::string name;
  void* graph = nullptr;
  std::vector<LaunchLog::Row> rows;  ///< distinct launches
  uint64_t launches = 0;

  ~Impl() { drop(); }
  void drop() {
    if (graph) platform::free_graph(graph);
    graph = nullptr, launches = 0;
    rows.clear();
  }
};

namespace {
thread_local Graph::Impl* t_recording = nullptr;
}

namespace neutral {

bool recording() { return t_recording != nullptr; }

void refuse_while_recording(const char* what) {
  if (t_recording)
    throw_invalid(concat(what, " while graph '", t_recording->name,
                         "' is recorded: a graph holds launches only; allocate and copy before"));
}

bool note_recorded(const LaunchShape& shape) {
  if (!t_recording) return false;
  count_launch(t_recording->rows, shape);
  ++t_recording->launches;
  return true;
}

}  // namespace neutral

void start_after(Stream& later, Stream& earlier) {
  neutral::throw_if_faulted();
  platform::start_after(later, earlier);
}

bool Graph::supported() { return platform::graphs_supported(); }

Graph::Graph(std::string name) : impl_(std::make_unique<Impl>()) { impl_->name = std::move(name); }
Graph::~Graph() = default;
Graph::Graph(Graph&&) noexcept = default;
Graph& Graph::operator=(Graph&&) noexcept = default;
Graph::operator bool() const { return impl_->graph != nullptr; }
uint64_t Graph::launches() const { return impl_->launches; }

void Graph::record(Stream& stream, const std::function<void()>& f) {
  neutral::throw_if_faulted();
  if (!supported())
    throw_invalid(
        concat("graph '", impl_->name, "': the ", platform_name(), " platform has no graphs; launch eagerly"));
  neutral::refuse_while_recording("another recording");
  impl_->drop();
  platform::begin_capture(stream);
  t_recording = impl_.get();
  try {
    f();
  } catch (...) {
    t_recording = nullptr;
    platform::end_capture(stream, false);
    impl_->drop();
    throw;
  }
  t_recording = nullptr;
  const bool empty = impl_->launches == 0;
  impl_->graph = platform::end_capture(stream, !empty);
  if (empty) throw_invalid(concat("graph '", impl_->name, "': nothing was launched while it was recorded"));
}

void Graph::replay(Stream& stream) {
  neutral::throw_if_faulted();
  if (!impl_->graph) throw_invalid(concat("graph '", impl_->name, "': nothing was recorded"));
  platform::before_launch(stream);
  LaunchShape shape;
  shape.kernel = concat("graph ", impl_->name, " (", impl_->launches, " launches)");
  neutral::note_replay(stream, shape, impl_->rows);
  const uint64_t launch = neutral::current_sequence();
  neutral::note_begun(launch);
  platform::mark_begun(stream, launch);
  platform::launch_graph(stream, impl_->graph);
  platform::mark_finished(stream, launch);
  if (exec_config().checked) check_guards(stream);
  if (wait_planned_after(launch)) stream.synchronize();
  if (exec_config().checked || wait_planned_after(launch)) neutral::note_finished(launch);
}

}  // namespace greta::hip
