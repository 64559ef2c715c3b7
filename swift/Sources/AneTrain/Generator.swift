import CAneTrain

/// Writes text with a model, and with adapters that can be exchanged at any token.
///
/// Sees the weights as they are at each call. One thread at a time, so a generator is not
/// `Sendable`; ``GenerationSession`` is an actor that owns one.
public final class Generator {
  /// What it writes with.
  public let model: Model
  private let handle: Handle
  private let vocabularySize: Int

  /// Compiles what generation needs.
  /// - Parameter tokenizer: nil: tokens get no text.
  public init(
    _ model: Model, on device: Device, tokenizer: Tokenizer? = nil,
    options: GeneratorOptions = GeneratorOptions()
  ) throws(AneTrainError) {
    var native = try options.native()
    self.model = model
    vocabularySize = try model.configuration().vocabularySize
    handle = try Handle(anet_generator_release) {
      anet_generator_create(
        device.handle.pointer, model.handle.pointer, tokenizer?.handle.pointer, &native, $0, $1)
    }
  }

  /// Attaches adapters in place of those that were attached; none detaches all.
  ///
  /// Compiles nothing when they adapt no other matrices and no larger rank than any before. Allowed
  /// while a token is handled: it then holds from the next token on.
  /// - Throws: ``AneTrainError``: as ``Model/merged(with:)``; `busy` while a token is handled when
  ///   programs would have to be compiled, `compileBudget`. The adapters are as before then.
  public func setAdapters(_ adapters: [WeightedAdapter]) throws(AneTrainError) {
    let native = adapters.map(\.native)
    try check { error in
      withExtendedLifetime(adapters) {
        anet_generator_set_adapters(handle.pointer, native, native.count, error)
      }
    }
  }

  /// Continues a prompt.
  /// - Parameter onToken: is called on this thread. What it throws ends the text and is thrown on.
  /// - Throws: ``AneTrainError``: `invalidData` for an empty prompt or one longer than the context,
  ///   saying how long it may be; `outOfRange` for a bad id or option, `numeric` when the logits are
  ///   not finite, `cancelled`; and what `onToken` throws.
  @discardableResult
  public func generate(
    _ prompt: [Int32], options: SamplingOptions = SamplingOptions(),
    onToken: (GeneratedToken) throws -> GenerationDecision = { _ in .proceed }
  ) throws -> Generation {
    var tokens: [GeneratedToken] = []
    let result = try withCallback({ (token: GeneratedToken) in
      tokens.append(token)
      return try onToken(token)
    }) { userData throws(AneTrainError) in
      try withArena { arena throws(AneTrainError) in
        var native = try options.native(in: &arena)
        return try anet_generation_result.filled {
          anet_generator_generate(
            handle.pointer, prompt, prompt.count, &native,
            { id, text, length, userData in
              let piece = string(UnsafeBufferPointer(start: text, count: length))
              let token = GeneratedToken(id: id, text: piece)
              let callback = Callback<GeneratedToken, GenerationDecision>.from(userData)
              return callback(token) == .proceed ? 0 : 1
            }, userData, nil, 0, $0, $1)
        }
      }
    }
    return try Generation(result, tokens)
  }

  /// Continues several prompts, ``GeneratorOptions/batchSize`` of them at a time, which is faster
  /// than one after another. Each gets the text that it would get alone, up to the rounding of sums.
  /// - Parameter onToken: is called on this thread with the index of the prompt.
  ///   ``GenerationDecision/stop`` ends this prompt's text; what it throws ends all and is thrown
  ///   on.
  /// - Throws: as ``generate(_:options:onToken:)``, naming the prompt.
  @discardableResult
  public func generate(
    batch prompts: [Prompt], options: SamplingOptions = SamplingOptions(),
    onToken: (Int, GeneratedToken) throws -> GenerationDecision = { _, _ in .proceed }
  ) throws -> [Generation] {
    var tokens = [[GeneratedToken]](repeating: [], count: prompts.count)
    var results = [anet_generation_result](repeating: .sized, count: prompts.count)
    try withCallback({ (token: BatchToken) in
      tokens[token.prompt].append(token.token)
      return try onToken(token.prompt, token.token)
    }) { userData throws(AneTrainError) in
      try withArena { arena throws(AneTrainError) in
        var native = try options.native(in: &arena)
        var texts: [anet_prompt] = []
        for prompt in prompts {
          texts.append(
            anet_prompt(
              ids: arena.array(prompt.ids), count: prompt.ids.count, seed: prompt.seed))
        }
        try check {
          anet_generator_generate_batch(
            handle.pointer, texts, texts.count, &native,
            { index, id, text, length, userData in
              let piece = string(UnsafeBufferPointer(start: text, count: length))
              let token = BatchToken(prompt: index, token: GeneratedToken(id: id, text: piece))
              let callback = Callback<BatchToken, GenerationDecision>.from(userData)
              return callback(token) == .proceed ? 0 : 1
            }, userData, &results, $0)
        }
      }
    }
    var generations: [Generation] = []
    for (result, tokens) in zip(results, tokens) {
      generations.append(try Generation(result, tokens))
    }
    return generations
  }

  /// The logits that follow a prompt: one for each id of the vocabulary. Errors as
  /// ``generate(_:options:onToken:)``.
  public func logits(after prompt: [Int32]) throws(AneTrainError) -> [Float] {
    try floats(vocabularySize) {
      anet_generator_logits(handle.pointer, prompt, prompt.count, $0, $1, $2)
    }
  }

  /// Cancels what runs, from any thread.
  public var canceller: Canceller {
    anet_generator_retain(handle.pointer)
    return Canceller(Handle(owning: handle.pointer, anet_generator_release), anet_generator_cancel)
  }
}

