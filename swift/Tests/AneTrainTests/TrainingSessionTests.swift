import Foundation
import Testing

@testable import AneTrain

/// More steps than any test waits for.
private let forever = FitOptions(steps: 1_000_000)

private func training() throws -> TrainingSession {
  try TrainingSession(smallSession())
}

extension TrainingSession {
  func steps() async throws -> Int {
    try await withSession { try $0.completedSteps() }
  }
}

@Suite(.timeLimit(.minutes(2))) struct TrainingSessionTests {
  @Test func streamsToTheEnd() async throws {
    let training = try training()
    var last = 0
    var end: FitResult?
    for try await event in training.train(on: try letters(), options: FitOptions(steps: 12)) {
      switch event {
      case .step(let step):
        #expect(step.step > last)
        last = step.step
      case .end(let result): end = result
      default: Issue.record("unexpected \(event)")
      }
    }
    #expect(last == 12)
    #expect(end?.end == .steps && end?.step.step == 12)
    #expect(try await training.steps() == 12)
  }

  @Test func losesNothingButSteps() async throws {
    try await withAsyncFolder { folder in
      let training = try training()
      let data = try letters()
      var evaluations: [Int] = []
      var saves: [String] = []
      var steps = 0
      let options = FitOptions(
        steps: 8, evaluateEvery: 2, evaluationRows: 2, saveEvery: 4, checkpointRoot: folder)
      let events = training.train(on: data, validation: data, options: options)
      // What is asked next waits for the run, so every event has happened when it is read.
      #expect(try await training.steps() <= 8)
      while try await training.steps() < 8 { await Task.yield() }
      for try await event in events {
        switch event {
        case .step: steps += 1
        case .evaluation(_, _, let step): evaluations.append(step.step)
        case .save(let path, _): saves.append(path)
        default: break
        }
      }
      #expect(evaluations == [2, 4, 6, 8])
      #expect(saves.map { $0.suffix(8) } == ["00000004", "00000008"])
      #expect(steps >= 1 && steps <= 8)
    }
  }

  @Test func leavingTheLoopStopsTheWorker() async throws {
    let training = try training()
    for try await event in training.train(on: try letters(), options: forever) {
      if case .step(let step) = event, step.step >= 3 { break }
    }
    // Were it not stopped, this would wait for a million steps.
    let steps = try await training.steps()
    #expect(steps >= 3 && steps < 100_000)
    try await Task.sleep(for: .milliseconds(50))
    #expect(try await training.steps() == steps)
    #expect(try await training.evaluate(on: try letters(), maxRows: 2).loss > 0)
  }

  @Test func streamsThatNobodyReadsStop() async throws {
    let training = try training()
    _ = training.train(on: try letters(), options: forever)
    #expect(try await training.steps() < 100_000)
  }

  @Test func scopesStopTheWorkerBeforeTheyReturn() async throws {
    let training = try training()
    let running = Box(0)
    let first = try await training.withTraining(
      on: try letters(), options: forever,
      onEvent: { _, _ in
        running.update { $0 += 1 }
        return .proceed
      }
    ) { events in
      for try await event in events {
        if case .step(let step) = event { return step.step }
      }
      return 0
    }
    let count = running.value
    #expect(first >= 1 && count >= first)
    try await Task.sleep(for: .milliseconds(50))
    #expect(running.value == count)
    #expect(try await training.steps() == count)
    await #expect(throws: Refusal()) {
      try await training.withTraining(on: try letters(), options: forever) { _ in throw Refusal() }
    }
    #expect(try await training.steps() < 100_000)
  }

  @Test func cancelledTasksStopTheWorker() async throws {
    let training = try training()
    let began = Box(false)
    let task = Task {
      for try await _ in training.train(on: try letters(), options: forever) {
        began.value = true
      }
    }
    while !began.value { await Task.yield() }
    task.cancel()
    // Between two events a stream ends without an error.
    do { try await task.value } catch { #expect(error is CancellationError) }
    let steps = try await training.steps()
    #expect(steps >= 1 && steps < 100_000)
  }

  @Test func cancelledCallsThrow() async throws {
    let training = try training()
    // The evaluation takes minutes.
    let data = try Dataset(
      tokens: [Int32](repeating: 97, count: 4_000_000),
      options: DatasetOptions(sequenceLength: 16, vocabularySize: 258))
    let task = Task { try await training.evaluate(on: data) }
    try await Task.sleep(for: .milliseconds(20))
    let start = ContinuousClock.now
    task.cancel()
    await #expect(throws: CancellationError.self) { try await task.value }
    #expect(ContinuousClock.now - start < .seconds(20))
    let before = Task { try await training.evaluate(on: data) }
    before.cancel()
    await #expect(throws: CancellationError.self) { try await before.value }
    // Only that call was cancelled.
    #expect(try await training.evaluate(on: data, maxRows: 2).tokens == 32)
  }

  @Test func cancelledScopesWaitForTheWorker() async throws {
    let training = try training()
    let calls = Box(0)
    let task = Task {
      try await training.withTraining(
        on: try letters(), options: forever,
        onEvent: { _, _ in
          calls.update { $0 += 1 }
          return .proceed
        }
      ) { events in for try await _ in events {} }
    }
    while calls.value < 2 { await Task.yield() }
    task.cancel()
    await #expect(throws: CancellationError.self) { try await task.value }
    let count = calls.value
    try await Task.sleep(for: .milliseconds(50))
    #expect(calls.value == count)
  }

  @Test func errorsComeThrough() async throws {
    let training = try training()
    await #expect(throws: Refusal(reason: "third")) {
      let events = training.train(
        on: try letters(), options: forever,
        onEvent: { _, event in
          if case .step(let step) = event, step.step == 3 { throw Refusal(reason: "third") }
          return .proceed
        })
      for try await _ in events {}
    }
    await #expect(throws: AneTrainError.self) {
      for try await _ in training.train(on: try letters(), options: FitOptions(steps: 0)) {}
    }
    #expect(try await training.steps() == 3)
  }

  @Test func callbacksUseTheSessionAndStop() async throws {
    let training = try training()
    let data = try letters()
    var end: FitEnd?
    let events = training.train(
      on: data, options: forever,
      onEvent: { session, _ in
        try session.evaluate(on: data, maxRows: 2).loss < 3 ? .stop : .proceed
      })
    for try await event in events {
      if case .end(let result) = event { end = result.end }
    }
    #expect(end == .stopped)
    #expect(try await training.evaluate(on: data, maxRows: 2).loss < 3)
  }

  @Test func callsOfManyTasksFollowOneAnother() async throws {
    let training = try training()
    let data = try letters()
    let batch = try data.batch(from: 0, count: 2)
    try await withThrowingTaskGroup(of: Int.self) { group in
      for index in 0..<24 {
        group.addTask {
          switch index % 4 {
          case 0: return try await training.step([batch]).step
          case 1: return try await training.evaluate(on: data, maxRows: 2).loss > 0 ? 1 : 0
          case 2: return try await training.steps()
          default:
            var last = 0
            for try await event in training.train(on: data, options: FitOptions(steps: 2)) {
              if case .end(let result) = event { last = result.step.step }
            }
            return last
          }
        }
      }
      for try await _ in group {}
    }
    #expect(try await training.steps() == 6 + 6 * 2)
  }

  @Test func worksOnItsOwnThread() async throws {
    let training = try training()
    let name = try await training.withSession { _ in Thread.current.isMainThread }
    #expect(!name)
    // The cooperative pool has a thread a core; all of them could be waiting for a step here.
    let trainings = try (0..<(2 * ProcessInfo.processInfo.activeProcessorCount)).map { _ in
      try AneTrainTests.training()
    }
    let released = Box(false)
    try await withThrowingTaskGroup(of: Void.self) { group in
      for training in trainings {
        group.addTask {
          try await training.withSession { _ in
            while !released.value { Thread.sleep(forTimeInterval: 0.001) }
          }
        }
      }
      group.addTask {
        try await Task.sleep(for: .milliseconds(5))
        released.value = true
      }
      try await group.waitForAll()
    }
  }

  @Test func savesAndLendsItsSession() async throws {
    try await withAsyncFolder { folder in
      let training = try training()
      try await training.step([letters().batch(from: 0, count: 2)])
      try await training.save(to: folder + "/checkpoints", keepLast: 1, validationLoss: 2)
      try await training.withSession { try $0.model().save(to: folder + "/model.safetensors") }
      #expect(try Model(contentsOf: folder + "/model.safetensors").weightCount > 0)
      let resumed = try TrainingSession(Session(resuming: folder + "/checkpoints", on: cpu()))
      #expect(try await resumed.steps() == 1)
    }
  }
}

