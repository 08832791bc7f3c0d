// The members of Json, once for the whole program (record.hpp).
#include "results/record.hpp"

template class nlohmann::basic_json<nlohmann::ordered_map>;
