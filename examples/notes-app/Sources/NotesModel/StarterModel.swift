import AneTrain
import Foundation

/// A very small model that reads and writes bytes. The sample trains it from nothing on sentences
/// that it makes up, so that it runs without a download; it learns to spell, and not much more.
enum StarterModel {
  static let steps = 400
  private static let seed: UInt64 = 1

  /// With random weights.
  static func untrained() throws -> Model {
    try Model(
      ModelConfiguration(
        vocabularySize: 258, hiddenSize: 96, intermediateSize: 256, layerCount: 2, headCount: 4,
        contextLength: 256, tieEmbeddings: true),
      seed: seed)
  }

  /// Everything that training needs, from the first step on.
  static func training(on device: Device) throws -> Training {
    let tokenizer = try Tokenizer.bytes()
    // Begins and ends as the notes do.
    let examples = try Examples(
      sentences(600).map {
        Example(
          ids: try tokenizer.encode($0, options: .asTrained) + (tokenizer.endID.map { [$0] } ?? []))
      }, vocabularySize: tokenizer.vocabularySize)
    let session = try Session(
      training: untrained(), on: device,
      options: SessionOptions(
        batchSize: 4, sequenceLength: 128, learningRate: 4e-3, clipNorm: 1, schedule: .cosine,
        warmupSteps: 20, totalSteps: steps, seed: seed, documents: true))
    return Training(
      session: TrainingSession(session),
      data: try Dataset(
        examples, rows: RowOptions(sequenceLength: 128, layout: .packed, seed: seed)),
      validation: nil, fit: FitOptions(steps: steps))
  }

  /// "In the morning Anna takes the bus to the market."
  private static func sentences(_ count: Int) -> [String] {
    let times = [
      "In the morning", "On Monday", "After lunch", "In the evening", "Today", "Tomorrow",
    ]
    let people = ["Anna", "my brother", "the teacher", "Tom", "our neighbour", "my sister"]
    let actions = [
      "takes the bus", "walks slowly", "rides a bicycle", "carries a basket", "brings a book",
      "goes with a friend",
    ]
    let places = ["to the market", "to the station", "home", "to the library", "to the garden"]
    let ends = [
      "because it rains", "and comes back late", "to buy some bread", "before it is dark",
    ]
    var random = SplitMix64(state: seed)
    return (0..<count).map { _ in
      [times, people, actions, places, ends]
        .map { $0[Int.random(in: $0.indices, using: &random)] }.joined(separator: " ") + "."
    }
  }
}

/// The same numbers on every machine.
private struct SplitMix64: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var value = state
    value = (value ^ (value >> 30)) &* 0xbf58_476d_1ce4_e5b9
    value = (value ^ (value >> 27)) &* 0x94d0_49bb_1331_11eb
    return value ^ (value >> 31)
  }
}
