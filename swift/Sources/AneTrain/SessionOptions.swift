import CAneTrain

/// How a session trains. Where a number is 0 the library takes its default.
public struct SessionOptions: Hashable, Sendable {
  /// Of the programs.
  public var precision: Precision
  /// Sequences in one micro-batch.
  public var batchSize: Int
  /// Tokens in one sequence; 0: the model's context length.
  public var sequenceLength: Int
  /// Micro-batches that ``Session/fit(on:validation:options:onEvent:)`` accumulates for one step.
  public var accumulationSteps: Int
  /// Keeps only each layer's input and computes its activations again in the backward pass.
  public var activationCheckpointing: Bool
  /// Positions whose logits are in memory at once; 0: 256 or what 32 MB hold, on ane 256 MB.
  public var lossChunk: Int
  /// What makes updates of gradients.
  public var optimizer: Optimizer
  /// At its highest; 0: 3e-4.
  public var learningRate: Double
  /// Decoupled, on matrices and embeddings only; 0: none.
  public var weightDecay: Double
  /// Of the whole gradient, after accumulation; 0: no clipping.
  public var clipNorm: Double
  /// Of the learning rate.
  public var schedule: Schedule
  /// Linear from ``learningRate`` / warmupSteps.
  public var warmupSteps: Int
  /// Required by every schedule but the constant one.
  public var totalSteps: Int
  /// Of ``Schedule/warmupStableDecay``; 0: a fifth of ``totalSteps``.
  public var decaySteps: Int
  /// Where schedules end.
  public var minLearningRate: Double
  /// Of the summed loss, for ``Precision/f16``; 0: 65536 / (batch * sequence), down to a power of 2.
  public var initialLossScale: Double
  /// For ``Precision/f16``: the scale doubles after so many good steps; 0: 2000.
  public var lossScaleGrowthSteps: Int
  /// Of everything random in training; kept in checkpoints.
  public var seed: UInt64
  /// Bytes that the memory plan may reach; 0: no limit.
  public var maxMemory: UInt64
  /// Attention is confined to documents, which begin where a batch's positions are 0. Costs a mask
  /// of sequenceLength^2 for each sequence.
  public var documents: Bool
  /// Batches may come in 1, 2, 4, ... up to 2 to this power parts a row, each a sequence of its
  /// own; at most 6.
  public var lengthBuckets: Int
  /// Patterns of the parameters that are trained: "layers.11.*", "norm.weight"; empty: all. Not for
  /// sessions that train an adapter.
  public var trainable: [String]
  /// Of what the optimizer remembers of each trained parameter: ``Precision/f32``, or
  /// ``Precision/bf16`` in half the memory, rounded up or down by chance.
  public var optimizerPrecision: Precision

  /// The defaults, but for what is given.
  public init(
    precision: Precision = .automatic,
    batchSize: Int = 1,
    sequenceLength: Int = 0,
    accumulationSteps: Int = 1,
    activationCheckpointing: Bool = false,
    lossChunk: Int = 0,
    optimizer: Optimizer = .adamW(),
    learningRate: Double = 3e-4,
    weightDecay: Double = 0,
    clipNorm: Double = 0,
    schedule: Schedule = .constant,
    warmupSteps: Int = 0,
    totalSteps: Int = 0,
    decaySteps: Int = 0,
    minLearningRate: Double = 0,
    initialLossScale: Double = 0,
    lossScaleGrowthSteps: Int = 0,
    seed: UInt64 = 0,
    maxMemory: UInt64 = 0,
    documents: Bool = false,
    lengthBuckets: Int = 0,
    trainable: [String] = [],
    optimizerPrecision: Precision = .f32
  ) {
    self.precision = precision
    self.batchSize = batchSize
    self.sequenceLength = sequenceLength
    self.accumulationSteps = accumulationSteps
    self.activationCheckpointing = activationCheckpointing
    self.lossChunk = lossChunk
    self.optimizer = optimizer
    self.learningRate = learningRate
    self.weightDecay = weightDecay
    self.clipNorm = clipNorm
    self.schedule = schedule
    self.warmupSteps = warmupSteps
    self.totalSteps = totalSteps
    self.decaySteps = decaySteps
    self.minLearningRate = minLearningRate
    self.initialLossScale = initialLossScale
    self.lossScaleGrowthSteps = lossScaleGrowthSteps
    self.seed = seed
    self.maxMemory = maxMemory
    self.documents = documents
    self.lengthBuckets = lengthBuckets
    self.trainable = trainable
    self.optimizerPrecision = optimizerPrecision
  }

