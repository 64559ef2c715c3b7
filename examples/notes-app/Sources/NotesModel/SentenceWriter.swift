import AneTrain
import Foundation
import Observation

/// Completes sentences, with what was learned from the notes or without.
@MainActor @Observable
public final class SentenceWriter {
  /// What the user began to write.
  public var beginning = ""
  /// The adapter is attached, when there is one.
  public var usesNotes = true
  /// What the model writes behind the beginning.
  public private(set) var completion = ""
  /// What went wrong with the last sentence.
  public private(set) var failure: PresentableError?
  /// A sentence is being written.
  public var isWriting: Bool { task != nil }

  private let folder: AppFolder
  private let device: Device
  private var loaded: Loaded?
  private var task: Task<Void, Never>?

  /// A generator and the model that it was made of.
  private struct Loaded: Sendable {
    let model: BaseModel
    let session: GenerationSession
    let tokenizer: Tokenizer
    let stopIDs: [Int32]
  }

  /// - Parameter device: nil: the Neural Engine where the library has it, else the CPU.
  public init(folder: AppFolder, device: Device? = nil) throws {
    self.folder = folder
    self.device = try device ?? Device()
  }

  /// Begins to complete the sentence; one that is being written is ended first.
  public func complete(with model: BaseModel, maxTokens: Int = 60, temperature: Double = 0) {
    let previous = task
    previous?.cancel()
    (completion, failure) = ("", nil)
    let options = SamplingOptions(
      maxTokens: maxTokens, temperature: temperature, topP: temperature > 0 ? 0.9 : 0)
    task = Task {
      await previous?.value
      do {
        try await write(with: model, options)
      } catch {
        if !Task.isCancelled { failure = PresentableError(error) }
      }
      // A sentence that was ended has nothing more to say: another may have begun.
      if !Task.isCancelled { task = nil }
    }
  }

  /// Ends the sentence within a token, and returns when nothing runs any more.
  public func stop() async {
    task?.cancel()
    await finish()
    task = nil
  }

  /// Returns when the sentence is written.
  public func finish() async {
    await task?.value
  }

  private func write(with model: BaseModel, _ options: SamplingOptions) async throws {
    let loaded = try await load(model)
    let path = usesNotes && folder.hasAdapter(of: model) ? folder.adapter(of: model).path : nil
    try await loaded.session.withGenerator { generator in
      try generator.setAdapters(
        path.map { [WeightedAdapter(try Adapter(contentsOf: $0, of: generator.model))] } ?? [])
    }
    var options = options
    options.stopIDs = loaded.stopIDs
    let prompt = try loaded.tokenizer.encode(beginning, options: .asTrained)
    for try await token in loaded.session.stream(prompt, options: options) {
      try Task.checkCancellation()
      completion += token.text
    }
  }

  private func load(_ model: BaseModel) async throws -> Loaded {
    if let loaded, loaded.model == model { return loaded }
    loaded = nil
    let (folder, device) = (folder, device)
    let new = try await onWorkerThread {
      let base = try model.load(from: folder)
      let (tokenizer, stopIDs) = (base.tokenizer, base.stopIDs)
      let generator = try Generator(base.model, on: device, tokenizer: tokenizer)
      return Loaded(
        model: model, session: GenerationSession(generator), tokenizer: tokenizer, stopIDs: stopIDs)
    }
    loaded = new
    return new
  }
}
