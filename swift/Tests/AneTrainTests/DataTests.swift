import AneTrain
import Foundation
import Testing

@Suite struct ExamplesTests {
  @Test func readsConversations() throws {
    try withFolder { folder in
      let lines = """
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yo"}]}
        {"messages": []}
        {"prompt": "1+1=", "completion": "2"}
        """
      let file = folder + "/train.jsonl"
      try lines.write(toFile: file, atomically: true, encoding: .utf8)
      let tokenizer = try Tokenizer.bytes()
      var options = ExamplesOptions(
        chatTemplate: try ChatTemplate(named: "chatml"),
        stopIDs: try tokenizer.encode(">").suffix(1), device: try cpu())
      var told = 0
      let examples = try Examples(contentsOf: folder, tokenizer: tokenizer, options: options) {
        told += $0.total > 0 ? 1 : 0
      }
      #expect(examples.count == 2)
      #expect(told > 0)
      let first = try examples.example(0)
      let learned = zip(first.ids, first.learned).filter(\.1).map(\.0)
      #expect(try tokenizer.decode(learned) == "Yo<|im_end|>")
      #expect(try examples.describe(0, tokenizer: tokenizer).contains("\"supervised\""))
      #expect(try examples.report().contains("train.jsonl"))

      options.isStrict = true
      let error = expectError(.invalidData) {
        _ = try Examples(contentsOf: file, tokenizer: tokenizer, options: options)
      }
      #expect(error?.message.contains("train.jsonl") == true)
      #expect(throws: Refusal()) {
        _ = try Examples(contentsOf: file, tokenizer: tokenizer) { _ in throw Refusal() }
      }
    }
  }

  @Test func everyOptionArrives() throws {
    try withFolder { folder in
      let file = folder + "/x.data"
      try #"{"say": "ab", "then": "c"}"#.write(toFile: file, atomically: true, encoding: .utf8)
      let options = ExamplesOptions(
        format: .jsonl, supervision: .everything, addsBegin: true, addsEnd: false,
        keys: .init(prompt: "say", completion: "then"), maxLineBytes: 1000,
        memoryLimit: 1000, temporaryDirectory: folder)
      let examples = try Examples(contentsOf: file, tokenizer: .bytes(), options: options)
      let example = try examples.example(0)
      #expect(example.ids == [256, 97, 98, 99])
      #expect(example.learned == [false, true, true, true])
      expectError(.invalidData) {
        _ = try Examples(
          contentsOf: file, tokenizer: .bytes(),
          options: ExamplesOptions(format: .jsonl, isStrict: true))
      }
      try "one\n--\ntwo".write(toFile: folder + "/x.txt", atomically: true, encoding: .utf8)
      let texts = try Examples(
        contentsOf: folder + "/x.txt", tokenizer: .bytes(),
        options: ExamplesOptions(addsEnd: false, documentSeparator: "\n--\n"))
      #expect(texts.count == 2)
      #expect(try texts.example(1).ids == [116, 119, 111])
    }
  }

  @Test func fromMemory() throws {
    let examples = try Examples(
      [
        Example(ids: [1, 2, 3], learned: [false, true, true]), Example(ids: [4, 5]),
        Example(ids: [6, 7, 8]), Example(ids: [9, 10]),
      ], vocabularySize: 16)
    #expect(examples.count == 4)
    #expect(examples.tokenCount == 10)
    #expect(try examples.example(0) == Example(ids: [1, 2, 3], learned: [false, true, true]))
    let (train, validation) = try examples.split(validation: 0.25)
    #expect(train.count == 3)
    #expect(try validation.example(0).ids == [9, 10])
    expectError(.outOfRange) { _ = try examples.example(4) }
    expectError(.outOfRange) { _ = try examples.example(-1) }
    expectError(.invalidData) { _ = try Examples([Example(ids: [99])], vocabularySize: 16) }
    expectError(.shapeMismatch) {
      _ = try Examples([Example(ids: [1, 2], learned: [true])], vocabularySize: 16)
    }
    expectError(.invalidData) { _ = try validation.split(validation: 0.5) }
  }
}

