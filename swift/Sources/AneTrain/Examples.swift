import CAneTrain

/// Token ids with the mask of what is to be learned, read from files or memory. Larger than memory
/// if need be. Immutable, so any thread may use them.
public final class Examples: Sendable {
  let handle: Handle

  /// Reads and tokenises a file, or a part of a folder.
  ///
  /// JSONL has one object a line; its keys decide what it is: `{"messages", "tools"}`,
  /// `{"prompt", "completion"}`, `{"text"}` or `{"ids", "mask"}`. .bin holds token ids, another
  /// suffix means text.
  /// - Parameter progress: counts bytes.
  /// - Throws: ``AneTrainError``: `fileNotFound`, `invalidData` when no row can be used or, when
  ///   strict, with file and line of the first that cannot; `diskFull`; and what `progress` throws.
  public convenience init(
    contentsOf path: String, tokenizer: Tokenizer, options: ExamplesOptions = ExamplesOptions(),
    progress: ProgressHandler = { _ in }
  ) throws {
    self.init(
      try withCallback(progress) { userData throws(AneTrainError) in
        try withArena { arena throws(AneTrainError) in
          var native = try options.native(in: &arena)
          native.progress = forwardProgress
          native.user_data = userData
          return try Handle(anet_examples_release) {
            anet_examples_open(path, tokenizer.handle.pointer, &native, $0, $1)
          }
        }
      })
  }

  /// Copies examples from memory.
  /// - Parameter vocabularySize: ids must be below it.
  /// - Throws: ``AneTrainError/Code/invalidData`` for an id outside the vocabulary or an example
  ///   without a token to learn, naming it; `shapeMismatch` for a mask of another length.
  public convenience init(
    _ examples: [Example], vocabularySize: Int
  ) throws(AneTrainError) {
    for (index, example) in examples.enumerated()
    where example.learned.count != example.ids.count {
      throw AneTrainError(
        .shapeMismatch,
        "expected \(example.ids.count) values of 'learned' in example \(index), "
          + "seen \(example.learned.count)")
    }
    let ids = examples.flatMap(\.ids)
    let mask = examples.flatMap { $0.learned.map { UInt8($0 ? 1 : 0) } }
    let lengths = examples.map { UInt64($0.ids.count) }
    let size: Int32 = try narrow(vocabularySize, "vocabularySize")
    self.init(
      try Handle(anet_examples_release) {
        anet_examples_create(ids, mask, lengths, lengths.count, size, $0, $1)
      })
  }

  private init(_ handle: consuming Handle) {
    self.handle = handle
  }

  /// Splits off the last `fraction` of the examples.
  /// - Throws: ``AneTrainError/Code/invalidData`` when a part would be empty.
  public func split(
    validation fraction: Double
  ) throws(AneTrainError) -> (train: Examples, validation: Examples) {
    var second: OpaquePointer?
    let first = try Handle(anet_examples_release) {
      anet_examples_split(handle.pointer, fraction, $0, &second, $1)
    }
    return (Examples(first), Examples(Handle(owning: second!, anet_examples_release)))
  }

  /// How many there are.
  public var count: Int {
    Int(anet_examples_count(handle.pointer))
  }

  /// Tokens of all.
  public var tokenCount: Int {
    Int(anet_examples_token_count(handle.pointer))
  }

  /// One example.
  /// - Throws: ``AneTrainError/Code/outOfRange`` for an index past the count.
  public func example(_ index: Int) throws(AneTrainError) -> Example {
    let position: UInt64 = try narrow(index, "index")
    var mask: [UInt8] = []
    let ids: [Int32] = try array { ids, capacity, count, error in
      mask = [UInt8](repeating: 0, count: capacity)
      return anet_examples_read(handle.pointer, position, ids, &mask, capacity, count, error)
    }
    return Example(ids: ids, learned: mask.map { $0 != 0 })
  }

