// A trace on disk: JSON Lines, each flushed when it is written. Lines:
//   {"trace":1,"event":"start", "side":..., "model":..., "tokens":[...], "kv":..., ... }     what was traced, and how
//   {"position":4,"layer":3,"stage":"mlp_out","dtype":"f32","sha256":"...","count":256,"nonzero":256,"nan":0,"inf":0,
//    "min":..,"max":..,"mean":..,"rms":..,"raw":"p4.l3.mlp_out.f32.zst"}                          a point
//   {"trace":1,"event":"end","points":720, ... }                    what came of it; a trace without it is incomplete
// "recomputed":true marks points that the tracer computed in double. Raw tensors lie beside each other in a folder, one
// zstd frame a point.
#pragma once

#include <cstdio>
#include <map>
#include <memory>
#include <string>

#include "model/trace.hpp"
#include "results/record.hpp"

namespace greta::model {

class TraceWriter {
 public:
  /// `path` "-" writes to stdout. `raw_folder` "" keeps no raw tensors; it is made when missing. Throws
  /// kInvalidArgument when a file or folder cannot be made, kIo (here and below) when it cannot be written.
  TraceWriter(std::string path, std::string raw_folder, results::Json start);
  void point(const PointKey& key, const TracePoint& point);
  void end(results::Json summary);
  uint64_t raw_bytes() const { return raw_bytes_; }

 private:
  void line(const results::Json& object);
  struct Close {
    void operator()(std::FILE* f) const;
  };
  std::string path_, raw_folder_;
  std::unique_ptr<std::FILE, Close> file_;
  uint64_t raw_bytes_ = 0;  ///< uncompressed
};

struct SavedTrace {
  std::string path, raw_folder;
  results::Json start, end;  ///< end: null when the trace broke off
  std::map<PointKey, TracePoint> points;
  std::map<PointKey, std::string> raw_files;
  /// The row as it was; throws kInvalidArgument when the trace has no raw tensor of it, or one that is damaged.
  std::vector<char> raw(const PointKey& key) const;
};
/// Throws kInvalidArgument naming file and line for what is no trace of ours.
SavedTrace read_trace(const std::string& path);

}  // namespace greta::model
