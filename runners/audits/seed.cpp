// greta audit seed: what --seed must change in a run of the engine, and what it must not. Decoding is greedy and fed
// from a list, so a seed has one effect: the neighbours of a batch, and the place among them. Both are read off the
// engine, from the rows that its embedding wrote, slot by slot.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "results/sha256.hpp"
#include "runners/audits/knobs.hpp"
#include "runners/gates/logits_diff.hpp"

namespace greta::runners {
namespace {

using results::Outcome;
using results::Verdict;
using Kind = SideSpec::Kind;

constexpr int64_t kBatch = 4;
constexpr uint64_t kSeeds = 6;  ///< all at one place of four by chance: one in a thousand, and the draw is fixed

/// A run as the engine saw it: what each slot was fed, as a hash of positions and embedded rows.
struct Fed {
  SideRun run;
  std::map<int64_t, std::string> slots;
};

class Audit {
 public:
  explicit Audit(const KnobRequest& r) : r_(r) {
    if (r.ids.size() < 4) throw_invalid(fmt::format("audit seed: {} tokens, wanted at least 4", r.ids.size()));
    hip::Stream stream("upload");
    weights_ = model::load_weights(*r.file, stream, r.options.defect);
  }

  void run(const CaseSink& cases) {
    cases("without neighbours: no effect", [&](results::Record& record) { inert(record); });
    cases(fmt::format("batch {}: neighbours", kBatch), [&](results::Record& record) { neighbours(record); });
    cases(fmt::format("batch {}: place", kBatch), [&](results::Record& record) { place(record); });
    cases(fmt::format("batch {}: the sequence", kBatch), [&](results::Record& record) { sequence(record); });
  }

 private:
  Fed fed(const SideSpec& side, uint64_t seed) const {
    std::map<int64_t, results::Sha256> sums;
    SideRequest request{side, r_.ids, 0, false, seed};
    request.watch = [&](model::Llama& engine, int64_t) {
      engine.set_stage_sink([&](const model::StageEvent& event) {
        if (event.stage != "embed_out") return;
        std::vector<float> row(static_cast<size_t>(event.width));
        for (size_t i = 0; i < event.rows.size(); ++i) {
          model::read_view(engine.stream(), event.row(i), row.data());
          results::Sha256& sum = sums[event.rows[i].slot];
          sum.update(std::as_bytes(std::span(&event.rows[i].position, 1)));
          sum.update(std::as_bytes(std::span(row)));
        }
      });
    };
    Fed out;
    out.run = run_side(weights_, r_.options, request);
    for (auto& [slot, sum] : sums) out.slots[slot] = sum.hex();
    return out;
  }

  void inert(results::Record& record) {
    std::vector<std::string> differ;
    for (const SideSpec& side : {SideSpec{Kind::kPrefill, 0}, SideSpec{Kind::kChunk, 2}, SideSpec{Kind::kDecode, 0}}) {
      Fed one = fed(side, r_.seed);
      const Fed other = fed(side, r_.seed + 1);
      if (!same_bits(one.run.logits, other.run.logits) || one.slots != other.slots) differ.push_back(side.text());
      alone_ = std::move(one);  // of decode, the last
    }
    record.measured["sides_that_differ"] = differ;
    if (alone_.slots.size() != 1)
      record.outcome = {Verdict::kFail,
                        fmt::format("one sequence was fed, the engine embedded rows of {} slots", alone_.slots.size())};
    else if (logits_are_trivial(alone_.run.logits, weights_->config.vocab_size))
      record.outcome = {Verdict::kMistrusted, "every row of logits is constant"};
    else if (!differ.empty())
      record.outcome = {Verdict::kFail, fmt::format("seeds {} and {} gave {} other ids or logits: there is nothing "
                                                    "that a seed may change",
                                                    r_.seed, r_.seed + 1, fmt::join(differ, ", "))};
    else
      record.outcome = {Verdict::kPass, ""};
  }

