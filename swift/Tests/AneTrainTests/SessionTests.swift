import Testing

@testable import AneTrain
import CAneTrain

@Suite struct SessionOptionsTests {
  @Test func spelledDefaultsAreTheLibrarys() throws {
    let model = try smallModel()
    let device = try cpu()
    let spelled = try Session(training: model, on: device).options()
    // NULL options are all zero.
    let other = try smallModel()
    let handle = try Handle(anet_session_release) {
      anet_session_create(device.handle.pointer, other.handle.pointer, nil, $0, $1)
    }
    let zeros: anet_session_options = try .filled {
      anet_session_get_options(handle.pointer, $0, $1)
    }
    #expect(try SessionOptions(zeros) == spelled)
    #expect(spelled.learningRate == 3e-4)
  }

  @Test func everyFieldArrives() throws {
    let wanted = SessionOptions(
      precision: .f32, batchSize: 2, sequenceLength: 16, accumulationSteps: 3,
      activationCheckpointing: true, lossChunk: 8,
      optimizer: .adamW(beta1: 0.2, beta2: 0.3, epsilon: 0.4), learningRate: 0.1, weightDecay: 0.5,
      clipNorm: 0.6,
      schedule: .warmupStableDecay, warmupSteps: 1, totalSteps: 20, decaySteps: 5,
      minLearningRate: 0.01, seed: 11,
      maxMemory: 1 << 30, documents: true, lengthBuckets: 1,
      trainable: ["layers.1.*", "norm.weight"], optimizerPrecision: .bf16)
    #expect(try smallSession(options: wanted).options() == wanted)
    let sgd = SessionOptions(
      precision: .f32, batchSize: 1, sequenceLength: 8, optimizer: .sgd(momentum: 0.9))
    #expect(try smallSession(options: sgd).options().optimizer == .sgd(momentum: 0.9))
    let half = SessionOptions(
      precision: .f16, batchSize: 1, sequenceLength: 8, initialLossScale: 64,
      lossScaleGrowthSteps: 7)
    #expect(try smallSession(options: half).options().initialLossScale == 64)
    #expect(try smallSession(options: half).options().lossScaleGrowthSteps == 7)
    let brain = SessionOptions(precision: .bf16, batchSize: 1, sequenceLength: 8)
    #expect(try smallSession(options: brain).options().precision == .bf16)
  }

  @Test func readsJSON() throws {
    let base = SessionOptions(learningRate: 0.5, trainable: ["norm.weight"])
    let options = try SessionOptions(
      json: #"{"batch_size": 4, "schedule": "cosine", "total_steps": 9}"#, defaults: base)
    #expect(options.batchSize == 4 && options.schedule == .cosine && options.totalSteps == 9)
    #expect(options.learningRate == 0.5 && options.trainable == ["norm.weight"])
    let error = expectError(.invalidConfiguration) {
      _ = try SessionOptions(json: #"{"batchsize": 4}"#)
    }
    #expect(error?.message.contains("batch_size") == true)
  }

  @Test func refusesWhatMakesNoSense() throws {
    expectError(.invalidArgument) {
      _ = try smallSession(options: SessionOptions(schedule: .cosine))
    }
    expectError(.memoryLimit) {
      _ = try smallSession(
        options: SessionOptions(batchSize: 1, sequenceLength: 16, maxMemory: 1000))
    }
    expectError(.invalidArgument) {
      _ = try smallSession(options: SessionOptions(learningRate: -1))
    }
  }

  @Test func plansMemory() throws {
    let plan = try MemoryPlan(for: smallConfiguration, on: cpu(), options: smallOptions)
    #expect(try smallSession().memoryPlan() == plan)
    #expect(
      plan.total == plan.weights + plan.gradients + plan.optimizer + plan.staged
        + plan.activations + plan.workspace)
  }
}

@Suite struct SessionTests {
  @Test func learns() throws {
    let session = try smallSession()
    let data = try letters()
    let before = try session.evaluate(on: data)
    #expect(before.tokens > 0)
    let result = try session.fit(on: data, options: FitOptions(steps: 20))
    #expect(result.end == .steps)
    #expect(result.step.step == 20)
    #expect(result.evaluation == nil && result.best == nil)
    #expect(try session.evaluate(on: data).loss < before.loss / 2)
    #expect(try session.completedSteps() == 20)
    #expect(try session.cursor() == 40)
    #expect(try session.kernels().allSatisfy { $0.place == "cpu" && $0.reason == nil })
    #expect(try session.kernels().contains { $0.runs > 0 && !$0.label.isEmpty })
    #expect(try session.model().weightCount == smallModel().weightCount)
    expectError(.invalidState) { _ = try session.adapter() }
  }

