// Fine-tunes a chat model with LoRA on conversations, stops half-way, resumes, and exports.
//
//     swift run --package-path examples/swift/Finetune Finetune model-folder chats-folder output-folder [steps]
//
// The model is a folder of Hugging Face; chats-folder has train.jsonl and valid.jsonl, a conversation
// a line: {"messages": [{"role": "user", "content": "..."}, ...]}. examples/07_finetune_jsonl.c does
// the same in C, and the losses are the same to the last bit.

import AneTrain
import Foundation

let rowLength = 128
let batchSize = 2

/// For reading, and all bits for comparing.
func printLoss(_ what: String, _ step: Int, _ loss: Double) {
  let bits = String(loss.bitPattern, radix: 16)
  let padded = String(repeating: "0", count: 16 - bits.count) + bits
  print(
    what.padding(toLength: 10, withPad: " ", startingAt: 0),
    String(format: "%3d  loss %.4f ", step, loss), padded)
}

/// Trains, and saves at the end where there is a place for checkpoints.
func train(
  _ training: TrainingSession, on rows: Dataset, steps: Int, checkpoints: String? = nil
) async throws {
  let options = FitOptions(
    steps: steps, saveEvery: checkpoints == nil ? 0 : steps, checkpointRoot: checkpoints)
  // Every step is printed, so it is the session's thread that prints; a stream may pass over some.
  let events = training.train(on: rows, options: options) { _, event in
    if case .step(let step) = event { printLoss("step", step.step, step.loss) }
    return .proceed
  }
  for try await event in events {
    if case .save(let path, _) = event { print("saved", URL(filePath: path).lastPathComponent) }
  }
}

func finetune(folder: String, chats: String, output: String, steps: Int) async throws {
  let checkpoints = output + "/checkpoints"

  // The model, its vocabulary, and the way it writes a conversation down.
  let device = try Device("cpu")
  let model = try Model(contentsOf: folder)
  let stopIDs = try model.info().stopIDs
  let tokenizer = try Tokenizer(
    contentsOf: folder, vocabularySize: model.configuration().vocabularySize)
  let chat = try ChatTemplate(directory: folder)

  // What the assistant says is learned, with the token that ends its turn; nothing else is.
  func read(_ part: DataPart) throws -> (count: Int, rows: Dataset) {
    let conversations = try Examples(
      contentsOf: chats, tokenizer: tokenizer,
      options: ExamplesOptions(
        part: part, chatTemplate: chat, stopIDs: stopIDs,
        isStrict: true))  // a conversation that cannot be used is an error with its line
    return (
      conversations.count,
      try Dataset(
        conversations, rows: RowOptions(sequenceLength: rowLength, layout: .packed, seed: 7))
    )
  }
  let (some, validation) = try (read(.train), read(.validation))
  print("\(some.count) conversations for training, \(validation.count) for validation")

  // The adapter: 8 columns beside each projection, all that is trained.
  let options = SessionOptions(
    precision: .f32, batchSize: batchSize, sequenceLength: rowLength, learningRate: 2e-3,
    clipNorm: 1, schedule: .cosine, totalSteps: steps,
    documents: true)  // packed conversations do not see each other
  let adapter = try Adapter(of: model, options: AdapterOptions(rank: 8, seed: 42))

  // The first half, saved at its end.
  let first = TrainingSession(try Session(training: adapter, on: device, options: options))
  printLoss("validation", 0, try await first.evaluate(on: validation.rows).loss)
  try await train(first, on: some.rows, steps: steps / 2, checkpoints: checkpoints)

  // The second half, as if the first had never ended: all that it needs is in files.
  let second = TrainingSession(
    try Session(resuming: checkpoints, of: Model(contentsOf: folder), on: device))
  try await train(second, on: some.rows, steps: steps - steps / 2)
  printLoss("validation", steps, try await second.evaluate(on: validation.rows).loss)

  // What it answers now. The adapter for PEFT, and the model with the adapter in its weights for
  // llama.cpp.
  let prompt = try tokenizer.encode(
    chat.render([.user("What is the sum of one and two?")], generationPrompt: true),
    options: .parseSpecial)
  try await second.withSession { session in
    let (model, trained) = try (session.model(), WeightedAdapter(session.adapter()))
    let generator = try Generator(model, on: device, tokenizer: tokenizer)
    try generator.setAdapters([trained])
    print("answer: ", terminator: "")
    try generator.generate(prompt, options: SamplingOptions(maxTokens: 32, stopIDs: stopIDs)) {
      print($0.text, terminator: "")
      return .proceed
    }
    try trained.adapter.save(to: output + "/adapter")
    try model.merged(with: [trained]).export(
      to: output + "/model.gguf", options: ExportOptions(.gguf, type: .fp16, companion: folder))
    print("\nwrote adapter and model.gguf")
  }
}

@main struct Finetune {
  static func main() async {
    let arguments = CommandLine.arguments
    guard arguments.count >= 4 else {
      print("usage: \(arguments[0]) model-folder chats-folder output-folder [steps]")
      exit(2)
    }
    do {
      try await finetune(
        folder: arguments[1], chats: arguments[2], output: arguments[3],
        steps: arguments.count > 4 ? Int(arguments[4]) ?? 0 : 20)
    } catch {
      print(error)
      exit(1)
    }
  }
}
