// Full-wave collectives. Each lane brings a pointer to its operand on its own stack; the lane that arrives last does
// the work for all of them, in place.
#include <algorithm>

#include "kernels/hip/host/executor.hpp"

namespace greta::hip::host {
namespace {

/// The butterfly over lane distances 1, 2, 4, ...: as every step adds commutatively, all lanes hold the same bits,
/// those of the tree computed here.
template <class T, class Combine>
void reduce(void* const* operands, int lanes, Combine combine) {
  T v[64];
  for (int i = 0; i < lanes; ++i) v[i] = *static_cast<T*>(operands[i]);
  for (int d = 1; d < lanes; d *= 2)
    for (int i = 0; i + d < lanes; i += 2 * d) v[i] = combine(v[i], v[i + d]);
  for (int i = 0; i < lanes; ++i) *static_cast<T*>(operands[i]) = v[0];
}

template <class T>
void perform_sum(void* const* operands, int lanes) {
  reduce<T>(operands, lanes, [](T a, T b) {
    if constexpr (std::is_same_v<T, int>)
      return static_cast<int>(static_cast<unsigned>(a) + static_cast<unsigned>(b));  // wraps, as on the GPUs
    else
      return a + b;
  });
}
template <class T>
void perform_max(void* const* operands, int lanes) {
  reduce<T>(operands, lanes, [](T a, T b) {
    if constexpr (std::is_same_v<T, float>)
      return fmaxf(a, b);
    else
      return std::max(a, b);
  });
}

struct Shuffle {
  uint32_t value;
  int lane;
  uint32_t result;
};
void perform_shuffle(void* const* operands, int lanes) {
  for (int i = 0; i < lanes; ++i) {
    auto* mine = static_cast<Shuffle*>(operands[i]);
    mine->result = static_cast<Shuffle*>(operands[mine->lane & (lanes - 1)])->value;
  }
}

template <class T>
T collect(T v, Perform perform, const char* what, Site site) {
  t_worker->meet(&v, perform, what, site);
  return v;
}

}  // namespace

uint32_t wave_shuffle(uint32_t value, int lane, Site site) {
  Shuffle mine{value, lane, 0};
  t_worker->meet(&mine, perform_shuffle, "wave_shfl", site);
  return mine.result;
}

int wave_sum(int v, Site site) { return collect(v, perform_sum<int>, "wave_sum", site); }
unsigned wave_sum(unsigned v, Site site) { return collect(v, perform_sum<unsigned>, "wave_sum", site); }
float wave_sum(float v, Site site) { return collect(v, perform_sum<float>, "wave_sum", site); }
int wave_max(int v, Site site) { return collect(v, perform_max<int>, "wave_max", site); }
unsigned wave_max(unsigned v, Site site) { return collect(v, perform_max<unsigned>, "wave_max", site); }
float wave_max(float v, Site site) { return collect(v, perform_max<float>, "wave_max", site); }
bool wave_any(bool v, Site site) { return collect<unsigned>(v, perform_max<unsigned>, "wave_any", site) != 0; }
bool wave_all(bool v, Site site) { return collect<unsigned>(!v, perform_max<unsigned>, "wave_all", site) == 0; }

}  // namespace greta::hip::host
