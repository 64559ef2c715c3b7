#import "framework.h"

NSString* const emulator_generic_domain = @"com.apple.appleneuralengine";
NSString* const emulator_compiler_domain = @"com.apple.appleneuralengine.compiler";

NSError* emulator_error(NSInteger code, NSString* description) {
  NSDictionary* information = [NSDictionary dictionaryWithObject:description
                                                          forKey:NSLocalizedDescriptionKey];
  return [NSError errorWithDomain:emulator_generic_domain code:code userInfo:information];
}

BOOL emulator_fail(NSError** error, NSInteger code, NSString* description) {
  engine_explain([description UTF8String]);
  if (error != NULL) *error = emulator_error(code, description);
  return NO;
}

static NSString* verdict_text(int verdict) {
  switch (verdict) {
  case ENGINE_INVALID_PROGRAM:
    return @"( InvalidMILProgram )";
  case ENGINE_COMPILATION_FAILURE:
    return @"( CompilationFailure )";
  default:
    return @"()";
  }
}

BOOL emulator_fail_compile(NSError** error, int verdict, NSString* directory) {
  if (error == NULL) return NO;
  NSString* detail = [NSString
      stringWithFormat:@"ANECCompile(%@) FAILED: err=%@", directory, verdict_text(verdict)];
  NSError* underlying = [NSError
      errorWithDomain:emulator_compiler_domain
                 code:22
             userInfo:[NSDictionary dictionaryWithObject:detail forKey:NSLocalizedDescriptionKey]];
  NSDictionary* information =
      [NSDictionary dictionaryWithObjectsAndKeys:@"_ANECompiler : ANECCompile() FAILED",
                                                 NSLocalizedDescriptionKey, underlying,
                                                 NSUnderlyingErrorKey, nil];
  *error = [NSError errorWithDomain:emulator_compiler_domain code:1 userInfo:information];
  return NO;
}

BOOL emulator_fail_evaluate(NSError** error, int status) {
  if (status == ENGINE_NOT_LOADED) {
    return emulator_fail(error, 23,
                         @"processRequest:model:qos:qIndex:modelStringID:options:returnValue:error:"
                         @": Program Inference error (program not found)");
  }
  if (error == NULL) return NO;
  *error = emulator_error(
      8, [NSString stringWithFormat:
                       @"processRequest:model:qos:qIndex:modelStringID:options:returnValue:error:: "
                       @"ANEProgramProcessRequestDirect() Failed with status=0x%x : "
                       @"statusType=0x9: Program Inference error",
                       status]);
  return NO;
}
