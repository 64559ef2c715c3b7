import AneTrain
import Testing

/// What a log was told, and that it is gone.
private final class Witness: Sendable {
  let isReleased: @Sendable () -> Void
  init(_ isReleased: @escaping @Sendable () -> Void) { self.isReleased = isReleased }
  deinit { isReleased() }
}

@Suite struct DeviceTests {
  @Test func libraryHasAVersion() {
    #expect(AneTrainLibrary.version.split(separator: ".").count == 3)
    #expect(AneTrainLibrary.versionNumber >= 100)
    #expect(AneTrainLibrary.abiVersion == 0)
    #expect(AneTrainLibrary.buildInfo.contains(AneTrainLibrary.version))
  }

  @Test func opensTheCPU() throws {
    let device = try Device("cpu", options: DeviceOptions(threads: 2))
    let info = try device.info()
    #expect(info.name == "cpu")
    #expect(info.threads == 2)
    #expect(info.hasF32)
    #expect(info.bufferAlignment > 0)
    #expect(!info.description.isEmpty)
    #expect(try device.report().hasPrefix("{"))
  }

  @Test func listsDevices() throws {
    let listings = try Device.listings()
    let cpu = try #require(listings.first { $0.name == "cpu" })
    #expect(cpu.isAvailable)
    #expect(cpu.reason == nil)
    for listing in listings where !listing.isAvailable {
      #expect(listing.reason?.isEmpty == false)
    }
  }

  @Test func refusesOptionsOfAnotherDevice() {
    expectError(.unsupportedOption) {
      _ = try Device("cpu", options: DeviceOptions(neuralEngine: NeuralEngineOptions()))
    }
    expectError(.outOfRange) { _ = try Device("cpu", options: DeviceOptions(threads: 1000)) }
  }

  @Test func neuralEngineOptionsReachTheLibrary() throws {
    // Whichever device this is, the framework that is asked for does not exist.
    let options = NeuralEngineOptions(
      frameworkPath: "/nowhere/framework", cacheDirectory: "/nowhere/cache", auditEvery: 2,
      auditKernels: ["block_forward", "head"])
    let error = expectError(.unavailable) {
      _ = try Device("ane", options: DeviceOptions(neuralEngine: options))
    }
    #expect(error?.message.contains("/nowhere/framework") == true)
    expectError(.outOfRange) {
      _ = try Device(
        "ane", options: DeviceOptions(neuralEngine: NeuralEngineOptions(qualityOfService: 99)))
    }
  }

  @Test func logsUntilTheLastObjectIsGone() throws {
    let messages = Box<[String]>([])
    let released = Box(false)
    try {
      let witness = Witness { released.value = true }
      var device: Device? = try Device(
        "cpu", options: DeviceOptions(threads: 1), logLevel: .debug
      ) { level, message in
        _ = witness
        #expect(level <= .debug)
        messages.update { $0.append(message) }
      }
      let session = try Session(training: smallModel(), on: device!, options: smallOptions)
      device = nil
      #expect(!released.value)
      try session.fit(on: letters(), options: FitOptions(steps: 1))
    }()
    #expect(released.value)
    #expect(!messages.value.isEmpty)
  }

  @Test func givesTheLogBackWhenTheOpenFails() {
    let released = Box(false)
    let log: @Sendable (LogLevel, String) -> Void = {
      [witness = Witness { released.value = true }] _, _ in
      _ = witness
    }
    func open(_ log: @escaping @Sendable (LogLevel, String) -> Void) {
      expectError(.notFound) { _ = try Device("toaster", log: log) }
    }
    open(log)
    _ = consume log
    #expect(released.value)
  }
}
