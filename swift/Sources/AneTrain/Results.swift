import CAneTrain

/// What a training step did, in short.
public struct StepSummary: Hashable, Sendable {
  /// Gradients overflowed in ``Precision/f16``, the update was skipped.
  public let isSkipped: Bool
  /// Optimizer steps done, this one included.
  public let step: Int
  /// Mean over the counted tokens, in nats.
  public let loss: Double
  /// Counted ones.
  public let tokens: UInt64
  /// Of the mean gradient, before clipping; 0 without an update.
  public let gradientNorm: Double
  /// Of this update.
  public let learningRate: Double
  /// Of this update; 1 but in ``Precision/f16``.
  public let lossScale: Double
  /// The whole step.
  public let seconds: Double
  /// Forward pass.
  public let forwardSeconds: Double
  /// Backward pass.
  public let backwardSeconds: Double
  /// Head and cross-entropy, both directions.
  public let lossSeconds: Double
  /// Norm, clip, update.
  public let optimizerSeconds: Double
  /// Batch in, waiting for weights in the session's precision.
  public let stagingSeconds: Double
  /// Copied for the device.
  public let bytesStaged: UInt64

  init(_ native: some StepFields) {
    isSkipped = native.skipped != 0
    step = Int(native.step)
    loss = native.loss
    tokens = native.tokens
    gradientNorm = native.grad_norm
    learningRate = native.learning_rate
    lossScale = native.loss_scale
    seconds = native.seconds
    forwardSeconds = native.forward_seconds
    backwardSeconds = native.backward_seconds
    lossSeconds = native.loss_seconds
    optimizerSeconds = native.optimizer_seconds
    stagingSeconds = native.staging_seconds
    bytesStaged = native.bytes_staged
  }
}

/// What a training step did. Has the members of ``StepSummary``, too.
@dynamicMemberLookup
public struct StepResult: Hashable, Sendable {
  /// Loss, learning rate, seconds by phase.
  public let summary: StepSummary
  /// Where the work ran.
  public let work: DeviceWork
  /// Counted tokens of all updates, those before a resume included.
  public let tokensSeen: UInt64

  /// A member of the summary.
  public subscript<Value>(dynamicMember member: KeyPath<StepSummary, Value>) -> Value {
    summary[keyPath: member]
  }

  init(_ native: anet_step_result) {
    summary = StepSummary(native)
    work = DeviceWork(native)
    tokensSeen = native.tokens_seen
  }
}

/// The fields that two structs of C begin with.
protocol StepFields {
  var skipped: Int32 { get }
  var step: Int64 { get }
  var loss: Double { get }
  var tokens: UInt64 { get }
  var grad_norm: Double { get }
  var learning_rate: Double { get }
  var loss_scale: Double { get }
  var seconds: Double { get }
  var forward_seconds: Double { get }
  var backward_seconds: Double { get }
  var loss_seconds: Double { get }
  var optimizer_seconds: Double { get }
  var staging_seconds: Double { get }
  var bytes_staged: UInt64 { get }
}

/// What a model loses on data.
public struct EvaluationResult: Hashable, Sendable {
  /// Mean over the counted tokens, in nats; exp(loss) is the perplexity.
  public let loss: Double
  /// Counted ones.
  public let tokens: UInt64
  /// It took so long.
  public let seconds: Double

  init(_ native: anet_eval_result) {
    loss = native.loss
    tokens = native.tokens
    seconds = native.seconds
  }
}

/// What one document costs.
public struct DocumentLoss: Hashable, Sendable {
  /// Of the dataset's order without shuffling.
  public let row: Int
  /// In the row, from 0 on.
  public let document: Int
  /// Its first column in the row.
  public let begin: Int
  /// Nats.
  public let lossSum: Double
  /// Counted ones.
  public let tokens: Int

  init(_ native: anet_document_loss) {
    row = Int(native.row)
    document = Int(native.document)
    begin = Int(native.begin)
    lossSum = native.loss_sum
    tokens = Int(native.tokens)
  }
}

/// One of a session's compiled programs, and what it has done since the session began.
public struct KernelReport: Hashable, Sendable {
  /// "block_forward".
  public let label: String
  /// "cpu", "ane" or "ane+cpu".
  public let place: String
  /// Why the CPU has its part; nil when it has none.
  public let reason: String?
  /// How often it ran.
  public let runs: UInt64
  /// Where the work ran.
  public let work: DeviceWork

  init(_ native: anet_kernel_report) {
    label = string(native.label)
    place = string(native.where)
    let text = string(native.reason)
    reason = text.isEmpty ? nil : text
    runs = native.runs
    work = DeviceWork(native)
  }
}

extension anet_step_result: SizedStruct, StepFields, WorkCounters {}
extension anet_step_summary: StepFields {}
extension anet_eval_result: SizedStruct {}
extension anet_kernel_report: SizedStruct, WorkCounters {}
