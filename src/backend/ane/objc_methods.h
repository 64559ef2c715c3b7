// Every class and method that the library calls, in one table. Encodings of the framework's own
// classes are those that clients verified on hardware (ane-facts.md 1.2 and 1.11, R and D);
// Foundation's are public. BOOL is spelled B.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace anet::backend::ane {

enum class Method : uint8_t {
  // Foundation
  object_retain,
  object_release,
  object_is_kind_of,
  object_description,
  pool_new,
  pool_drain,
  string_with_utf8,
  string_utf8,
  data_with_bytes,
  number_with_integer,
  number_integer,
  array_with_objects,
  array_count,
  array_at,
  dictionary_with_objects,
  dictionary_object,
  error_domain,
  error_code,
  error_user_info,
  error_text,
  exception_name,
  exception_reason,
  // AppleNeuralEngine
  descriptor_with_text,
  model_with_descriptor,
  model_identifier,
  model_path,
  model_exists,
  model_purge,
  model_compile,
  model_load,
  model_unload,
  model_evaluate,
  model_attributes,
  surface_object,
  request_with_ports,
  request_validate,
  device_has_engine,
  device_engines,
  device_cores,
  device_architecture,
  device_sub_type,
  device_board,
  device_product,
  device_build,
  device_is_virtual,
};

enum class MethodKind : uint8_t { of_class, of_instance };

struct KnownMethod {
  Method method;
  const char* owner;
  MethodKind kind;
  const char* selector;
  std::string_view encoding;
};

