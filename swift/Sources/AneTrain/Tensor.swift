import CAneTrain

/// The type of a tensor's elements.
public enum ElementType: Int32, Sendable, CaseIterable {
  /// No type.
  case undefined = 0  // ANET_DTYPE_UNDEFINED
  /// One byte, 0 or 1.
  case bool = 1  // ANET_DTYPE_BOOL
  /// A signed integer of 8 bits.
  case int8 = 2  // ANET_DTYPE_INT8
  /// An unsigned integer of 8 bits.
  case uint8 = 3  // ANET_DTYPE_UINT8
  /// A signed integer of 16 bits.
  case int16 = 4  // ANET_DTYPE_INT16
  /// An unsigned integer of 16 bits.
  case uint16 = 5  // ANET_DTYPE_UINT16
  /// A signed integer of 32 bits.
  case int32 = 6  // ANET_DTYPE_INT32
  /// An unsigned integer of 32 bits.
  case uint32 = 7  // ANET_DTYPE_UINT32
  /// A signed integer of 64 bits.
  case int64 = 8  // ANET_DTYPE_INT64
  /// An unsigned integer of 64 bits.
  case uint64 = 9  // ANET_DTYPE_UINT64
  /// IEEE half precision.
  case fp16 = 10  // ANET_DTYPE_FP16
  /// The upper half of an fp32.
  case bf16 = 11  // ANET_DTYPE_BF16
  /// IEEE single precision.
  case fp32 = 12  // ANET_DTYPE_FP32

  /// Bytes of an element; 0 for ``undefined``.
  public var size: Int {
    anet_dtype_size(rawValue)
  }

  /// "fp32".
  public var name: String {
    String(cString: anet_dtype_name(rawValue))
  }
}

/// A Swift type that the elements of a tensor have.
public protocol TensorElement: BitwiseCopyable, Sendable {
  /// The tensor's name for it.
  static var elementType: ElementType { get }
}

extension Int8: TensorElement {
  /// ``ElementType/int8``.
  public static var elementType: ElementType { .int8 }
}

extension UInt8: TensorElement {
  /// ``ElementType/uint8``.
  public static var elementType: ElementType { .uint8 }
}

extension Int16: TensorElement {
  /// ``ElementType/int16``.
  public static var elementType: ElementType { .int16 }
}

extension UInt16: TensorElement {
  /// ``ElementType/uint16``.
  public static var elementType: ElementType { .uint16 }
}

extension Int32: TensorElement {
  /// ``ElementType/int32``.
  public static var elementType: ElementType { .int32 }
}

extension UInt32: TensorElement {
  /// ``ElementType/uint32``.
  public static var elementType: ElementType { .uint32 }
}

extension Int64: TensorElement {
  /// ``ElementType/int64``.
  public static var elementType: ElementType { .int64 }
}

extension UInt64: TensorElement {
  /// ``ElementType/uint64``.
  public static var elementType: ElementType { .uint64 }
}

extension Float: TensorElement {
  /// ``ElementType/fp32``.
  public static var elementType: ElementType { .fp32 }
}

// Swift has no Float16 on Macs with Intel processors.
#if !((os(macOS) || targetEnvironment(macCatalyst)) && arch(x86_64))
  extension Float16: TensorElement {
    /// ``ElementType/fp16``.
    public static var elementType: ElementType { .fp16 }
  }
#endif

/// A tensor in memory: row-major, outermost extent first.
public struct TensorDescription: Hashable, Sendable {
  /// Of every element.
  public var elementType: ElementType
  /// Extents, each at least 1; at most 8 of them.
  public var shape: [Int]
  /// Bytes between neighbours along each axis; empty: contiguous. Rows of a device may be padded,
  /// so never compute an offset without them.
  public var strides: [Int]

  /// A tensor, contiguous unless there are strides.
  public init(_ elementType: ElementType, shape: [Int], strides: [Int] = []) {
    self.elementType = elementType
    self.shape = shape
    self.strides = strides
  }

  /// The product of the extents.
  public var elementCount: Int {
    shape.reduce(1, *)
  }

  init(_ native: anet_tensor_desc) throws(AneTrainError) {
    let rank = Int(native.rank)
    elementType = try known(native.dtype)
    shape = withUnsafeBytes(of: native.shape) {
      $0.bindMemory(to: Int64.self).prefix(rank).map(Int.init)
    }
    strides = withUnsafeBytes(of: native.strides) {
      $0.bindMemory(to: Int64.self).prefix(rank).map(Int.init)
    }
  }

  func native() throws(AneTrainError) -> anet_tensor_desc {
    guard shape.count <= Int(ANET_MAX_RANK) else {
      throw AneTrainError(
        .shapeMismatch, "expected at most \(ANET_MAX_RANK) extents, seen \(shape.count)")
    }
    guard strides.isEmpty || strides.count == shape.count else {
      throw AneTrainError(
        .shapeMismatch, "expected \(shape.count) strides or none, seen \(strides.count)")
    }
    var native = anet_tensor_desc.sized
    native.dtype = elementType.rawValue
    native.rank = UInt32(shape.count)
    withUnsafeMutableBytes(of: &native.shape) {
      $0.copyBytes(from: shape.map(Int64.init).withUnsafeBytes(Array.init))
    }
    withUnsafeMutableBytes(of: &native.strides) {
      $0.copyBytes(from: strides.map(Int64.init).withUnsafeBytes(Array.init))
    }
    return native
  }
}

extension anet_tensor_desc: SizedStruct {}