  /// What the sequence is fed, as the engine of a decode side saw it.
  std::string own() const { return alone_.slots.size() == 1 ? alone_.slots.begin()->second : std::string(); }

  /// What the other slots were fed, in no order.
  std::multiset<std::string> others(const Fed& run) const {
    std::multiset<std::string> out;
    for (const auto& [slot, hash] : run.slots)
      if (hash != own()) out.insert(hash);
    return out;
  }

  void neighbours(results::Record& record) {
    const SideSpec side{Kind::kBatch, kBatch};
    for (uint64_t i = 0; i < kSeeds; ++i) runs_.push_back(fed(side, r_.seed + i));
    const Fed again = fed(side, r_.seed);
    std::set<std::multiset<std::string>> drawn;
    for (const Fed& run : runs_) drawn.insert(others(run));
    record.measured["seeds"] = kSeeds, record.measured["distinct_neighbours"] = drawn.size();
    const auto few = std::find_if(runs_.begin(), runs_.end(), [&](const Fed& run) {
      return others(run).size() + 1 != static_cast<size_t>(kBatch);
    });
    if (again.slots != runs_.front().slots)
      record.outcome = {Verdict::kFail, fmt::format("seed {} twice: other slots, or other ids in them", r_.seed)};
    else if (few != runs_.end())
      record.outcome = {Verdict::kVacuous,
                        fmt::format("a batch of {} was asked for; by seed {} {} of its slots were fed other ids than "
                                    "the sequence's",
                                    kBatch, r_.seed + static_cast<uint64_t>(few - runs_.begin()), others(*few).size())};
    else if (drawn.size() != kSeeds)
      record.outcome = {Verdict::kVacuous, fmt::format("{} seeds drew {} sets of neighbours", kSeeds, drawn.size())};
    else
      record.outcome = {Verdict::kPass, ""};
  }

  /// The slot that was fed what the sequence alone was; -1 when none or several were.
  int64_t place_in(const Fed& run) const {
    int64_t at = -1, count = 0;
    for (const auto& [slot, hash] : run.slots)
      if (hash == own()) at = slot, ++count;
    return count == 1 ? at : -1;
  }

  void place(results::Record& record) {
    std::vector<int64_t> places;
    for (const Fed& run : runs_) places.push_back(place_in(run));
    record.measured["places"] = places;
    if (places.empty() || std::find(places.begin(), places.end(), -1) != places.end())
      record.outcome = {Verdict::kFail, fmt::format("the sequence stands in no slot, or in several: places {}",
                                                    fmt::join(places, ", "))};
    else if (std::set<int64_t>(places.begin(), places.end()).size() < 2)
      record.outcome = {Verdict::kVacuous,
                        fmt::format("{} seeds put the sequence at one place, {}", kSeeds, places.front())};
    else
      record.outcome = {Verdict::kPass, ""};
  }

  void sequence(results::Record& record) const {
    for (size_t i = 0; i < runs_.size(); ++i) {
      if (same_bits(runs_[i].run.logits, alone_.run.logits)) continue;
      const LogitsDiff diff = compare_logits(runs_[i].run.logits, alone_.run.logits, weights_->config.vocab_size, 0);
      record.outcome = {Verdict::kFail,
                        fmt::format("by seed {} the sequence's logits have other bits than alone, first at position {}",
                                    r_.seed + i, diff.first_unequal().value_or(0))};
      return;
    }
    record.outcome = runs_.empty() ? Outcome{Verdict::kIncomplete, "no batch ran"} : Outcome{Verdict::kPass, ""};
  }

  const KnobRequest& r_;
  std::shared_ptr<const model::Weights> weights_;
  Fed alone_;
  std::vector<Fed> runs_;
};

}  // namespace

void audit_seed(const KnobRequest& request, const CaseSink& cases) { Audit(request).run(cases); }

}  // namespace greta::runners
