// Unicode normalization forms (UAX #15) through utf8proc's tables, limited to Unicode 9: see the .cc.
#pragma once

#include <string>
#include <string_view>

namespace ingot::text {

enum class NormalForm { nfc, nfd, nfkc, nfkd };

/// Precondition: valid UTF-8. Linear in time but for n log n within a run of combining marks. Thread safe.
std::string to_normal_form(std::string_view text, NormalForm form);

}  // namespace ingot::text
