import Foundation

/// Where everything of the app lies.
public struct AppFolder: Hashable, Sendable {
  /// The folder itself; it is made when something is written.
  public let url: URL

  /// A folder of your choice.
  public init(_ url: URL) {
    self.url = url
  }

  /// The folder that the system has for this app.
  public static func standard() throws -> AppFolder {
    let support = try FileManager.default.url(
      for: .applicationSupportDirectory, in: .userDomainMask, appropriateFor: nil, create: true)
    return AppFolder(support.appending(path: "NotesApp", directoryHint: .isDirectory))
  }

  var notesFile: URL { url.appending(path: "notes.json") }
  var models: URL { url.appending(path: "models", directoryHint: .isDirectory) }
  var starterModel: URL { models.appending(path: "starter.safetensors") }

  func importedModel(_ name: String) -> URL {
    models.appending(path: "imported/\(name)", directoryHint: .isDirectory)
  }

  /// The one training that was begun and has not ended.
  var run: URL { url.appending(path: "run", directoryHint: .isDirectory) }

  /// The trained adapter of a model, as a folder of PEFT.
  func adapter(of model: BaseModel) -> URL {
    let name =
      switch model {
      case .starter: "starter"
      case .imported(let name): "imported/\(name)"
      }
    return url.appending(path: "adapters/\(name)", directoryHint: .isDirectory)
  }

  /// Whether there is something to attach to a model.
  public func hasAdapter(of model: BaseModel) -> Bool {
    FileManager.default.fileExists(atPath: adapter(of: model).path)
  }
}

/// Makes the folder that a file or folder is to lie in.
func makeParent(of url: URL) throws {
  try FileManager.default.createDirectory(
    at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
}

/// Runs work that blocks on a thread of Dispatch: those of Swift's own pool must not wait for files
/// and processors.
func onWorkerThread<Value: Sendable>(
  _ work: @escaping @Sendable () throws -> Value
) async throws -> Value {
  try await withCheckedThrowingContinuation { continuation in
    DispatchQueue.global(qos: .userInitiated).async {
      continuation.resume(with: Result { try work() })
    }
  }
}

/// Uses a file or folder that the user chose; outside the app's sandbox it is open no longer.
func withAccess<Value>(
  to url: URL, isolation: isolated (any Actor)? = #isolation, _ body: () async throws -> Value
) async throws -> Value {
  #if canImport(Darwin)
    let isScoped = url.startAccessingSecurityScopedResource()
    defer { if isScoped { url.stopAccessingSecurityScopedResource() } }
  #endif
  return try await body()
}
