import CAneTrain

extension Session {
  /// Trains on rows of a dataset, from the session's cursor on.
  /// - Parameters:
  ///   - validation: nil unless ``FitOptions/evaluateEvery`` or ``FitOptions/evaluateAtEnd`` is set.
  ///   - onEvent: is called on this thread between steps: it may evaluate, save, read weights and
  ///     generate, but not step. What it throws ends the run and is thrown on.
  /// - Throws: ``AneTrainError``: as ``step(_:)-([Batch])`` and
  ///   ``save(to:keepLast:validationLoss:)``; `invalidData` when the session was resumed and `train`
  ///   is not what its checkpoint was trained on, unless ``setCursor(_:)`` says where to begin; and
  ///   what `onEvent` throws. Steps before a failure stand.
  @discardableResult
  public func fit(
    on train: Dataset, validation: Dataset? = nil, options: FitOptions,
    onEvent: (TrainingEvent) throws -> FitDecision = { _ in .proceed }
  ) throws -> FitResult {
    try withCallback(onEvent) { userData throws(AneTrainError) in
      try withArena { arena throws(AneTrainError) in
        var native = try options.native(in: &arena)
        native.callback = { event, userData in
          // Events that this package does not know are passed over.
          guard let event = event.flatMap({ TrainingEvent($0.pointee) }) else { return 0 }
          switch Callback<TrainingEvent, FitDecision>.from(userData)(event) {
          case .proceed: return 0
          case .stop: return 1
          case nil: return -1
          }
        }
        native.user_data = userData
        return try FitResult(
          .filled {
            anet_session_fit(
              handle.pointer, train.handle.pointer, validation?.handle.pointer, &native, $0, $1)
          })
      }
    }
  }
}

/// What a run does besides its steps.
public struct FitOptions: Hashable, Sendable {
  /// Updates to make in this call. Steps that f16 skips are reported, and made up for.
  public var steps: Int
  /// Evaluates after each step whose number is a multiple of this; 0: never.
  public var evaluateEvery: Int
  /// Rows of the validation set; 0: all.
  public var evaluationRows: Int
  /// Evaluates after the last step, too.
  public var evaluateAtEnd: Bool
  /// Saves after each step whose number is a multiple of this; 0: never.
  public var saveEvery: Int
  /// Where checkpoints go; required when ``saveEvery`` is set.
  public var checkpointRoot: String?
  /// Checkpoints kept besides the best; 0: all.
  public var keepLast: Int
  /// Stops after so many evaluations in a row that did not improve on the best by more than
  /// ``minDelta``; 0: never. A resumed run goes on counting.
  public var patience: Int
  /// Nats.
  public var minDelta: Double
  /// ``TrainingEvent/sample(after:)`` after each step whose number is a multiple; 0: never.
  public var sampleEvery: Int

  /// The number of steps, and the defaults but for what is given.
  public init(
    steps: Int,
    evaluateEvery: Int = 0,
    evaluationRows: Int = 0,
    evaluateAtEnd: Bool = false,
    saveEvery: Int = 0,
    checkpointRoot: String? = nil,
    keepLast: Int = 0,
    patience: Int = 0,
    minDelta: Double = 0,
    sampleEvery: Int = 0
  ) {
    self.steps = steps
    self.evaluateEvery = evaluateEvery
    self.evaluationRows = evaluationRows
    self.evaluateAtEnd = evaluateAtEnd
    self.saveEvery = saveEvery
    self.checkpointRoot = checkpointRoot
    self.keepLast = keepLast
    self.patience = patience
    self.minDelta = minDelta
    self.sampleEvery = sampleEvery
  }

  func native(in arena: inout Arena) throws(AneTrainError) -> anet_fit_options {
    var native = anet_fit_options.sized
    native.steps = Int64(steps)
    native.eval_every = Int64(evaluateEvery)
    native.eval_windows = try narrow(evaluationRows, "evaluationRows")
    native.eval_at_end = evaluateAtEnd.flag
    native.save_every = Int64(saveEvery)
    native.checkpoint_root = arena.string(checkpointRoot)
    native.keep_last = try narrow(keepLast, "keepLast")
    native.patience = Int64(patience)
    native.min_delta = minDelta
    native.sample_every = Int64(sampleEvery)
    return native
  }
}

/// What a callback wants.
public enum FitDecision: Sendable {
  /// The run goes on.
  case proceed
  /// The run ends well, with ``FitEnd/stopped``.
  case stop
}

/// What happens in a run.
public enum TrainingEvent: Hashable, Sendable {
  /// A step was made, or skipped.
  case step(StepResult)
  /// The validation set was evaluated; `improved`: the best of the run so far.
  case evaluation(EvaluationResult, improved: Bool, after: StepResult)
  /// A checkpoint was written.
  case save(path: String, after: StepResult)
  /// The moment to generate.
  case sample(after: StepResult)
  /// The run has ended: the last event of a stream. Callbacks do not get it.
  case end(FitResult)

  init?(_ native: anet_fit_event) {
    let step = StepResult(native.result.pointee)
    switch Int(native.kind) {
    case ANET_EVENT_STEP: self = .step(step)
    case ANET_EVENT_EVAL:
      self = .evaluation(
        EvaluationResult(native.eval), improved: native.improved != 0, after: step)
    case ANET_EVENT_SAVE: self = .save(path: string(native.checkpoint), after: step)
    case ANET_EVENT_SAMPLE: self = .sample(after: step)
    default: return nil
    }
  }
}

/// Why a run ended.
public enum FitEnd: Int32, Sendable, CaseIterable {
  /// All steps were made.
  case steps = 1  // ANET_FIT_STEPS
  /// The callback stopped it.
  case stopped = 2  // ANET_FIT_CALLBACK
  /// ``FitOptions/patience``.
  case noImprovement = 3  // ANET_FIT_NO_IMPROVEMENT
}

/// How a run ended.
public struct FitResult: Hashable, Sendable {
  /// Why.
  public let end: FitEnd
  /// The last one.
  public let step: StepSummary
  /// The last one; nil: none.
  public let evaluation: EvaluationResult?
  /// The best evaluation of the run; nil: none.
  public let best: Best?

  /// The best evaluation of a run.
  public struct Best: Hashable, Sendable {
    /// In nats.
    public let loss: Double
    /// The step before it.
    public let step: Int
  }

  init(_ native: anet_fit_result) throws(AneTrainError) {
    end = try known(native.end)
    step = StepSummary(native.step)
    evaluation = native.eval.tokens == 0 ? nil : EvaluationResult(native.eval)
    best =
      native.has_best == 0
      ? nil : Best(loss: native.best_loss, step: Int(native.best_step))
  }
}

extension anet_fit_options: SizedStruct {}
extension anet_fit_result: SizedStruct {}
