import CAneTrain

/// Owns a ``Session`` and trains it on a thread of its own, so that an interface stays responsive.
///
/// Calls of several tasks are made one after another, each as a whole. A task that is cancelled ends
/// its call within the running step, which is undone; the call throws `CancellationError`.
public actor TrainingSession {
  private let session: Session
  private nonisolated let canceller: Canceller
  private nonisolated let executor = BlockingExecutor(label: "AneTrain.TrainingSession")

  /// The session's own thread.
  public nonisolated var unownedExecutor: UnownedSerialExecutor {
    executor.asUnownedSerialExecutor()
  }

  /// Takes a session over, with the model or adapter that it trains.
  public init(_ session: sending Session) {
    canceller = session.canceller
    self.session = session
  }

  /// Trains on rows of a dataset, and tells what happens.
  ///
  /// ```swift
  /// for try await event in training.train(on: data, options: FitOptions(steps: 100)) {
  ///   if case .step(let step) = event { print(step.step, step.loss) }
  /// }
  /// ```
  ///
  /// Steps that are not read in time are replaced by later ones; no other event is dropped. The last
  /// event is ``TrainingEvent/end(_:)``.
  ///
  /// Leaving the loop early ends the run within its step, and what is asked of this actor next waits
  /// until it has ended. That holds for a stream that is written into the loop, as above; one that a
  /// variable keeps could be read again, so its run goes on.
  /// ``withTraining(on:validation:options:onEvent:isolation:_:)`` ends the run in any case.
  /// - Parameter onEvent: is called on the session's thread between steps: it may evaluate, save,
  ///   read weights and generate, but not step. What it throws ends the run.
  /// - Throws: while it is read: as ``Session/fit(on:validation:options:onEvent:)``. When the task
  ///   that reads is cancelled, the loop throws `CancellationError` or, between two events, ends.
  public nonisolated func train(
    on data: Dataset, validation: Dataset? = nil, options: FitOptions,
    onEvent: (@Sendable (Session, TrainingEvent) throws -> FitDecision)? = nil
  ) -> AsyncThrowingStream<TrainingEvent, any Error> {
    start(data, validation, options, onEvent).events
  }

  /// Trains while `body` reads what happens. The run has ended when this returns or throws, however
  /// `body` ends. Otherwise as ``train(on:validation:options:onEvent:)``.
  public func withTraining<Result>(
    on data: Dataset, validation: Dataset? = nil, options: FitOptions,
    onEvent: (@Sendable (Session, TrainingEvent) throws -> FitDecision)? = nil,
    isolation: isolated (any Actor)? = #isolation,
    _ body: (AsyncThrowingStream<TrainingEvent, any Error>) async throws -> Result
  ) async throws -> Result {
    let run = start(data, validation, options, onEvent)
    do {
      let result = try await body(run.events)
      await run.stop()
      try Task.checkCancellation()
      return result
    } catch {
      await run.stop()
      throw error
    }
  }

  private nonisolated func start(
    _ data: Dataset, _ validation: Dataset?, _ options: FitOptions,
    _ onEvent: (@Sendable (Session, TrainingEvent) throws -> FitDecision)?
  ) -> Run<TrainingEvent> {
    Run(canceller) { event, previous in
      if case .step = event, case .step = previous { true } else { false }
    } work: { control, channel in
      try await self.fit(data, validation, options, onEvent, control, channel)
    }
  }

  private func fit(
    _ data: Dataset, _ validation: Dataset?, _ options: FitOptions,
    _ onEvent: (@Sendable (Session, TrainingEvent) throws -> FitDecision)?,
    _ control: RunControl, _ channel: EventChannel<TrainingEvent>
  ) throws {
    let result = try control.run {
      try session.fit(on: data, validation: validation, options: options) { event in
        let decision = try onEvent?(session, event) ?? .proceed
        channel.send(event)
        if control.isStopped { throw CancellationError() }
        return decision
      }
    }
    channel.send(.end(result))
  }

  /// As ``Session/step(_:)-([Batch])``.
  @discardableResult
  public func step(_ batches: [Batch]) async throws -> StepResult {
    try await withSession { try $0.step(batches) }
  }

  /// As ``Session/evaluate(on:maxRows:)``.
  public func evaluate(on dataset: Dataset, maxRows: Int = 0) async throws -> EvaluationResult {
    try await withSession { try $0.evaluate(on: dataset, maxRows: maxRows) }
  }

  /// As ``Session/save(to:keepLast:validationLoss:)``.
  public func save(
    to root: String, keepLast: Int = 0, validationLoss: Double? = nil
  ) async throws {
    try await withSession {
      try $0.save(to: root, keepLast: keepLast, validationLoss: validationLoss)
    }
  }

  /// Lends the session, for everything else: exporting its model, generating, swapping adapters.
  ///
  /// ```swift
  /// try await training.withSession { try $0.adapter().save(to: "adapter") }
  /// ```
  public func withSession<Result: Sendable>(
    _ body: @Sendable (Session) throws -> Result
  ) async throws -> Result {
    let control = RunControl(canceller)
    return try await withTaskCancellationHandler {
      try control.run { try body(session) }
    } onCancel: {
      control.stop()
    }
  }
}
