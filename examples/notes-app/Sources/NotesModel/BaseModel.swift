import AneTrain
import Foundation

/// The model that notes are taught to. It stays as it is: what is learned goes into an adapter.
public enum BaseModel: Codable, Hashable, Sendable {
  /// The sample's own, which is trained once on this device: ``StarterModel``.
  case starter
  /// A folder of Hugging Face that the user chose, by the name of the app's copy.
  case imported(String)

  /// For people.
  public var name: String {
    switch self {
    case .starter: "Small starter model"
    case .imported(let name): name
    }
  }

  /// All that can be used.
  public static func all(in folder: AppFolder) throws -> [BaseModel] {
    let imported = folder.importedModel("")
    guard FileManager.default.fileExists(atPath: imported.path) else { return [.starter] }
    let names = try FileManager.default.contentsOfDirectory(atPath: imported.path)
    return [.starter] + names.filter { !$0.hasPrefix(".") }.sorted().map(BaseModel.imported)
  }

  /// Copies a folder of Hugging Face into the app's, once it is clear that it can be used. Takes
  /// seconds, and the size of the model on disk.
  /// - Throws: what the library says about the model, or the system about files.
  public static func importing(_ source: URL, into folder: AppFolder) async throws -> BaseModel {
    let name = source.lastPathComponent
    try await withAccess(to: source) {
      try await onWorkerThread {
        _ = try LoadedModel(modelFolder: source)
        let files = FileManager.default
        let copy = folder.importedModel(".\(UUID().uuidString)")
        defer { try? files.removeItem(at: copy) }
        try makeParent(of: copy)
        try files.copyItem(at: source, to: copy)
        let place = folder.importedModel(name)
        if files.fileExists(atPath: place.path) { try files.removeItem(at: place) }
        try files.moveItem(at: copy, to: place)
      }
    }
    return .imported(name)
  }

  func load(from folder: AppFolder) throws -> LoadedModel {
    switch self {
    case .starter: try LoadedModel(starter: Model(contentsOf: folder.starterModel.path))
    case .imported(let name): try LoadedModel(modelFolder: folder.importedModel(name))
    }
  }
}

/// A model and its vocabulary.
struct LoadedModel {
  let model: Model
  let tokenizer: Tokenizer
  /// Ids that end a text.
  let stopIDs: [Int32]

  init(modelFolder: URL) throws {
    model = try Model(contentsOf: modelFolder.path)
    tokenizer = try Tokenizer(
      contentsOf: modelFolder.path, vocabularySize: model.configuration().vocabularySize)
    let ids = try model.info().stopIDs
    stopIDs = ids.isEmpty ? tokenizer.endID.map { [$0] } ?? [] : ids
  }

  init(starter model: Model) throws {
    self.model = model
    tokenizer = try Tokenizer.bytes()
    stopIDs = tokenizer.endID.map { [$0] } ?? []
  }
}