  /// Reads a JSON object whose keys are the fields of the C library's `anet_session_options`,
  /// enumerations by name: `{"batch_size": 4, "schedule": "cosine"}`. The others, and `trainable`,
  /// are those of `defaults`.
  /// - Throws: ``AneTrainError/Code/invalidConfiguration``, with line and column when the text is
  ///   not JSON; an unknown key names the nearest known one.
  public init(
    json: String, defaults: SessionOptions = SessionOptions()
  ) throws(AneTrainError) {
    var native = try withArena { arena throws(AneTrainError) in try defaults.native(in: &arena) }
    native.trainable = nil
    try check { anet_session_options_from_json(json, &native, $0) }
    try self.init(native)
    trainable = defaults.trainable
  }

  init(_ native: anet_session_options) throws(AneTrainError) {
    try self.init(
      precision: known(native.precision),
      batchSize: Int(native.batch_size),
      sequenceLength: Int(native.sequence_length),
      accumulationSteps: Int(native.accumulation_steps),
      activationCheckpointing: native.activation_checkpointing != 0,
      lossChunk: Int(native.loss_chunk),
      optimizer: Optimizer(native),
      learningRate: native.learning_rate,
      weightDecay: native.weight_decay,
      clipNorm: native.clip_norm,
      schedule: known(native.schedule),
      warmupSteps: Int(native.warmup_steps),
      totalSteps: Int(native.total_steps),
      decaySteps: Int(native.decay_steps),
      minLearningRate: native.min_learning_rate,
      initialLossScale: native.initial_loss_scale,
      lossScaleGrowthSteps: Int(native.loss_scale_growth_steps),
      seed: native.seed,
      maxMemory: native.max_memory,
      documents: native.documents != 0,
      lengthBuckets: Int(native.length_buckets),
      trainable: string(native.trainable).split(separator: ",").map(String.init),
      optimizerPrecision: known(native.optimizer_precision))
  }

  func native(in arena: inout Arena) throws(AneTrainError) -> anet_session_options {
    var native = anet_session_options.sized
    native.precision = precision.rawValue
    native.batch_size = try narrow(batchSize, "batchSize")
    native.sequence_length = try narrow(sequenceLength, "sequenceLength")
    native.accumulation_steps = try narrow(accumulationSteps, "accumulationSteps")
    native.activation_checkpointing = activationCheckpointing.flag
    native.loss_chunk = try narrow(lossChunk, "lossChunk")
    optimizer.write(to: &native)
    native.learning_rate = learningRate
    native.weight_decay = weightDecay
    native.clip_norm = clipNorm
    native.schedule = schedule.rawValue
    native.warmup_steps = Int64(warmupSteps)
    native.total_steps = Int64(totalSteps)
    native.decay_steps = Int64(decaySteps)
    native.min_learning_rate = minLearningRate
    native.initial_loss_scale = initialLossScale
    native.loss_scale_growth_steps = Int64(lossScaleGrowthSteps)
    native.seed = seed
    native.max_memory = maxMemory
    native.documents = documents.flag
    native.length_buckets = try narrow(lengthBuckets, "lengthBuckets")
    native.trainable = arena.list(trainable)
    native.optimizer_precision = optimizerPrecision.rawValue
    return native
  }
}

/// In which numbers programs compute.
public enum Precision: Int32, Sendable, CaseIterable {
  /// ``f32`` where the device has it (the CPU), else ``f16``.
  case automatic = 0  // ANET_PRECISION_DEFAULT
  /// Same seed, same threads: same bits.
  case f32 = 1  // ANET_PRECISION_F32
  /// Programs in fp16, fp32 master weights, dynamic loss scale.
  case f16 = 2  // ANET_PRECISION_F16
  /// Programs in bf16, products summed in fp32; fp32 master weights, gradients and loss. Fastest where
  /// the processor multiplies bf16; elsewhere the kernel reports say that fp32 does.
  case bf16 = 3  // ANET_PRECISION_BF16
}

