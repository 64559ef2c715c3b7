#include "io/jinja/template.h"

#include "io/jinja/interpreter.h"
#include "io/jinja/syntax.h"

#include <algorithm>

namespace anet::io::jinja {

struct Template::Program {
  Syntax syntax;
};

Template::Template(std::string_view text)
    : program_(std::make_unique<const Program>(Program{parse(text)})) {}
Template::~Template() = default;
Template::Template(Template&&) noexcept = default;
Template& Template::operator=(Template&&) noexcept = default;

std::string Template::render(const Json& context, const RenderOptions& options,
                             std::vector<RenderedSpan>* generations) const {
  if (context.kind() != Json::Kind::object)
    fail(Status::invalid_argument, "expected an object of names for a template, seen ",
         json_kind_name(context.kind()));
  if (generations != nullptr) generations->clear();
  return Interpreter(program_->syntax, context, options, generations).run();
}

bool Template::mentions(std::string_view name) const {
  const std::vector<std::string>& symbols = program_->syntax.symbols;
  return std::find(symbols.begin(), symbols.end(), name) != symbols.end();
}

bool Template::has_generation() const { return program_->syntax.has_generation; }
bool Template::uses_date() const { return program_->syntax.uses_date; }

} // namespace anet::io::jinja
