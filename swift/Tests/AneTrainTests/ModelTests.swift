import AneTrain
import Foundation
import Testing

@Suite struct ModelConfigurationTests {
  @Test func builtInOnesAreComplete() throws {
    #expect(ModelConfiguration.names.contains("tiny"))
    for name in ModelConfiguration.names {
      #expect(try ModelConfiguration(named: name).layerCount > 0)
    }
    let error = expectError(.notFound) { _ = try ModelConfiguration(named: "tinny") }
    #expect(error?.message.contains("tiny") == true)
  }

  @Test func readsJSON() throws {
    let configuration = try ModelConfiguration(
      json: """
        {"vocab_size": 99, "hidden_size": 8, "intermediate_size": 16, "layer_count": 1,
         "head_count": 2, "tie_embeddings": true, "rope_scaling_factor": 8,
         "rope_low_frequency_factor": 1, "rope_high_frequency_factor": 4,
         "rope_original_context_length": 64}
        """)
    #expect(configuration.vocabularySize == 99)
    #expect(configuration.tieEmbeddings)
    #expect(configuration.ropeScaling?.factor == 8)
    #expect(configuration.ropeScaling?.originalContextLength == 64)
    let unknown = expectError(.invalidConfiguration) {
      _ = try ModelConfiguration(json: "{\"hidden_sizes\": 8}")
    }
    #expect(unknown?.message.contains("hidden_size") == true)
    let broken = expectError(.invalidConfiguration) { _ = try ModelConfiguration(json: "{\n  x") }
    #expect(broken?.line == 2)
  }

  @Test func everyFieldArrives() throws {
    var wanted = ModelConfiguration(
      vocabularySize: 40, hiddenSize: 16, intermediateSize: 24, layerCount: 3, headCount: 4,
      keyValueHeadCount: 2, headSize: 8, contextLength: 77, tieEmbeddings: true,
      queryKeyValueBias: true, queryKeyNorm: true, ropeTheta: 500, normEpsilon: 1e-6,
      ropeScaling: .init(
        factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalContextLength: 32))
    #expect(try Model(wanted, seed: 1).configuration() == wanted)
    wanted.ropeScaling = nil
    #expect(try Model(wanted, seed: 1).configuration() == wanted)
    wanted.headCount = 3
    expectError(.invalidConfiguration) { _ = try Model(wanted, seed: 1) }
  }

  @Test func spelledDefaultsAreTheLibrarys() throws {
    var zeros = smallConfiguration
    zeros.keyValueHeadCount = 0
    zeros.contextLength = 0
    zeros.ropeTheta = 0
    zeros.normEpsilon = 0
    let spelled = ModelConfiguration(
      vocabularySize: 258, hiddenSize: 32, intermediateSize: 64, layerCount: 2, headCount: 4)
    #expect(try Model(zeros, seed: 1).configuration() == Model(spelled, seed: 1).configuration())
  }
}

@Suite struct ModelTests {
  @Test func hasParameters() throws {
    let model = try smallModel()
    let parameters = try model.parameters()
    #expect(parameters.first?.name == "model.embed_tokens.weight")
    #expect(parameters.first?.shape == [258, 32])
    #expect(parameters.first?.offset == 0)
    #expect(parameters.first?.compression == Compression.none)
    let count = parameters.reduce(0) { $0 + $1.elementCount }
    #expect(model.weightCount == UInt64(count))
    #expect(model.weightBytes >= UInt64(4 * count))
    #expect(try model.info().format == "")
    #expect(try model.info().tokenizerPath == nil)
  }

  @Test func readsAndWritesValues() throws {
    let model = try smallModel()
    let name = "model.norm.weight"
    #expect(try model.values(of: name) == [Float](repeating: 1, count: 32))
    let values = (0..<32).map(Float.init)
    try model.setValues(of: name, to: values)
    #expect(try model.values(of: name) == values)
    #expect(try model.parameter(named: name).elementCount == 32)
    expectError(.shapeMismatch) { try model.setValues(of: name, to: [1]) }
    let error = expectError(.notFound) { _ = try model.values(of: "model.nor.weight") }
    #expect(error?.message.contains(name) == true)
  }

