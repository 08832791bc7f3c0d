// The close-out report of a run: what was asked, what came out, and for everything red its verdict, its place and the
// command that repeats it. Made from the records of the run and from nothing else, so that it can be made again later,
// elsewhere, in the other language.
//
// Markdown. The frame is in English or Spanish (one table of phrases, all of them in both); names, figures, reasons and
// commands are quoted from the records as they stand.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "results/store.hpp"

namespace greta::results {

enum class Language { kEnglish, kSpanish };
/// "en" or "es"; throws kInvalidArgument for anything else.
Language language_from_name(std::string_view name);

/// Every phrase of the report. In each, {} marks where a value goes.
struct Phrase {
  std::string_view name, english, spanish;
};
std::span<const Phrase> report_phrases();

/// The whole document, newline at its end. `source` names the file of records, or is empty.
std::string close_out_report(const StoredRun& run, Language language, std::string_view source = "");

/// Where a case went wrong, from its measured values: "position 12, layer 3, stage mlp_out"; empty when they name none.
std::string place_of(const Record& record, Language language);

/// Writes the report of the last run of the file of records that was started with that invocation. Throws
/// kInvalidArgument when there is none or the report cannot be opened, kIo when it takes no text. `keep_source`: the
/// file of records stays, and the report names it.
void write_report(const std::string& records, const std::string& report, Language language,
                  const std::vector<std::string>& invocation, bool keep_source = true);

}  // namespace greta::results
