#include "capi/program_file.h"

#include "base/file.h"
#include "base/status.h"
#include "mil/lexer.h"
#include "mil/text.h"

#include <filesystem>
#include <memory>
#include <set>
#include <string_view>

namespace anet::capi {

namespace {

// Larger ones keep their weights in blob files.
constexpr int64_t max_text_bytes = int64_t{256} << 20;
constexpr std::string_view model_path = "@model_path/";

// The strings that follow a BLOBFILE: its path, once each.
std::set<std::string> blob_paths(std::string_view text) {
  std::set<std::string> paths;
  mil::Lexer lexer(text);
  bool in_blob_file = false;
  for (mil::Token token = lexer.next(); token.kind != mil::TokenKind::end; token = lexer.next()) {
    if (token.kind == mil::TokenKind::identifier && token.text == "BLOBFILE") in_blob_file = true;
    if (token.kind != mil::TokenKind::string || !in_blob_file) continue;
    paths.insert(mil::unescape(token));
    in_blob_file = false;
  }
  return paths;
}

std::filesystem::path below_folder(const std::string& path) {
  std::filesystem::path relative =
      path.starts_with(model_path) ? path.substr(model_path.size()) : std::string();
  bool inside = relative.is_relative() && relative.has_filename();
  for (const std::filesystem::path& part : relative) inside = inside && part != "..";
  if (!inside)
    fail(Status::invalid_blob, "expected the path of a blob file below '", model_path,
         "' without '..', seen '", path, "'");
  return relative;
}

mil::Bytes map_file(const std::filesystem::path& path) {
  auto file = std::make_shared<const MappedFile>(path.string());
  return mil::Bytes(file, file->bytes());
}

} // namespace

mil::Program load_program(const std::string& path) {
  const std::string text = read_file(path, max_text_bytes);
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  mil::BlobFiles blobs;
  for (const std::string& name : blob_paths(text))
    blobs.emplace(name, map_file(folder / below_folder(name)));
  return mil::parse(text, std::move(blobs));
}

} // namespace anet::capi
