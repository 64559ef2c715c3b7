// What step.c does, in Swift.

import AneTrain

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

func processorSeconds() -> Double { Double(clock()) / Double(CLOCKS_PER_SEC) }

guard CommandLine.arguments.count == 3, let rowLength = Int(CommandLine.arguments[2]) else {
  fatalError("usage: OverheadStep configuration row-length")
}
let device = try Device("cpu", options: DeviceOptions(threads: 1))
var configuration = try ModelConfiguration(named: CommandLine.arguments[1])
configuration.layerCount = 2
configuration.vocabularySize = 512
let model = try Model(configuration, seed: 1)
let session = try Session(
  training: model, on: device,
  options: SessionOptions(sequenceLength: rowLength, learningRate: 1e-4))

let ids = (0...Int32(rowLength)).map { 37 * $0 % 512 }
let batch = Batch(
  sequenceCount: 1, sequenceLength: rowLength, tokens: Array(ids.dropLast()),
  targets: Array(ids.dropFirst()))
while let line = readLine(), let steps = Int(line) {
  let start = ContinuousClock.now
  let busy = processorSeconds()
  var loss = 0.0
  for _ in 0..<steps { loss = try session.step(batch).loss }
  let seconds = (ContinuousClock.now - start) / .seconds(1)
  let processor = processorSeconds() - busy
  let bits = String(loss.bitPattern, radix: 16)
  print(seconds, processor, String(repeating: "0", count: 16 - bits.count) + bits)
  fflush(nil)
}
