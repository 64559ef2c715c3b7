#include "mil/text.h"

#include "base/status.h"
#include "mil/blob.h"
#include "mil/lexer.h"
#include "mil/literal_parser.h"
#include "mil/op_table.h"
#include "mil/verify.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

namespace anet::mil {

namespace {

constexpr size_t max_text = size_t{1} << 31;

// One function: names resolve as they are read, so every use follows its definition.
class FunctionParser {
public:
  explicit FunctionParser(LiteralParser& in) : in_(in) {}

  Function parse() {
    in_.expect_word("func");
    function_.name = in_.expect_identifier("a function name");
    in_.expect("<");
    function_.opset = opset();
    in_.expect(">");
    in_.expect("(");
    in_.list(")", [&] { parameter(); });
    in_.expect("{");
    while (!in_.accept("}")) statement();
    in_.expect("->");
    in_.expect("(");
    in_.list(")", [&] { function_.outputs.push_back(output()); });
    in_.expect(";");
    name_hoisted_constants();
    return std::move(function_);
  }

private:
  std::string opset() {
    const Token token = in_.peek();
    std::string name = in_.expect_identifier("an opset");
    if (!opset_version(name)) {
      fail_at(token.location,
              "expected opset ios15, ios16, ios17 or ios18, got " + describe(token));
    }
    return name;
  }

  ValueId define(Type type, const Token& token, int32_t producer) {
    std::string name(token.text);
    const auto id = static_cast<ValueId>(function_.values.size());
    if (!ids_.emplace(name, id).second) {
      fail_at(token.location, "expected a new name, got '" + name + "' again");
    }
    function_.values.push_back({std::move(name), std::move(type), producer});
    return id;
  }

  ValueId use() {
    const Token token = in_.peek();
    const std::string name = in_.expect_identifier("a value");
    const auto found = ids_.find(name);
    if (found == ids_.end()) {
      fail_at(token.location, "expected a value that is defined above, got '" + name + "'");
    }
    return found->second;
  }

  ValueId output() {
    const SourceLocation location = in_.peek().location;
    const ValueId id = use();
    if (!outputs_.insert(id).second) {
      fail_at(location, "expected unique outputs, got '" + function_.value(id).name + "' twice");
    }
    return id;
  }

  void parameter() {
    Type type = in_.type();
    const Token token = in_.peek();
    in_.expect_identifier("a parameter name");
    function_.inputs.push_back(define(std::move(type), token, -1));
  }

  void statement() {
    Operation op;
    op.location = in_.peek().location;
    std::vector<std::pair<Type, Token>> declared;
    do {
      Type type = in_.type();
      declared.emplace_back(std::move(type), in_.peek());
      in_.expect_identifier("a name");
    } while (in_.accept(","));
    in_.expect("=");
    parse_op_name(op);
    in_.expect("(");
    in_.list(")", [&] { argument(op); });
    op.attributes = in_.attributes();
    in_.expect(";");
    // Only now, with its inline literals in front of it, is the op's place known.
    const auto index = static_cast<int32_t>(function_.ops.size());
    for (auto& [type, token] : declared) op.outputs.push_back(define(type, token, index));
    function_.ops.push_back(std::move(op));
  }

  void parse_op_name(Operation& op) {
    const Token token = in_.peek();
    const std::string name = in_.expect_identifier("an op");
    op.schema = find_op(name);
    if (op.schema == nullptr) {
      fail_at(token.location, "expected an op of the op table, got " + describe(token));
    }
    if (in_.accept("<")) {
      op.opset = opset();
      in_.expect(">");
    }
  }

  void argument(Operation& op) {
    const Token token = in_.peek();
    Argument argument;
    argument.name = in_.expect_identifier("an argument name");
    const ArgumentSchema* schema = op.schema->argument(argument.name);
    if (schema == nullptr) {
      fail_at(token.location,
              concat("expected an argument of ", op.name(), ", got ", describe(token)));
    }
    if (op.argument(argument.name) != nullptr) {
      fail_at(token.location, concat("expected argument ", argument.name, " once, got it twice"));
    }
    in_.expect("=");
    if (in_.accept("(")) {
      argument.tuple = true;
      in_.list(")", [&] { argument.values.push_back(operand()); });
    } else {
      argument.values.push_back(operand());
    }
    op.arguments.push_back(std::move(argument));
  }

  // A name, or a literal, which becomes a `const` of its own.
  ValueId operand() {
    const SourceLocation location = in_.peek().location;
    if (!in_.at_literal()) return use();
    Literal value = in_.value();
    if (value.is_dictionary()) fail_at(location, "expected a tensor literal, got a dictionary");
    const auto id = static_cast<ValueId>(function_.values.size());
    function_.values.push_back({"", value.type, static_cast<int32_t>(function_.ops.size())});
    Operation op;
    op.schema = const_schema();
    op.attributes = {{"name", Literal::string("")}, {"val", std::move(value)}};
    op.outputs = {id};
    op.location = location;
    function_.ops.push_back(std::move(op));
    hoisted_.push_back(id);
    return id;
  }

  // Only now is every name of the function known.
  void name_hoisted_constants() {
    int64_t next = 0;
    for (ValueId id : hoisted_) {
      std::string name;
      do {
        name = "c_" + std::to_string(next++);
      } while (!ids_.emplace(name, id).second);
      Value& value = function_.values[static_cast<size_t>(id)];
      Operation& op = function_.ops[static_cast<size_t>(value.producer)];
      op.attributes.front().value = Literal::string(name);
      value.name = std::move(name);
    }
  }

  LiteralParser& in_;
  Function function_;
  std::unordered_map<std::string, ValueId> ids_;
  std::unordered_set<ValueId> outputs_;
  std::vector<ValueId> hoisted_;
};

} // namespace

Program parse(std::string_view text, BlobFiles blobs) {
  if (text.size() > max_text) {
    fail(Status::invalid_program, "expected at most ", max_text, " bytes of MIL text, got ",
         text.size());
  }
  Program program;
  program.blobs = std::move(blobs);
  LiteralParser in(text, program.blobs);
  in.expect_word("program");
  in.expect("(");
  program.version = in.version();
  in.expect(")");
  program.attributes = in.attributes();
  in.expect("{");
  std::unordered_set<std::string> names;
  while (!in.accept("}")) {
    const SourceLocation location = in.peek().location;
    program.functions.push_back(FunctionParser(in).parse());
    const std::string& name = program.functions.back().name;
    if (!names.insert(name).second) {
      fail_at(location, "expected unique function names, got '" + name + "' again");
    }
  }
  in.expect_end();
  verify(program);
  return program;
}

} // namespace anet::mil
