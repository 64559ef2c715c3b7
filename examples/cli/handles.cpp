#include "handles.h"

namespace cli {

void throw_error(anet_status status, anet_error* error) {
  std::string text = anet_error_message(error);
  if (text.empty()) text = anet_status_name(status);
  if (anet_error_line(error) > 0) {
    text += " at line " + std::to_string(anet_error_line(error)) + ", column " +
            std::to_string(anet_error_column(error));
  }
  anet_error_release(error);
  throw Failure(status, text);
}

} // namespace cli
