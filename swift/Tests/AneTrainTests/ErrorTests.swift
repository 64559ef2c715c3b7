import CAneTrain
import Foundation
import Testing

@testable import AneTrain

@Suite struct ErrorTests {
  @Test func carriesPlaceInText() throws {
    let error = expectError(.invalidProgram) {
      _ = try Program(parsing: "program(1.3)\n{\n  func main<ios18>(", blobs: [:])
    }
    #expect(error?.line == 3)
    #expect((error?.column ?? 0) > 0)
    #expect(error?.description.contains("line 3, column") == true)
    #expect(error?.localizedDescription == error?.description)
  }

  @Test func carriesNativeCode() throws {
    let error = expectError(.fileNotFound) { _ = try Program(contentsOf: "/nowhere/x.mil") }
    #expect(error?.domain == "errno")
    #expect(error?.nativeCode == 2)
    #expect(error?.message.contains("/nowhere/x.mil") == true)
    #expect(error?.description.hasPrefix("file not found (25): ") == true)
    #expect(error?.line == 0)
  }

  @Test func keepsUnknownNumbers() {
    let code = AneTrainError.Code(rawValue: 77)
    #expect(code.rawValue == 77)
    #expect(!code.name.isEmpty)
    #expect(code.description.hasSuffix("(77)"))
    #expect(code != .internal)
  }

  @Test func tellsWhatMayBeTriedAgain() {
    #expect(AneTrainError.Code.busy.isRetryable)
    #expect(AneTrainError.Code.diskFull.isRetryable)
    #expect(!AneTrainError.Code.invalidArgument.isRetryable)
  }

  @Test func codesHaveTheLibrarysNames() {
    let names: [(AneTrainError.Code, Int, String)] = [
      (.invalidArgument, ANET_E_INVALID_ARGUMENT, "invalid argument"),
      (.shapeMismatch, ANET_E_SHAPE_MISMATCH, "shape mismatch"),
      (.cancelled, ANET_E_CANCELLED, "cancelled"),
      (.internal, ANET_E_INTERNAL, "internal error"),
    ]
    for (code, number, name) in names {
      #expect(code.rawValue == Int32(number))
      #expect(code.name == name)
    }
  }

  @Test func switchesLikeAnEnumeration() {
    do {
      _ = try Device("toaster")
      Issue.record("expected an error")
    } catch {
      switch error.code {
      case .notFound: #expect(error.message.contains("toaster"))
      default: Issue.record("unexpected \(error)")
      }
    }
  }

  @Test func numbersThatDoNotFitAreRefused() {
    let error = expectError(.outOfRange) {
      _ = try Device("cpu", options: DeviceOptions(threads: -1))
    }
    #expect(error?.message.contains("'threads'") == true)
    expectError(.outOfRange) {
      _ = try smallSession(options: SessionOptions(batchSize: 1 << 40))
    }
  }
}

/// Swift spells the numbers, C decides them.
@Suite struct ConstantTests {
  func expect<Choice: RawRepresentable & CaseIterable>(
    _ choices: Choice.Type, _ constants: [Int], sourceLocation: SourceLocation = #_sourceLocation
  ) where Choice.RawValue == Int32 {
    #expect(
      Choice.allCases.map(\.rawValue) == constants.map(Int32.init), "\(choices)",
      sourceLocation: sourceLocation)
  }

  @Test func devicesAndTensors() {
    expect(
      LogLevel.self,
      [ANET_LOG_OFF, ANET_LOG_ERROR, ANET_LOG_WARNING, ANET_LOG_INFO, ANET_LOG_DEBUG])
    expect(
      Placement.self, [ANET_PLACEMENT_MEASURED, ANET_PLACEMENT_ENGINE, ANET_PLACEMENT_HOST])
    expect(AuditAction.self, [ANET_AUDIT_FALLBACK, ANET_AUDIT_ERROR])
    expect(
      ElementType.self,
      [
        ANET_DTYPE_UNDEFINED, ANET_DTYPE_BOOL, ANET_DTYPE_INT8, ANET_DTYPE_UINT8,
        ANET_DTYPE_INT16, ANET_DTYPE_UINT16, ANET_DTYPE_INT32, ANET_DTYPE_UINT32,
        ANET_DTYPE_INT64, ANET_DTYPE_UINT64, ANET_DTYPE_FP16, ANET_DTYPE_BF16, ANET_DTYPE_FP32,
      ])
    expect(Taps.self, [ANET_TAPS_AUTOMATIC, ANET_TAPS_ALL, ANET_TAPS_NONE])
  }

  @Test func modelsAndAdapters() {
    expect(
      Compression.self,
      [
        ANET_COMPRESSION_NONE, ANET_COMPRESSION_DEFAULT, ANET_COMPRESSION_INT8_CHANNEL,
        ANET_COMPRESSION_INT8_BLOCK, ANET_COMPRESSION_INT4_BLOCK, ANET_COMPRESSION_PALETTE4,
      ])
    expect(
      ExportFormat.self, [ANET_EXPORT_HUGGING_FACE, ANET_EXPORT_GGUF, ANET_EXPORT_LLAMA2C])
    expect(
      ExportType.self, [ANET_EXPORT_FP32, ANET_EXPORT_FP16, ANET_EXPORT_BF16, ANET_EXPORT_Q8_0])
    expect(AdapterFormat.self, [ANET_ADAPTER_PEFT, ANET_ADAPTER_MLX, ANET_ADAPTER_GGUF])
  }

  @Test func data() {
    expect(DataPart.self, [ANET_DATA_TRAIN, ANET_DATA_VALIDATION, ANET_DATA_TEST])
    expect(
      DataFormat.self,
      [ANET_DATA_AUTOMATIC, ANET_DATA_JSONL, ANET_DATA_TEXT, ANET_DATA_TOKENS])
    expect(
      Supervision.self,
      [ANET_SUPERVISE_ASSISTANT, ANET_SUPERVISE_LAST, ANET_SUPERVISE_EVERYTHING])
    expect(RowLayout.self, [ANET_ROWS_PADDED, ANET_ROWS_PACKED, ANET_ROWS_BUCKETED])
    expect(LongExamples.self, [ANET_LONG_TRUNCATE, ANET_LONG_SKIP, ANET_LONG_SPLIT])
  }

  @Test func training() {
    expect(
      Precision.self,
      [ANET_PRECISION_DEFAULT, ANET_PRECISION_F32, ANET_PRECISION_F16, ANET_PRECISION_BF16])
    expect(
      Schedule.self,
      [
        ANET_SCHEDULE_CONSTANT, ANET_SCHEDULE_LINEAR, ANET_SCHEDULE_COSINE, ANET_SCHEDULE_WSD,
      ])
    expect(FitEnd.self, [ANET_FIT_STEPS, ANET_FIT_CALLBACK, ANET_FIT_NO_IMPROVEMENT])
    expect(Checkpoint.Choice.self, [ANET_CHECKPOINT_LATEST, ANET_CHECKPOINT_BEST])
    expect(
      FinishReason.self,
      [ANET_FINISH_LENGTH, ANET_FINISH_STOP, ANET_FINISH_CONTEXT, ANET_FINISH_CALLBACK])
  }
}
