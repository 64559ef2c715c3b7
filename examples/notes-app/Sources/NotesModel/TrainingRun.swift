import AneTrain
import Foundation

/// A training that was begun: what it was begun with, on disk until it has ended. The notes are
/// those of its beginning, so that it can be resumed while the user goes on writing.
struct TrainingRun: Codable, Sendable {
  let model: BaseModel
  let settings: TrainingSettings
  let hasValidation: Bool

  /// The run that waits to be resumed.
  static func unfinished(in folder: AppFolder) throws -> TrainingRun? {
    let file = folder.run.appending(path: "run.json")
    guard FileManager.default.fileExists(atPath: file.path) else { return nil }
    return try JSONDecoder().decode(TrainingRun.self, from: Data(contentsOf: file))
  }

  /// Puts a new run in the place of one that was not finished.
  static func begin(
    on notes: [Note], model: BaseModel, settings: TrainingSettings, in folder: AppFolder
  ) throws -> TrainingRun {
    let texts = notes.map(\.text).filter { !$0.isEmpty }
    guard !texts.isEmpty else { throw NothingToLearn() }
    // Every fifth note is held back, to see what the model makes of notes that it never saw.
    let held = texts.indices.filter { $0 % 5 == 4 }.map { texts[$0] }
    let run = TrainingRun(model: model, settings: settings, hasValidation: !held.isEmpty)

    let files = FileManager.default
    try? files.removeItem(at: folder.run)
    try files.createDirectory(at: folder.run, withIntermediateDirectories: true)
    try write(texts.indices.filter { $0 % 5 != 4 }.map { texts[$0] }, to: "train.jsonl", in: folder)
    if run.hasValidation { try write(held, to: "valid.jsonl", in: folder) }
    // Written last: without it there is no run.
    try JSONEncoder().encode(run).write(
      to: folder.run.appending(path: "run.json"), options: .atomic)
    return run
  }

  private static func write(_ texts: [String], to name: String, in folder: AppFolder) throws {
    struct Record: Encodable {
      let text: String
    }
    let lines = try texts.map { try JSONEncoder().encode(Record(text: $0)) + Data("\n".utf8) }
    try Data(lines.joined()).write(to: folder.run.appending(path: name))
  }

  static func end(in folder: AppFolder) throws {
    try FileManager.default.removeItem(at: folder.run)
  }

  private var sessionOptions: SessionOptions {
    SessionOptions(
      batchSize: settings.batchSize, sequenceLength: settings.sequenceLength,
      learningRate: settings.learningRate, clipNorm: 1, schedule: .cosine,
      warmupSteps: min(10, settings.steps / 10), totalSteps: settings.steps,
      maxMemory: settings.memoryLimit, documents: true)
  }

  /// What training would take. Loads the model and lets it go again.
  func memoryNeed(in folder: AppFolder, on device: Device) throws -> MemoryNeed {
    let hasModel =
      model != .starter || FileManager.default.fileExists(atPath: folder.starterModel.path)
    let base = hasModel ? try model.load(from: folder).model : try StarterModel.untrained()
    let plan = try MemoryPlan(
      for: Adapter(of: base, options: AdapterOptions(rank: settings.rank)), on: device,
      options: sessionOptions)
    return MemoryNeed(
      bytes: plan.total, weightBytes: plan.weights, limit: settings.memoryLimit)
  }

  /// Everything that training needs: from the latest checkpoint on, or from the beginning.
  func training(in folder: AppFolder, on device: Device) throws -> Training {
    let base = try model.load(from: folder)
    let root = folder.run.appending(path: "checkpoints").path
    let data = try rows(.train, base.tokenizer, in: folder)
    let validation = hasValidation ? try rows(.validation, base.tokenizer, in: folder) : nil
    return Training(
      session: TrainingSession(try session(of: base.model, root, on: device)),
      data: data, validation: validation,
      fit: FitOptions(
        steps: settings.steps, evaluateEvery: hasValidation ? settings.interval : 0,
        evaluateAtEnd: hasValidation, saveEvery: settings.interval, checkpointRoot: root,
        keepLast: 2))
  }

  private func session(
    of model: Model, _ root: String, on device: Device
  ) throws -> Session {
    do {
      return try Session(
        resuming: Checkpoint.find(in: root), of: model, on: device, options: sessionOptions)
    } catch let error where error.code == .notFound {
      let adapter = try Adapter(of: model, options: AdapterOptions(rank: settings.rank))
      return try Session(training: adapter, on: device, options: sessionOptions)
    }
  }

  private func rows(
    _ part: DataPart, _ tokenizer: Tokenizer, in folder: AppFolder
  ) throws -> Dataset {
    let examples = try Examples(
      contentsOf: folder.run.path, tokenizer: tokenizer, options: ExamplesOptions(part: part))
    return try Dataset(
      examples,
      rows: RowOptions(
        sequenceLength: settings.sequenceLength, layout: .packed, longExamples: .split))
  }
}

/// No note has a text.
struct NothingToLearn: Error {}
