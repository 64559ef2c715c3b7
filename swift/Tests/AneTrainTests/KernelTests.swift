import AneTrain
import Testing

@Suite struct KernelTests {
  @Test func describesPrograms() throws {
    let program = try Program(parsing: weightedSquares)
    #expect(program.functions == ["main"])
    #expect(try program.inputs().map(\.name) == ["w", "x"])
    #expect(try program.outputs(of: "main").first?.description.shape == [1, 1])
    let again = try Program(parsing: program.text())
    #expect(try again.text() == program.text())
    expectError(.notFound) { _ = try program.inputs(of: "other") }
  }

  @Test func runs() throws {
    let device = try cpu()
    let kernel = try Kernel(Program(parsing: weightedSquares), on: device)
    #expect(try kernel.inputs.map(\.name) == ["w", "x"])
    let (w, x) = (try kernel.makeInput(0), try kernel.makeInput(1))
    let y = try kernel.makeOutput(0)
    try w.write([0.5, 1, 2, 4] as [Float])
    try x.write([1, 2, 3, 4] as [Float])
    try kernel.run(inputs: [w, x], outputs: [y])
    #expect(try y.read() == [86.5] as [Float])  // 0.5 + 4 + 18 + 64
    let statistics = try kernel.statistics()
    #expect(statistics.runs == 1)
    #expect(statistics.opCount > 0)
    #expect(statistics.work.engineEvaluations == 0)
    #expect(try kernel.placement().place == "cpu")
    #expect(try kernel.outputs.map(\.name) == ["y"])
  }

  @Test func differentiates() throws {
    let device = try cpu()
    let derivative = try Program(parsing: weightedSquares).differentiated(
      taps: .none, inputs: ["x"])
    #expect(derivative.functions == ["main", "main_backward"])
    let kernel = try Kernel(derivative, function: "main_backward", on: device)
    let values: [String: [Float]] = ["w": [0.5, 1, 2, 4], "x": [1, 2, 3, 4], "d_y": [1]]
    var inputs: [Buffer] = []
    for (index, port) in try kernel.inputs.enumerated() {
      inputs.append(try kernel.makeInput(index))
      try inputs[index].write(#require(values[port.name]))
    }
    let gradient = try kernel.makeOutput(0)
    try kernel.run(inputs: inputs, outputs: [gradient])
    #expect(try gradient.read() == [1, 4, 12, 32] as [Float])  // 2 * x * w
    expectError(.notFound) {
      _ = try Program(parsing: weightedSquares).differentiated(inputs: ["z"])
    }
  }

  @Test func readsBlobs() throws {
    let text = """
      program(1.3)
      {
          func main<ios18>(tensor<fp32, [2]> x) {
              tensor<fp32, [2]> c = const()[name = string("c"), val = tensor<fp32, [2]>(BLOBFILE(path = string("@model_path/weights.bin"), offset = uint64(64)))];
              tensor<fp32, [2]> y = add(x = x, y = c)[name = string("y")];
          } -> (y);
      }
      """
    expectError(.invalidBlob) { _ = try Program(parsing: text) }
    let device = try cpu()
    let program = try Program(
      parsing: text, blobs: ["@model_path/weights.bin": storage([10, 20])])
    let kernel = try Kernel(program, on: device)
    let x = try kernel.makeInput(0)
    let y = try kernel.makeOutput(0)
    try x.write([1, 2] as [Float])
    try kernel.run(inputs: [x], outputs: [y])
    #expect(try y.read() == [11, 22] as [Float])
  }

  /// One tensor of fp32 as "MIL storage v2": a file header, then the entry's and the values.
  private func storage(_ values: [Float]) -> [UInt8] {
    func bytes(_ number: some FixedWidthInteger) -> [UInt8] {
      withUnsafeBytes(of: number.littleEndian) { Array($0) }
    }
    let fileHeader = bytes(UInt32(1)) + bytes(UInt32(2)) + [UInt8](repeating: 0, count: 56)
    let fp32: UInt32 = 2
    let entry =
      bytes(UInt32(0xDEAD_BEEF)) + bytes(fp32) + bytes(UInt64(values.count * 4))
      + bytes(UInt64(128)) + [UInt8](repeating: 0, count: 40)
    return fileHeader + entry + values.flatMap { bytes($0.bitPattern) }
  }

  @Test func quantizes() throws {
    let device = try cpu()
    let text = """
      program(1.3)
      {
          func main<ios18>(tensor<fp16, [1, 2]> x) {
              tensor<fp16, [2, 2]> w = const()[name = string("w"), val = tensor<fp16, [2, 2]>([[1, 2], [3, 4]])];
              tensor<fp16, [1, 2]> y = linear(x = x, weight = w)[name = string("y")];
          } -> (y);
      }
      """
    let program = try Program(parsing: text)
    let sample = try Kernel(program, on: device).makeInput(0)
    try sample.withMutableBytes { bytes, _ in
      bytes.storeBytes(of: 0x3C00, as: UInt16.self)  // 1
      bytes.storeBytes(of: 0x3800, toByteOffset: 2, as: UInt16.self)  // 0.5
    }
    let quantized = try program.quantized(samples: [[sample]], on: device, coverage: 1)
    #expect(try quantized.text().contains("quantize"))
    #expect(try !program.text().contains("quantize"))
  }

  @Test func refusesWrongBuffers() throws {
    let device = try cpu()
    let kernel = try Kernel(Program(parsing: weightedSquares), on: device)
    let (w, x) = (try kernel.makeInput(0), try kernel.makeInput(1))
    let y = try kernel.makeOutput(0)
    expectError(.invalidArgument) { try kernel.run(inputs: [w], outputs: [y]) }
    expectError(.shapeMismatch) { try kernel.run(inputs: [w, y], outputs: [y]) }
    expectError(.outOfRange) { _ = try kernel.makeInput(2) }
    expectError(.outOfRange) { _ = try kernel.makeInput(-1) }
    try x.withBytes { _, _ in
      _ = expectError(.busy) { try kernel.run(inputs: [w, x], outputs: [y]) }
    }
    expectError(.notFound) {
      _ = try Kernel(Program(parsing: weightedSquares), function: "other", on: device)
    }
  }
}
