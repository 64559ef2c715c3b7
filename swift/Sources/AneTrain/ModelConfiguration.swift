import CAneTrain

/// The sizes of a transformer of the Llama family.
public struct ModelConfiguration: Hashable, Sendable {
  /// Token ids are below this.
  public var vocabularySize: Int
  /// Width of the residual stream.
  public var hiddenSize: Int
  /// Width of the feed-forward part.
  public var intermediateSize: Int
  /// Blocks.
  public var layerCount: Int
  /// Query heads.
  public var headCount: Int
  /// Key and value heads, which divide ``headCount``; 0: as many.
  public var keyValueHeadCount: Int
  /// Even; 0: ``hiddenSize`` / ``headCount``.
  public var headSize: Int
  /// Tokens; 0: 2048.
  public var contextLength: Int
  /// The head shares the embedding matrix.
  public var tieEmbeddings: Bool
  /// Biases on the q, k and v projections (Qwen2.5).
  public var queryKeyValueBias: Bool
  /// RMS norm on each query and key head (Qwen3).
  public var queryKeyNorm: Bool
  /// Base of the rotary embedding's wavelengths; 0: 10000.
  public var ropeTheta: Double
  /// Added to the mean square in norms; 0: 1e-5.
  public var normEpsilon: Double
  /// Llama 3's stretching of long wavelengths; nil: none.
  public var ropeScaling: RopeScaling?

  /// Llama 3's stretching of long wavelengths.
  public struct RopeScaling: Hashable, Sendable {
    /// At least 1.
    public var factor: Double
    /// At least 1.
    public var lowFrequencyFactor: Double
    /// At least 1.
    public var highFrequencyFactor: Double
    /// Tokens.
    public var originalContextLength: Int

    /// All four.
    public init(
      factor: Double, lowFrequencyFactor: Double, highFrequencyFactor: Double,
      originalContextLength: Int
    ) {
      self.factor = factor
      self.lowFrequencyFactor = lowFrequencyFactor
      self.highFrequencyFactor = highFrequencyFactor
      self.originalContextLength = originalContextLength
    }
  }

  /// The sizes, and the defaults but for what is given.
  public init(
    vocabularySize: Int,
    hiddenSize: Int,
    intermediateSize: Int,
    layerCount: Int,
    headCount: Int,
    keyValueHeadCount: Int = 0,
    headSize: Int = 0,
    contextLength: Int = 2048,
    tieEmbeddings: Bool = false,
    queryKeyValueBias: Bool = false,
    queryKeyNorm: Bool = false,
    ropeTheta: Double = 10000,
    normEpsilon: Double = 1e-5,
    ropeScaling: RopeScaling? = nil
  ) {
    self.vocabularySize = vocabularySize
    self.hiddenSize = hiddenSize
    self.intermediateSize = intermediateSize
    self.layerCount = layerCount
    self.headCount = headCount
    self.keyValueHeadCount = keyValueHeadCount
    self.headSize = headSize
    self.contextLength = contextLength
    self.tieEmbeddings = tieEmbeddings
    self.queryKeyValueBias = queryKeyValueBias
    self.queryKeyNorm = queryKeyNorm
    self.ropeTheta = ropeTheta
    self.normEpsilon = normEpsilon
    self.ropeScaling = ropeScaling
  }

  /// A built-in configuration.
  /// - Throws: ``AneTrainError/Code/notFound`` with the nearest known name.
  public init(named name: String) throws(AneTrainError) {
    self.init(try .filled { anet_model_config_get(name, $0, $1) })
  }

  /// Reads a JSON object whose keys are the fields of the C library's `anet_model_config`:
  /// `{"vocab_size": 512, "hidden_size": 64, "tie_embeddings": true}`.
  /// - Throws: ``AneTrainError/Code/invalidConfiguration``, with line and column when the text is
  ///   not JSON; an unknown key names the nearest known one.
  public init(json: String) throws(AneTrainError) {
    self.init(try .filled { anet_model_config_from_json(json, $0, $1) })
  }

  /// The names of the built-in configurations: "stories15M", "qwen3-0.6b", ...
  public static var names: [String] {
    (0..<anet_model_config_count()).map { string(anet_model_config_name($0)) }
  }

  init(_ native: anet_model_config) {
    self.init(
      vocabularySize: Int(native.vocab_size),
      hiddenSize: Int(native.hidden_size),
      intermediateSize: Int(native.intermediate_size),
      layerCount: Int(native.layer_count),
      headCount: Int(native.head_count),
      keyValueHeadCount: Int(native.kv_head_count),
      headSize: Int(native.head_dim),
      contextLength: Int(native.context_length),
      tieEmbeddings: native.tie_embeddings != 0,
      queryKeyValueBias: native.qkv_bias != 0,
      queryKeyNorm: native.qk_norm != 0,
      ropeTheta: native.rope_theta,
      normEpsilon: native.norm_epsilon,
      ropeScaling: native.rope_scaling_factor == 0
        ? nil
        : RopeScaling(
          factor: native.rope_scaling_factor,
          lowFrequencyFactor: native.rope_low_frequency_factor,
          highFrequencyFactor: native.rope_high_frequency_factor,
          originalContextLength: Int(native.rope_original_context_length)))
  }

  func native() throws(AneTrainError) -> anet_model_config {
    var native = anet_model_config.sized
    native.vocab_size = try narrow(vocabularySize, "vocabularySize")
    native.hidden_size = try narrow(hiddenSize, "hiddenSize")
    native.intermediate_size = try narrow(intermediateSize, "intermediateSize")
    native.layer_count = try narrow(layerCount, "layerCount")
    native.head_count = try narrow(headCount, "headCount")
    native.kv_head_count = try narrow(keyValueHeadCount, "keyValueHeadCount")
    native.head_dim = try narrow(headSize, "headSize")
    native.context_length = try narrow(contextLength, "contextLength")
    native.tie_embeddings = tieEmbeddings.flag
    native.qkv_bias = queryKeyValueBias.flag
    native.qk_norm = queryKeyNorm.flag
    native.rope_theta = ropeTheta
    native.norm_epsilon = normEpsilon
    if let ropeScaling {
      native.rope_scaling_factor = ropeScaling.factor
      native.rope_low_frequency_factor = ropeScaling.lowFrequencyFactor
      native.rope_high_frequency_factor = ropeScaling.highFrequencyFactor
      native.rope_original_context_length = try narrow(
        ropeScaling.originalContextLength, "originalContextLength")
    }
    return native
  }
}

extension anet_model_config: SizedStruct {}
