import CAneTrain

/// A configuration and its weights: fp32, but for the matrices of a quantized model.
///
/// One thread at a time, except that calls which only read the weights may overlap; that is why a
/// model is not `Sendable`. While a session trains it, the weights belong to the session; reading
/// them between steps is fine.
public final class Model {
  let handle: Handle

  /// A randomly initialised model: normal(0, 0.02), the projections into the residual stream
  /// divided by sqrt(2 * layers), norms 1, biases 0.
  /// - Throws: ``AneTrainError/Code/invalidConfiguration`` naming the field.
  public convenience init(
    _ configuration: ModelConfiguration, seed: UInt64
  ) throws(AneTrainError) {
    var native = try configuration.native()
    self.init(
      try Handle(anet_model_release) { anet_model_create(&native, seed, $0, $1) })
  }

  /// Loads a model. The path decides the format: a folder of Hugging Face (Llama, Qwen2, Qwen3), a
  /// GGUF file, a llama2.c file, a BLZT checkpoint, a checkpoint of
  /// ``Session/save(to:keepLast:validationLoss:)``, or a file of ``save(to:)``.
  /// - Parameters:
  ///   - quantization: each matrix is compressed as it is read: the model in fp32 is never whole
  ///     in memory.
  ///   - progress: counts elements of the model.
  /// - Throws: ``AneTrainError``: `fileNotFound`, `invalidData` with all tensors that are missing,
  ///   extra or of another shape or type, `invalidConfiguration`, `unsupported` naming the
  ///   architecture or option, `invalidCheckpoint`, `checksum`, `version`; and what `progress`
  ///   throws.
  public convenience init(
    contentsOf path: String, quantization: QuantizationOptions? = nil,
    progress: ProgressHandler = { _ in }
  ) throws {
    let handle = try withCallback(progress) { userData throws(AneTrainError) in
      try withArena { arena throws(AneTrainError) in
        var options = anet_model_load_options.sized
        if let quantization {
          options.quantize = arena.value(try quantization.native(in: &arena))
        }
        options.progress = forwardProgress
        options.user_data = userData
        return try Handle(anet_model_release) { anet_model_load(path, &options, $0, $1) }
      }
    }
    self.init(handle)
  }

  init(_ handle: consuming Handle) {
    self.handle = handle
  }

  /// Its sizes.
  public func configuration() throws(AneTrainError) -> ModelConfiguration {
    ModelConfiguration(try .filled { anet_model_get_config(handle.pointer, $0, $1) })
  }

  /// What the model's files said besides its weights.
  public func info() throws(AneTrainError) -> ModelInfo {
    ModelInfo(try .filled { anet_model_get_info(handle.pointer, $0, $1) })
  }

  /// Number of weights.
  public var weightCount: UInt64 {
    anet_model_weight_count(handle.pointer)
  }

  /// Bytes of the weights as they are held.
  public var weightBytes: UInt64 {
    anet_model_weight_bytes(handle.pointer)
  }

  /// Its tensors, in order.
  public func parameters() throws(AneTrainError) -> [Parameter] {
    var parameters: [Parameter] = []
    for index in 0..<anet_model_parameter_count(handle.pointer) {
      parameters.append(try parameter(index))
    }
    return parameters
  }

  /// One of its tensors.
  /// - Throws: ``AneTrainError/Code/notFound`` with the nearest name.
  public func parameter(named name: String) throws(AneTrainError) -> Parameter {
    try parameter(index(of: name))
  }

  /// Copies a tensor out, row-major, a compressed one as the values that it stands for.
  /// - Throws: ``AneTrainError/Code/notFound`` with the nearest name.
  public func values(of name: String) throws(AneTrainError) -> [Float] {
    let index = try index(of: name)
    return try floats(parameter(index).elementCount) {
      anet_model_read_parameter(handle.pointer, index, $0, $1, $2)
    }
  }

