import AneTrain
import Foundation
import Observation

/// What all views share.
@MainActor @Observable
public final class AppModel {
  /// The user's notes.
  public let notes: NoteStore
  /// What is taught.
  public let tuning: FineTuning
  /// What is written.
  public let writer: SentenceWriter
  /// All that can be chosen.
  public private(set) var models: [BaseModel]
  /// The one that is chosen.
  public var model = BaseModel.starter
  /// What the user has to be told.
  public private(set) var failure: PresentableError?
  /// ``failure`` is to be shown; false: it was.
  public var isFailing: Bool {
    get { failure != nil }
    set { if !newValue { failure = nil } }
  }

  private let folder: AppFolder

  /// - Parameter device: nil: the Neural Engine where the library has it, else the CPU.
  public init(
    folder: AppFolder, device: Device? = nil,
    conditions: any DeviceConditions = ConstantConditions()
  ) throws {
    let device = try device ?? Device()
    self.folder = folder
    notes = try NoteStore(folder: folder)
    tuning = try FineTuning(folder: folder, device: device, conditions: conditions)
    writer = try SentenceWriter(folder: folder, device: device)
    models = try BaseModel.all(in: folder)
  }

  /// There is something to export.
  public var hasAdapter: Bool {
    // The file system does not tell when it changes; the end of a training does.
    _ = tuning.state
    return folder.hasAdapter(of: model)
  }

  /// Does something that may fail; nil: the user is told.
  @discardableResult
  public func attempt<Value>(_ work: () throws -> Value) -> Value? {
    do {
      return try work()
    } catch {
      failure = PresentableError(error)
      return nil
    }
  }

  /// Copies a folder that the user chose into the app's, and chooses the model.
  public func importModel(_ source: URL) async {
    do {
      model = try await BaseModel.importing(source, into: folder)
      models = try BaseModel.all(in: folder)
    } catch {
      failure = PresentableError(error)
    }
  }

  /// Writes the adapter of the chosen model into a folder that the user chose.
  public func exportAdapter(into destination: URL) async {
    do {
      try await withAccess(to: destination) {
        try await tuning.exportAdapter(
          of: model, to: destination.appending(path: "notes-adapter", directoryHint: .isDirectory))
      }
    } catch {
      failure = PresentableError(error)
    }
  }
}
