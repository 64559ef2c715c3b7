import Foundation

/// What the user may choose about a training.
public struct TrainingSettings: Codable, Hashable, Sendable {
  /// Updates of the adapter.
  public var steps: Int
  /// The adapter's size: columns beside each matrix of the model.
  public var rank: Int
  /// At its highest; it falls along a cosine.
  public var learningRate: Double
  /// Rows that are learned from at once.
  public var batchSize: Int
  /// Tokens in a row; longer notes go on in the next one.
  public var sequenceLength: Int
  /// The notes that are held back are evaluated after so many steps, and progress is saved.
  public var interval: Int
  /// Bytes that training may take; more is refused before it begins.
  public var memoryLimit: UInt64

  /// What suits a few pages of notes; half of the machine's memory.
  public init(
    steps: Int = 200, rank: Int = 8, learningRate: Double = 2e-3, batchSize: Int = 2,
    sequenceLength: Int = 128, interval: Int = 20,
    memoryLimit: UInt64 = ProcessInfo.processInfo.physicalMemory / 2
  ) {
    self.steps = steps
    self.rank = rank
    self.learningRate = learningRate
    self.batchSize = batchSize
    self.sequenceLength = sequenceLength
    self.interval = interval
    self.memoryLimit = memoryLimit
  }
}

/// What a training would take, before it begins.
public struct MemoryNeed: Hashable, Sendable {
  /// Of everything.
  public let bytes: UInt64
  /// Of the frozen model and the adapter alone.
  public let weightBytes: UInt64
  /// What the settings allow.
  public let limit: UInt64

  /// Training may begin.
  public var isAllowed: Bool {
    bytes <= limit
  }

  /// For people.
  public var text: String {
    let need = byteText(bytes)
    return isAllowed
      ? "Training takes \(need) of memory, \(byteText(weightBytes)) of them for the model."
      : "Training would take \(need) of memory; \(byteText(limit)) are allowed."
  }
}

/// "1.5 MB".
func byteText(_ bytes: UInt64) -> String {
  bytes.formatted(.byteCount(style: .memory))
}