@Suite(.timeLimit(.minutes(2))) struct GenerationSessionTests {
  private func writer() throws -> GenerationSession {
    try GenerationSession(
      Generator(
        GeneratorTests.lettersModel(), on: cpu(), tokenizer: .bytes(),
        options: GeneratorOptions(contextLength: 64)))
  }

  @Test func streamsText() async throws {
    let writer = try writer()
    var text = ""
    for try await token in writer.stream([97, 98], options: SamplingOptions(maxTokens: 6)) {
      text += token.text
    }
    #expect(text == "cabcab")
    let whole = try await writer.generate([97, 98], options: SamplingOptions(maxTokens: 6))
    #expect(whole.text == text)
    #expect(try await writer.withGenerator { try $0.logits(after: [97]).count } == 258)
  }

  @Test func leavingTheLoopEndsTheText() async throws {
    let writer = try writer()
    for try await token in writer.stream([97]) {
      #expect(token.text == "b")
      break
    }
    #expect(try await writer.generate([97], options: SamplingOptions(maxTokens: 2)).text == "bc")
  }

  @Test func errorsComeThrough() async throws {
    let writer = try writer()
    let error = await #expect(throws: AneTrainError.self) {
      for try await _ in writer.stream([]) {}
    }
    #expect(error?.code == .invalidData)
    let task = Task {
      for try await _ in writer.stream([97]) { try await Task.sleep(for: .seconds(60)) }
    }
    try await Task.sleep(for: .milliseconds(20))
    task.cancel()
    await #expect(throws: CancellationError.self) { try await task.value }
  }
}

/// A folder that exists while `body` runs.
func withAsyncFolder(_ body: (String) async throws -> Void) async throws {
  let folder = makeFolder()
  defer { try? FileManager.default.removeItem(atPath: folder) }
  try await body(folder)
}
