import CAneTrain

extension Session {
  /// Optimizer steps done.
  public func completedSteps() throws(AneTrainError) -> Int {
    var step: Int64 = 0
    try check { anet_session_get_step(handle.pointer, &step, $0) }
    return Int(step)
  }

  /// The next row that ``fit(on:validation:options:onEvent:)`` reads; checkpoints keep it.
  public func cursor() throws(AneTrainError) -> Int {
    var cursor: UInt64 = 0
    try check { anet_session_get_cursor(handle.pointer, &cursor, $0) }
    return Int(cursor)
  }

  /// Says where ``fit(on:validation:options:onEvent:)`` goes on.
  public func setCursor(_ row: Int) throws(AneTrainError) {
    let cursor: UInt64 = try narrow(row, "row")
    try check { anet_session_set_cursor(handle.pointer, cursor, $0) }
  }

  /// Replaces ``SessionOptions/learningRate`` from the next step on; the schedule goes on.
  public func setLearningRate(_ learningRate: Double) throws(AneTrainError) {
    try check { anet_session_set_learning_rate(handle.pointer, learningRate, $0) }
  }

  /// What the session was made with, defaults filled in.
  public func options() throws(AneTrainError) -> SessionOptions {
    try SessionOptions(.filled { anet_session_get_options(handle.pointer, $0, $1) })
  }

  /// The memory that the session uses.
  public func memoryPlan() throws(AneTrainError) -> MemoryPlan {
    MemoryPlan(try .filled { anet_session_get_memory_plan(handle.pointer, $0, $1) })
  }

  /// Its programs: embedding, block and head, both directions, and what they have done.
  public func kernels() throws(AneTrainError) -> [KernelReport] {
    var reports: [KernelReport] = []
    for index in 0..<anet_session_kernel_count(handle.pointer) {
      reports.append(
        KernelReport(
          try .filled { anet_session_get_kernel_report(handle.pointer, index, $0, $1) }))
    }
    return reports
  }

  /// The model that the session trains, or whose adapter it trains.
  public func model() throws(AneTrainError) -> Model {
    Model(
      try Handle(anet_model_release) { anet_session_get_model(handle.pointer, $0, $1) })
  }

  /// The adapter that the session trains.
  /// - Throws: ``AneTrainError/Code/invalidState`` for a session that trains a model.
  public func adapter() throws(AneTrainError) -> Adapter {
    Adapter(
      try Handle(anet_adapter_release) { anet_session_get_adapter(handle.pointer, $0, $1) })
  }

  /// Goes on with another adapter of the same model, ranks and modules: between steps, compiling
  /// nothing. The optimizer's moments of each adapter are kept until the session ends.
  /// - Throws: ``AneTrainError``: `invalidArgument` for an adapter of another model, `shapeMismatch`
  ///   naming the module, `invalidState` between ``forwardBackward(_:)`` and ``optimizerStep()`` or
  ///   for a session that trains a model, `busy` while another session trains the adapter.
  public func swapAdapter(_ adapter: Adapter) throws(AneTrainError) {
    try check { anet_session_swap_adapter(handle.pointer, adapter.handle.pointer, $0) }
  }

  /// A string of the session's checkpoints; nil when there is none of this key.
  public func property(_ key: String) throws(AneTrainError) -> String? {
    var value: UnsafePointer<CChar>?
    do {
      try check { anet_session_get_property(handle.pointer, key, &value, $0) }
    } catch  where error.code == .notFound {
      return nil
    }
    return string(value)
  }

  /// Stores a string in the session's checkpoints ("epoch" = "3"); nil removes it.
  public func setProperty(_ key: String, to value: String?) throws(AneTrainError) {
    try check { anet_session_set_property(handle.pointer, key, value, $0) }
  }