  @Test func aStepIsItsParts() throws {
    let data = try letters()
    let (first, second) = try (data.batch(from: 0, count: 2), data.batch(from: 2, count: 2))
    let whole = try smallSession()
    let parts = try smallSession()
    let result = try whole.step([first, second])
    #expect(result.step == 1 && result.tokensSeen == 64)
    #expect(result.seconds > 0 && result.work.hostFlops > 0)
    try parts.forwardBackward(first)
    #expect(try parts.tokens() == 32)
    expectError(.invalidState) { try parts.step(first) }
    // The accumulation was discarded by what failed, or not: begin again.
    try parts.zeroGradients()
    try parts.forwardBackward(first)
    try parts.forwardBackward(second)
    let tokens = try parts.tokens()
    try parts.withMutableGradients { $0[0] += 0 }
    try parts.setTokens(tokens)
    #expect(try parts.withGradients { $0.count } > 0)
    try parts.optimizerStep()
    #expect(try weights(whole) == weights(parts))
    expectError(.invalidState) { try parts.optimizerStep() }
    #expect(try whole.evaluate(first).tokens == 32)
  }

  private func weights(_ session: Session) throws -> [Float] {
    try session.withWeights { span in span.indices.map { span[$0] } }
  }

  @Test func weightsAreLent() throws {
    let session = try smallSession()
    let parameter = try session.model().parameter(named: "model.norm.weight")
    let offset = try #require(parameter.offset)
    try session.withMutableWeights { $0[offset] = 5 }
    #expect(try session.model().values(of: parameter.name)[0] == 5)
    #expect(throws: Refusal()) { try session.withMutableWeights { _ in throw Refusal() } }
  }

  @Test func resumesBitForBit() throws {
    try withFolder { folder in
      let data = try letters()
      let whole = try smallSession()
      try whole.fit(on: data, options: FitOptions(steps: 8))
      let half = try smallSession()
      try half.fit(on: data, options: FitOptions(steps: 4))
      try half.setProperty("epoch", to: "3")
      try half.save(to: folder, keepLast: 2, validationLoss: 1.5)
      let resumed = try Session(resuming: folder, on: cpu())
      #expect(try resumed.property("epoch") == "3")
      #expect(try resumed.property("other") == nil)
      try resumed.setProperty("epoch", to: nil)
      #expect(try resumed.property("epoch") == nil)
      #expect(try resumed.options() == half.options())
      let other = try letters(500)
      expectError(.invalidData) {
        _ = try resumed.fit(on: other, options: FitOptions(steps: 1))
      }
      try resumed.fit(on: data, options: FitOptions(steps: 4))
      let (expected, seen) = try (weights(whole), weights(resumed))
      #expect(expected.map(\.bitPattern) == seen.map(\.bitPattern))

      let path = try Checkpoint.find(.best, in: folder)
      #expect(path.hasSuffix("step-00000004"))
      #expect(try Checkpoint.state(of: path).contains("\"seed\""))
      #expect(try Model(contentsOf: path).configuration() == smallConfigurationComplete())
      expectError(.notFound) { _ = try Checkpoint.find(in: folder + "/none") }
    }
  }

  private func smallConfigurationComplete() throws -> ModelConfiguration {
    try smallModel().configuration()
  }

  @Test func adaptersResumeBitForBit() throws {
    try withFolder { folder in
      let (data, device) = try (letters(), cpu())
      func fit(_ session: Session, _ steps: Int) throws -> UInt64 {
        try session.fit(on: data, options: FitOptions(steps: steps)).step.loss.bitPattern
      }
      let options = AdapterOptions(rank: 2, seed: 4)
      let whole = try Session(
        training: Adapter(of: smallModel(), options: options), on: device, options: smallOptions)
      let expected = try fit(whole, 6)
      let half = try Session(
        training: Adapter(of: smallModel(), options: options), on: device, options: smallOptions)
      _ = try fit(half, 3)
      try half.save(to: folder)
      let resumed = try Session(resuming: folder, of: smallModel(), on: device)
      #expect(try fit(resumed, 3) == expected)
      #expect(throws: AneTrainError.self) {
        _ = try Session(resuming: folder, of: smallModel(seed: 9), on: device)
      }
    }
  }

