import CAneTrain

/// A low-rank adapter (LoRA): for some matrices W of a model, W x becomes W x + scale * B (A x).
///
/// It belongs to one model, which it keeps alive and which may be compressed. Not `Sendable`, as
/// ``Model``.
public final class Adapter {
  let handle: Handle

  /// A new adapter, which changes nothing yet: A is uniform within 1 / sqrt(in), B is zero, DoRA's
  /// magnitudes are the norms of the model's rows.
  /// - Throws: ``AneTrainError``: `invalidArgument` naming the option, or a pattern that matches no
  ///   module; `unsupportedOption` for DoRA of the embedding or the head.
  public convenience init(
    of model: Model, options: AdapterOptions = AdapterOptions()
  ) throws(AneTrainError) {
    self.init(
      try withArena { arena throws(AneTrainError) in
        var native = try options.native(in: &arena)
        return try Handle(anet_adapter_release) {
          anet_adapter_create(model.handle.pointer, &native, $0, $1)
        }
      })
  }

  /// Loads an adapter: a folder of PEFT or mlx-lm, a GGUF file, or a checkpoint of a session that
  /// trained an adapter.
  /// - Throws: ``AneTrainError``: `fileNotFound`, `invalidData` naming tensors that do not fit the
  ///   model, `invalidConfiguration`, `unsupported` naming an option that the library does not have.
  public convenience init(contentsOf path: String, of model: Model) throws(AneTrainError) {
    self.init(
      try Handle(anet_adapter_release) {
        anet_adapter_load(model.handle.pointer, path, $0, $1)
      })
  }

  init(_ handle: consuming Handle) {
    self.handle = handle
  }

  /// The model that it adapts.
  public func model() throws(AneTrainError) -> Model {
    Model(
      try Handle(anet_model_release) { anet_adapter_get_model(handle.pointer, $0, $1) })
  }

  /// Writes the adapter for other tools. Atomic: the path has what it had, or the whole adapter.
  /// - Parameters:
  ///   - type: not ``ExportType/q8_0``.
  ///   - baseName: what the files call the model; nil: nothing.
  /// - Throws: ``AneTrainError``: `unsupported` naming what the format cannot express (ranks that
  ///   differ in mlx, DoRA in GGUF), `unsupportedOption`, `inputOutput`, `diskFull`, `permission`.
  public func save(
    to path: String, as format: AdapterFormat = .peft, type: ExportType = .fp32,
    baseName: String? = nil
  ) throws(AneTrainError) {
    try withArena { arena throws(AneTrainError) in
      var options = anet_adapter_save_options.sized
      options.format = format.rawValue
      options.type = type.rawValue
      options.base_name = arena.string(baseName)
      try check { anet_adapter_save(handle.pointer, path, &options, $0) }
    }
  }

  /// Rank, scale and size.
  public func info() throws(AneTrainError) -> AdapterInfo {
    AdapterInfo(try native())
  }

  /// The adapted matrices, in order.
  public func modules() throws(AneTrainError) -> [AdapterModule] {
    var modules: [AdapterModule] = []
    for index in 0..<Int(try native().module_count) {
      modules.append(
        AdapterModule(try .filled { anet_adapter_get_module(handle.pointer, index, $0, $1) }))
    }
    return modules
  }

  /// Its tensors: A, B and, with DoRA, the magnitudes of each module.
  public func parameters() throws(AneTrainError) -> [Parameter] {
    var parameters: [Parameter] = []
    for index in 0..<anet_adapter_parameter_count(handle.pointer) {
      parameters.append(try parameter(index))
    }
    return parameters
  }

  /// One of its tensors: "model.layers.0.self_attn.q_proj.lora_A.weight", `[rank, in]`.
  /// - Throws: ``AneTrainError/Code/notFound`` with the nearest name.
  public func parameter(named name: String) throws(AneTrainError) -> Parameter {
    try parameter(index(of: name))
  }

  /// Copies a tensor out, row-major.
  /// - Throws: ``AneTrainError/Code/notFound`` with the nearest name.
  public func values(of name: String) throws(AneTrainError) -> [Float] {
    let index = try index(of: name)
    return try floats(parameter(index).elementCount) {
      anet_adapter_read_parameter(handle.pointer, index, $0, $1, $2)
    }
  }

  /// Copies a tensor in, row-major.
  /// - Throws: ``AneTrainError``: `notFound` with the nearest name, `shapeMismatch` for another
  ///   number of values.
  public func setValues(of name: String, to values: [Float]) throws(AneTrainError) {
    let index = try index(of: name)
    try check { anet_adapter_write_parameter(handle.pointer, index, values, values.count, $0) }
  }

  private func native() throws(AneTrainError) -> anet_adapter_info {
    try .filled { anet_adapter_get_info(handle.pointer, $0, $1) }
  }

  private func index(of name: String) throws(AneTrainError) -> Int {
    var index = 0
    try check { anet_adapter_find_parameter(handle.pointer, name, &index, $0) }
    return index
  }

  private func parameter(_ index: Int) throws(AneTrainError) -> Parameter {
    try Parameter(.filled { anet_adapter_get_parameter(handle.pointer, index, $0, $1) })
  }
}