  /// Saves everything that resuming needs as `<root>/step-<8 digits>`: weights, optimizer, step,
  /// schedule, loss scale, seed, data cursor, options, properties. Of a session that trains an
  /// adapter, the adapter and the fingerprint of its model. A crash at any moment leaves either the
  /// complete checkpoint or none.
  /// - Parameters:
  ///   - keepLast: checkpoints kept under the root besides the best; 0: all.
  ///   - validationLoss: this checkpoint's; the lowest so far is marked as the best.
  /// - Throws: ``AneTrainError``: `invalidArgument` where `root` has checkpoints of later steps,
  ///   which are another run's; `invalidState` between ``forwardBackward(_:)`` and
  ///   ``optimizerStep()``, `inputOutput`, `diskFull`, `permission`. The checkpoints that were there
  ///   are intact then.
  public func save(
    to root: String, keepLast: Int = 0, validationLoss: Double? = nil
  ) throws(AneTrainError) {
    var options = anet_save_options.sized
    options.keep_last = try narrow(keepLast, "keepLast")
    options.has_validation_loss = (validationLoss != nil).flag
    options.validation_loss = validationLoss ?? 0
    try check { anet_session_save(handle.pointer, root, &options, $0) }
  }
}

extension Session {
  /// Lends the weights in place as one flat array, laid out as ``Parameter/offset`` tells; those of
  /// the adapter when the session trains one. Not while a call of the session runs.
  public func withWeights<Result>(
    _ body: (Span<Float>) throws -> Result
  ) throws -> Result {
    try body(UnsafeBufferPointer(flat(anet_session_get_weights)).span)
  }

  /// Lends the weights for writing; padding is zero and must stay so. Otherwise as
  /// ``withWeights(_:)``.
  public func withMutableWeights<Result>(
    _ body: (inout MutableSpan<Float>) throws -> Result
  ) throws -> Result {
    let result = Swift.Result {
      var values = try flat(anet_session_get_weights).mutableSpan
      return try body(&values)
    }
    // Copies in f16 and bf16 are renewed, also when only a part was written.
    try check { anet_session_weights_changed(handle.pointer, $0) }
    return try result.get()
  }

  /// Lends the accumulated gradients in place, as ``withWeights(_:)``; with
  /// ``SessionOptions/trainable`` those of the trained parameters alone, in their order. They are
  /// sums over counted tokens times the loss scale.
  public func withGradients<Result>(
    _ body: (Span<Float>) throws -> Result
  ) throws -> Result {
    try body(UnsafeBufferPointer(flat(anet_session_get_gradients)).span)
  }

  /// Lends the accumulated gradients for writing: between ``forwardBackward(_:)`` and
  /// ``optimizerStep()`` an all-reduce can sit here, which adds the tokens, too
  /// (``setTokens(_:)``).
  public func withMutableGradients<Result>(
    _ body: (inout MutableSpan<Float>) throws -> Result
  ) throws -> Result {
    var values = try flat(anet_session_get_gradients).mutableSpan
    return try body(&values)
  }

  private func flat(
    _ get: (
      OpaquePointer?, UnsafeMutablePointer<UnsafeMutablePointer<Float>?>?,
      UnsafeMutablePointer<Int>?, ErrorSlot?
    ) -> anet_status
  ) throws(AneTrainError) -> UnsafeMutableBufferPointer<Float> {
    var values: UnsafeMutablePointer<Float>?
    var count = 0
    try check { get(handle.pointer, &values, &count, $0) }
    return UnsafeMutableBufferPointer(start: values, count: count)
  }

  /// Counted tokens behind the accumulated gradient: the divisor of the next update.
  public func tokens() throws(AneTrainError) -> UInt64 {
    var tokens: UInt64 = 0
    try check { anet_session_get_tokens(handle.pointer, &tokens, $0) }
    return tokens
  }

  /// After adding other ranks' gradients: the sum of their tokens.
  public func setTokens(_ tokens: UInt64) throws(AneTrainError) {
    try check { anet_session_set_tokens(handle.pointer, tokens, $0) }
  }
}

extension anet_save_options: SizedStruct {}
