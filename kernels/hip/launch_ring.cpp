#include "kernels/hip/launch_ring.hpp"

#include <algorithm>
#include <array>
#include <mutex>

#include "kernels/hip/registry.hpp"
#include "kernels/hip/text.hpp"

namespace greta::hip {

struct LaunchLog::Impl {
  std::vector<Row> rows;
};

namespace {

constexpr size_t kKept = 256;

/// As handed over; made readable only when somebody asks.
struct Note {
  uint64_t sequence = 0;
  LaunchShape shape;
  std::vector<ErasedArgument> arguments;
  std::string stream;
};

struct Ring {
  std::mutex mutex;
  std::array<Note, kKept> notes;
  uint64_t launches = 0;
  std::vector<LaunchLog::Impl*> logs;
};
Ring& ring() {
  static auto* r = new Ring;
  return *r;
}

std::string readable(const ErasedArgument& a) {
  if (std::string_view(a.direction) == "scalar") return a.text;
  if (a.pointer == nullptr) return "null";
  const auto entry = neutral::find_allocation(a.id);
  if (!entry) return "freed long ago";
  const auto offset = reinterpret_cast<uintptr_t>(a.pointer) - entry->allocation.address;
  return concat("'", entry->allocation.name, "' [+", offset / std::max<size_t>(a.element_bytes, 1), ", ", a.needed,
                " of ", entry->allocation.count, " ", dtype_name(entry->allocation.dtype), "]",
                entry->allocation.freed ? " (freed)" : "");
}

LaunchRecord readable(const Note& note) {
  LaunchRecord record;
  const LaunchShape& s = note.shape;
  record.sequence = note.sequence;
  record.kernel = s.kernel;
  record.grid[0] = s.grid.x, record.grid[1] = s.grid.y, record.grid[2] = s.grid.z;
  record.block[0] = s.block.x, record.block[1] = s.block.y, record.block[2] = s.block.z;
  record.lds_bytes = s.dynamic_lds_bytes;
  record.rows = s.rows;
  record.stream = note.stream;
  record.where = s.where;
  for (const ErasedArgument& a : note.arguments) record.arguments.push_back({a.name, a.direction, a.id, readable(a)});
  return record;
}

void add_row(std::vector<LaunchLog::Row>& rows, const LaunchLog::Row& added) {
  for (LaunchLog::Row& row : rows)
    if (row.rows == added.rows && std::equal(row.grid, row.grid + 3, added.grid) &&
        std::equal(row.block, row.block + 3, added.block) && row.kernel == added.kernel) {
      row.count += added.count;
      return;
    }
  rows.push_back(added);
}

}  // namespace

std::vector<LaunchRecord> recent_launches() {
  std::vector<Note> notes;
  {
    Ring& r = ring();
    std::lock_guard lock(r.mutex);
    for (uint64_t i = r.launches > kKept ? r.launches - kKept : 0; i < r.launches; ++i)
      notes.push_back(r.notes[i % kKept]);
  }
  std::vector<LaunchRecord> records;
  for (const Note& note : notes) records.push_back(readable(note));
  return records;
}

std::string describe(const LaunchRecord& l) {
  std::string text = concat("#", l.sequence, " ", l.kernel, " grid (", l.grid[0], ",", l.grid[1], ",", l.grid[2],
                            ") block (", l.block[0], ",", l.block[1], ",", l.block[2], ")");
  if (l.lds_bytes) text += concat(" lds ", l.lds_bytes);
  return text + concat(" M=", l.rows, " on '", l.stream, "'");
}

LaunchLog::LaunchLog() : impl_(std::make_unique<Impl>()) {
  std::lock_guard lock(ring().mutex);
  ring().logs.push_back(impl_.get());
}
LaunchLog::~LaunchLog() {
  std::lock_guard lock(ring().mutex);
  std::erase(ring().logs, impl_.get());
}
std::vector<LaunchLog::Row> LaunchLog::rows() const {
  std::lock_guard lock(ring().mutex);
  return impl_->rows;
}

namespace neutral {

namespace {
thread_local uint64_t t_sequence = 0;
}

void count_launch(std::vector<LaunchLog::Row>& rows, const LaunchShape& s) {
  add_row(rows, {s.kernel, {s.grid.x, s.grid.y, s.grid.z}, {s.block.x, s.block.y, s.block.z}, s.rows, 1});
}

namespace {
/// The ring's mutex is held.
void note(Ring& r, const Stream& stream, const LaunchShape& shape, std::span<const ErasedArgument> arguments) {
  Note& note = r.notes[r.launches % kKept];
  note.sequence = t_sequence = ++r.launches;
  note.shape = shape;
  note.arguments.assign(arguments.begin(), arguments.end());
  note.stream = stream.name();
}
}  // namespace

void note_launch(const Stream& stream, const LaunchShape& shape, std::span<const ErasedArgument> arguments) {
  Ring& r = ring();
  std::lock_guard lock(r.mutex);
  note(r, stream, shape, arguments);
  for (LaunchLog::Impl* log : r.logs) count_launch(log->rows, shape);
}

void note_replay(const Stream& stream, const LaunchShape& shape, std::span<const LaunchLog::Row> launches) {
  Ring& r = ring();
  std::lock_guard lock(r.mutex);
  note(r, stream, shape, {});
  for (LaunchLog::Impl* log : r.logs)
    for (const LaunchLog::Row& row : launches) add_row(log->rows, row);
}

uint64_t current_sequence() { return t_sequence; }

namespace {
/// Empty when the ring has moved on.
Note note_of(uint64_t sequence) {
  Ring& r = ring();
  std::lock_guard lock(r.mutex);
  if (sequence == 0 || sequence > r.launches || sequence + kKept <= r.launches) return {};
  return r.notes[(sequence - 1) % kKept];
}
}  // namespace

std::vector<ErasedArgument> arguments_of(uint64_t sequence) { return note_of(sequence).arguments; }
LaunchRecord launch_of(uint64_t sequence) { return readable(note_of(sequence)); }
LaunchRecord current_launch() { return launch_of(t_sequence); }

}  // namespace neutral
}  // namespace greta::hip
