#include "backend/ane/objc.h"

#include "base/status.h"

namespace anet::backend::ane {

void* required_symbol(const SymbolSource& symbols, const char* name) {
  void* address = symbols(name);
  if (address == nullptr)
    fail(Status::unavailable, "the symbol '", name, "' is in none of the libraries");
  return address;
}

Runtime::Runtime(const SymbolSource& symbols) {
  resolve(symbols, "objc_lookUpClass", look_up_class_);
  resolve(symbols, "sel_registerName", register_selector_);
  resolve(symbols, "class_getInstanceMethod", instance_method_);
  resolve(symbols, "class_getClassMethod", class_method_);
  resolve(symbols, "method_getTypeEncoding", method_encoding_);
  resolve(symbols, "object_getClassName", object_class_name_);
  // The only difference between the runtimes here: GNU's returns the method instead of calling it.
  if (symbols("objc_msg_lookup") != nullptr)
    resolve(symbols, "objc_msg_lookup", look_up_);
  else
    resolve(symbols, "objc_msgSend", send_);
}

const char* Runtime::method_encoding(Class owner, Selector selector, bool of_class) const {
  if (owner == nullptr) return nullptr;
  const MethodReference method =
      of_class ? class_method_(owner, selector) : instance_method_(owner, selector);
  return method == nullptr ? nullptr : method_encoding_(method);
}

} // namespace anet::backend::ane
