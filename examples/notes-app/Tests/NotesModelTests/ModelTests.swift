import AneTrain
import Foundation
import Testing

@testable import NotesModel

@MainActor @Suite(.timeLimit(.minutes(2))) struct ModelTests {
  let temporary: TemporaryFolder
  let folder: AppFolder

  init() throws {
    temporary = try TemporaryFolder()
    folder = temporary.folder
  }

  /// A folder as Hugging Face has it: a small random model, and a tokenizer of bytes.
  private func modelFolder() throws -> URL {
    let url = folder.url.appending(path: "downloads/small")
    try FileManager.default.createDirectory(
      at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
    try StarterModel.untrained().export(to: url.path)
    var spare: UInt32 = 256
    var vocabulary: [String: Int] = ["<|end|>": 256]
    for byte in UInt32(0)..<256 {
      let isPrintable = (33...126).contains(byte) || (161...172).contains(byte) || byte > 173
      let scalar = try #require(Unicode.Scalar(isPrintable ? byte : spare))
      if !isPrintable { spare += 1 }
      vocabulary[String(Character(scalar))] = Int(byte)
    }
    let tokenizer: [String: Any] = [
      "model": ["type": "BPE", "vocab": vocabulary, "merges": [String]()],
      "pre_tokenizer": ["type": "ByteLevel", "add_prefix_space": false, "use_regex": true],
      "decoder": ["type": "ByteLevel"],
      "added_tokens": [
        ["id": 256, "content": "<|end|>", "special": true, "normalized": false]
      ],
    ]
    try JSONSerialization.data(withJSONObject: tokenizer)
      .write(to: url.appending(path: "tokenizer.json"))
    try Data(#"{"eos_token": "<|end|>"}"#.utf8)
      .write(to: url.appending(path: "tokenizer_config.json"))
    return url
  }

  @Test func importsModelFolders() async throws {
    #expect(try BaseModel.all(in: folder) == [.starter])
    let source = try modelFolder()
    let model = try await BaseModel.importing(source, into: folder)
    #expect(model.name == "small")
    #expect(try BaseModel.all(in: folder) == [.starter, model])
    // The copy is the app's own, and a second import takes its place.
    _ = try await BaseModel.importing(source, into: folder)
    try FileManager.default.removeItem(at: source)
    #expect(try BaseModel.all(in: folder) == [.starter, model])
    let tuning = try FineTuning(folder: folder, device: oneThread(), settings: quick(steps: 5))
    tuning.start(on: threeNotes, model: model)
    await tuning.finish()
    #expect(tuning.state == .finished)
    #expect(folder.hasAdapter(of: model))
    #expect(!folder.hasAdapter(of: .starter))
  }

  @Test func refusesFoldersThatHoldNoModel() async throws {
    let source = try modelFolder()
    try FileManager.default.removeItem(at: source.appending(path: "tokenizer.json"))
    await #expect(throws: AneTrainError.self) {
      try await BaseModel.importing(source, into: folder)
    }
    #expect(try BaseModel.all(in: folder) == [.starter])
  }

  @Test func theStarterModelLearnsToSpell() async throws {
    let tuning = try FineTuning(folder: folder, device: Device("cpu"), settings: quick(steps: 5))
    tuning.start(on: threeNotes, model: .starter)
    try await until { tuning.state == .makingStarter && tuning.progress?.step ?? 0 > 3 }
    await tuning.cancel()
    #expect(tuning.state == .cancelled)
    #expect(!FileManager.default.fileExists(atPath: folder.starterModel.path))
    tuning.resume()
    var loss = 0.0
    try await until {
      if tuning.state == .makingStarter { loss = tuning.progress?.loss ?? loss }
      return !tuning.isBusy
    }
    #expect(tuning.state == .finished)
    #expect(loss > 0 && loss < 0.7)
    // The curve is that of the notes.
    #expect(tuning.losses.points.first?.step == 1 && tuning.losses.points.last?.step == 5)

    let writer = try SentenceWriter(folder: folder, device: Device("cpu"))
    writer.beginning = "In the morning Anna "
    writer.usesNotes = false
    writer.complete(with: .starter)
    await writer.finish()
    let places = ["market", "station", "home", "library", "garden"]
    #expect(places.contains { writer.completion.contains($0) })
  }
}