/// What makes updates of gradients.
public enum Optimizer: Hashable, Sendable {
  /// Adam with decoupled weight decay: the decay of the mean, of the mean square, and what is added
  /// to its root. 0: the default.
  case adamW(beta1: Double = 0.9, beta2: Double = 0.999, epsilon: Double = 1e-8)
  /// Stochastic gradient descent.
  case sgd(momentum: Double = 0)

  init(_ native: anet_session_options) throws(AneTrainError) {
    switch Int(native.optimizer) {
    case ANET_OPTIMIZER_ADAMW:
      self = .adamW(beta1: native.beta1, beta2: native.beta2, epsilon: native.epsilon)
    case ANET_OPTIMIZER_SGD: self = .sgd(momentum: native.momentum)
    default:
      throw AneTrainError(
        .version, "expected an optimizer that this package knows, seen \(native.optimizer)")
    }
  }

  func write(to native: inout anet_session_options) {
    switch self {
    case .adamW(let beta1, let beta2, let epsilon):
      native.optimizer = anet_optimizer(ANET_OPTIMIZER_ADAMW)
      (native.beta1, native.beta2, native.epsilon) = (beta1, beta2, epsilon)
    case .sgd(let momentum):
      native.optimizer = anet_optimizer(ANET_OPTIMIZER_SGD)
      native.momentum = momentum
    }
  }
}

/// The learning rate after the warm-up; r is ``SessionOptions/learningRate``, m is
/// ``SessionOptions/minLearningRate``, p the share of the steps after the warm-up that are done.
public enum Schedule: Int32, Sendable, CaseIterable {
  /// r.
  case constant = 0  // ANET_SCHEDULE_CONSTANT
  /// r + (m - r) p.
  case linear = 1  // ANET_SCHEDULE_LINEAR
  /// m + (r - m) (1 + cos(pi p)) / 2.
  case cosine = 2  // ANET_SCHEDULE_COSINE
  /// r, then linear to m over the last ``SessionOptions/decaySteps``.
  case warmupStableDecay = 3  // ANET_SCHEDULE_WSD
}

/// Bytes by purpose.
public struct MemoryPlan: Hashable, Sendable {
  /// fp32 master weights; with an adapter, those of the frozen model as they are held, too.
  public let weights: UInt64
  /// fp32.
  public let gradients: UInt64
  /// Moments.
  public let optimizer: UInt64
  /// Weights as the device's programs want them, when not in place.
  public let staged: UInt64
  /// Kept from the forward to the backward pass.
  public let activations: UInt64
  /// Scratch of the kernels and buffers between them.
  public let workspace: UInt64
  /// Of all.
  public let total: UInt64

  init(_ native: anet_memory_plan) {
    weights = native.weights
    gradients = native.gradients
    optimizer = native.optimizer
    staged = native.staged
    activations = native.activations
    workspace = native.workspace
    total = native.total
  }

  /// The memory that a session would use that trains a model; allocates none of it.
  public init(
    for configuration: ModelConfiguration, on device: Device,
    options: SessionOptions = SessionOptions()
  ) throws(AneTrainError) {
    var native = try configuration.native()
    self.init(
      try withArena { arena throws(AneTrainError) in
        var options = try options.native(in: &arena)
        return try .filled {
          anet_session_plan_memory(device.handle.pointer, &native, &options, $0, $1)
        }
      })
  }

  /// The memory that a session would use that trains an adapter; allocates none of it.
  public init(
    for adapter: Adapter, on device: Device, options: SessionOptions = SessionOptions()
  ) throws(AneTrainError) {
    self.init(
      try withArena { arena throws(AneTrainError) in
        var options = try options.native(in: &arena)
        return try .filled {
          anet_session_plan_adapter_memory(
            device.handle.pointer, adapter.handle.pointer, &options, $0, $1)
        }
      })
  }
}

extension anet_session_options: SizedStruct {}
extension anet_memory_plan: SizedStruct {}
