import CAneTrain

/// Owns a ``Generator`` and writes text on a thread of its own, so that an interface stays
/// responsive.
///
/// Calls of several tasks are made one after another. A task that is cancelled ends its call within
/// the running token; the call throws `CancellationError`.
public actor GenerationSession {
  private let generator: Generator
  private nonisolated let canceller: Canceller
  private nonisolated let executor = BlockingExecutor(label: "AneTrain.GenerationSession")

  /// The generator's own thread.
  public nonisolated var unownedExecutor: UnownedSerialExecutor {
    executor.asUnownedSerialExecutor()
  }

  /// Takes a generator over, with its model.
  public init(_ generator: sending Generator) {
    canceller = generator.canceller
    self.generator = generator
  }

  /// Continues a prompt, and tells each token.
  ///
  /// ```swift
  /// for try await token in writer.stream(prompt) { print(token.text, terminator: "") }
  /// ```
  ///
  /// Leaving the loop early ends the text, and what is asked of this actor next waits until it has
  /// ended; as with ``TrainingSession/train(on:validation:options:onEvent:)``, not while a variable
  /// keeps the stream.
  /// - Throws: while it is read: as ``Generator/generate(_:options:onToken:)``. When the task that
  ///   reads is cancelled, the loop throws `CancellationError` or, between two tokens, ends.
  public nonisolated func stream(
    _ prompt: [Int32], options: SamplingOptions = SamplingOptions()
  ) -> AsyncThrowingStream<GeneratedToken, any Error> {
    Run(canceller, replaces: { _, _ in false }) { control, channel in
      try await self.generate(prompt, options, control, channel)
    }.events
  }

  private func generate(
    _ prompt: [Int32], _ options: SamplingOptions, _ control: RunControl,
    _ channel: EventChannel<GeneratedToken>
  ) throws {
    _ = try control.run {
      try generator.generate(prompt, options: options) { token in
        channel.send(token)
        if control.isStopped { throw CancellationError() }
        return .proceed
      }
    }
  }

  /// Continues a prompt; the whole text at once.
  public func generate(
    _ prompt: [Int32], options: SamplingOptions = SamplingOptions()
  ) async throws -> Generation {
    try await withGenerator { try $0.generate(prompt, options: options) }
  }

  /// Lends the generator, for everything else: batches, adapters, logits.
  public func withGenerator<Result: Sendable>(
    _ body: @Sendable (Generator) throws -> Result
  ) async throws -> Result {
    let control = RunControl(canceller)
    return try await withTaskCancellationHandler {
      try control.run { try body(generator) }
    } onCancel: {
      control.stop()
    }
  }
}
