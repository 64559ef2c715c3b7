#include "trace.h"

#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>

namespace emulator {

void trace_evaluation(const std::string& directory, const std::string& text, int64_t bytes_in,
                      int64_t bytes_out) {
  namespace fs = std::filesystem;
  fs::create_directories(directory);
  std::ostringstream program;
  program << std::hex << std::hash<std::string>{}(text);
  const fs::path file = fs::path(directory) / (program.str() + ".mil");
  if (!fs::exists(file)) std::ofstream(file, std::ios::binary) << text;
  std::ofstream(fs::path(directory) / "evaluations", std::ios::app)
      << program.str() << ' ' << bytes_in << ' ' << bytes_out << '\n';
}

} // namespace emulator
