import CAneTrain

/// Trains a model, or an adapter of a model that stays as it is, on a device.
///
/// One thread at a time, so a session is not `Sendable`; ``TrainingSession`` is an actor that owns
/// one. A step is atomic: when it throws, weights and optimizer are as before, and the gradients
/// accumulated so far are discarded.
public final class Session {
  let handle: Handle

  /// Creates a session that trains `model` in place.
  /// - Throws: ``AneTrainError``: `unsupportedOption` (also for a precision but ``Precision/f16`` on `"ane"`) or
  ///   `invalidArgument` naming the option, `unsupported` when ``SessionOptions/trainable`` names
  ///   compressed matrices, `memoryLimit` with the plan's numbers, `compileBudget`, `busy` while
  ///   another session trains the model.
  public convenience init(
    training model: Model, on device: Device, options: SessionOptions = SessionOptions()
  ) throws(AneTrainError) {
    self.init(
      try Self.make(options) {
        anet_session_create(device.handle.pointer, model.handle.pointer, $0, $1, $2)
      })
  }

  /// Creates a session that trains an adapter in place; its model is frozen and may be compressed.
  /// Gradients, optimizer state and checkpoints are the adapter's alone.
  /// - Throws: as ``init(training:on:options:)-(Model,_,_)``.
  public convenience init(
    training adapter: Adapter, on device: Device, options: SessionOptions = SessionOptions()
  ) throws(AneTrainError) {
    self.init(
      try Self.make(options) {
        anet_session_create_adapter(device.handle.pointer, adapter.handle.pointer, $0, $1, $2)
      })
  }

  /// Continues from a checkpoint: training goes on bit for bit as if it had never stopped (f32, same
  /// thread count).
  /// - Parameters:
  ///   - path: a checkpoint, or a root: then its latest loadable checkpoint.
  ///   - options: nil: those of the checkpoint. Else they replace them; what changes the
  ///     optimizer's state must agree.
  /// - Throws: as ``Model/init(contentsOf:quantization:progress:)`` and
  ///   ``init(training:on:options:)-(Model,_,_)``.
  public convenience init(
    resuming path: String, on device: Device, options: SessionOptions? = nil
  ) throws(AneTrainError) {
    self.init(
      try Self.make(options) {
        anet_session_resume(device.handle.pointer, path, $0, $1, $2)
      })
  }

  /// Continues from a checkpoint of a session that trained an adapter of `model`. Otherwise as
  /// ``init(resuming:on:options:)``.
  /// - Throws: also ``AneTrainError/Code/invalidCheckpoint`` for a checkpoint without an adapter,
  ///   `invalidArgument` for another model than the one that was adapted.
  public convenience init(
    resuming path: String, of model: Model, on device: Device, options: SessionOptions? = nil
  ) throws(AneTrainError) {
    self.init(
      try Self.make(options) {
        anet_session_resume_adapter(
          device.handle.pointer, model.handle.pointer, path, $0, $1, $2)
      })
  }

  private static func make(
    _ options: SessionOptions?,
    _ create: (
      UnsafePointer<anet_session_options>?, UnsafeMutablePointer<OpaquePointer?>, ErrorSlot
    ) -> anet_status
  ) throws(AneTrainError) -> Handle {
    try withArena { arena throws(AneTrainError) in
      var native: UnsafePointer<anet_session_options>?
      if let options { native = arena.value(try options.native(in: &arena)) }
      return try Handle(anet_session_release) { create(native, $0, $1) }
    }
  }

  private init(_ handle: consuming Handle) {
    self.handle = handle
  }

  /// Forward, backward and update over micro-batches whose gradients are averaged over all their
  /// counted tokens.
  /// - Throws: ``AneTrainError``: `shapeMismatch`, `outOfRange` naming the position of a bad id,
  ///   `invalidData` when no token is counted, `numeric` when the loss is not finite (f32) or an
  ///   audit fails, `device` when the device fails, `cancelled`, `invalidState` after an unfinished
  ///   ``forwardBackward(_:)``.
  @discardableResult
  public func step(_ batches: [Batch]) throws(AneTrainError) -> StepResult {
    try withArena { arena throws(AneTrainError) in
      var native: [anet_batch] = []
      for batch in batches { native.append(try batch.native(in: &arena)) }
      return StepResult(
        try .filled { anet_session_step(handle.pointer, native, native.count, $0, $1) })
    }
  }