private struct BatchToken {
  let prompt: Int
  let token: GeneratedToken
}

/// How a generator is made.
public struct GeneratorOptions: Hashable, Sendable {
  /// Tokens in the cache of keys and values; 0: the model's.
  public var contextLength: Int
  /// Of the programs.
  public var precision: Precision
  /// Prompts that ``Generator/generate(batch:options:onToken:)`` decodes at once.
  public var batchSize: Int
  /// Ranks of adapters, added up, that each adapted matrix has room for; 0: what the first ones that
  /// are attached need. Programs are compiled again only for more.
  public var adapterRank: Int

  /// The defaults, but for what is given.
  public init(
    contextLength: Int = 0, precision: Precision = .automatic, batchSize: Int = 1,
    adapterRank: Int = 0
  ) {
    self.contextLength = contextLength
    self.precision = precision
    self.batchSize = batchSize
    self.adapterRank = adapterRank
  }

  func native() throws(AneTrainError) -> anet_generator_options {
    var native = anet_generator_options.sized
    native.context_length = try narrow(contextLength, "contextLength")
    native.precision = precision.rawValue
    native.batch_size = try narrow(batchSize, "batchSize")
    native.adapter_rank = try narrow(adapterRank, "adapterRank")
    return native
  }
}

/// How the next token is chosen.
public struct SamplingOptions: Hashable, Sendable {
  /// 0: until the context is full.
  public var maxTokens: Int
  /// 0: the likeliest token.
  public var temperature: Double
  /// Share of the probability that tokens are drawn from; 0: off; else at most 1.
  public var topP: Double
  /// Number of tokens that are drawn from; 0: off.
  public var topK: Int
  /// Least probability relative to the likeliest token; 0: off; else at most 1.
  public var minP: Double
  /// Generation ends before any of these ids.
  public var stopIDs: [Int32]
  /// Of the draws.
  public var seed: UInt64
  /// Divides the positive logits of ids that the text has, and multiplies the negative ones; 0: off;
  /// else at least 1 (Keskar et al. 2019).
  public var repetitionPenalty: Double

  /// The likeliest token each time, but for what is given.
  public init(
    maxTokens: Int = 0,
    temperature: Double = 0,
    topP: Double = 0,
    topK: Int = 0,
    minP: Double = 0,
    stopIDs: [Int32] = [],
    seed: UInt64 = 0,
    repetitionPenalty: Double = 0
  ) {
    self.maxTokens = maxTokens
    self.temperature = temperature
    self.topP = topP
    self.topK = topK
    self.minP = minP
    self.stopIDs = stopIDs
    self.seed = seed
    self.repetitionPenalty = repetitionPenalty
  }

  func native(in arena: inout Arena) throws(AneTrainError) -> anet_sampling_options {
    var native = anet_sampling_options.sized
    native.max_tokens = try narrow(maxTokens, "maxTokens")
    native.temperature = temperature
    native.top_p = topP
    native.top_k = try narrow(topK, "topK")
    native.min_p = minP
    native.stop_ids = arena.array(stopIDs)
    native.stop_count = UInt32(stopIDs.count)
    native.seed = seed
    native.repetition_penalty = repetitionPenalty
    return native
  }
}

/// A prompt of a batch.
public struct Prompt: Hashable, Sendable {
  /// The tokens.
  public var ids: [Int32]
  /// Instead of ``SamplingOptions/seed``.
  public var seed: UInt64

  /// Tokens, and the seed of the draws that follow them.
  public init(_ ids: [Int32], seed: UInt64 = 0) {
    self.ids = ids
    self.seed = seed
  }
}

/// A token, and the whole characters that became complete with it.
public struct GeneratedToken: Hashable, Sendable {
  /// Its id.
  public let id: Int32
  /// Empty while a character is incomplete, and without a tokenizer.
  public let text: String
}

/// What a callback wants.
public enum GenerationDecision: Sendable {
  /// The text goes on.
  case proceed
  /// The text ends, with ``FinishReason/stopped``.
  case stop
}

/// Why a text ended.
public enum FinishReason: Int32, Sendable, CaseIterable {
  /// ``SamplingOptions/maxTokens``.
  case length = 1  // ANET_FINISH_LENGTH
  /// A stop id.
  case stopID = 2  // ANET_FINISH_STOP
  /// The cache of keys and values is full.
  case context = 3  // ANET_FINISH_CONTEXT
  /// The callback stopped it.
  case stopped = 4  // ANET_FINISH_CALLBACK
}

/// What was generated.
public struct Generation: Hashable, Sendable {
  /// The tokens behind the prompt.
  public let ids: [Int32]
  /// Of the tokens behind the prompt, in whole characters; empty without a tokenizer.
  public let text: String
  /// Why it ended.
  public let finishReason: FinishReason
  /// Tokens of the prompt.
  public let promptTokens: Int
  /// Reading the prompt.
  public let prefillSeconds: Double
  /// Writing.
  public let decodeSeconds: Double

  init(
    _ native: anet_generation_result, _ tokens: [GeneratedToken]
  ) throws(AneTrainError) {
    ids = tokens.map(\.id)
    text = tokens.map(\.text).joined()
    finishReason = try known(native.finish_reason)
    promptTokens = Int(native.prompt_tokens)
    prefillSeconds = native.prefill_seconds
    decodeSeconds = native.decode_seconds
  }
}

extension anet_generator_options: SizedStruct {}
extension anet_sampling_options: SizedStruct {}
extension anet_generation_result: SizedStruct {}