  /// Copies a tensor in, row-major. A session that trains the model uses it from its next step on.
  /// - Throws: ``AneTrainError``: `notFound` with the nearest name, `shapeMismatch` for another
  ///   number of values, `unsupported` for a compressed tensor, `busy` while a session trains an
  ///   adapter of the model.
  public func setValues(of name: String, to values: [Float]) throws(AneTrainError) {
    let index = try index(of: name)
    try check { anet_model_write_parameter(handle.pointer, index, values, values.count, $0) }
  }

  private func index(of name: String) throws(AneTrainError) -> Int {
    var index = 0
    try check { anet_model_find_parameter(handle.pointer, name, &index, $0) }
    return index
  }

  private func parameter(_ index: Int) throws(AneTrainError) -> Parameter {
    try Parameter(.filled { anet_model_get_parameter(handle.pointer, index, $0, $1) })
  }
}

extension Model {
  /// Writes the weights alone as safetensors, fp32 or compressed as they are held, the
  /// configuration in its metadata. Atomic.
  public func save(to path: String) throws(AneTrainError) {
    try check { anet_model_save(handle.pointer, path, $0) }
  }

  /// Writes the model for other tools. Atomic: the path has what it had, or the whole export.
  /// - Throws: ``AneTrainError``: `unsupported` naming what the format cannot express,
  ///   `unsupportedOption` for a type that the format does not have, `inputOutput`, `diskFull`,
  ///   `permission`; and what `progress` throws.
  public func export(
    to path: String, options: ExportOptions = ExportOptions(),
    progress: ProgressHandler = { _ in }
  ) throws {
    try withCallback(progress) { userData throws(AneTrainError) in
      try withArena { arena throws(AneTrainError) in
        var native = try options.native(in: &arena)
        native.progress = forwardProgress
        native.user_data = userData
        try check { anet_model_export(handle.pointer, path, &native, $0) }
      }
    }
  }

  /// A copy with compressed matrices. It stays compressed in memory: it can be evaluated, generate,
  /// and be the base of adapters; sessions train its vectors alone. What a compressed model has
  /// compressed otherwise is expanded first.
  /// - Throws: ``AneTrainError``: `unsupported` naming a tensor whose extents do not fit the block
  ///   size; `invalidData` for weights that are not finite, `invalidArgument` for a pattern that
  ///   matches no matrix; and what `progress` throws.
  public func quantized(
    _ options: QuantizationOptions = QuantizationOptions(),
    progress: ProgressHandler = { _ in }
  ) throws -> Model {
    Model(
      try withCallback(progress) { userData throws(AneTrainError) in
        try withArena { arena throws(AneTrainError) in
          var native = try options.native(in: &arena)
          native.progress = forwardProgress
          native.user_data = userData
          return try Handle(anet_model_release) {
            anet_model_quantize(handle.pointer, &native, $0, $1)
          }
        }
      })
  }

  /// What quantization made of each parameter, also of those that stayed fp32.
  public func quantizationReport() throws(AneTrainError) -> [QuantizationReport] {
    var reports: [QuantizationReport] = []
    for index in 0..<anet_model_parameter_count(handle.pointer) {
      reports.append(
        try QuantizationReport(
          .filled { anet_model_get_quantization_report(handle.pointer, index, $0, $1) }))
    }
    return reports
  }

  /// A new fp32 model with the adapters in its weights, also from a compressed one. Head and
  /// embedding become two matrices where only one of them is adapted.
  /// - Throws: ``AneTrainError/Code/invalidArgument`` for an adapter of another model, a weight
  ///   that is not finite, none at all, or DoRA beside others of the same matrix or with another
  ///   weight than 1.
  public func merged(with adapters: [WeightedAdapter]) throws(AneTrainError) -> Model {
    let native = adapters.map(\.native)
    return Model(
      try Handle(anet_model_release) { model, error in
        withExtendedLifetime(adapters) {
          anet_model_merge(handle.pointer, native, native.count, model, error)
        }
      })
  }

