// A launch that computes something else than its kernel says: the seeded defect of audits that look at whole runs. It
// flips one bit of up to 64 neighbours in a launch's first floating-point output, on any platform.
#pragma once

#include <cstdint>
#include <functional>

#include "kernels/hip/launch_shape.hpp"

namespace greta::runners {

class LaunchPlant final : public hip::LaunchObserver {
 public:
  /// `damaged` is asked at each launch with a floating-point output: 1 for the first since restart(), 2, ...
  explicit LaunchPlant(std::function<bool(uint64_t)> damaged);
  ~LaunchPlant();
  LaunchPlant(const LaunchPlant&) = delete;
  LaunchPlant& operator=(const LaunchPlant&) = delete;
  /// Counts from 1 again. `draw` chooses the elements.
  void restart(uint64_t draw = 1);

  void before(const hip::LaunchShape&, std::span<const hip::ErasedArgument>, const hip::KernelCall&) override {}
  void after(const hip::LaunchShape& shape, std::span<const hip::ErasedArgument> arguments,
             const hip::KernelCall& call) override;

 private:
  std::function<bool(uint64_t)> damaged_;
  uint64_t launches_ = 0, draw_ = 1;
  hip::LaunchObserver* previous_;
};

}  // namespace greta::runners
