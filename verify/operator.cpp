#include "verify/operator.hpp"

#include <fmt/format.h>

#include "kernels/hip/error.hpp"

namespace greta::verify {

const Tensor& Data::operator[](std::string_view name) const {
  for (const Tensor& t : tensors)
    if (t.name == name) return t;
  throw_invalid(fmt::format("verify: no input '{}'", name));
}

Tensor& Data::operator[](std::string_view name) { return const_cast<Tensor&>(std::as_const(*this)[name]); }

RungInfo Operator::rung(const std::string& wanted) const {
  std::string known;
  for (const RungInfo& r : rungs()) {
    if (r.name == wanted) return r;
    known += (known.empty() ? "" : ", ") + r.name;
  }
  throw_invalid(fmt::format("{}: no rung '{}'; rungs: {}", name(), wanted, known));
}

RungInfo Operator::rung_for(const std::string& arithmetic, const std::string& problem) const {
  for (const RungInfo& r : rungs())
    if (r.arithmetic == arithmetic && refuses(r.name, problem).empty()) return r;
  throw_invalid(fmt::format("{}: no rung of arithmetic '{}' accepts {}", name(), arithmetic, problem));
}

const Operator& find_operator(std::string_view wanted) {
  std::string known;
  for (const Operator* op : operators()) {
    if (op->name() == wanted) return *op;
    known += (known.empty() ? "" : ", ") + op->name();
  }
  throw_invalid(fmt::format("no operator '{}'; operators: {}", wanted, known));
}

}  // namespace greta::verify