/// How an adapter is made.
public struct AdapterOptions: Sendable {
  /// Columns of B, up to 4096; 0: 8.
  public var rank: Int
  /// The share of the adapter is alpha / rank; nil: 2 * ``rank``.
  public var alpha: Double?
  /// Of the adapter's input, in training; at least 0, below 1.
  public var dropout: Double
  /// The share is alpha / sqrt(rank) (Kalajdzievski 2023).
  public var rankStabilized: Bool
  /// Magnitudes of rows are learned apart (DoRA, Liu et al. 2024).
  public var learnsMagnitudes: Bool
  /// Patterns of modules: "q_proj", "mlp.*", "embed_tokens", "lm_head"; empty: the seven
  /// projections of every layer.
  public var targets: [String]
  /// The first adapted layer; a negative one counts from the end.
  public var firstLayer: Int
  /// Adapted layers from ``firstLayer`` on; 0: to the last. Embedding and head are no layers.
  public var layerCount: Int
  /// Other ranks or alphas for some modules; the last that matches a module decides.
  public var overrides: [Override]
  /// Of the values of A.
  public var seed: UInt64

  /// Another rank or alpha for the modules that a pattern matches.
  public struct Override: Hashable, Sendable {
    /// As in ``QuantizationOptions/Override/pattern``, of modules: "layers.0.*", "q_proj".
    public var pattern: String
    /// 0: as it would be without.
    public var rank: Int
    /// 0: as it would be without.
    public var alpha: Double

    /// A pattern, and what is different for the modules that it matches.
    public init(_ pattern: String, rank: Int = 0, alpha: Double = 0) {
      self.pattern = pattern
      self.rank = rank
      self.alpha = alpha
    }
  }

  /// The defaults, but for what is given.
  public init(
    rank: Int = 8,
    alpha: Double? = nil,
    dropout: Double = 0,
    rankStabilized: Bool = false,
    learnsMagnitudes: Bool = false,
    targets: [String] = [],
    firstLayer: Int = 0,
    layerCount: Int = 0,
    overrides: [Override] = [],
    seed: UInt64 = 0
  ) {
    self.rank = rank
    self.alpha = alpha
    self.dropout = dropout
    self.rankStabilized = rankStabilized
    self.learnsMagnitudes = learnsMagnitudes
    self.targets = targets
    self.firstLayer = firstLayer
    self.layerCount = layerCount
    self.overrides = overrides
    self.seed = seed
  }

  func native(in arena: inout Arena) throws(AneTrainError) -> anet_adapter_options {
    var exceptions: [anet_adapter_override] = []
    for exception in overrides {
      exceptions.append(
        anet_adapter_override(
          pattern: arena.string(exception.pattern), rank: try narrow(exception.rank, "rank"),
          reserved: 0, alpha: exception.alpha))
    }
    var native = anet_adapter_options.sized
    native.rank = try narrow(rank, "rank")
    native.alpha = alpha ?? 0
    native.dropout = dropout
    native.rslora = rankStabilized.flag
    native.dora = learnsMagnitudes.flag
    native.targets = arena.list(targets)
    native.first_layer = try narrow(firstLayer, "firstLayer")
    native.layer_count = try narrow(layerCount, "layerCount")
    native.overrides = arena.array(exceptions)
    native.override_count = exceptions.count
    native.seed = seed
    return native
  }
}

/// The formats that adapters are written in.
public enum AdapterFormat: Int32, Sendable, CaseIterable {
  /// A folder: adapter_config.json, adapter_model.safetensors.
  case peft = 0  // ANET_ADAPTER_PEFT
  /// A folder: adapter_config.json, adapters.safetensors.
  case mlx = 1  // ANET_ADAPTER_MLX
  /// A file for llama.cpp.
  case gguf = 2  // ANET_ADAPTER_GGUF
}

/// What an adapter is like.
public struct AdapterInfo: Hashable, Sendable {
  /// The largest of its modules.
  public let rank: Int
  /// Of that module.
  public let alpha: Double
  /// Of its input, in training.
  public let dropout: Double
  /// As ``AdapterOptions/rankStabilized``.
  public let rankStabilized: Bool
  /// As ``AdapterOptions/learnsMagnitudes``.
  public let learnsMagnitudes: Bool
  /// Adapted matrices.
  public let moduleCount: Int
  /// Numbers that are trained.
  public let weightCount: UInt64

  init(_ native: anet_adapter_info) {
    rank = Int(native.rank)
    alpha = native.alpha
    dropout = native.dropout
    rankStabilized = native.rslora != 0
    learnsMagnitudes = native.dora != 0
    moduleCount = Int(native.module_count)
    weightCount = native.weight_count
  }
}

/// One adapted matrix.
public struct AdapterModule: Hashable, Sendable {
  /// "model.layers.0.self_attn.q_proj".
  public let name: String
  /// Columns of B.
  public let rank: Int
  /// As in ``AdapterOptions/alpha``.
  public let alpha: Double
  /// The factor of B (A x).
  public let scale: Double

  init(_ native: anet_adapter_module) {
    name = string(native.name)
    rank = Int(native.rank)
    alpha = native.alpha
    scale = native.scale
  }
}

/// One of several adapters whose shares are added: weight * scale * B (A x).
public struct WeightedAdapter {
  /// Of the model that it is added to.
  public var adapter: Adapter
  /// 1 for the adapter as it was trained; with DoRA 1 alone.
  public var weight: Double

  /// An adapter with its whole share, or another.
  public init(_ adapter: Adapter, weight: Double = 1) {
    self.adapter = adapter
    self.weight = weight
  }

  var native: anet_weighted_adapter {
    anet_weighted_adapter(adapter: adapter.handle.pointer, weight: weight)
  }
}

extension anet_adapter_options: SizedStruct {}
extension anet_adapter_save_options: SizedStruct {}
extension anet_adapter_info: SizedStruct {}
extension anet_adapter_module: SizedStruct {}