  @Test func tellsEverythingThatHappens() throws {
    try withFolder { folder in
      let session = try smallSession()
      let data = try letters()
      var events: [String] = []
      let result = try session.fit(
        on: data, validation: data,
        options: FitOptions(
          steps: 4, evaluateEvery: 2, evaluationRows: 4, evaluateAtEnd: true, saveEvery: 4,
          checkpointRoot: folder, keepLast: 1, patience: 10, minDelta: 0.001, sampleEvery: 3)
      ) { event in
        switch event {
        case .step(let step): events.append("step \(step.step)")
        case .evaluation(let result, let improved, let step):
          #expect(result.loss > 0 && improved)
          events.append("evaluation \(step.step)")
          let again = try session.evaluate(on: data, maxRows: 4)
          #expect(again.loss == result.loss)
        case .save(let path, _):
          events.append("save")
          #expect(path.hasPrefix(folder))
        case .sample(let step): events.append("sample \(step.step)")
        case .end: events.append("end")
        }
        return .proceed
      }
      #expect(
        events.filter { $0.hasPrefix("step") } == ["step 1", "step 2", "step 3", "step 4"])
      #expect(
        Set(events.filter { !$0.hasPrefix("step") }) == [
          "evaluation 2", "evaluation 4", "save", "sample 3",
        ])
      #expect(result.best?.step == 4)
      #expect(result.best?.loss == result.evaluation?.loss)
    }
  }

  @Test func stopsWhenNothingImproves() throws {
    let session = try smallSession()
    let data = try letters()
    let result = try session.fit(
      on: data, validation: data,
      options: FitOptions(
        steps: 50, evaluateEvery: 1, evaluationRows: 2, patience: 2, minDelta: 100))
    #expect(result.end == .noImprovement)
    #expect(result.step.step == 3)
  }

  @Test func callbacksStopAndThrow() throws {
    let session = try smallSession()
    let data = try letters()
    let result = try session.fit(on: data, options: FitOptions(steps: 9)) { _ in .stop }
    #expect(result.end == .stopped && result.step.step == 1)
    #expect(throws: Refusal(reason: "enough")) {
      try session.fit(on: data, options: FitOptions(steps: 9)) { event in
        if case .step(let step) = event, step.step == 3 { throw Refusal(reason: "enough") }
        return .proceed
      }
    }
    #expect(try session.completedSteps() == 3)
    // A step in a callback is refused, and its error comes through as it is.
    let batch = try data.batch(from: 0, count: 2)
    expectError(.busy) {
      _ = try session.fit(on: data, options: FitOptions(steps: 1)) { _ in
        try session.step(batch)
        return .proceed
      }
    }
    expectError(.invalidArgument) {
      _ = try session.fit(on: data, options: FitOptions(steps: 0))
    }
  }

  @Test func cancelsWithinAStep() throws {
    let session = try smallSession()
    let data = try letters()
    let before = try weights(session)
    let canceller = session.canceller
    canceller.cancel()  // nothing runs: does nothing
    expectError(.cancelled) {
      _ = try session.fit(on: data, options: FitOptions(steps: 3)) { _ in
        canceller.cancel()
        return .proceed
      }
    }
    #expect(try session.completedSteps() == 1)
    #expect(try weights(session) != before)
    try session.fit(on: data, options: FitOptions(steps: 1))
  }

  @Test func cursorAndLearningRateAreSet() throws {
    let session = try smallSession()
    try session.setCursor(10)
    #expect(try session.cursor() == 10)
    try session.setLearningRate(0.5)
    let step = try session.step(letters().batch(from: 0, count: 2))
    #expect(step.learningRate == 0.5)
    expectError(.outOfRange) { try session.setCursor(-1) }
  }

  @Test func scoresDocuments() throws {
    let examples = try Examples(
      [Example(ids: [1, 2, 3]), Example(ids: [4, 5, 6, 7])], vocabularySize: 258)
    let data = try Dataset(
      examples, rows: RowOptions(sequenceLength: 16, layout: .packed, isSequential: true))
    var options = smallOptions
    options.documents = true
    options.batchSize = 1
    let session = try smallSession(options: options)
    let losses = try session.score(data)
    let heads = try session.kernels().filter { $0.label == "head_evaluation" }
    #expect(heads.map(\.runs) == [1])  // both documents are in the one row
    #expect(losses.map(\.tokens) == [2, 3])
    #expect(losses.map(\.begin).first == 0)
    let sum = losses.reduce(0) { $0 + $1.lossSum }
    let mean = try session.evaluate(on: data).loss
    #expect(abs(sum / 5 - mean) < 1e-6)
  }

  @Test func badTokensNameTheirPlace() throws {
    let session = try smallSession()
    var batch = try letters().batch(from: 0, count: 2)
    batch.tokens[5] = 258
    expectError(.outOfRange) { try session.step(batch) }
    batch.tokens[5] = 97
    batch.targets = batch.targets.map { _ in -1 }
    expectError(.invalidData) { try session.step(batch) }
  }

  @Test func oneModelOneSession() throws {
    let model = try smallModel()
    let device = try cpu()
    let session = try Session(training: model, on: device, options: smallOptions)
    expectError(.busy) {
      _ = try Session(training: model, on: device, options: smallOptions)
    }
    withExtendedLifetime(session) {}
  }
}
