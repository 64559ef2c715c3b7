import CAneTrain

/// A verified program in MIL, the language that the Neural Engine's compiler reads.
///
/// Immutable, so any thread may use it.
public final class Program: Sendable {
  let handle: Handle

  /// Parses and verifies MIL text.
  /// - Parameter blobs: what `BLOBFILE(path=..., offset=...)` in the text names, by path exactly as
  ///   in the text: `"@model_path/weights/weight.bin"`.
  /// - Throws: ``AneTrainError``: `invalidProgram` with line and column, `invalidBlob`.
  public init(
    parsing text: String, blobs: [String: [UInt8]] = [:]
  ) throws(AneTrainError) {
    handle = try withArena { arena throws(AneTrainError) in
      var files: [anet_blob_file] = []
      for (path, bytes) in blobs {
        files.append(
          anet_blob_file(
            path: arena.string(path), data: UnsafeRawPointer(arena.array(bytes)),
            size_bytes: bytes.count))
      }
      let native = arena.array(files)
      return try Handle(anet_program_release) {
        anet_program_parse(text, text.utf8.count, native, files.count, $0, $1)
      }
    }
  }

  /// Reads a .mil file; `"@model_path"` in it stands for the folder of the file.
  /// - Throws: ``AneTrainError``: as ``init(parsing:blobs:)``, and `fileNotFound`, `inputOutput`,
  ///   `permission`.
  public init(contentsOf path: String) throws(AneTrainError) {
    handle = try Handle(anet_program_release) { anet_program_load(path, $0, $1) }
  }

  private init(_ handle: consuming Handle) {
    self.handle = handle
  }

  /// The program as MIL text.
  public func text() throws(AneTrainError) -> String {
    var text: UnsafePointer<CChar>?
    try check { anet_program_get_text(handle.pointer, &text, nil, $0) }
    return string(text)
  }

  /// The names of its functions, in order.
  public var functions: [String] {
    (0..<anet_program_function_count(handle.pointer)).map {
      string(anet_program_function_name(handle.pointer, $0))
    }
  }

  /// The inputs of a function, in order; their strides are those of contiguous tensors.
  /// - Parameter function: nil: the first one.
  public func inputs(of function: String? = nil) throws(AneTrainError) -> [Port] {
    try ports(anet_direction(ANET_INPUT), of: function)
  }

  /// The outputs of a function; otherwise as ``inputs(of:)``.
  public func outputs(of function: String? = nil) throws(AneTrainError) -> [Port] {
    try ports(anet_direction(ANET_OUTPUT), of: function)
  }

  private func ports(
    _ direction: anet_direction, of function: String?
  ) throws(AneTrainError) -> [Port] {
    var count = 0
    try check { anet_program_port_count(handle.pointer, function, direction, &count, $0) }
    var ports: [Port] = []
    for index in 0..<count {
      ports.append(
        try Port(
          .filled {
            anet_program_get_port(handle.pointer, function, direction, index, $0, $1)
          }))
    }
    return ports
  }

  /// Derives a function's vector-Jacobian product.
  ///
  /// The result has two functions. `<function>` returns, after its own outputs, the taps.
  /// `<function>_backward` takes the forward inputs it reads, the taps, then one seed `d_<output>`
  /// for each chosen output; it returns `d_<input>` for each chosen input.
  /// - Parameters:
  ///   - function: nil: the first one.
  ///   - inputs: to differentiate by; empty: every floating one.
  ///   - outputs: that get a seed; empty: every floating one.
  /// - Throws: ``AneTrainError``: `notFound` for a name, `unsupported` naming an op without a
  ///   gradient, `typeMismatch` for a port that is not floating.
  public func differentiated(
    _ function: String? = nil, taps: Taps = .automatic, inputs: [String] = [],
    outputs: [String] = []
  ) throws(AneTrainError) -> Program {
    try withArena { arena throws(AneTrainError) in
      var options = anet_differentiate_options.sized
      options.taps = taps.rawValue
      options.inputs = arena.strings(inputs)
      options.input_count = inputs.count
      options.outputs = arena.strings(outputs)
      options.output_count = outputs.count
      return Program(
        try Handle(anet_program_release) {
          anet_program_differentiate(handle.pointer, function, &options, $0, $1)
        })
    }
  }

  /// A program whose products run on 8-bit activations and weights (W8A8).
  /// - Parameters:
  ///   - function: nil: the first one.
  ///   - samples: sets of inputs in port order, to see how large the activations are.
  ///   - device: runs the function on the samples.
  ///   - coverage: share of the observed magnitudes that an activation's range holds; the rest is
  ///     clipped.
  /// - Throws: ``AneTrainError``: `unsupported` when the function has no such product,
  ///   `invalidData` for activations that are not finite, `invalidArgument` for a set that is not
  ///   whole; else as ``Kernel/run(inputs:outputs:)``.
  public func quantized(
    _ function: String? = nil, samples: [[Buffer]], on device: Device, coverage: Double = 1
  ) throws(AneTrainError) -> Program {
    var options = anet_program_quantize_options.sized
    options.coverage = coverage
    let buffers = samples.joined().map { Optional($0.handle.pointer) }
    return Program(
      try Handle(anet_program_release) { program, error in
        withExtendedLifetime(samples) {
          anet_program_quantize(
            device.handle.pointer, handle.pointer, function, buffers, buffers.count, &options,
            program, error)
        }
      })
  }
}

/// A named input or output of a function.
public struct Port: Hashable, Sendable {
  /// As in the program's text.
  public let name: String
  /// The layout that a bound buffer must have.
  public let description: TensorDescription

  init(_ native: anet_port) throws(AneTrainError) {
    name = string(native.name)
    description = try TensorDescription(native.desc)
  }
}

/// Which forward values the backward function is given, and which it computes again.
public enum Taps: Int32, Sendable, CaseIterable {
  /// The expensive ones are kept.
  case automatic = 0  // ANET_TAPS_AUTOMATIC
  /// All are kept.
  case all = 1  // ANET_TAPS_ALL
  /// Everything is computed again: activation checkpointing.
  case none = 2  // ANET_TAPS_NONE
}

extension anet_port: SizedStruct {}
extension anet_differentiate_options: SizedStruct {}
extension anet_program_quantize_options: SizedStruct {}
