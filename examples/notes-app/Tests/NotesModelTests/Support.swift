import AneTrain
import Foundation
import Synchronization
import Testing

@testable import NotesModel

/// A folder of its own for each test.
final class TemporaryFolder: Sendable {
  let folder: AppFolder

  init() throws {
    let url = FileManager.default.temporaryDirectory
      .appending(path: "NotesModelTests-\(UUID().uuidString)", directoryHint: .isDirectory)
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    folder = AppFolder(url)
  }

  deinit {
    try? FileManager.default.removeItem(at: folder.url)
  }

  /// Puts a starter model there that was not trained, which is as good for most tests.
  func addStarterModel() throws {
    try FileManager.default.createDirectory(at: folder.models, withIntermediateDirectories: true)
    try StarterModel.untrained().save(to: folder.starterModel.path)
  }
}

/// One thread: the same bits each time.
func oneThread() throws -> Device {
  try Device("cpu", options: DeviceOptions(threads: 1))
}

/// Quick, but for its number of steps.
func quick(steps: Int) -> TrainingSettings {
  TrainingSettings(steps: steps, rank: 4, sequenceLength: 32, interval: 5, memoryLimit: 1 << 30)
}

let threeNotes = [
  Note(title: "Bread", body: "Rye, honey and salt."),
  Note(title: "Garden", body: "The blue roses at the gate need water on Fridays."),
  Note(title: "Boat", body: "The key lies under the third stone."),
]

/// Waits until something holds; the time limit of the test ends it otherwise.
@MainActor func until(_ condition: @MainActor () -> Bool) async throws {
  while !condition() { try await Task.sleep(for: .milliseconds(1)) }
}

/// Conditions that a test sets.
final class FakeConditions: DeviceConditions {
  private struct State {
    var reason: RestReason?
    var listeners: [UUID: AsyncStream<RestReason?>.Continuation] = [:]
  }
  private let state = Mutex(State())

  func set(_ reason: RestReason?) {
    state.withLock {
      $0.reason = reason
      for listener in $0.listeners.values { listener.yield(reason) }
    }
  }

  var listenerCount: Int {
    state.withLock { $0.listeners.count }
  }

  func restReasons() -> AsyncStream<RestReason?> {
    let id = UUID()
    let (stream, continuation) = AsyncStream.makeStream(of: RestReason?.self)
    continuation.onTermination = { _ in self.state.withLock { $0.listeners[id] = nil } }
    state.withLock {
      $0.listeners[id] = continuation
      continuation.yield($0.reason)
    }
    return stream
  }
}

extension AppFolder {
  /// The weights that were learned.
  func adapterBytes() throws -> Data {
    try Data(
      contentsOf: adapter(of: .starter).appending(path: "adapter_model.safetensors"))
  }
}
