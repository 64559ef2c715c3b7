import CAneTrain

/// Rows of tokens in a deterministic order that any index can be asked of. Immutable, so any thread
/// may use it.
public final class Dataset: Sendable {
  let handle: Handle

  /// Maps a file of token ids: little-endian uint16 or uint32, bare or with llm.c's header.
  /// - Throws: ``AneTrainError``: `fileNotFound`, `inputOutput`, `invalidData` (empty, too short,
  ///   odd size; says how many tokens are needed; an id outside the vocabulary, with its position).
  public convenience init(
    tokenFile path: String, options: DatasetOptions
  ) throws(AneTrainError) {
    var native = try options.native()
    self.init(
      try Handle(anet_dataset_release) { anet_dataset_open_tokens(path, &native, $0, $1) })
  }

  /// Reads a text file through a tokenizer, whose vocabulary it uses. Errors as
  /// ``init(tokenFile:options:)``.
  public convenience init(
    textFile path: String, tokenizer: Tokenizer, options: DatasetOptions
  ) throws(AneTrainError) {
    var native = try options.native()
    self.init(
      try Handle(anet_dataset_release) {
        anet_dataset_open_text(path, tokenizer.handle.pointer, &native, $0, $1)
      })
  }

  /// Copies token ids from memory. Errors as ``init(tokenFile:options:)``.
  public convenience init(
    tokens ids: [Int32], options: DatasetOptions
  ) throws(AneTrainError) {
    var native = try options.native()
    self.init(
      try Handle(anet_dataset_release) {
        anet_dataset_create_tokens(ids, ids.count, &native, $0, $1)
      })
  }

  /// Rows of examples.
  /// - Throws: ``AneTrainError/Code/invalidData`` when no example is left.
  public convenience init(
    _ examples: Examples, rows options: RowOptions
  ) throws(AneTrainError) {
    var native = try options.native()
    self.init(
      try Handle(anet_dataset_release) {
        anet_dataset_create_rows(examples.handle.pointer, &native, $0, $1)
      })
  }

  private init(_ handle: consuming Handle) {
    self.handle = handle
  }

  /// Splits off the last `fraction`, above 0 and below 1, of the tokens of windows.
  /// - Throws: ``AneTrainError``: `invalidData` when a part is shorter than one window,
  ///   `unsupported` for rows of examples (see ``Examples/split(validation:)``).
  public func split(
    validation fraction: Double
  ) throws(AneTrainError) -> (train: Dataset, validation: Dataset) {
    var second: OpaquePointer?
    let first = try Handle(anet_dataset_release) {
      anet_dataset_split(handle.pointer, fraction, $0, &second, $1)
    }
    return (Dataset(first), Dataset(Handle(owning: second!, anet_dataset_release)))
  }

  /// Rows in one epoch.
  public var rowCount: Int {
    Int(anet_dataset_window_count(handle.pointer))
  }

  /// Tokens in a row.
  public var sequenceLength: Int {
    Int(anet_dataset_sequence_length(handle.pointer))
  }

  /// What became of the examples, as a JSON object: rows, density, truncated, skipped, split,
  /// supervised tokens that are in no row. `{}` for windows.
  public func report() throws(AneTrainError) -> String {
    try text { anet_dataset_get_report(handle.pointer, $0, $1, $2, $3) }
  }

  /// SHA-256 in hexadecimal of tokens, masks and order; kept in checkpoints. The first call may
  /// read all data.
  public func fingerprint() throws(AneTrainError) -> String {
    try text { anet_dataset_get_fingerprint(handle.pointer, $0, $1, $2, $3) }
  }

  /// Copies `count` rows from row `first` on of the endless sequence of epochs.
  /// - Throws: ``AneTrainError/Code/invalidArgument`` when the rows differ in their parts: ask for
  ///   whole micro-batches.
  public func batch(from first: Int, count: Int) throws(AneTrainError) -> Batch {
    let begin: UInt64 = try narrow(first, "first")
    let rows: Int = try narrow(UInt(bitPattern: count), "count")
    let length = sequenceLength
    var batch = Batch(
      sequenceCount: rows, sequenceLength: length,
      tokens: [Int32](repeating: 0, count: rows * length),
      targets: [Int32](repeating: 0, count: rows * length))
    var positions = batch.tokens
    var parts: Int32 = 0
    try check {
      anet_dataset_read(
        handle.pointer, begin, rows, &batch.tokens, &batch.targets, &positions, &parts, $0)
    }
    batch.positions = positions
    batch.parts = Int(parts)
    return batch
  }
}

/// How a text is cut into rows: windows of tokens.
public struct DatasetOptions: Hashable, Sendable {
  /// Tokens in a window; its targets are shifted by one.
  public var sequenceLength: Int
  /// Ids must be below it; required for token files and arrays.
  public var vocabularySize: Int
  /// Of a token file without a header: 2 or 4; 0: from ``vocabularySize``.
  public var tokenBytes: Int
  /// Of the order.
  public var seed: UInt64
  /// In the order of the file instead of a shuffle.
  public var isSequential: Bool

  /// The length of a window, and the defaults but for what is given.
  public init(
    sequenceLength: Int, vocabularySize: Int = 0, tokenBytes: Int = 0, seed: UInt64 = 0,
    isSequential: Bool = false
  ) {
    self.sequenceLength = sequenceLength
    self.vocabularySize = vocabularySize
    self.tokenBytes = tokenBytes
    self.seed = seed
    self.isSequential = isSequential
  }

