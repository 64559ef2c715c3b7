import CAneTrain

/// Text to token ids and back. Immutable, so any thread may use it.
public final class Tokenizer: Sendable {
  let handle: Handle

  /// The byte tokenizer: ids 0 to 255 are bytes, 256 begins a text, 257 ends it.
  public static func bytes() throws(AneTrainError) -> Tokenizer {
    Tokenizer(try Handle(anet_tokenizer_release) { anet_tokenizer_create_bytes($0, $1) })
  }

  /// Loads a tokenizer.json (byte-level or SentencePiece-like BPE) or a tokenizer.bin of llama2.c.
  /// - Parameters:
  ///   - path: the file, or the model folder that holds it.
  ///   - vocabularySize: the model's: required for tokenizer.bin, which does not say; for
  ///     tokenizer.json ids up to it are valid without text; 0: not known.
  /// - Throws: ``AneTrainError``: `fileNotFound`, `invalidData`, `unsupported` naming the part of
  ///   the tokenizer that the library does not have.
  public convenience init(
    contentsOf path: String, vocabularySize: Int = 0
  ) throws(AneTrainError) {
    let size: Int32 = try narrow(vocabularySize, "vocabularySize")
    self.init(try Handle(anet_tokenizer_release) { anet_tokenizer_load(path, size, $0, $1) })
  }

  private init(_ handle: consuming Handle) {
    self.handle = handle
  }

  /// SHA-256 in hexadecimal of all that decides how it encodes and decodes.
  public var fingerprint: String {
    string(anet_tokenizer_fingerprint(handle.pointer))
  }

  /// Ids are below this.
  public var vocabularySize: Int {
    Int(anet_tokenizer_vocab_size(handle.pointer))
  }

  /// The id that begins a text.
  public var beginID: Int32? {
    let id = anet_tokenizer_bos_id(handle.pointer)
    return id < 0 ? nil : id
  }

  /// The id that ends a text.
  public var endID: Int32? {
    let id = anet_tokenizer_eos_id(handle.pointer)
    return id < 0 ? nil : id
  }

  /// The id of a special or added token ("<|im_end|>").
  /// - Throws: ``AneTrainError/Code/notFound``.
  public func id(ofSpecial name: String) throws(AneTrainError) -> Int32 {
    var id: Int32 = 0
    try check { anet_tokenizer_find_special(handle.pointer, name, &id, $0) }
    return id
  }

  /// What encoding does besides turning text into ids.
  public struct EncodingOptions: OptionSet, Hashable, Sendable {
    /// The library's bits.
    public let rawValue: UInt32

    /// Options with bits of the library.
    public init(rawValue: UInt32) {
      self.rawValue = rawValue
    }

    /// ``Tokenizer/beginID`` comes first.
    public static let addBegin = EncodingOptions(rawValue: UInt32(ANET_TOKENIZE_ADD_BOS))
    /// ``Tokenizer/endID`` comes last.
    public static let addEnd = EncodingOptions(rawValue: UInt32(ANET_TOKENIZE_ADD_EOS))
    /// Special tokens spelled in the text become their ids. Not for text from outside, which could
    /// otherwise forge the structure of a prompt.
    public static let parseSpecial = EncodingOptions(rawValue: UInt32(ANET_TOKENIZE_PARSE_SPECIAL))
    /// What the tokenizer adds by itself (Llama's begin); instead of the first two.
    public static let asTrained = EncodingOptions(rawValue: UInt32(ANET_TOKENIZE_AS_TRAINED))
  }

  /// The ids of a text.
  public func encode(
    _ text: String, options: EncodingOptions = []
  ) throws(AneTrainError) -> [Int32] {
    try array { ids, capacity, count, error in
      anet_tokenizer_encode(
        handle.pointer, text, text.utf8.count, options.rawValue, ids, capacity, count, error)
    }
  }

  /// A token, and the bytes of the text that it comes from.
  public struct Token: Hashable, Sendable {
    /// Its id.
    public let id: Int32
    /// Of the text's UTF-8; empty for a token that is no part of it.
    public let bytes: Range<Int>
  }

  /// The ids of a text, and where each comes from.
  public func tokens(
    of text: String, options: EncodingOptions = []
  ) throws(AneTrainError) -> [Token] {
    var ids: [Int32] = []
    let ranges: [anet_text_range] = try array { ranges, capacity, count, error in
      ids = [Int32](repeating: 0, count: capacity)
      return ids.withUnsafeMutableBufferPointer {
        anet_tokenizer_encode_ranges(
          handle.pointer, text, text.utf8.count, options.rawValue,
          ranges == nil ? nil : $0.baseAddress, ranges, capacity, count, error)
      }
    }
    return zip(ids, ranges).map { Token(id: $0, bytes: Int($1.begin)..<Int($1.end)) }
  }

  /// The text of ids. Invalid bytes become U+FFFD.
  /// - Throws: ``AneTrainError/Code/outOfRange`` for an id outside the vocabulary.
  public func decode(_ ids: [Int32]) throws(AneTrainError) -> String {
    string(try array { anet_tokenizer_decode(handle.pointer, ids, ids.count, $0, $1, $2, $3) })
  }
}

/// Text of a sequence as it grows, in whole characters. One thread at a time.
public final class TextDecoder {
  private let handle: Handle

  /// A decoder at the beginning of a text.
  public init(_ tokenizer: Tokenizer) throws(AneTrainError) {
    handle = try Handle(anet_text_decoder_release) {
      anet_text_decoder_create(tokenizer.handle.pointer, $0, $1)
    }
  }

  /// Tokens whose text is known already, a prompt's: some formats leave out the space that begins a
  /// text, and what goes on is not its beginning.
  /// - Throws: ``AneTrainError/Code/outOfRange`` for an id outside the vocabulary.
  public func prime(_ ids: [Int32]) throws(AneTrainError) {
    try check { anet_text_decoder_prime(handle.pointer, ids, ids.count, $0) }
  }

  /// What became complete with this token, perhaps nothing.
  /// - Throws: ``AneTrainError/Code/outOfRange`` for an id outside the vocabulary.
  public func push(_ id: Int32) throws(AneTrainError) -> String {
    var text: UnsafePointer<CChar>?
    var length = 0
    try check { anet_text_decoder_push(handle.pointer, id, &text, &length, $0) }
    return string(UnsafeBufferPointer(start: text, count: length))
  }

  /// What is left of an incomplete character, as U+FFFD. The decoder is then as new.
  public func flush() throws(AneTrainError) -> String {
    var text: UnsafePointer<CChar>?
    var length = 0
    try check { anet_text_decoder_flush(handle.pointer, &text, &length, $0) }
    return string(UnsafeBufferPointer(start: text, count: length))
  }
}