@Suite struct DatasetTests {
  @Test func windows() throws {
    let options = DatasetOptions(sequenceLength: 4, vocabularySize: 100, isSequential: true)
    let data = try Dataset(tokens: (0..<17).map(Int32.init), options: options)
    #expect(data.rowCount == 4)
    #expect(data.sequenceLength == 4)
    let batch = try data.batch(from: 1, count: 2)
    #expect(batch.tokens == [4, 5, 6, 7, 8, 9, 10, 11])
    #expect(batch.targets == [5, 6, 7, 8, 9, 10, 11, 12])
    #expect(batch.positions == [0, 1, 2, 3, 0, 1, 2, 3])
    #expect(batch.parts == 1)
    #expect(try data.report() == "{}")
    #expect(try data.fingerprint().count == 64)
    let (train, validation) = try data.split(validation: 0.5)
    #expect(train.rowCount == 1 || train.rowCount == 2)
    #expect(validation.rowCount >= 1)
    expectError(.outOfRange) { _ = try data.batch(from: -1, count: 1) }
    expectError(.invalidData) { _ = try Dataset(tokens: [1], options: options) }
    expectError(.invalidData) {
      _ = try Dataset(tokens: [Int32](repeating: 100, count: 20), options: options)
    }
  }

  @Test func files() throws {
    try withFolder { folder in
      let ids = (0..<40).map { UInt16($0) }
      try ids.withUnsafeBytes { Data($0) }.write(to: URL(filePath: folder + "/ids.bin"))
      let tokens = try Dataset(
        tokenFile: folder + "/ids.bin",
        options: DatasetOptions(
          sequenceLength: 8, vocabularySize: 258, tokenBytes: 2, isSequential: true))
      #expect(try tokens.batch(from: 0, count: 1).tokens == (0..<8).map(Int32.init))
      try String(repeating: "x", count: 50).write(
        toFile: folder + "/x.txt", atomically: true, encoding: .utf8)
      let text = try Dataset(
        textFile: folder + "/x.txt", tokenizer: .bytes(),
        options: DatasetOptions(sequenceLength: 8))
      #expect(try text.batch(from: 0, count: 1).tokens.contains(120))
      expectError(.fileNotFound) {
        _ = try Dataset(
          tokenFile: folder + "/none.bin",
          options: DatasetOptions(sequenceLength: 8, vocabularySize: 258))
      }
    }
  }

  @Test func rows() throws {
    let examples = try Examples(
      [Example(ids: [1, 2, 3]), Example(ids: [4, 5]), Example(ids: (0..<12).map(Int32.init))],
      vocabularySize: 16)
    let packed = try Dataset(
      examples, rows: RowOptions(sequenceLength: 4, layout: .packed, longExamples: .skip))
    #expect(packed.rowCount == 1)
    #expect(try packed.batch(from: 0, count: 1).positions?.filter { $0 == 0 }.count ?? 0 >= 2)
    #expect(try packed.report().contains("skipped"))
    let split = try Dataset(
      examples, rows: RowOptions(sequenceLength: 4, longExamples: .split, isSequential: true))
    #expect(split.rowCount > 3)
    let bucketed = try Dataset(
      examples,
      rows: RowOptions(
        sequenceLength: 8, layout: .bucketed, batchSize: 1, lengthBuckets: 2, seed: 1))
    #expect(bucketed.rowCount >= 1)
    expectError(.unsupported) { _ = try packed.split(validation: 0.5) }
  }

  @Test func batchesMustBeWhole() throws {
    let session = try smallSession()
    var batch = try letters().batch(from: 0, count: 2)
    batch.tokens.removeLast()
    let error = expectError(.shapeMismatch) { try session.step(batch) }
    #expect(error?.message.contains("'tokens'") == true)
  }
}
