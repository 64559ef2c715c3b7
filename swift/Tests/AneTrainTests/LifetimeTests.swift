import AneTrain
import Testing

@Suite struct LifetimeTests {
  /// What exists besides the last one is gone; the last one still works.
  private func objects() throws -> [(AnyObject, () throws -> Bool)] {
    let device = try cpu()
    let model = try smallModel()
    let tokenizer = try Tokenizer.bytes()
    let adapter = try Adapter(of: model)
    let session = try Session(training: adapter, on: device, options: smallOptions)
    let generator = try Generator(model, on: device, tokenizer: tokenizer)
    try generator.setAdapters([WeightedAdapter(adapter)])
    let program = try Program(parsing: weightedSquares)
    let kernel = try Kernel(program, on: device)
    let buffer = try kernel.makeInput(0)
    let decoder = try TextDecoder(tokenizer)
    let examples = try Examples([Example(ids: [1, 2, 3])], vocabularySize: 258)
    let data = try Dataset(examples, rows: RowOptions(sequenceLength: 8))
    let batch = try letters().batch(from: 0, count: 2)
    return [
      (device, { [unowned device] in try device.info().threads == 1 }),
      (model, { [unowned model] in try model.parameters().count > 0 }),
      (tokenizer, { [unowned tokenizer] in try tokenizer.encode("a") == [97] }),
      (adapter, { [unowned adapter] in try adapter.model().weightCount > 0 }),
      (session, { [unowned session] in try session.step(batch).loss > 0 }),
      (generator, { [unowned generator] in try generator.logits(after: [1]).count == 258 }),
      (program, { [unowned program] in program.functions == ["main"] }),
      (kernel, { [unowned kernel] in try kernel.inputs.count == 2 }),
      (buffer, { [unowned buffer] in try buffer.read(as: Float.self).count == 4 }),
      (decoder, { [unowned decoder] in try decoder.push(97) == "a" }),
      (examples, { [unowned examples] in try examples.example(0).ids.count == 3 }),
      (data, { [unowned data] in data.rowCount == 1 }),
    ]
  }

  @Test(arguments: 0..<8)
  func objectsGoInAnyOrder(seed: UInt64) throws {
    var random = SplitMix(state: seed)
    var objects = try objects().shuffled(using: &random)
    while !objects.isEmpty {
      for (_, works) in objects { #expect(try works()) }
      objects.removeLast()
    }
  }

  @Test func manyCyclesLeaveNothing() throws {
    for _ in 0..<200 {
      let device = try cpu()
      let buffer = try Buffer(TensorDescription(.fp32, shape: [16]), on: device)
      try buffer.withMutableElements(of: Float.self) { $0[0] = 1 }
      expectError(.notFound) { _ = try ModelConfiguration(named: "none") }
      _ = try Tokenizer.bytes().encode("text")
    }
  }

  private struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
      state &+= 0x9E37_79B9_7F4A_7C15
      var z = state
      z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
      z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
      return z ^ (z >> 31)
    }
  }
}
