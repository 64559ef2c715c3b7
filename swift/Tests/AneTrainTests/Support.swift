import AneTrain
import Foundation
import Testing

/// What `make` has built the library from: golden files are below it.
let repository = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
  .deletingLastPathComponent().deletingLastPathComponent()

func golden(_ path: String) -> String {
  repository.appending(path: "tests/golden/\(path)").path
}

/// A folder that exists while `body` runs.
func withFolder<Result>(_ body: (String) throws -> Result) throws -> Result {
  let folder = makeFolder()
  defer { try? FileManager.default.removeItem(atPath: folder) }
  return try body(folder)
}

func makeFolder() -> String {
  let folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
  try! FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
  return folder.path
}

func cpu() throws -> Device {
  try Device("cpu", options: DeviceOptions(threads: 1))
}

let smallConfiguration = ModelConfiguration(
  vocabularySize: 258, hiddenSize: 32, intermediateSize: 64, layerCount: 2, headCount: 4,
  contextLength: 64)

func smallModel(seed: UInt64 = 1) throws -> Model {
  try Model(smallConfiguration, seed: seed)
}

let smallOptions = SessionOptions(
  precision: .f32, batchSize: 2, sequenceLength: 16, learningRate: 1e-2, clipNorm: 1)

/// Windows over "abcabc...", which a small model learns in a few steps.
func letters(_ count: Int = 600, seed: UInt64 = 3) throws -> Dataset {
  try Dataset(
    tokens: (0..<count).map { Int32(97 + $0 % 3) },
    options: DatasetOptions(sequenceLength: 16, vocabularySize: 258, seed: seed))
}

func smallSession(options: SessionOptions = smallOptions) throws -> Session {
  try Session(training: smallModel(), on: cpu(), options: options)
}

/// `body` fails with this code; the error is for further questions.
@discardableResult
func expectError(
  _ code: AneTrainError.Code, sourceLocation: SourceLocation = #_sourceLocation,
  _ body: () throws -> Void
) -> AneTrainError? {
  let error = #expect(throws: AneTrainError.self, sourceLocation: sourceLocation) { try body() }
  #expect(error?.code == code, "\(error?.description ?? "")", sourceLocation: sourceLocation)
  return error
}

/// An error of the tests.
struct Refusal: Error, Equatable {
  var reason = "no"
}

/// y = sum(x * x * w).
let weightedSquares = """
  program(1.3)
  {
      func main<ios18>(tensor<fp32, [1, 4]> w, tensor<fp32, [1, 4]> x) {
          tensor<fp32, [1, 4]> squared = mul(x = x, y = x)[name = string("squared")];
          tensor<fp32, [1, 4]> weighted = mul(x = squared, y = w)[name = string("weighted")];
          tensor<int32, [1]> axes = const()[name = string("axes"), val = tensor<int32, [1]>([1])];
          bool keep = const()[name = string("keep"), val = bool(true)];
          tensor<fp32, [1, 1]> y = reduce_sum(x = weighted, axes = axes, keep_dims = keep)[name = string("y")];
      } -> (y);
  }
  """

/// A value that several threads see.
final class Box<Value: Sendable>: @unchecked Sendable {
  private let lock = NSLock()
  private var stored: Value

  init(_ value: Value) { stored = value }

  var value: Value {
    get { lock.withLock { stored } }
    set { lock.withLock { stored = newValue } }
  }

  func update(_ body: (inout Value) -> Void) {
    lock.withLock { body(&stored) }
  }
}
