import AneTrain
import Testing

@Suite struct GeneratorTests {
  /// A model that goes on with "abcabc...".
  static func lettersModel() throws -> Model {
    let model = try smallModel()
    let session = try Session(training: model, on: cpu(), options: smallOptions)
    try session.fit(on: letters(), options: FitOptions(steps: 40))
    return model
  }

  static func generator(_ options: GeneratorOptions = GeneratorOptions()) throws -> Generator {
    try Generator(lettersModel(), on: cpu(), tokenizer: .bytes(), options: options)
  }

  @Test func continuesAPrompt() throws {
    let generator = try Self.generator()
    var seen = ""
    let generation = try generator.generate(
      [97, 98, 99, 97], options: SamplingOptions(maxTokens: 8)
    ) { token in
      seen += token.text
      return .proceed
    }
    #expect(generation.text == "bcabcabc")
    #expect(seen == generation.text)
    #expect(generation.ids == [98, 99, 97, 98, 99, 97, 98, 99])
    #expect(generation.finishReason == .length)
    #expect(generation.promptTokens == 4)
    #expect(generation.decodeSeconds > 0 && generation.prefillSeconds > 0)
  }

  @Test func endsForEveryReason() throws {
    let generator = try Self.generator(GeneratorOptions(contextLength: 16))
    let prompt: [Int32] = [97, 98, 99, 97]
    let stopped = try generator.generate(prompt, options: SamplingOptions(stopIDs: [97]))
    #expect(stopped.finishReason == .stopID && stopped.text == "bc")
    let full = try generator.generate(prompt)
    #expect(full.finishReason == .context && full.ids.count <= 13)
    let byCallback = try generator.generate(prompt) { $0.id == 99 ? .stop : .proceed }
    #expect(byCallback.finishReason == .stopped && byCallback.text == "bc")
    #expect(throws: Refusal()) { try generator.generate(prompt) { _ in throw Refusal() } }
    expectError(.invalidData) { try generator.generate([]) }
    expectError(.outOfRange) { try generator.generate([999]) }
    expectError(.outOfRange) {
      try generator.generate(prompt, options: SamplingOptions(topP: 2))
    }
  }

  @Test func samplingIsSeeded() throws {
    let generator = try Self.generator()
    func text(_ seed: UInt64) throws -> [Int32] {
      try generator.generate(
        [97],
        options: SamplingOptions(
          maxTokens: 24, temperature: 3, topP: 0.99, topK: 200, minP: 0.0001, seed: seed,
          repetitionPenalty: 1.1)
      ).ids
    }
    #expect(try text(1) == text(1))
    #expect(try text(1) != text(2))
  }

  @Test func decodesBatches() throws {
    let generator = try Self.generator(GeneratorOptions(batchSize: 2))
    let prompts = [Prompt([97, 98]), Prompt([98, 99]), Prompt([99, 97], seed: 3)]
    var counts = [0, 0, 0]
    let texts = try generator.generate(
      batch: prompts, options: SamplingOptions(maxTokens: 6)
    ) { prompt, _ in
      counts[prompt] += 1
      return prompt == 1 && counts[1] == 2 ? .stop : .proceed
    }
    #expect(texts.map(\.text) == ["cabcab", "ab", "bcabca"])
    #expect(texts.map(\.finishReason) == [.length, .stopped, .length])
    #expect(throws: Refusal()) {
      try generator.generate(batch: prompts) { prompt, _ in
        if prompt == 2 { throw Refusal() }
        return .proceed
      }
    }
    expectError(.invalidData) { try generator.generate(batch: [Prompt([])]) }
  }

  @Test func logitsChooseTheNextToken() throws {
    let generator = try Self.generator()
    let logits = try generator.logits(after: [97, 98])
    #expect(logits.count == 258)
    #expect(logits.indices.max { logits[$0] < logits[$1] } == 99)
  }

  @Test func adaptersAreExchanged() throws {
    let model = try Self.lettersModel()
    let adapter = try AdapterTests.trained(model)
    let generator = try Generator(
      model, on: cpu(), options: GeneratorOptions(adapterRank: 8))
    let plain = try generator.logits(after: [97, 98])
    try generator.setAdapters([WeightedAdapter(adapter, weight: 0.5)])
    let adapted = try generator.logits(after: [97, 98])
    #expect(adapted != plain)
    try generator.setAdapters([])
    #expect(try generator.logits(after: [97, 98]) == plain)
    let generation = try generator.generate([97], options: SamplingOptions(maxTokens: 3)) { token in
      #expect(token.text == "")
      try generator.setAdapters([WeightedAdapter(adapter)])
      return .proceed
    }
    #expect(generation.text == "" && generation.ids.count == 3)
  }

  @Test func cancels() throws {
    let generator = try Self.generator()
    let canceller = generator.canceller
    expectError(.cancelled) {
      try generator.generate([97]) { _ in
        canceller.cancel()
        return .proceed
      }
    }
    #expect(try generator.generate([97], options: SamplingOptions(maxTokens: 1)).text == "b")
  }
}
