import Foundation
import Testing

@testable import NotesModel

@MainActor @Suite(.timeLimit(.minutes(2))) struct SentenceWriterTests {
  let temporary: TemporaryFolder
  let writer: SentenceWriter

  init() throws {
    temporary = try TemporaryFolder()
    try temporary.addStarterModel()
    writer = try SentenceWriter(folder: temporary.folder, device: oneThread())
    writer.beginning = "The key "
  }

  private func completion(usesNotes: Bool) async -> String {
    writer.usesNotes = usesNotes
    writer.complete(with: .starter, maxTokens: 20)
    #expect(writer.isWriting)
    await writer.finish()
    #expect(!writer.isWriting)
    #expect(writer.failure == nil)
    return writer.completion
  }

  @Test func writesWithNotesAndWithout() async throws {
    let before = await completion(usesNotes: true)
    #expect(!before.isEmpty)
    var settings = quick(steps: 100)
    settings.learningRate = 2e-2
    let tuning = try FineTuning(folder: temporary.folder, device: oneThread(), settings: settings)
    tuning.start(on: threeNotes, model: .starter)
    await tuning.finish()
    #expect(tuning.state == .finished)
    #expect(await completion(usesNotes: false) == before)
    #expect(await completion(usesNotes: true) != before)
    #expect(await completion(usesNotes: false) == before)
  }

  @Test func stopsWithinAToken() async throws {
    writer.complete(with: .starter, maxTokens: 0)
    try await until { !writer.completion.isEmpty }
    await writer.stop()
    #expect(!writer.isWriting)
    let stopped = writer.completion
    try await Task.sleep(for: .milliseconds(30))
    #expect(writer.completion == stopped)
    #expect(writer.failure == nil)
  }

  @Test func theLatestSentenceCounts() async throws {
    let expected = await completion(usesNotes: false)
    writer.complete(with: .starter, maxTokens: 0)
    try await until { !writer.completion.isEmpty }
    #expect(await completion(usesNotes: false) == expected)
  }

  @Test func presentsErrors() async throws {
    writer.complete(with: .imported("none"))
    await writer.finish()
    #expect(writer.failure != nil)
    #expect(!writer.isWriting)
    _ = await completion(usesNotes: false)
  }
}
