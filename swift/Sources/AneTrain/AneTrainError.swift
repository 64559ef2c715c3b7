import CAneTrain
import Foundation

/// What went wrong, for people and for programs.
public struct AneTrainError: Error, Hashable, Sendable {
  /// Decides what a program does about it.
  public let code: Code
  /// One line that says what was expected and what was seen.
  public let message: String
  /// Where ``nativeCode`` comes from: `"errno"`, the domain of an `NSError`, or `""`.
  public let domain: String
  /// An `errno` or the code of an `NSError`; 0 when there is none.
  public let nativeCode: Int64
  /// The line, from 1, of the MIL or JSON text that was read; 0 when there is none.
  public let line: Int
  /// The column, from 1, of the MIL or JSON text that was read; 0 when there is none.
  public let column: Int

  init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
    domain = ""
    nativeCode = 0
    line = 0
    column = 0
  }

  /// Copies a C error object and releases it.
  init(status: anet_status, consuming error: OpaquePointer?) {
    code = Code(rawValue: status)
    message = String(cString: anet_error_message(error))
    domain = String(cString: anet_error_domain(error))
    nativeCode = anet_error_native_code(error)
    line = Int(anet_error_line(error))
    column = Int(anet_error_column(error))
    assert(error == nil || anet_error_status(error) == status)
    anet_error_release(error)
  }
}

extension AneTrainError {
  /// The kind of an error. Numbers that this package does not know are kept.
  public struct Code: RawRepresentable, Hashable, Sendable {
    /// The library's number, frozen for ever.
    public let rawValue: Int32

    /// The code with a number of the library.
    public init(rawValue: Int32) {
      self.rawValue = rawValue
    }

    private init(_ status: Int) {
      rawValue = Int32(status)
    }

    /// The library's name of the code: "shape mismatch".
    public var name: String {
      String(cString: anet_status_name(rawValue))
    }

    /// The same call may succeed later: busy, out of memory, disk full, compile budget.
    public var isRetryable: Bool {
      anet_status_is_retryable(rawValue) != 0
    }

    /// An argument that no call could accept.
    public static let invalidArgument = Code(ANET_E_INVALID_ARGUMENT)
    /// A handle of another type, or one that is gone.
    public static let invalidHandle = Code(ANET_E_INVALID_HANDLE)
    /// A struct of a size that the library never had: package and library do not fit.
    public static let invalidStructSize = Code(ANET_E_INVALID_STRUCT_SIZE)
    /// An option that cannot be honoured.
    public static let unsupportedOption = Code(ANET_E_UNSUPPORTED_OPTION)
    /// A tensor or array of another shape.
    public static let shapeMismatch = Code(ANET_E_SHAPE_MISMATCH)
    /// A tensor of another element type.
    public static let typeMismatch = Code(ANET_E_TYPE_MISMATCH)
    /// An index, a token id or a number out of its range.
    public static let outOfRange = Code(ANET_E_OUT_OF_RANGE)
    /// A name that nothing has.
    public static let notFound = Code(ANET_E_NOT_FOUND)
    /// Not now: something else must come before.
    public static let invalidState = Code(ANET_E_INVALID_STATE)
    /// This machine lacks the device.
    public static let unavailable = Code(ANET_E_UNAVAILABLE)
    /// The device cannot run this.
    public static let unsupported = Code(ANET_E_UNSUPPORTED)
    /// The system does not allow it.
    public static let permission = Code(ANET_E_PERMISSION)
    /// Reading or writing failed.
    public static let inputOutput = Code(ANET_E_IO)
    /// No room on the disk.
    public static let diskFull = Code(ANET_E_DISK_FULL)
    /// No such file.
    public static let fileNotFound = Code(ANET_E_FILE_NOT_FOUND)
    /// The device failed; domain and native code say how.
    public static let device = Code(ANET_E_DEVICE)
    /// No memory.
    public static let outOfMemory = Code(ANET_E_OUT_OF_MEMORY)
    /// The memory plan exceeds ``SessionOptions/maxMemory``.
    public static let memoryLimit = Code(ANET_E_MEMORY_LIMIT)
    /// The process may compile no further programs.
    public static let compileBudget = Code(ANET_E_COMPILE_BUDGET)
    /// MIL text that is no program.
    public static let invalidProgram = Code(ANET_E_INVALID_PROGRAM)
    /// A blob file that is not as the program needs it.
    public static let invalidBlob = Code(ANET_E_INVALID_BLOB)
    /// A configuration that makes no sense.
    public static let invalidConfiguration = Code(ANET_E_INVALID_CONFIG)
    /// A checkpoint that cannot be used.
    public static let invalidCheckpoint = Code(ANET_E_INVALID_CHECKPOINT)
    /// Data that cannot be used.
    public static let invalidData = Code(ANET_E_INVALID_DATA)
    /// A file that is not as it was written.
    public static let checksum = Code(ANET_E_CHECKSUM)
    /// A file or library of another version.
    public static let version = Code(ANET_E_VERSION)
    /// The loss is not finite, or an audit failed.
    public static let numeric = Code(ANET_E_NUMERIC)
    /// It was cancelled.
    public static let cancelled = Code(ANET_E_CANCELLED)
    /// Overlapping calls, a mapped buffer in a run, a model in training.
    public static let busy = Code(ANET_E_BUSY)
    /// A callback failed.
    public static let callback = Code(ANET_E_CALLBACK)
    /// A defect of the library.
    public static let `internal` = Code(ANET_E_INTERNAL)
  }
}

extension AneTrainError.Code: CustomStringConvertible {
  /// Name and number: "shape mismatch (5)".
  public var description: String {
    "\(name) (\(rawValue))"
  }
}

extension AneTrainError: CustomStringConvertible {
  /// Code and message, and where they are known the place in the text and the native code.
  public var description: String {
    var text = "\(code): \(message)"
    if line > 0 { text += ", line \(line), column \(column)" }
    if nativeCode != 0 { text += " [\(domain) \(nativeCode)]" }
    return text
  }
}

extension AneTrainError: LocalizedError {
  /// The description, for interfaces that show `localizedDescription`.
  public var errorDescription: String? {
    description
  }
}