  /// Adds the adapters to the weights in place, until ``unmerge()``.
  /// - Throws: ``AneTrainError``: as ``merged(with:)``; `invalidState` when something is merged
  ///   already, `unsupported` for a compressed model, or when head and embedding would have to
  ///   become two matrices; `busy` while a session trains the model or an adapter of it.
  public func merge(_ adapters: [WeightedAdapter]) throws(AneTrainError) {
    let native = adapters.map(\.native)
    try check { error in
      withExtendedLifetime(adapters) {
        anet_model_merge_in_place(handle.pointer, native, native.count, error)
      }
    }
  }

  /// Puts the weights back that ``merge(_:)`` replaced, bit for bit.
  /// - Throws: ``AneTrainError``: `invalidState` when nothing is merged, `busy` as above.
  public func unmerge() throws(AneTrainError) {
    try check { anet_model_unmerge(handle.pointer, $0) }
  }
}

/// What a model's files said besides its weights.
public struct ModelInfo: Hashable, Sendable {
  /// "hugging_face", "gguf", ...; "" for a model that was made here.
  public let format: String
  /// For ``Tokenizer/init(contentsOf:vocabularySize:)``; nil when there is none.
  public let tokenizerPath: String?
  /// Ids that end a text.
  public let stopIDs: [Int32]
  /// "model.norm.weight: 3 values are NaN".
  public let warnings: [String]

  init(_ native: anet_model_info) {
    format = string(native.format)
    let path = string(native.tokenizer_path)
    tokenizerPath = path.isEmpty ? nil : path
    stopIDs = Array(UnsafeBufferPointer(start: native.stop_ids, count: native.stop_count))
    warnings = (0..<Int(native.warning_count)).map { string(native.warnings[$0]) }
  }
}

/// How a model is written for other tools.
public struct ExportOptions: Sendable {
  /// For which tools.
  public var format: ExportFormat
  /// Of matrices; vectors stay fp32 in GGUF.
  public var type: ExportType
  /// The model folder that the model came from: its tokenizer, chat template and generation
  /// settings go along. nil: weights and configuration alone.
  public var companion: String?
  /// Of one safetensors file; 0: 5 GB.
  public var maxShardBytes: UInt64

  /// The defaults, but for what is given.
  public init(
    _ format: ExportFormat = .huggingFace, type: ExportType = .fp32, companion: String? = nil,
    maxShardBytes: UInt64 = 5_000_000_000
  ) {
    self.format = format
    self.type = type
    self.companion = companion
    self.maxShardBytes = maxShardBytes
  }

  func native(in arena: inout Arena) throws(AneTrainError) -> anet_export_options {
    var native = anet_export_options.sized
    native.format = format.rawValue
    native.type = type.rawValue
    native.companion = arena.string(companion)
    native.max_shard_bytes = maxShardBytes
    return native
  }
}

/// The formats that models are written in.
public enum ExportFormat: Int32, Sendable, CaseIterable {
  /// A folder: config.json, safetensors.
  case huggingFace = 0  // ANET_EXPORT_HUGGING_FACE
  /// A file, version 3.
  case gguf = 1  // ANET_EXPORT_GGUF
  /// A file, version 0, fp32.
  case llama2c = 2  // ANET_EXPORT_LLAMA2C
}

/// The types that weights are written in.
public enum ExportType: Int32, Sendable, CaseIterable {
  /// IEEE single precision.
  case fp32 = 0  // ANET_EXPORT_FP32
  /// IEEE half precision.
  case fp16 = 1  // ANET_EXPORT_FP16
  /// The upper half of an fp32.
  case bf16 = 2  // ANET_EXPORT_BF16
  /// GGUF alone.
  case q8_0 = 3  // ANET_EXPORT_Q8_0
}

/// Floats that C copies out.
func floats(
  _ count: Int, _ call: (UnsafeMutablePointer<Float>?, Int, ErrorSlot) -> anet_status
) throws(AneTrainError) -> [Float] {
  let values = UnsafeMutableBufferPointer<Float>.allocate(capacity: count)
  defer { values.deallocate() }
  try check { call(values.baseAddress, count, $0) }
  return Array(values)
}

extension anet_model_load_options: SizedStruct {}
extension anet_export_options: SizedStruct {}
extension anet_model_info: SizedStruct {}
