import AneTrain
import Foundation
import Testing

@Suite struct AdapterTests {
  /// An adapter that changes something: B is not zero any more.
  static func trained(_ model: Model, seed: UInt64 = 2) throws -> Adapter {
    let adapter = try Adapter(of: model, options: AdapterOptions(rank: 4, seed: seed))
    for parameter in try adapter.parameters() where parameter.name.contains("lora_B") {
      let values = (0..<parameter.elementCount).map { Float($0 % 7) * 0.01 }
      try adapter.setValues(of: parameter.name, to: values)
    }
    return adapter
  }

  @Test func describesItself() throws {
    let model = try smallModel()
    let adapter = try Adapter(of: model)
    let info = try adapter.info()
    #expect(info.rank == 8)
    #expect(info.alpha == 16)
    #expect(info.moduleCount == 14)
    let modules = try adapter.modules()
    #expect(modules.count == 14)
    #expect(modules[0].name == "model.layers.0.self_attn.q_proj")
    #expect(modules[0].scale == 2)
    let parameters = try adapter.parameters()
    #expect(info.weightCount == UInt64(parameters.reduce(0) { $0 + $1.elementCount }))
    #expect(parameters[0].shape == [8, 32])
    #expect(try adapter.parameter(named: parameters[0].name) == parameters[0])
    #expect(try adapter.model().weightCount == model.weightCount)
  }

  @Test func everyOptionArrives() throws {
    let options = AdapterOptions(
      rank: 4, alpha: 12, dropout: 0.25, rankStabilized: true, learnsMagnitudes: true,
      targets: ["q_proj", "v_proj"], firstLayer: -1, layerCount: 1,
      overrides: [.init("v_proj", rank: 2, alpha: 3)], seed: 9)
    let adapter = try Adapter(of: smallModel(), options: options)
    let info = try adapter.info()
    #expect(info.rank == 4 && info.alpha == 12 && info.dropout == 0.25)
    #expect(info.rankStabilized && info.learnsMagnitudes)
    let modules = try adapter.modules()
    #expect(
      modules.map(\.name) == [
        "model.layers.1.self_attn.q_proj", "model.layers.1.self_attn.v_proj",
      ])
    #expect(modules.map(\.rank) == [4, 2])
    #expect(modules[1].alpha == 3)
    #expect(modules[0].scale == 6)  // 12 / sqrt(4)
    expectError(.invalidArgument) {
      _ = try Adapter(of: smallModel(), options: AdapterOptions(targets: ["nothing"]))
    }
    expectError(.invalidArgument) {
      _ = try Adapter(of: smallModel(), options: AdapterOptions(dropout: 1))
    }
  }

  @Test(arguments: [AdapterFormat.peft, .mlx])
  func savesAndLoads(format: AdapterFormat) throws {
    try withFolder { folder in
      let model = try smallModel()
      let adapter = try Self.trained(model)
      try adapter.save(to: folder + "/adapter", as: format, baseName: "small")
      let loaded = try Adapter(contentsOf: folder + "/adapter", of: model)
      for parameter in try adapter.parameters() {
        #expect(try loaded.values(of: parameter.name) == adapter.values(of: parameter.name))
      }
    }
  }

  @Test func refusesFormatsThatCannotHoldIt() throws {
    try withFolder { folder in
      let dora = try Adapter(of: smallModel(), options: AdapterOptions(learnsMagnitudes: true))
      expectError(.unsupported) { try dora.save(to: folder + "/x.gguf", as: .gguf) }
      expectError(.unsupportedOption) { try dora.save(to: folder + "/x", type: .q8_0) }
    }
    expectError(.fileNotFound) {
      _ = try Adapter(contentsOf: "/nowhere/adapter", of: smallModel())
    }
  }

  @Test func mergesAndComesOut() throws {
    let model = try smallModel()
    let name = "model.layers.0.self_attn.q_proj.weight"
    let before = try model.values(of: name)
    let adapter = try Self.trained(model)
    let merged = try model.merged(with: [WeightedAdapter(adapter)])
    #expect(try merged.values(of: name) != before)
    #expect(try model.values(of: name) == before)
    try model.merge([WeightedAdapter(adapter)])
    #expect(try model.values(of: name) == merged.values(of: name))
    expectError(.invalidState) { try model.merge([WeightedAdapter(adapter)]) }
    try model.unmerge()
    #expect(try model.values(of: name) == before)
    expectError(.invalidState) { try model.unmerge() }
    expectError(.invalidArgument) { _ = try model.merged(with: []) }
    var other = smallConfiguration
    other.layerCount = 1
    expectError(.invalidArgument) {
      _ = try Model(other, seed: 1).merged(with: [WeightedAdapter(adapter)])
    }
  }

  @Test func trainsAloneAndSwaps() throws {
    let device = try cpu()
    let model = try smallModel()
    let name = "lm_head.weight"
    let frozen = try model.values(of: name)
    let first = try Adapter(of: model, options: AdapterOptions(rank: 4, seed: 1))
    let second = try Adapter(of: model, options: AdapterOptions(rank: 4, seed: 2))
    let session = try Session(training: first, on: device, options: smallOptions)
    let data = try letters()
    let begin = try session.evaluate(on: data).loss
    try session.fit(on: data, options: FitOptions(steps: 10))
    let end = try session.evaluate(on: data).loss
    #expect(end < begin)
    #expect(try model.values(of: name) == frozen)
    #expect(try session.adapter().info() == first.info())
    expectError(.busy) { try model.setValues(of: name, to: frozen) }

    try session.swapAdapter(second)
    #expect(try session.evaluate(on: data).loss == begin)
    try session.swapAdapter(first)
    #expect(try session.evaluate(on: data).loss == end)
    let other = try Adapter(of: model, options: AdapterOptions(rank: 2))
    expectError(.shapeMismatch) { try session.swapAdapter(other) }
    let plan = try MemoryPlan(for: first, on: device, options: smallOptions)
    #expect(plan.total > plan.gradients)
  }
}