  func native() throws(AneTrainError) -> anet_dataset_options {
    var native = anet_dataset_options.sized
    native.sequence_length = try narrow(sequenceLength, "sequenceLength")
    native.vocab_size = try narrow(vocabularySize, "vocabularySize")
    native.token_bytes = try narrow(tokenBytes, "tokenBytes")
    native.seed = seed
    native.sequential = isSequential.flag
    return native
  }
}

/// How examples are laid into rows.
public struct RowOptions: Hashable, Sendable {
  /// Tokens in a row; its targets are shifted by one.
  public var sequenceLength: Int
  /// How examples lie in rows.
  public var layout: RowLayout
  /// What becomes of an example of more than ``sequenceLength`` + 1 tokens.
  public var longExamples: LongExamples
  /// The session's; required for bucketed rows.
  public var batchSize: Int
  /// Bucketed rows have up to 2 to this power parts; 0: 3.
  public var lengthBuckets: Int
  /// Of the order.
  public var seed: UInt64
  /// In the order of the examples instead of a shuffle.
  public var isSequential: Bool

  /// The length of a row, and the defaults but for what is given.
  public init(
    sequenceLength: Int, layout: RowLayout = .padded, longExamples: LongExamples = .truncate,
    batchSize: Int = 0, lengthBuckets: Int = 0, seed: UInt64 = 0, isSequential: Bool = false
  ) {
    self.sequenceLength = sequenceLength
    self.layout = layout
    self.longExamples = longExamples
    self.batchSize = batchSize
    self.lengthBuckets = lengthBuckets
    self.seed = seed
    self.isSequential = isSequential
  }

  func native() throws(AneTrainError) -> anet_rows_options {
    var native = anet_rows_options.sized
    native.sequence_length = try narrow(sequenceLength, "sequenceLength")
    native.layout = layout.rawValue
    native.long_examples = longExamples.rawValue
    native.batch_size = try narrow(batchSize, "batchSize")
    native.length_buckets = try narrow(lengthBuckets, "lengthBuckets")
    native.seed = seed
    native.sequential = isSequential.flag
    return native
  }
}

/// How examples lie in rows.
public enum RowLayout: Int32, Sendable, CaseIterable {
  /// One example a row.
  case padded = 0  // ANET_ROWS_PADDED
  /// Several a row, each with positions from 0, so that nothing is padded: needs
  /// ``SessionOptions/documents``.
  case packed = 1  // ANET_ROWS_PACKED
  /// 1, 2, 4, ... short examples side by side in equal parts of a row: needs
  /// ``SessionOptions/lengthBuckets``.
  case bucketed = 2  // ANET_ROWS_BUCKETED
}

/// What becomes of an example that is longer than a row.
public enum LongExamples: Int32, Sendable, CaseIterable {
  /// Its end is cut off.
  case truncate = 0  // ANET_LONG_TRUNCATE
  /// It is left out.
  case skip = 1  // ANET_LONG_SKIP
  /// Pieces that share one token.
  case split = 2  // ANET_LONG_SPLIT
}

/// One micro-batch: sequences of equal length, row-major.
public struct Batch: Hashable, Sendable {
  /// Rows; must be the session's batch size.
  public var sequenceCount: Int
  /// Tokens in a row; must be the session's.
  public var sequenceLength: Int
  /// `[sequenceCount, sequenceLength]`.
  public var tokens: [Int32]
  /// The id that each position must predict; -1: not counted. As many as tokens.
  public var targets: [Int32]
  /// Each token's place in its document: 0, or one more than its neighbour's. Zeros inside a row
  /// need ``SessionOptions/documents``, or parts that begin there. nil: 0, 1, 2, ... in each part.
  public var positions: [Int32]?
  /// Sequences side by side in each row.
  public var parts: Int

  /// Rows of tokens and what each token must predict.
  public init(
    sequenceCount: Int, sequenceLength: Int, tokens: [Int32], targets: [Int32],
    positions: [Int32]? = nil, parts: Int = 1
  ) {
    self.sequenceCount = sequenceCount
    self.sequenceLength = sequenceLength
    self.tokens = tokens
    self.targets = targets
    self.positions = positions
    self.parts = parts
  }

  func native(in arena: inout Arena) throws(AneTrainError) -> anet_batch {
    let (size, overflow) = sequenceCount.multipliedReportingOverflow(by: sequenceLength)
    for (name, count) in [
      ("tokens", tokens.count), ("targets", targets.count), ("positions", positions?.count ?? size),
    ] where overflow || count != size {
      throw AneTrainError(
        .shapeMismatch,
        "expected \(sequenceCount) * \(sequenceLength) values of '\(name)', seen \(count)")
    }
    var native = anet_batch.sized
    native.sequence_count = try narrow(sequenceCount, "sequenceCount")
    native.sequence_length = try narrow(sequenceLength, "sequenceLength")
    native.tokens = arena.array(tokens)
    native.targets = arena.array(targets)
    if let positions { native.positions = arena.array(positions) }
    native.parts = try narrow(parts, "parts")
    return native
  }
}

extension anet_dataset_options: SizedStruct {}
extension anet_rows_options: SizedStruct {}
extension anet_batch: SizedStruct {}
