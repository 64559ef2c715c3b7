import AneTrain

/// A session and what it does, from where it is to its last step.
struct Training: Sendable {
  let session: TrainingSession
  let data: Dataset
  let validation: Dataset?
  /// Of the whole training.
  let fit: FitOptions

  func remainingSteps() async throws -> Int {
    try await fit.steps - session.withSession { try $0.completedSteps() }
  }

  /// Trains while `body` reads what happens, in this or a later call to the last step.
  func run(
    isolation: isolated (any Actor)? = #isolation,
    _ body: (AsyncThrowingStream<TrainingEvent, any Error>) async throws -> Void
  ) async throws {
    var options = fit
    options.steps = try await remainingSteps()
    try await session.withTraining(
      on: data, validation: validation, options: options, body)
  }

  /// Saves the steps that are done. A task that is cancelled may save, too.
  func save() async throws {
    guard let root = fit.checkpointRoot else { return }
    let (session, keepLast) = (session, fit.keepLast)
    try await Task { try await session.save(to: root, keepLast: keepLast) }.value
  }
}
