#include "kernels/hip/progress.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <mutex>

#include "kernels/hip/launch_ring.hpp"
#include "kernels/hip/markers.hpp"
#include "kernels/hip/text.hpp"

namespace greta::hip {
namespace {

constexpr uint64_t kKept = 8192;
constexpr char kMagic[8] = {'g', 'r', 'e', 't', 'a', 'f', 'l', '1'};

// The file, as mapped: shared, so that the kernel keeps what was written whatever becomes of the process.
struct Entry {
  uint64_t sequence;
  uint64_t finished;  ///< 0 or 1; a word of its own, so that a signal handler can write it
  char text[496];
};
struct File {
  char magic[8];
  uint64_t begun;
  uint64_t finished;
  uint64_t unused[5];
  Entry entries[kKept];
};

std::atomic<File*> g_file{nullptr};
std::atomic<uint64_t> g_every{0}, g_until{0};

std::string text_of(uint64_t sequence) {
  const LaunchRecord launch = neutral::launch_of(sequence);
  std::string text = describe(launch);
  for (const LaunchArgument& a : launch.arguments)
    if (a.direction != "scalar") text += concat("; ", a.direction, " ", a.name, " = ", a.text);
  return text;
}

}  // namespace

void set_wait_plan(const WaitPlan& plan) { g_every = plan.every, g_until = plan.until; }

bool wait_planned_after(uint64_t launch) {
  const uint64_t every = g_every.load(std::memory_order_relaxed), until = g_until.load(std::memory_order_relaxed);
  return launch <= until || (every != 0 && launch % every == 0);
}

void open_flight_recorder(const std::string& path) {
  const auto refuse = [&](const char* what) {
    throw_invalid(concat("flight recorder ", path, ": ", what, ": ", std::strerror(errno)));
  };
  const int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (file < 0) refuse("cannot be opened");
  if (::ftruncate(file, sizeof(File)) != 0) ::close(file), refuse("cannot be made long enough");
  void* const mapped = ::mmap(nullptr, sizeof(File), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  ::close(file);
  if (mapped == MAP_FAILED) refuse("cannot be mapped");
  auto* const made = static_cast<File*>(mapped);
  std::memcpy(made->magic, kMagic, sizeof kMagic);
  g_file = made;  // never unmapped: launches of static objects may come late
}

Flight read_flight(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  const std::string bytes(std::istreambuf_iterator<char>(in), {});
  if (bytes.size() != sizeof(File) || std::memcmp(bytes.data(), kMagic, sizeof kMagic) != 0)
    throw_invalid(concat(path, ": no flight recorder's file (", bytes.size(), " bytes; ", sizeof(File), " wanted)"));
  File head;
  std::memcpy(&head, bytes.data(), offsetof(File, entries));
  Flight flight;
  flight.begun = head.begun, flight.finished = head.finished;
  for (uint64_t i = 0; i < kKept; ++i) {
    Entry entry;
    std::memcpy(&entry, bytes.data() + offsetof(File, entries) + i * sizeof(Entry), sizeof entry);
    if (entry.sequence == 0) continue;
    entry.text[sizeof entry.text - 1] = 0;
    flight.launches.push_back({entry.sequence, entry.finished != 0, entry.text});
  }
  std::sort(flight.launches.begin(), flight.launches.end(),
            [](const auto& a, const auto& b) { return a.sequence < b.sequence; });
  return flight;
}

void mark_launches_on_device(bool on) { platform::enable_device_marks(on); }

namespace neutral {

void note_begun(uint64_t sequence) {
  File* const file = g_file.load(std::memory_order_relaxed);
  if (!file) return;
  const std::string text = text_of(sequence);
  static std::mutex mutex;
  std::lock_guard lock(mutex);
  Entry& entry = file->entries[sequence % kKept];
  entry.sequence = 0;  // torn otherwise, if the process ends here
  entry.finished = 0;
  const size_t n = std::min(text.size(), sizeof entry.text - 1);
  std::memcpy(entry.text, text.data(), n);
  entry.text[n] = 0;
  entry.sequence = sequence;
  file->begun = std::max(file->begun, sequence);
}

void note_finished(uint64_t sequence) {
  File* const file = g_file.load(std::memory_order_relaxed);
  if (!file) return;
  Entry& entry = file->entries[sequence % kKept];
  if (entry.sequence == sequence) entry.finished = 1;
  file->finished = std::max(file->finished, sequence);
}

void note_finished_in_signal(uint64_t sequence) { note_finished(sequence); }

}  // namespace neutral
}  // namespace greta::hip
