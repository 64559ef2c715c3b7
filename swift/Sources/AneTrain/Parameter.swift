import CAneTrain

/// One weight tensor of a model or an adapter.
public struct Parameter: Hashable, Sendable {
  /// Hugging Face's name: "model.layers.0.self_attn.q_proj.weight"; PEFT's for those of an adapter.
  public let name: String
  /// Outermost extent first; `[out, in]` for matrices.
  public let shape: [Int]
  /// Of the first element in the flat array of ``Session/withWeights(_:)``; nil for a compressed
  /// parameter, which has no place there.
  public let offset: Int?
  /// The product of the extents.
  public let elementCount: Int
  /// How its values are held.
  public let compression: Compression
  /// Columns that share a scale, or rows that share a palette; else 0.
  public let blockSize: Int
  /// Of its values as they are held.
  public let bytes: UInt64

  init(_ native: anet_parameter) throws(AneTrainError) {
    name = string(native.name)
    shape = withUnsafeBytes(of: native.shape) {
      $0.bindMemory(to: Int64.self).prefix(Int(native.rank)).map(Int.init)
    }
    offset = native.offset == UInt64.max ? nil : Int(native.offset)  // ANET_NO_OFFSET
    elementCount = Int(native.element_count)
    compression = try known(native.compression)
    blockSize = Int(native.block_size)
    bytes = native.bytes
  }
}

/// How the values of a matrix are held. Scales and palettes are fp16.
public enum Compression: Int32, Sendable, CaseIterable {
  /// fp32.
  case none = -1  // ANET_COMPRESSION_NONE
  /// ``int8Channel``; no answer of the library.
  case automatic = 0  // ANET_COMPRESSION_DEFAULT
  /// 8 bits, a scale for each row.
  case int8Channel = 1  // ANET_COMPRESSION_INT8_CHANNEL
  /// 8 bits, a scale for each block of columns of a row.
  case int8Block = 2  // ANET_COMPRESSION_INT8_BLOCK
  /// 4 bits, a scale for each block of columns of a row.
  case int4Block = 3  // ANET_COMPRESSION_INT4_BLOCK
  /// 4 bits, a table of 16 values for each block of rows.
  case palette4 = 4  // ANET_COMPRESSION_PALETTE4

  /// "int4_block"; "fp32" for ``none``.
  public var name: String {
    String(cString: anet_compression_name(rawValue))
  }
}

/// Which matrices are compressed, and how. Vectors (norms, biases) always stay fp32.
public struct QuantizationOptions: Sendable {
  /// Of every matrix that has no override.
  public var compression: Compression
  /// Divides the columns, of a palette the rows; 0: 32 columns a scale, one row a palette.
  public var blockSize: Int
  /// Exceptions; the last that matches a tensor decides.
  public var overrides: [Override]
  /// Its threads work too; the result is the same.
  public var device: Device?

  /// An exception for the tensors whose names a pattern matches.
  public struct Override: Hashable, Sendable {
    /// `*` stands for any run of characters. Matches the whole name, or its end from a dot on:
    /// "down_proj.weight", "layers.0.*".
    public var pattern: String
    /// How they are held.
    public var compression: Compression
    /// As ``QuantizationOptions/blockSize``.
    public var blockSize: Int

    /// A pattern and how the tensors that it matches are held.
    public init(_ pattern: String, _ compression: Compression, blockSize: Int = 0) {
      self.pattern = pattern
      self.compression = compression
      self.blockSize = blockSize
    }
  }

  /// The defaults, but for what is given.
  public init(
    _ compression: Compression = .int8Channel, blockSize: Int = 0, overrides: [Override] = [],
    device: Device? = nil
  ) {
    self.compression = compression
    self.blockSize = blockSize
    self.overrides = overrides
    self.device = device
  }

  func native(in arena: inout Arena) throws(AneTrainError) -> anet_quantize_options {
    var exceptions: [anet_quantize_override] = []
    for exception in overrides {
      exceptions.append(
        anet_quantize_override(
          pattern: arena.string(exception.pattern), compression: exception.compression.rawValue,
          block_size: try narrow(exception.blockSize, "blockSize")))
    }
    var native = anet_quantize_options.sized
    native.compression = compression.rawValue
    native.block_size = try narrow(blockSize, "blockSize")
    native.overrides = arena.array(exceptions)
    native.override_count = exceptions.count
    native.device = device?.handle.pointer
    return native
  }
}

/// What quantization made of one parameter.
public struct QuantizationReport: Hashable, Sendable {
  /// The parameter's.
  public let name: String
  /// How its values are held.
  public let compression: Compression
  /// As in ``Parameter/blockSize``.
  public let blockSize: Int
  /// As fp32.
  public let bytesBefore: UInt64
  /// As they are held.
  public let bytesAfter: UInt64
  /// What was lost; nil when it is not known, because a file held the matrix compressed.
  public let loss: Loss?

  /// Differences from the values before.
  public struct Loss: Hashable, Sendable {
    /// Largest absolute difference.
    public let worst: Double
    /// Root of the mean squared difference.
    public let rms: Double
    /// ``rms`` over the root of the mean squared value.
    public let relativeRMS: Double
  }

  init(_ native: anet_tensor_report) throws(AneTrainError) {
    name = string(native.name)
    compression = try known(native.compression)
    blockSize = Int(native.block_size)
    bytesBefore = native.bytes_before
    bytesAfter = native.bytes_after
    loss =
      native.has_error == 0
      ? nil : Loss(worst: native.worst, rms: native.rms, relativeRMS: native.relative_rms)
  }
}

/// How far long work has come.
public struct WorkProgress: Hashable, Sendable {
  /// A tensor or a file.
  public let what: String
  /// Elements of a model, bytes of data.
  public let done: UInt64
  /// Of these.
  public let total: UInt64
}

/// Is told how far long work has come, on the thread of the call. What it throws ends the call,
/// which leaves nothing behind and throws it on: `Task.checkCancellation()` makes loading part of a
/// task.
public typealias ProgressHandler = (WorkProgress) throws -> Void

/// Hands progress to the Swift closure in `userData`.
let forwardProgress: anet_progress_callback = { progress, userData in
  guard let progress = progress?.pointee else { return 0 }
  let report = WorkProgress(
    what: string(progress.what), done: progress.done, total: progress.total)
  return Callback<WorkProgress, Void>.from(userData)(report) == nil ? 1 : 0
}

extension anet_parameter: SizedStruct {}
extension anet_quantize_options: SizedStruct {}
extension anet_tensor_report: SizedStruct {}