  @Test func sameSeedSameWeights() throws {
    let name = "lm_head.weight"
    let values = try smallModel(seed: 5).values(of: name)
    #expect(try smallModel(seed: 5).values(of: name) == values)
    #expect(try smallModel(seed: 6).values(of: name) != values)
  }

  @Test func savesAndLoads() throws {
    try withFolder { folder in
      let model = try smallModel()
      try model.save(to: folder + "/model.safetensors")
      var last: WorkProgress?
      let loaded = try Model(contentsOf: folder + "/model.safetensors") { last = $0 }
      #expect(try loaded.configuration() == model.configuration())
      #expect(try loaded.values(of: "lm_head.weight") == model.values(of: "lm_head.weight"))
      #expect(last?.done == last?.total)
    }
    expectError(.fileNotFound) { _ = try Model(contentsOf: "/nowhere/model.safetensors") }
  }

  @Test func whatProgressThrowsIsThrown() throws {
    #expect(throws: Refusal()) {
      _ = try Model(contentsOf: golden("model_files/llama")) { _ in throw Refusal() }
    }
    #expect(throws: Refusal()) {
      _ = try smallModel().quantized { _ in throw Refusal() }
    }
    try withFolder { folder in
      #expect(throws: Refusal()) {
        try smallModel().export(to: folder + "/x.gguf", options: ExportOptions(.gguf)) { _ in
          throw Refusal()
        }
      }
      let left = try FileManager.default.contentsOfDirectory(atPath: folder)
      #expect(left.isEmpty)
    }
  }

  @Test func loadsModelsOfOtherTools() throws {
    let model = try Model(contentsOf: golden("model_files/llama"))
    #expect(try model.info().format == "hugging_face")
    #expect(try !model.info().stopIDs.isEmpty)
    let small = try Model(
      contentsOf: golden("model_files/llama"), quantization: QuantizationOptions())
    #expect(small.weightBytes < model.weightBytes)
    #expect(small.weightCount == model.weightCount)
  }

  @Test(arguments: [
    (ExportOptions(), "model"), (ExportOptions(.gguf, type: .fp16), "model.gguf"),
    (ExportOptions(.llama2c), "model.bin"), (ExportOptions(.huggingFace, type: .bf16), "half"),
  ])
  func exports(options: ExportOptions, file: String) throws {
    try withFolder { folder in
      let model = try smallModel()
      try model.export(to: folder + "/" + file, options: options)
      let loaded = try Model(contentsOf: folder + "/" + file)
      let (values, expected) = try (
        loaded.values(of: "lm_head.weight"), model.values(of: "lm_head.weight")
      )
      let worst = zip(values, expected).map { abs($0 - $1) }.max() ?? 1
      #expect(options.type == .fp32 ? worst == 0 : worst > 0 && worst < 1e-3)
    }
  }

  @Test func refusesExportsThatAFormatLacks() throws {
    try withFolder { folder in
      _ = expectError(.unsupportedOption) {
        try smallModel().export(
          to: folder + "/model.bin", options: ExportOptions(.llama2c, type: .bf16))
      }
    }
  }

  @Test func quantizes() throws {
    let model = try smallModel()
    let options = QuantizationOptions(
      .int4Block, blockSize: 16,
      overrides: [.init("lm_head.weight", .none), .init("q_proj.weight", .palette4, blockSize: 4)],
      device: try cpu())
    let quantized = try model.quantized(options)
    #expect(quantized.weightBytes < model.weightBytes)
    let head = try quantized.parameter(named: "lm_head.weight")
    #expect(head.compression == Compression.none && head.offset != nil)
    let embedding = try quantized.parameter(named: "model.embed_tokens.weight")
    #expect(embedding.compression == .int4Block && embedding.blockSize == 16)
    #expect(embedding.offset == nil)
    #expect(embedding.compression.name == "int4_block")
    let report = try #require(
      quantized.quantizationReport().first { $0.name.hasSuffix("0.self_attn.q_proj.weight") })
    #expect(report.compression == .palette4)
    #expect(report.bytesAfter < report.bytesBefore)
    #expect((report.loss?.rms ?? 0) > 0)
    expectError(.invalidArgument) {
      _ = try model.quantized(QuantizationOptions(overrides: [.init("nothing.*", .int8Block)]))
    }
  }
}
