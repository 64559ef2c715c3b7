import CAneTrain

/// A processor that compiles and runs programs.
///
/// Kernels, buffers, sessions and generators that were made on a device keep it alive. It may be
/// used from any thread.
public final class Device: Sendable {
  let handle: Handle

  /// Opens a device.
  /// - Parameters:
  ///   - name: `"cpu"`, `"ane"` for the Apple Neural Engine, or `"auto"`: `"ane"` where it is
  ///     available, else `"cpu"`.
  ///   - logLevel: messages up to this level go to `log`.
  ///   - log: is called on whichever thread has something to say; it must not use this package. It
  ///     lives until nothing can be logged any more.
  /// - Throws: ``AneTrainError``: `notFound` for an unknown name, `unavailable` with the reason
  ///   when this machine lacks the device, `outOfRange` for too many threads, `unsupportedOption`
  ///   also for ``DeviceOptions/neuralEngine`` of a device that is none.
  public init(
    _ name: String = "auto",
    options: DeviceOptions = DeviceOptions(),
    logLevel: LogLevel = .warning,
    log: (@Sendable (LogLevel, String) -> Void)? = nil
  ) throws(AneTrainError) {
    handle = try withArena { arena throws(AneTrainError) in
      var native = try options.native(in: &arena)
      return try Handle(anet_device_release) { device, error in
        if let log { native.set(log: log, upTo: logLevel) }
        return anet_device_open(name, &native, device, error)
      }
    }
  }

  /// The devices that the library knows, available or not.
  public static func listings() throws(AneTrainError) -> [DeviceListing] {
    var listings: [DeviceListing] = []
    for index in 0..<anet_device_listing_count() {
      listings.append(DeviceListing(try .filled { anet_device_listing_get(index, $0, $1) }))
    }
    return listings
  }

  /// Name, threads and abilities.
  public func info() throws(AneTrainError) -> DeviceInfo {
    DeviceInfo(try .filled { anet_device_get_info(handle.pointer, $0, $1) })
  }

  /// What the device has found out about itself, as a JSON object: on `"ane"` the chip, the
  /// system, each question that was probed with its answer, the rules that follow, and the use of
  /// the compile budget.
  public func report() throws(AneTrainError) -> String {
    try text { anet_device_get_report(handle.pointer, $0, $1, $2, $3) }
  }
}

/// How a device is opened.
public struct DeviceOptions: Sendable {
  /// Worker threads of the CPU, the caller's included; 0: one a core. At most 256.
  public var threads: Int
  /// For `"ane"`, and for `"auto"` where that is it.
  public var neuralEngine: NeuralEngineOptions?

  /// The defaults, but for what is given.
  public init(threads: Int = 0, neuralEngine: NeuralEngineOptions? = nil) {
    self.threads = threads
    self.neuralEngine = neuralEngine
  }

  func native(in arena: inout Arena) throws(AneTrainError) -> anet_device_options {
    var native = anet_device_options.sized
    native.threads = try narrow(threads, "threads")
    if let neuralEngine { native.ane = arena.value(try neuralEngine.native(in: &arena)) }
    return native
  }
}

/// How much a device says.
public enum LogLevel: Int32, Sendable, CaseIterable, Comparable {
  /// Nothing.
  case off = 0  // ANET_LOG_OFF
  /// What failed.
  case error = 1  // ANET_LOG_ERROR
  /// What goes another way than was asked for.
  case warning = 2  // ANET_LOG_WARNING
  /// What happens.
  case info = 3  // ANET_LOG_INFO
  /// Everything.
  case debug = 4  // ANET_LOG_DEBUG

  /// A level is less than one that says more.
  public static func < (left: LogLevel, right: LogLevel) -> Bool {
    left.rawValue < right.rawValue
  }
}

/// Options of the device `"ane"`, the Apple Neural Engine.
public struct NeuralEngineOptions: Sendable {
  /// Programs that this process may compile, because systems allow only so many; 0: 110.
  public var compileBudget: Int
  /// nil: Apple's framework.
  public var frameworkPath: String?
  /// For what the device learns about the chip; nil: the user's caches.
  public var cacheDirectory: String?
  /// The framework's quality-of-service class, up to 63; 0: 21.
  public var qualityOfService: Int
  /// Where a session's embedding and blocks run, and generators.
  public var forward: Placement
  /// Where head and cross-entropy run, in both directions.
  public var loss: Placement
  /// Where the gradients of activations are computed.
  public var inputGradients: Placement
  /// Where the gradients of weights are computed.
  public var weightGradients: Placement
  /// Where a ``Kernel`` runs.
  public var programs: Placement
  /// Every so many runs of a program the CPU repeats one, and the results are compared; 0: never.
  public var auditEvery: Int
  /// What happens when they differ.
  public var auditAction: AuditAction
  /// Relative to the tensor's largest value; 0: 0.05.
  public var auditTolerance: Double
  /// Labels of the kernels that are audited; empty: all.
  public var auditKernels: [String]

