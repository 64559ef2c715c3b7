import AneTrain
import Foundation
import Testing

@testable import NotesModel

@MainActor @Suite(.timeLimit(.minutes(2))) struct FineTuningTests {
  let temporary: TemporaryFolder
  let folder: AppFolder

  init() throws {
    temporary = try TemporaryFolder()
    folder = temporary.folder
    try temporary.addStarterModel()
  }

  private func tuning(
    steps: Int, conditions: any DeviceConditions = ConstantConditions()
  ) throws -> FineTuning {
    try FineTuning(
      folder: folder, device: oneThread(), settings: quick(steps: steps), conditions: conditions)
  }

  /// What a training learns that nothing interrupts.
  private func uninterrupted(steps: Int, notes: [Note] = threeNotes) async throws -> Data {
    let other = try TemporaryFolder()
    try other.addStarterModel()
    let tuning = try FineTuning(
      folder: other.folder, device: oneThread(), settings: quick(steps: steps))
    tuning.start(on: notes, model: .starter)
    await tuning.finish()
    #expect(tuning.state == .finished)
    return try other.folder.adapterBytes()
  }

  @Test func learnsNotes() async throws {
    let tuning = try tuning(steps: 40)
    #expect(!folder.hasAdapter(of: .starter))
    tuning.start(on: threeNotes, model: .starter)
    #expect(tuning.isBusy)
    await tuning.finish()
    #expect(tuning.state == .finished)
    #expect(!tuning.isBusy)
    #expect(!tuning.canResume)
    #expect(folder.hasAdapter(of: .starter))
    let progress = try #require(tuning.progress)
    #expect(progress.step == 40)
    #expect(progress.fraction == 1)
    #expect(progress.secondsLeft == 0)
    #expect(progress.tokensPerSecond > 0)
    let losses = tuning.losses.points.filter { $0.series == .learned }.map(\.loss)
    let (first, last) = (try #require(losses.first), try #require(losses.last))
    #expect(last < first - 0.1)
  }

  @Test func everyFifthNoteIsHeldBack() async throws {
    let tuning = try tuning(steps: 12)
    tuning.start(on: (1...5).map { Note(title: "Note \($0)") }, model: .starter)
    await tuning.finish()
    #expect(tuning.losses.points.filter { $0.series == .held }.map(\.step) == [5, 10, 12])
    #expect(Set(tuning.losses.points.map(\.id)).count == tuning.losses.points.count)
  }

  @Test func cancelledTrainingsGoOnAsIfNothingHadHappened() async throws {
    let tuning = try tuning(steps: 60)
    tuning.start(on: threeNotes, model: .starter)
    for step in [7, 31] {
      try await until { tuning.progress?.step ?? 0 >= step }
      await tuning.cancel()
      #expect(tuning.state == .cancelled)
      #expect(!tuning.isBusy)
      #expect(tuning.canResume)
      let stopped = tuning.progress
      try await Task.sleep(for: .milliseconds(30))
      #expect(tuning.progress == stopped)
      tuning.resume()
      #expect(tuning.state == .preparing)
    }
    await tuning.finish()
    #expect(tuning.state == .finished)
    #expect(try await folder.adapterBytes() == uninterrupted(steps: 60))
  }

  @Test func cancellationDoesNotWaitForTheEnd() async throws {
    let tuning = try tuning(steps: 1_000_000)
    tuning.start(on: threeNotes, model: .starter)
    try await until { tuning.progress != nil }
    let clock = ContinuousClock()
    let duration = await clock.measure { await tuning.cancel() }
    #expect(duration < .seconds(10))
    #expect(try #require(tuning.progress).secondsLeft > 60)
  }

  @Test func killedAppsGoOnFromTheLastCheckpoint() async throws {
    let tuning = try tuning(steps: 60)
    tuning.start(on: threeNotes, model: .starter)
    try await until { tuning.progress?.step ?? 0 >= 22 }
    await tuning.cancel()
    // A process that is killed saves nothing at last.
    let checkpoints = folder.run.appending(path: "checkpoints")
    let last = try #require(
      FileManager.default.contentsOfDirectory(atPath: checkpoints.path)
        .filter { $0.hasPrefix("step-") }.max())
    try FileManager.default.removeItem(at: checkpoints.appending(path: last))
    let restarted = try FineTuning(
      folder: folder, device: oneThread(), settings: quick(steps: 3))
    #expect(restarted.canResume)
    restarted.resume()
    try await until { restarted.progress != nil || !restarted.isBusy }
    let first = try #require(restarted.losses.points.first?.step)
    #expect(first > 11)
    await restarted.finish()
    #expect(restarted.state == .finished)
    #expect(try await folder.adapterBytes() == uninterrupted(steps: 60))
  }

  @Test func restsUntilTheDeviceAllowsWork() async throws {
    let conditions = FakeConditions()
    let tuning = try tuning(steps: 60, conditions: conditions)
    tuning.start(on: threeNotes, model: .starter)
    try await until { tuning.progress?.step ?? 0 >= 11 }
    conditions.set(.heat)
    try await until { tuning.state == .resting(.heat) }
    let rested = tuning.progress
    conditions.set(.background)
    try await until { tuning.state == .resting(.background) }
    try await Task.sleep(for: .milliseconds(30))
    #expect(tuning.progress == rested)
    conditions.set(nil)
    await tuning.finish()
    #expect(tuning.state == .finished)
    #expect(conditions.listenerCount == 0)
    #expect(try await folder.adapterBytes() == uninterrupted(steps: 60))
  }

  @Test func canBeCancelledWhileItRests() async throws {
    let conditions = FakeConditions()
    conditions.set(.background)
    let tuning = try tuning(steps: 10, conditions: conditions)
    tuning.start(on: threeNotes, model: .starter)
    try await until { tuning.state == .resting(.background) }
    await tuning.cancel()
    #expect(tuning.state == .cancelled)
    #expect(tuning.progress == nil)
    #expect(tuning.canResume)
  }

  @Test func refusesMoreMemoryThanItMayTake() async throws {
    let tuning = try tuning(steps: 10)
    await tuning.plan(for: .starter)
    let need = try #require(tuning.memoryNeed)
    #expect(need.isAllowed)
    #expect(need.bytes > need.weightBytes && need.weightBytes > 0)
    tuning.settings.memoryLimit = need.bytes - 1
    await tuning.plan(for: .starter)
    #expect(tuning.memoryNeed?.isAllowed == false)
    #expect(tuning.memoryNeed?.text.contains("are allowed") == true)
    tuning.start(on: threeNotes, model: .starter)
    await tuning.finish()
    guard case .failed(let error) = tuning.state else {
      Issue.record("expected a failure, seen \(tuning.state)")
      return
    }
    #expect(error.title == "Training needs more memory than it may take")
    #expect(error.detail.contains("memory limit"))
    tuning.settings.memoryLimit = need.bytes
    tuning.start(on: threeNotes, model: .starter)
    await tuning.finish()
    #expect(tuning.state == .finished)
  }

  @Test func oneTrainingAtATime() async throws {
    let tuning = try tuning(steps: 10)
    tuning.start(on: threeNotes, model: .starter)
    tuning.start(on: [], model: .imported("none"))
    tuning.resume()
    await tuning.finish()
    #expect(tuning.state == .finished)
  }

  @Test func withoutATrainingThereIsNothingToResume() async throws {
    let tuning = try tuning(steps: 10)
    #expect(!tuning.canResume)
    tuning.resume()
    await tuning.finish()
    #expect(tuning.state == .idle)
    await tuning.cancel()
    #expect(tuning.state == .idle)
  }

  @Test func saysWhatIsMissing() async throws {
    let tuning = try tuning(steps: 10)
    tuning.start(on: [Note(title: " ")], model: .starter)
    await tuning.finish()
    #expect(tuning.state == .failed(PresentableError(NothingToLearn())))
    #expect(!tuning.canResume)
    await tuning.plan(for: .imported("none"))
    #expect(tuning.memoryNeed == nil)
    guard case .failed(let error) = tuning.state else {
      Issue.record("expected a failure, seen \(tuning.state)")
      return
    }
    #expect(error.detail.contains("none"))
  }

  @Test func exportsTheAdapter() async throws {
    let tuning = try tuning(steps: 5)
    tuning.start(on: threeNotes, model: .starter)
    await tuning.finish()
    let place = folder.url.appending(path: "export")
    try await tuning.exportAdapter(of: .starter, to: place)
    let copy = try Data(contentsOf: place.appending(path: "adapter_model.safetensors"))
    #expect(try copy == folder.adapterBytes())
    await #expect(throws: (any Error).self) {
      try await tuning.exportAdapter(of: .imported("none"), to: place)
    }
  }
}
