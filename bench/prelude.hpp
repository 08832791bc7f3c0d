// What has to run before a launch and is not in its time: the quantiser of a matmul's activations.
#pragma once

#include "kernels/hip/runtime.hpp"

namespace greta::bench {

/// A workload that is one of these has its prelude timed too, and shown beside its launch (prelude_us).
class WithPrelude {
 public:
  virtual ~WithPrelude() = default;
  /// Seconds; 0: nothing has to run.
  virtual double prelude(hip::Stream& stream) = 0;
};

}  // namespace greta::bench
