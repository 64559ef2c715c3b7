import AneTrain
import Foundation
import Observation

/// Teaches notes to a model, one training at a time, and tells an interface how it goes.
@MainActor @Observable
public final class FineTuning {
  /// What happens now.
  public enum State: Hashable, Sendable {
    /// Nothing.
    case idle
    /// Models are loaded and compiled.
    case preparing
    /// The starter model is made, which happens once.
    case makingStarter
    /// The notes are learned.
    case training
    /// Training goes on when the device allows it.
    case resting(RestReason)
    /// The user stopped it, and may resume.
    case cancelled
    /// The adapter is there.
    case finished
    /// It ended with an error; what was saved may be resumed.
    case failed(PresentableError)
  }

  /// What happens now.
  public private(set) var state = State.idle
  /// Of the current or last training; nil before its first step.
  public private(set) var progress: TrainingProgress?
  /// What the steps and evaluations of the current or last training cost.
  public private(set) var losses = LossCurve()
  /// What the last ``plan(for:)`` found.
  public private(set) var memoryNeed: MemoryNeed?
  /// There is a training that was begun and has not ended.
  public private(set) var canResume: Bool
  /// For the next training.
  public var settings: TrainingSettings

  private let folder: AppFolder
  private let device: Device
  private let conditions: any DeviceConditions
  private var task: Task<Void, Never>?

  /// Looks for a training that was begun, perhaps by a process that was killed.
  /// - Parameter device: nil: the Neural Engine where the library has it, else the CPU.
  public init(
    folder: AppFolder, device: Device? = nil, settings: TrainingSettings = TrainingSettings(),
    conditions: any DeviceConditions = ConstantConditions()
  ) throws {
    self.folder = folder
    self.device = try device ?? Device()
    self.settings = settings
    self.conditions = conditions
    canResume = try TrainingRun.unfinished(in: folder) != nil
  }

  /// A training is being prepared or done.
  public var isBusy: Bool {
    task != nil
  }

  /// Finds out what a training with these settings would take, and begins nothing.
  public func plan(for model: BaseModel) async {
    let (folder, device) = (folder, device)
    let run = TrainingRun(model: model, settings: settings, hasValidation: false)
    do {
      memoryNeed = try await onWorkerThread { try run.memoryNeed(in: folder, on: device) }
    } catch {
      memoryNeed = nil
      if !isBusy { state = .failed(PresentableError(error)) }
    }
  }

  /// Begins a new training; one that waited to be resumed is given up. While one runs, this does
  /// nothing.
  public func start(on notes: [Note], model: BaseModel) {
    let (folder, settings) = (folder, settings)
    begin {
      try await onWorkerThread {
        try TrainingRun.begin(on: notes, model: model, settings: settings, in: folder)
      }
    }
  }

  /// Goes on with the training that was begun, as if it had never stopped.
  public func resume() {
    let folder = folder
    begin {
      try await onWorkerThread { try TrainingRun.unfinished(in: folder) }
    }
  }

  /// Stops within a step, saves the steps that are done, and returns when nothing runs any more.
  public func cancel() async {
    task?.cancel()
    await finish()
  }

  /// Returns when nothing runs any more.
  public func finish() async {
    await task?.value
  }

  /// Writes the trained adapter of a model for other tools, as a folder of PEFT.
  public func exportAdapter(of model: BaseModel, to destination: URL) async throws {
    let source = folder.adapter(of: model)
    let folder = folder
    try await onWorkerThread {
      let base = try model.load(from: folder).model
      try Adapter(contentsOf: source.path, of: base).save(
        to: destination.path, baseName: model.name)
    }
  }

  private func begin(_ find: @escaping @MainActor () async throws -> TrainingRun?) {
    guard task == nil else { return }
    (state, progress, losses) = (.preparing, nil, LossCurve())
    task = Task {
      do {
        if let run = try await find() {
          try await train(run)
          state = .finished
        } else {
          state = .idle
        }
      } catch is CancellationError {
        state = .cancelled
      } catch {
        state = .failed(PresentableError(error))
      }
      canResume = (try? TrainingRun.unfinished(in: folder)) != nil
      task = nil
    }
  }

  private func train(_ run: TrainingRun) async throws {
    let (folder, device) = (folder, device)
    if run.model == .starter { try await makeStarterModel() }
    state = .preparing
    let training = try await onWorkerThread { try run.training(in: folder, on: device) }
    try await follow(training, as: .training)
    let place = folder.adapter(of: run.model)
    try makeParent(of: place)
    try await training.session.withSession {
      try $0.adapter().save(to: place.path, baseName: run.model.name)
    }
    try TrainingRun.end(in: folder)
  }

  private func makeStarterModel() async throws {
    let (place, device) = (folder.starterModel, device)
    if FileManager.default.fileExists(atPath: place.path) { return }
    let training = try await onWorkerThread { try StarterModel.training(on: device) }
    try await follow(training, as: .makingStarter)
    try makeParent(of: place)
    try await training.session.withSession { try $0.model().save(to: place.path) }
    (progress, losses) = (nil, LossCurve())
  }

  /// Trains to the last step, with the rests that the device needs.
  private func follow(_ training: Training, as active: State) async throws {
    while try await training.remainingSteps() > 0 {
      for await reason in conditions.restReasons() {
        guard let reason else { break }
        state = .resting(reason)
      }
      try Task.checkCancellation()
      state = active
      do {
        try await trainUntilRest(training)
      } catch is CancellationError {
        try await training.save()
        throw CancellationError()
      }
      try await training.save()
    }
  }

  /// Returns when the last step is done or the device needs a rest; nothing runs then.
  private func trainUntilRest(_ training: Training) async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await self.readEvents(of: training) }
      group.addTask { await self.waitForRest() }
      try await group.next()
      group.cancelAll()
      do {
        try await group.waitForAll()
      } catch is CancellationError {
        // Training, which has ended within its step.
      }
    }
    try Task.checkCancellation()
  }

  private func waitForRest() async {
    for await reason in conditions.restReasons() where reason != nil { return }
  }

  private func readEvents(of training: Training) async throws {
    try await training.run { events in
      for try await event in events { show(event, of: training.fit.steps) }
    }
    try Task.checkCancellation()
  }

  private func show(_ event: TrainingEvent, of totalSteps: Int) {
    switch event {
    case .step(let step):
      progress = TrainingProgress(after: step.summary, of: totalSteps, previous: progress)
      losses.append(LossPoint(series: .learned, step: step.step, loss: step.loss))
    case .evaluation(let evaluation, improved: _, after: let step):
      losses.append(LossPoint(series: .held, step: step.step, loss: evaluation.loss))
    case .save, .sample, .end:
      break
    }
  }
}
