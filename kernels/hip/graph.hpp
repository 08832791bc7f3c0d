// Graphs of launches: part of the runtime (runtime.hpp), for those who replay.
#pragma once

#include <functional>

#include "kernels/hip/runtime.hpp"

namespace greta::hip {

/// Launches recorded once and started together afterwards: a replay costs the host one call instead of one a launch.
/// Arguments are what they were when recorded: buffers must stay, what changes from replay to replay lies in them. The
/// registry's checks are made when recording; in checked mode a replay verifies the guard zones of every allocation.
/// The launch ring keeps a replay as one entry, "graph NAME (N launches)"; a LaunchLog counts each of its launches.
/// rocm and cuda (stream capture); not on host, where a launch is run before it returns and nothing is gained.
class Graph {
 public:
  static bool supported();
  /// Owns nothing until record().
  explicit Graph(std::string name = "graph");
  ~Graph();
  Graph(Graph&&) noexcept;
  Graph& operator=(Graph&&) noexcept;

  /// Records the launches and poisonings that f() enqueues on the stream; none of them runs. f() must not copy,
  /// allocate or wait, or use a stream that start_after() has not joined to it: copies and allocations throw
  /// kInvalidArgument, as does an empty recording and a platform without graphs. What f() throws is thrown on, and
  /// nothing is kept.
  void record(Stream& stream, const std::function<void()>& f);
  /// Enqueues what was recorded; throws kInvalidArgument when nothing was.
  void replay(Stream& stream);
  explicit operator bool() const;
  uint64_t launches() const;

  struct Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

/// What `later` is given from now on starts after all that `earlier` has been given. In a recording this is how a
/// second stream takes part: start_after(side, main), launches on side, start_after(main, side) before the recording
/// ends. On host, where launches are done before they return, nothing happens.
void start_after(Stream& later, Stream& earlier);

}  // namespace greta::hip