  /// One example as a JSON array of `{"text", "supervised", "tokens"}`: the runs of its mask.
  /// - Throws: ``AneTrainError/Code/outOfRange`` for an index past the count.
  public func describe(
    _ index: Int, tokenizer: Tokenizer
  ) throws(AneTrainError) -> String {
    let position: UInt64 = try narrow(index, "index")
    return try text {
      anet_examples_describe(
        handle.pointer, position, tokenizer.handle.pointer, $0, $1, $2, $3)
    }
  }

  /// What the files held, as a JSON object: rows by kind, rows that cannot be used with file, line
  /// and reason, lengths, supervised tokens, duplicates, special tokens spelled in the text, round
  /// trips. Reads all examples.
  public func report() throws(AneTrainError) -> String {
    try text { anet_examples_get_report(handle.pointer, $0, $1, $2, $3) }
  }
}

/// Token ids, and which of them are to be learned.
public struct Example: Hashable, Sendable {
  /// The tokens.
  public var ids: [Int32]
  /// As many as ids: true where the token is to be learned.
  public var learned: [Bool]

  /// An example of which some tokens are learned.
  public init(ids: [Int32], learned: [Bool]) {
    self.ids = ids
    self.learned = learned
  }

  /// An example of which everything is learned.
  public init(ids: [Int32]) {
    self.init(ids: ids, learned: ids.map { _ in true })
  }
}

/// How examples are read.
public struct ExamplesOptions: Sendable {
  /// Of a folder.
  public var part: DataPart
  /// Of the files.
  public var format: DataFormat
  /// What a model learns to predict.
  public var supervision: Supervision
  /// nil: conversations are refused, and a prompt and its completion are joined.
  public var chatTemplate: ChatTemplate?
  /// A JSON object; nil: none.
  public var templateVariables: String?
  /// Ids that end a turn; empty: the tokenizer's.
  public var stopIDs: [Int32]
  /// The first row that cannot be used is an error; otherwise such rows are reported.
  public var isStrict: Bool
  /// The tokenizer's begin before texts; nil: as the tokenizer itself does it.
  public var addsBegin: Bool?
  /// The tokenizer's end behind texts; nil: if the tokenizer has one.
  public var addsEnd: Bool?
  /// Special tokens spelled in texts become their ids.
  public var parsesSpecial: Bool
  /// Of a token file without a header: 2 or 4; 0: from the vocabulary.
  public var tokenBytes: Int
  /// Names of a record's keys.
  public var keys: Keys
  /// In text files; nil: each file is one document.
  public var documentSeparator: String?
  /// A longer line is reported; 0: 16 MB.
  public var maxLineBytes: UInt64
  /// In bytes; above it, examples go to a temporary file; 0: 256 MB.
  public var memoryLimit: UInt64
  /// nil: the environment's TMPDIR, or /var/tmp.
  public var temporaryDirectory: String?
  /// Conversations whose decoded tokens are compared; 0: none.
  public var roundTrips: Int
  /// Its threads tokenise too; the result is the same.
  public var device: Device?

  /// Names of a record's keys; nil: the usual ones.
  public struct Keys: Hashable, Sendable {
    /// Of a text.
    public var text: String?
    /// Of a prompt.
    public var prompt: String?
    /// Of what follows the prompt.
    public var completion: String?
    /// Of a conversation.
    public var messages: String?
    /// Of a conversation's tools.
    public var tools: String?

    /// The usual names, but for what is given.
    public init(
      text: String? = nil, prompt: String? = nil, completion: String? = nil,
      messages: String? = nil, tools: String? = nil
    ) {
      self.text = text
      self.prompt = prompt
      self.completion = completion
      self.messages = messages
      self.tools = tools
    }
  }

