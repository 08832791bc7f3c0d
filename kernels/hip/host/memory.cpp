// Device memory of the host platform: each allocation between unmapped zones, so that a wild access stops at the
// statement that made it.
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <deque>

#include "kernels/hip/host/executor.hpp"
#include "kernels/hip/text.hpp"

namespace greta::hip {
namespace host {
namespace {

constexpr size_t kPage = 4096;

size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

/// The slack around the data inside its own pages: [page, data) and [data + bytes, end of page).
struct Slack {
  uint8_t* front;
  size_t front_bytes;
  uint8_t* back;
  size_t back_bytes;
};
Slack slack_of(const platform::Memory& m) {
  const auto data = reinterpret_cast<uintptr_t>(m.data);
  const uintptr_t end = data + m.bytes;
  const uintptr_t page = data / kPage * kPage;
  return {reinterpret_cast<uint8_t*>(page), data - page, reinterpret_cast<uint8_t*>(end), round_up(end, kPage) - end};
}

}  // namespace

platform::Memory map_guarded(const std::string& name, size_t bytes, size_t alignment, size_t guard) {
  const size_t physical = static_cast<size_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<size_t>(sysconf(_SC_PAGE_SIZE));
  const auto refuse = [&](const std::string& why) {
    throw Error(ErrorKind::kOutOfMemory,
                concat("buffer '", name, "': ", bytes, " bytes wanted, the machine has ", physical, " of memory", why));
  };
  if (bytes > physical) refuse("");
  const size_t pages = round_up(bytes, kPage);
  guard = round_up(guard, kPage);
  const size_t mapped = pages + 2 * guard;
  void* const base = mmap(nullptr, mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) refuse(concat(" (mmap: ", std::strerror(errno), "; see vm.max_map_count)"));
  char* const first = static_cast<char*>(base) + guard;
  if (mprotect(first, pages, PROT_READ | PROT_WRITE) != 0) {
    const int error = errno;
    munmap(base, mapped);
    refuse(concat(" (mprotect: ", std::strerror(error), "; see vm.max_map_count)"));
  }
  const size_t shift = exec_config().guard_side == ExecConfig::GuardSide::kEnd ? pages - round_up(bytes, alignment) : 0;
  const platform::Memory memory{first + shift, bytes, base, mapped};
  fill_slack(memory);
  return memory;
}

void fill_slack(const platform::Memory& memory) {
  const Slack slack = slack_of(memory);
  std::memset(slack.front, kSlack, slack.front_bytes);
  std::memset(slack.back, kSlack, slack.back_bytes);
}

void fill_pattern(void* to, size_t bytes, uint32_t pattern) {
  auto* p = static_cast<unsigned char*>(to);
  const size_t words = bytes / 4;
  for (size_t i = 0; i < words; ++i) std::memcpy(p + 4 * i, &pattern, 4);
  std::memcpy(p + 4 * words, &pattern, bytes % 4);
}

std::optional<platform::GuardDamage> slack_damage(const platform::Memory& m) {
  const Slack slack = slack_of(m);
  const auto first_bad = [](const uint8_t* p, size_t n) {
    uint8_t differs = 0;
    for (size_t i = 0; i < n; ++i) differs |= static_cast<uint8_t>(p[i] ^ kSlack);
    if (!differs) return n;
    size_t i = 0;
    while (p[i] == kSlack) ++i;
    return i;
  };
  if (const size_t i = first_bad(slack.back, slack.back_bytes); i < slack.back_bytes)
    return platform::GuardDamage{0, static_cast<int64_t>(m.bytes + i), slack.back[i], kSlack};
  if (const size_t i = first_bad(slack.front, slack.front_bytes); i < slack.front_bytes)
    return platform::GuardDamage{0, static_cast<int64_t>(i) - static_cast<int64_t>(slack.front_bytes), slack.front[i],
                                 kSlack};
  return {};
}

}  // namespace host

namespace platform {
namespace {

constexpr size_t kGuardBytes =
    size_t{1} << 20;                   ///< address space costs nothing; a far overrun must not hit a neighbour
constexpr size_t kQuarantined = 1024;  ///< freed ranges kept unmapped, so that a late use faults
constexpr size_t kQuarantinedBytes = size_t{1} << 42;

struct Quarantine {
  std::mutex mutex;
  std::deque<Memory> ranges;
  size_t bytes = 0;
};
Quarantine& quarantine() {
  static auto* q = new Quarantine;
  return *q;
}

}  // namespace

Memory acquire(const std::string& name, size_t bytes, size_t alignment) {
  return host::map_guarded(name, bytes, std::max<size_t>(alignment, 16), kGuardBytes);
}

void discard(const Memory& m) noexcept {
  // A fresh PROT_NONE mapping in place gives the memory back and keeps the addresses.
  if (mmap(m.base, m.mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == MAP_FAILED)
    return;
  Quarantine& q = quarantine();
  std::lock_guard lock(q.mutex);
  q.ranges.push_back(m);
  q.bytes += m.mapped;
  while (q.ranges.size() > kQuarantined || q.bytes > kQuarantinedBytes) {
    munmap(q.ranges.front().base, q.ranges.front().mapped);
    q.bytes -= q.ranges.front().mapped;
    q.ranges.pop_front();
  }
}

void fill(Stream&, const Memory& m, uint32_t pattern) { host::fill_pattern(m.data, m.bytes, pattern); }
void copy_in(Stream&, void* device, const void* host, size_t bytes) { std::memcpy(device, host, bytes); }
void copy_out(Stream&, void* host, const void* device, size_t bytes) { std::memcpy(host, device, bytes); }
void copy_within(Stream&, void* to, const void* from, size_t bytes) { std::memcpy(to, from, bytes); }

std::optional<GuardDamage> find_guard_damage(Stream&, std::span<const Memory> memories) {
  for (size_t i = 0; i < memories.size(); ++i)
    if (auto damage = host::slack_damage(memories[i])) {
      damage->index = i;
      return damage;
    }
  return {};
}

}  // namespace platform
}  // namespace greta::hip