  /// Forward, backward and update over one micro-batch; otherwise as ``step(_:)-([Batch])``.
  @discardableResult
  public func step(_ batch: Batch) throws(AneTrainError) -> StepResult {
    try step([batch])
  }

  /// Adds the gradient of one micro-batch to the accumulated one. Errors as ``step(_:)-([Batch])``;
  /// a failure discards everything accumulated.
  @discardableResult
  public func forwardBackward(_ batch: Batch) throws(AneTrainError) -> StepResult {
    try withArena { arena throws(AneTrainError) in
      var native = try batch.native(in: &arena)
      return StepResult(
        try .filled { anet_session_forward_backward(handle.pointer, &native, $0, $1) })
    }
  }

  /// Updates the weights from the accumulated gradient and clears it.
  /// - Throws: ``AneTrainError``: `invalidState` when nothing was accumulated, `numeric` when the
  ///   gradient is not finite (f32; the gradient is discarded).
  @discardableResult
  public func optimizerStep() throws(AneTrainError) -> StepResult {
    StepResult(try .filled { anet_session_optimizer_step(handle.pointer, $0, $1) })
  }

  /// Discards the accumulated gradient.
  public func zeroGradients() throws(AneTrainError) {
    try check { anet_session_zero_gradients(handle.pointer, $0) }
  }

  /// The loss of one micro-batch; changes nothing. Errors as ``step(_:)-([Batch])``.
  public func evaluate(_ batch: Batch) throws(AneTrainError) -> EvaluationResult {
    try withArena { arena throws(AneTrainError) in
      var native = try batch.native(in: &arena)
      return EvaluationResult(
        try .filled { anet_session_eval(handle.pointer, &native, $0, $1) })
    }
  }

  /// The loss over the first `maxRows` rows of a dataset, in its order (0: all of one epoch).
  /// Errors as ``step(_:)-([Batch])``.
  public func evaluate(
    on dataset: Dataset, maxRows: Int = 0
  ) throws(AneTrainError) -> EvaluationResult {
    let rows: UInt64 = try narrow(maxRows, "maxRows")
    return EvaluationResult(
      try .filled {
        anet_session_evaluate(handle.pointer, dataset.handle.pointer, rows, $0, $1)
      })
  }

  /// The losses of single documents: of the first `maxRows` rows of a dataset (0: all), in their
  /// order, those without a counted token left out. Errors as ``step(_:)-([Batch])``.
  public func score(
    _ dataset: Dataset, maxRows: Int = 0
  ) throws(AneTrainError) -> [DocumentLoss] {
    let rows: UInt64 = try narrow(maxRows, "maxRows")
    let read = maxRows == 0 ? dataset.rowCount : min(maxRows, dataset.rowCount)
    // A document has a token and its target, so no row has more than its tokens.
    let most = max(read, min(read * dataset.sequenceLength, 1 << 16))
    let losses: [anet_document_loss] = try array(guess: most) {
      anet_session_score(handle.pointer, dataset.handle.pointer, rows, $0, $1, $2, $3)
    }
    return losses.map(DocumentLoss.init)
  }

  /// Cancels what runs, from any thread.
  public var canceller: Canceller {
    anet_session_retain(handle.pointer)
    return Canceller(Handle(owning: handle.pointer, anet_session_release), anet_session_cancel)
  }
}

/// Makes the running call of a session or generator throw ``AneTrainError/Code/cancelled`` at its
/// next kernel. Any thread may use it.
public final class Canceller: Sendable {
  private let handle: Handle
  private let call: @Sendable @convention(c) (OpaquePointer?) -> Void

  init(
    _ handle: consuming Handle, _ call: @escaping @Sendable @convention(c) (OpaquePointer?) -> Void
  ) {
    self.handle = handle
    self.call = call
  }

  /// Without a running call it does nothing.
  public func cancel() {
    call(handle.pointer)
  }
}