  /// The defaults, but for what is given.
  public init(
    part: DataPart = .train,
    format: DataFormat = .automatic,
    supervision: Supervision = .assistant,
    chatTemplate: ChatTemplate? = nil,
    templateVariables: String? = nil,
    stopIDs: [Int32] = [],
    isStrict: Bool = false,
    addsBegin: Bool? = nil,
    addsEnd: Bool? = nil,
    parsesSpecial: Bool = false,
    tokenBytes: Int = 0,
    keys: Keys = Keys(),
    documentSeparator: String? = nil,
    maxLineBytes: UInt64 = 0,
    memoryLimit: UInt64 = 0,
    temporaryDirectory: String? = nil,
    roundTrips: Int = 0,
    device: Device? = nil
  ) {
    self.part = part
    self.format = format
    self.supervision = supervision
    self.chatTemplate = chatTemplate
    self.templateVariables = templateVariables
    self.stopIDs = stopIDs
    self.isStrict = isStrict
    self.addsBegin = addsBegin
    self.addsEnd = addsEnd
    self.parsesSpecial = parsesSpecial
    self.tokenBytes = tokenBytes
    self.keys = keys
    self.documentSeparator = documentSeparator
    self.maxLineBytes = maxLineBytes
    self.memoryLimit = memoryLimit
    self.temporaryDirectory = temporaryDirectory
    self.roundTrips = roundTrips
    self.device = device
  }

  func native(in arena: inout Arena) throws(AneTrainError) -> anet_examples_options {
    var native = anet_examples_options.sized
    native.part = part.rawValue
    native.format = format.rawValue
    native.supervision = supervision.rawValue
    native.chat_template = chatTemplate?.handle.pointer
    native.template_variables = arena.string(templateVariables)
    native.stop_ids = arena.array(stopIDs)
    native.stop_count = UInt32(stopIDs.count)
    native.strict = isStrict.flag
    native.add_bos = choice(addsBegin)
    native.add_eos = choice(addsEnd)
    native.parse_special = parsesSpecial.flag
    native.token_bytes = try narrow(tokenBytes, "tokenBytes")
    native.text_key = arena.string(keys.text)
    native.prompt_key = arena.string(keys.prompt)
    native.completion_key = arena.string(keys.completion)
    native.messages_key = arena.string(keys.messages)
    native.tools_key = arena.string(keys.tools)
    native.document_separator = arena.string(documentSeparator)
    native.max_line_bytes = maxLineBytes
    native.memory_limit = memoryLimit
    native.temporary_directory = arena.string(temporaryDirectory)
    native.round_trips = Int64(roundTrips)
    native.device = device?.handle.pointer
    return native
  }

  private func choice(_ value: Bool?) -> anet_switch {
    switch value {
    case nil: anet_switch(ANET_SWITCH_DEFAULT)
    case true?: anet_switch(ANET_SWITCH_ON)
    case false?: anet_switch(ANET_SWITCH_OFF)
    }
  }
}

/// The parts of a data folder.
public enum DataPart: Int32, Sendable, CaseIterable {
  /// train.jsonl.
  case train = 0  // ANET_DATA_TRAIN
  /// valid.jsonl.
  case validation = 1  // ANET_DATA_VALIDATION
  /// test.jsonl.
  case test = 2  // ANET_DATA_TEST
}

/// What a data file holds.
public enum DataFormat: Int32, Sendable, CaseIterable {
  /// By the file's suffix.
  case automatic = 0  // ANET_DATA_AUTOMATIC
  /// A JSON object a line.
  case jsonl = 1  // ANET_DATA_JSONL
  /// Text.
  case text = 2  // ANET_DATA_TEXT
  /// Token ids.
  case tokens = 3  // ANET_DATA_TOKENS
}

/// Which tokens a model learns to predict.
public enum Supervision: Int32, Sendable, CaseIterable {
  /// Every assistant turn, or the completion, with its stop token.
  case assistant = 0  // ANET_SUPERVISE_ASSISTANT
  /// The last assistant turn alone.
  case last = 1  // ANET_SUPERVISE_LAST
  /// All.
  case everything = 2  // ANET_SUPERVISE_EVERYTHING
}

extension anet_examples_options: SizedStruct {}
