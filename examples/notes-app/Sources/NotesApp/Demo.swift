import Foundation
import NotesModel

/// The app's work without its views: three notes are learned, the training is cancelled and
/// resumed, and a sentence is completed.
enum Demo {
  @MainActor static func run() async throws {
    let temporary = FileManager.default.temporaryDirectory
      .appending(path: "NotesApp-\(ProcessInfo.processInfo.processIdentifier)")
    defer { try? FileManager.default.removeItem(at: temporary) }
    let folder = AppFolder(temporary)
    let store = try NoteStore(folder: folder)
    try store.add(
      Note(title: "Bread", body: "Grandmother bakes her bread with rye, honey and salt."))
    try store.add(Note(body: "The blue roses at the gate need water on Fridays."))
    try store.add(Note(body: "The key of the boat lies under the third stone."))

    let tuning = try FineTuning(folder: folder, settings: TrainingSettings(steps: 150))
    await tuning.plan(for: .starter)
    print(tuning.memoryNeed?.text ?? "")
    print("The starter model learns to spell, then the notes are learned.")
    tuning.start(on: store.notes, model: .starter)
    try await follow(tuning, until: 75)
    await tuning.cancel()
    try check(tuning)
    print("cancelled after step \(tuning.progress?.step ?? 0), resumed")
    tuning.resume()
    try await follow(tuning, until: .max)
    await tuning.finish()
    try check(tuning)

    let writer = try SentenceWriter(folder: folder)
    writer.beginning = "The key of the boat"
    for usesNotes in [false, true] {
      writer.usesNotes = usesNotes
      writer.complete(with: .starter)
      await writer.finish()
      if let failure = writer.failure { throw failure }
      print("\(usesNotes ? "with" : "without") notes: \(writer.beginning)\(writer.completion)")
    }
  }

  /// Prints progress until a step of the notes' training is done, or all are.
  @MainActor private static func follow(_ tuning: FineTuning, until last: Int) async throws {
    var printed = 0
    while tuning.isBusy {
      if let progress = tuning.progress, progress.step >= printed + 25 || progress.step < printed {
        printed = progress.step
        print(
          String(
            format: "%@ %3d of %3d  loss %.3f  %6.0f tokens/s  %.0f s left",
            tuning.state == .makingStarter ? "starter" : "notes  ", progress.step,
            progress.totalSteps, progress.loss, progress.tokensPerSecond, progress.secondsLeft))
        if tuning.state == .training && progress.step >= last { return }
      }
      try await Task.sleep(for: .milliseconds(5))
    }
  }

  @MainActor private static func check(_ tuning: FineTuning) throws {
    if case .failed(let error) = tuning.state { throw error }
  }
}