inline constexpr std::array known_methods = std::to_array<KnownMethod>({
    {Method::object_retain, "NSObject", MethodKind::of_instance, "retain", "@16@0:8"},
    {Method::object_release, "NSObject", MethodKind::of_instance, "release", "v16@0:8"},
    {Method::object_is_kind_of, "NSObject", MethodKind::of_instance,
     "isKindOfClass:", "B24@0:8#16"},
    {Method::object_description, "NSObject", MethodKind::of_instance, "description", "@16@0:8"},
    {Method::pool_new, "NSAutoreleasePool", MethodKind::of_class, "new", "@16@0:8"},
    {Method::pool_drain, "NSAutoreleasePool", MethodKind::of_instance, "drain", "v16@0:8"},
    {Method::string_with_utf8, "NSString", MethodKind::of_class,
     "stringWithUTF8String:", "@24@0:8r*16"},
    {Method::string_utf8, "NSString", MethodKind::of_instance, "UTF8String", "r*16@0:8"},
    {Method::data_with_bytes, "NSData", MethodKind::of_class,
     "dataWithBytes:length:", "@32@0:8r^v16Q24"},
    {Method::number_with_integer, "NSNumber", MethodKind::of_class,
     "numberWithLongLong:", "@24@0:8q16"},
    {Method::number_integer, "NSNumber", MethodKind::of_instance, "longLongValue", "q16@0:8"},
    {Method::array_with_objects, "NSArray", MethodKind::of_class,
     "arrayWithObjects:count:", "@32@0:8r^@16Q24"},
    {Method::array_count, "NSArray", MethodKind::of_instance, "count", "Q16@0:8"},
    {Method::array_at, "NSArray", MethodKind::of_instance, "objectAtIndex:", "@24@0:8Q16"},
    {Method::dictionary_with_objects, "NSDictionary", MethodKind::of_class,
     "dictionaryWithObjects:forKeys:count:", "@40@0:8r^@16r^@24Q32"},
    {Method::dictionary_object, "NSDictionary", MethodKind::of_instance,
     "objectForKey:", "@24@0:8@16"},
    {Method::error_domain, "NSError", MethodKind::of_instance, "domain", "@16@0:8"},
    {Method::error_code, "NSError", MethodKind::of_instance, "code", "q16@0:8"},
    {Method::error_user_info, "NSError", MethodKind::of_instance, "userInfo", "@16@0:8"},
    {Method::error_text, "NSError", MethodKind::of_instance, "localizedDescription", "@16@0:8"},
    {Method::exception_name, "NSException", MethodKind::of_instance, "name", "@16@0:8"},
    {Method::exception_reason, "NSException", MethodKind::of_instance, "reason", "@16@0:8"},

    {Method::descriptor_with_text, "_ANEInMemoryModelDescriptor", MethodKind::of_class,
     "modelWithMILText:weights:optionsPlist:", "@40@0:8@16@24@32"},
    {Method::model_with_descriptor, "_ANEInMemoryModel", MethodKind::of_class,
     "inMemoryModelWithDescriptor:", "@24@0:8@16"},
    {Method::model_identifier, "_ANEInMemoryModel", MethodKind::of_instance, "hexStringIdentifier",
     "@16@0:8"},
    {Method::model_path, "_ANEInMemoryModel", MethodKind::of_instance, "localModelPath", "@16@0:8"},
    {Method::model_exists, "_ANEInMemoryModel", MethodKind::of_instance, "compiledModelExists",
     "B16@0:8"},
    {Method::model_purge, "_ANEInMemoryModel", MethodKind::of_instance, "purgeCompiledModel",
     "v16@0:8"},
    {Method::model_compile, "_ANEInMemoryModel", MethodKind::of_instance,
     "compileWithQoS:options:error:", "B36@0:8I16@20^@28"},
    {Method::model_load, "_ANEInMemoryModel", MethodKind::of_instance,
     "loadWithQoS:options:error:", "B36@0:8I16@20^@28"},
    {Method::model_unload, "_ANEInMemoryModel", MethodKind::of_instance,
     "unloadWithQoS:error:", "B28@0:8I16^@20"},
    {Method::model_evaluate, "_ANEInMemoryModel", MethodKind::of_instance,
     "evaluateWithQoS:options:request:error:", "B44@0:8I16@20@28^@36"},
    {Method::model_attributes, "_ANEInMemoryModel", MethodKind::of_instance, "modelAttributes",
     "@16@0:8"},
    {Method::surface_object, "_ANEIOSurfaceObject", MethodKind::of_class,
     "objectWithIOSurface:", "@24@0:8^{__IOSurface=}16"},
    {Method::request_with_ports, "_ANERequest", MethodKind::of_class,
     "requestWithInputs:inputIndices:outputs:outputIndices:weightsBuffer:perfStats:procedureIndex:",
     "@72@0:8@16@24@32@40@48@56@64"},
    {Method::request_validate, "_ANERequest", MethodKind::of_instance, "validate", "B16@0:8"},
    {Method::device_has_engine, "_ANEDeviceInfo", MethodKind::of_class, "hasANE", "B16@0:8"},
    {Method::device_engines, "_ANEDeviceInfo", MethodKind::of_class, "numANEs", "I16@0:8"},
    {Method::device_cores, "_ANEDeviceInfo", MethodKind::of_class, "numANECores", "I16@0:8"},
    {Method::device_architecture, "_ANEDeviceInfo", MethodKind::of_class, "aneArchitectureType",
     "@16@0:8"},
    {Method::device_sub_type, "_ANEDeviceInfo", MethodKind::of_class, "aneSubType", "@16@0:8"},
    {Method::device_board, "_ANEDeviceInfo", MethodKind::of_class, "aneBoardType", "q16@0:8"},
    {Method::device_product, "_ANEDeviceInfo", MethodKind::of_class, "productName", "@16@0:8"},
    {Method::device_build, "_ANEDeviceInfo", MethodKind::of_class, "buildVersion", "@16@0:8"},
    {Method::device_is_virtual, "_ANEDeviceInfo", MethodKind::of_class, "isVirtualMachine",
     "B16@0:8"},
});

constexpr const KnownMethod& known(Method method) {
  return known_methods[static_cast<size_t>(method)];
}

constexpr bool table_follows_enumeration() {
  for (size_t i = 0; i < known_methods.size(); ++i)
    if (static_cast<size_t>(known_methods[i].method) != i) return false;
  return known_methods.size() == static_cast<size_t>(Method::device_is_virtual) + 1;
}
static_assert(table_follows_enumeration());

// Foundation is public and class clusters hide how it is put together: there a method need only
// exist. Private classes change without notice, so their encodings count as well.
constexpr bool is_private(const KnownMethod& method) {
  return std::string_view(method.owner).starts_with("_ANE");
}

} // namespace anet::backend::ane
