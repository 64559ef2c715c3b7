import CAneTrain

/// A function of a program, compiled for a device. One thread at a time.
public final class Kernel {
  private let handle: Handle

  /// Compiles a function.
  /// - Parameter function: nil: the first one.
  /// - Throws: ``AneTrainError``: `notFound`, `unsupported` naming the op and the rule,
  ///   `compileBudget`.
  public init(
    _ program: Program, function: String? = nil, on device: Device
  ) throws(AneTrainError) {
    handle = try Handle(anet_kernel_release) {
      anet_kernel_compile(device.handle.pointer, program.handle.pointer, function, $0, $1)
    }
  }

  /// The inputs in order, with the layout that a bound buffer must have.
  public var inputs: [Port] {
    get throws(AneTrainError) { try ports(anet_direction(ANET_INPUT)) }
  }

  /// The outputs in order, with the layout that a bound buffer must have.
  public var outputs: [Port] {
    get throws(AneTrainError) { try ports(anet_direction(ANET_OUTPUT)) }
  }

  private func ports(_ direction: anet_direction) throws(AneTrainError) -> [Port] {
    var ports: [Port] = []
    for index in 0..<anet_kernel_port_count(handle.pointer, direction) {
      ports.append(
        try Port(.filled { anet_kernel_get_port(handle.pointer, direction, index, $0, $1) }))
    }
    return ports
  }

  /// A buffer full of zeros that fits an input.
  /// - Throws: ``AneTrainError/Code/outOfRange`` for an index past the inputs.
  public func makeInput(_ index: Int) throws(AneTrainError) -> Buffer {
    try makeBuffer(anet_direction(ANET_INPUT), index)
  }

  /// A buffer full of zeros that fits an output.
  /// - Throws: ``AneTrainError/Code/outOfRange`` for an index past the outputs.
  public func makeOutput(_ index: Int) throws(AneTrainError) -> Buffer {
    try makeBuffer(anet_direction(ANET_OUTPUT), index)
  }

  private func makeBuffer(
    _ direction: anet_direction, _ index: Int
  ) throws(AneTrainError) -> Buffer {
    let position: Int = try narrow(UInt(bitPattern: index), "index")
    return Buffer(
      try Handle(anet_buffer_release) {
        anet_kernel_create_buffer(handle.pointer, direction, position, $0, $1)
      })
  }

  /// Runs the kernel; returns when the outputs are written.
  /// - Parameters:
  ///   - inputs: in port order.
  ///   - outputs: in port order.
  /// - Throws: ``AneTrainError``: `invalidArgument` for wrong counts or overlapping outputs,
  ///   `shapeMismatch` or `typeMismatch` naming the port, `busy` for a buffer in a scope that
  ///   accesses it, `outOfRange` for an index in the data that leaves its tensor, `device` when the
  ///   device fails, `numeric` when an audit does. The outputs are undefined then.
  public func run(inputs: [Buffer], outputs: [Buffer]) throws(AneTrainError) {
    let sources = inputs.map { Optional($0.handle.pointer) }
    let results = outputs.map { Optional($0.handle.pointer) }
    try check { error in
      withExtendedLifetime((inputs, outputs)) {
        anet_kernel_run(
          handle.pointer, sources, sources.count, results, results.count, error)
      }
    }
  }

  /// Size, and what the runs so far did.
  public func statistics() throws(AneTrainError) -> KernelStatistics {
    KernelStatistics(try .filled { anet_kernel_get_statistics(handle.pointer, $0, $1) })
  }

  /// Where the kernel runs: `"cpu"`, `"ane"`, or `"ane+cpu"` when the CPU has a part; and why it
  /// has one, else `""`.
  public func placement() throws(AneTrainError) -> (place: String, reason: String) {
    var place: UnsafePointer<CChar>?
    var reason: UnsafePointer<CChar>?
    try check { anet_kernel_get_placement(handle.pointer, &place, &reason, $0) }
    return (string(place), string(reason))
  }
}

/// A kernel's size, and what its runs so far did.
public struct KernelStatistics: Hashable, Sendable {
  /// Steps in the compiled plan.
  public let opCount: Int
  /// Scratch memory.
  public let workspaceBytes: UInt64
  /// Weights baked in.
  public let constantBytes: UInt64
  /// Of matmul and conv in one run; a multiply-add counts two.
  public let flops: UInt64
  /// Spent in runs.
  public let seconds: Double
  /// How many there were.
  public let runs: UInt64
  /// Where the work ran.
  public let work: DeviceWork

  init(_ native: anet_kernel_statistics) {
    opCount = Int(native.op_count)
    workspaceBytes = native.workspace_bytes
    constantBytes = native.constant_bytes
    flops = native.flops
    seconds = native.seconds
    runs = native.runs
    work = DeviceWork(native)
  }
}

/// Where work ran: counted, not estimated.
public struct DeviceWork: Hashable, Sendable {
  /// Programs evaluated by the engine.
  public let engineEvaluations: UInt64
  /// Waiting for the engine.
  public let engineSeconds: Double
  /// Computing on the CPU, in the background too.
  public let hostSeconds: Double
  /// Moving and converting between buffers and engine ports.
  public let copySeconds: Double
  /// Of matmul and conv on the engine; a multiply-add counts two.
  public let engineFlops: UInt64
  /// Of matmul and conv on the CPU.
  public let hostFlops: UInt64
  /// Read by the engine through its ports.
  public let engineBytesIn: UInt64
  /// Written by the engine through its ports.
  public let engineBytesOut: UInt64
  /// Evaluations repeated after a failure.
  public let retries: UInt64
  /// Parts of runs that the CPU did because the engine failed.
  public let fallbacks: UInt64
  /// Engine results compared with the CPU's.
  public let audits: UInt64
  /// The largest difference seen, relative to the tensor's largest value.
  public let auditError: Double

  init(_ native: some WorkCounters) {
    engineEvaluations = native.engine_evaluations
    engineSeconds = native.engine_seconds
    hostSeconds = native.host_seconds
    copySeconds = native.copy_seconds
    engineFlops = native.engine_flops
    hostFlops = native.host_flops
    engineBytesIn = native.engine_bytes_in
    engineBytesOut = native.engine_bytes_out
    retries = native.retries
    fallbacks = native.fallbacks
    audits = native.audits
    auditError = native.audit_error
  }
}

/// The counters that several structs of C have under the same names.
protocol WorkCounters {
  var engine_evaluations: UInt64 { get }
  var engine_seconds: Double { get }
  var host_seconds: Double { get }
  var copy_seconds: Double { get }
  var engine_flops: UInt64 { get }
  var host_flops: UInt64 { get }
  var engine_bytes_in: UInt64 { get }
  var engine_bytes_out: UInt64 { get }
  var retries: UInt64 { get }
  var fallbacks: UInt64 { get }
  var audits: UInt64 { get }
  var audit_error: Double { get }
}

extension anet_kernel_statistics: SizedStruct, WorkCounters {}
