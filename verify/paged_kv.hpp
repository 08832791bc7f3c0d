// Decode attention's paged K and V: contiguous inputs put into shuffled pages, and back. Twin, oracle and the other
// side of relations see the contiguous form, so pages have no influence on what is wanted.
#pragma once

#include "kernels/decode_attention/decode_attention_problem.hpp"
#include "verify/operator.hpp"

namespace greta::verify {

/// The problem without pages: the same sequences, one after the other.
DecodeAttentionProblem contiguous(DecodeAttentionProblem p);

/// Contiguous tensors k and v [b, j, g, d] become [page, row, g, d], with a tensor page_table [b, page]: pages shuffled
/// by the seed. Sequences whose first pages hold the same bytes share them. What no key uses (rows of a last page,
/// pages) is NaN when `nan_elsewhere`, else what key 0 of sequence 0 holds; unused entries of the table are -1. A
/// contiguous problem's data come back as they are. Throws kInvalidArgument when the pool has too few pages.
Data to_pages(const DecodeAttentionProblem& p, Data data, bool nan_elsewhere, uint64_t seed);

/// The contiguous form again; rows beyond a sequence's keys are NaN.
Data from_pages(const DecodeAttentionProblem& p, const Data& data);

}  // namespace greta::verify