  /// The defaults, but for what is given.
  public init(
    compileBudget: Int = 110,
    frameworkPath: String? = nil,
    cacheDirectory: String? = nil,
    qualityOfService: Int = 21,
    forward: Placement = .measured,
    loss: Placement = .measured,
    inputGradients: Placement = .measured,
    weightGradients: Placement = .measured,
    programs: Placement = .measured,
    auditEvery: Int = 0,
    auditAction: AuditAction = .fallback,
    auditTolerance: Double = 0.05,
    auditKernels: [String] = []
  ) {
    self.compileBudget = compileBudget
    self.frameworkPath = frameworkPath
    self.cacheDirectory = cacheDirectory
    self.qualityOfService = qualityOfService
    self.forward = forward
    self.loss = loss
    self.inputGradients = inputGradients
    self.weightGradients = weightGradients
    self.programs = programs
    self.auditEvery = auditEvery
    self.auditAction = auditAction
    self.auditTolerance = auditTolerance
    self.auditKernels = auditKernels
  }

  func native(in arena: inout Arena) throws(AneTrainError) -> anet_ane_options {
    var native = anet_ane_options.sized
    native.compile_budget = try narrow(compileBudget, "compileBudget")
    native.framework_path = arena.string(frameworkPath)
    native.cache_directory = arena.string(cacheDirectory)
    native.qos = try narrow(qualityOfService, "qualityOfService")
    native.forward = forward.rawValue
    native.loss = loss.rawValue
    native.input_gradients = inputGradients.rawValue
    native.weight_gradients = weightGradients.rawValue
    native.programs = programs.rawValue
    native.audit_every = try narrow(auditEvery, "auditEvery")
    native.audit_action = auditAction.rawValue
    native.audit_tolerance = auditTolerance
    native.audit_kernels = arena.list(auditKernels)
    return native
  }
}

/// Where a part of the work runs on the device `"ane"`, which has the engine and the CPU.
public enum Placement: Int32, Sendable, CaseIterable {
  /// Each program is timed on both sides as it is compiled; the faster side keeps it.
  case measured = 0  // ANET_PLACEMENT_MEASURED
  /// The engine wherever it can.
  case engine = 1  // ANET_PLACEMENT_ENGINE
  /// The CPU.
  case host = 2  // ANET_PLACEMENT_HOST
}

/// What happens when an audit finds a difference above the tolerance, a value that is not finite,
/// or zeros where the CPU has none.
public enum AuditAction: Int32, Sendable, CaseIterable {
  /// The CPU's result is used, and the program stays on the CPU.
  case fallback = 0  // ANET_AUDIT_FALLBACK
  /// The call throws ``AneTrainError/Code/numeric``.
  case error = 1  // ANET_AUDIT_ERROR
}

/// What a device is and can do.
public struct DeviceInfo: Hashable, Sendable {
  /// "cpu".
  public let name: String
  /// "AMD EPYC 9B45, 2 threads, AVX3".
  public let description: String
  /// Worker threads of the CPU, the caller's included.
  public let threads: Int
  /// Bytes; imported memory must have it.
  public let bufferAlignment: Int
  /// Sessions and generators run in every ``Precision``; otherwise in ``Precision/f16`` alone.
  public let hasF32: Bool

  init(_ native: anet_device_info) {
    name = string(native.name)
    description = string(native.description)
    threads = Int(native.threads)
    bufferAlignment = native.buffer_alignment
    hasF32 = native.has_f32 != 0
  }
}

/// A device that the library knows.
public struct DeviceListing: Hashable, Sendable {
  /// For ``Device/init(_:options:logLevel:log:)``.
  public let name: String
  /// One line.
  public let description: String
  /// It can be opened here.
  public let isAvailable: Bool
  /// Why it is not available; nil when it is.
  public let reason: String?

  init(_ native: anet_device_listing) {
    name = string(native.name)
    description = string(native.description)
    isAvailable = native.available != 0
    reason = isAvailable ? nil : string(native.reason)
  }
}

extension anet_device_options: SizedStruct {
  private final class Log: Sendable {
    let write: @Sendable (LogLevel, String) -> Void
    init(_ write: @escaping @Sendable (LogLevel, String) -> Void) { self.write = write }
  }

  /// The library gives the closure back when it logs no more, also when the open fails.
  fileprivate mutating func set(
    log: @escaping @Sendable (LogLevel, String) -> Void, upTo level: LogLevel
  ) {
    log_level = level.rawValue
    log_user_data = Unmanaged.passRetained(Log(log)).toOpaque()
    self.log = { level, message, userData in
      let log = Unmanaged<Log>.fromOpaque(userData!).takeUnretainedValue()
      log.write(LogLevel(rawValue: level) ?? .debug, string(message))
    }
    log_release = { Unmanaged<Log>.fromOpaque($0!).release() }
  }
}
extension anet_ane_options: SizedStruct {}
extension anet_device_info: SizedStruct {}
extension anet_device_listing: SizedStruct {}
