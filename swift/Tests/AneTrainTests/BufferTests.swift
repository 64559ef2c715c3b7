import AneTrain
import Testing

@Suite struct BufferTests {
  @Test func copiesElements() throws {
    let buffer = try Buffer(TensorDescription(.fp32, shape: [2, 3]), on: cpu())
    #expect(try buffer.read(as: Float.self) == [0, 0, 0, 0, 0, 0])
    try buffer.write([1, 2, 3, 4, 5, 6] as [Float])
    #expect(try buffer.read() == [1, 2, 3, 4, 5, 6] as [Float])
    let description = try buffer.description()
    #expect(description.shape == [2, 3])
    #expect(description.strides == [12, 4])
    #expect(description.elementCount == 6)
  }

  @Test func everyElementType() throws {
    func roundTrip<Element: TensorElement & Equatable>(_ values: [Element]) throws {
      let buffer = try Buffer(
        TensorDescription(Element.elementType, shape: [values.count]), on: cpu())
      try buffer.write(values)
      #expect(try buffer.read() == values)
      #expect(Element.elementType.size == MemoryLayout<Element>.size)
    }
    try roundTrip([Int8.min, 0, 1])
    try roundTrip([UInt8.max, 0, 1])
    try roundTrip([Int16.min, 0, 1])
    try roundTrip([UInt16.max, 0, 1])
    try roundTrip([Int32.min, 0, 1])
    try roundTrip([UInt32.max, 0, 1])
    try roundTrip([Int64.min, 0, 1])
    try roundTrip([UInt64.max, 0, 1])
    try roundTrip([Float.pi, 0, 1])
    #if !((os(macOS) || targetEnvironment(macCatalyst)) && arch(x86_64))
      try roundTrip([Float16.pi, 0, 1])
    #endif
    #expect(ElementType.bf16.name == "bf16")
    #expect(ElementType.undefined.size == 0)
  }

  @Test func lendsMemoryInScopes() throws {
    let buffer = try Buffer(TensorDescription(.int32, shape: [4]), on: cpu())
    try buffer.withMutableElements(of: Int32.self) { elements in
      for index in elements.indices { elements[index] = Int32(index * index) }
    }
    let sum = try buffer.withElements(of: Int32.self) { elements in
      var sum: Int32 = 0
      for index in elements.indices { sum += elements[index] }
      return sum
    }
    #expect(sum == 14)
    try buffer.withMutableBytes { bytes, description in
      #expect(bytes.byteCount == 16)
      #expect(description.elementType == .int32)
      bytes.storeBytes(of: 7, toByteOffset: 4, as: Int32.self)
    }
    let second = try buffer.withBytes { bytes, _ in
      bytes.unsafeLoad(fromByteOffset: 4, as: Int32.self)
    }
    #expect(second == 7)
    try buffer.withUnsafeMutableBytes { bytes, _ in
      bytes.storeBytes(of: -1, toByteOffset: 0, as: Int32.self)
    }
    #expect(try buffer.read() == [-1, 7, 4, 9] as [Int32])
  }

  @Test func paddedRowsKeepTheirStrides() throws {
    let buffer = try Buffer(
      TensorDescription(.fp32, shape: [2, 3], strides: [64, 4]), on: cpu())
    try buffer.write([1, 2, 3, 4, 5, 6] as [Float])
    try buffer.withElements(of: Float.self) { elements in
      #expect(elements[2] == 3)
      #expect(elements[16] == 4)
    }
    #expect(try buffer.read() == [1, 2, 3, 4, 5, 6] as [Float])
  }

  @Test func scopesEndWhenTheyThrow() throws {
    let buffer = try Buffer(TensorDescription(.fp32, shape: [4]), on: cpu())
    #expect(throws: Refusal()) {
      try buffer.withBytes { _, _ in throw Refusal() }
    }
    try buffer.write([1, 2, 3, 4] as [Float])
  }

  @Test func scopesNestAndKeepOthersOut() throws {
    let buffer = try Buffer(TensorDescription(.fp32, shape: [4]), on: cpu())
    try buffer.withElements(of: Float.self) { outer in
      try buffer.withElements(of: Float.self) { inner in #expect(inner.count == outer.count) }
      expectError(.busy) { try buffer.write([1, 2, 3, 4] as [Float]) }
    }
    try buffer.write([1, 2, 3, 4] as [Float])
  }

  @Test func refusesWhatDoesNotFit() throws {
    let device = try cpu()
    let buffer = try Buffer(TensorDescription(.fp32, shape: [4]), on: device)
    expectError(.typeMismatch) { try buffer.write([1, 2, 3, 4] as [Int32]) }
    expectError(.typeMismatch) { _ = try buffer.read(as: UInt8.self) }
    expectError(.typeMismatch) { try buffer.withElements(of: Int32.self) { _ in } }
    expectError(.shapeMismatch) { try buffer.write([1, 2, 3] as [Float]) }
    expectError(.shapeMismatch) {
      _ = try Buffer(TensorDescription(.fp32, shape: [0]), on: device)
    }
    expectError(.shapeMismatch) {
      _ = try Buffer(
        TensorDescription(.fp32, shape: [Int](repeating: 1, count: 9)), on: device)
    }
    expectError(.shapeMismatch) {
      _ = try Buffer(TensorDescription(.fp32, shape: [2, 2], strides: [8]), on: device)
    }
    expectError(.typeMismatch) {
      _ = try Buffer(TensorDescription(.undefined, shape: [1]), on: device)
    }
  }

  @Test func importsMemoryAndGivesItBackOnce() throws {
    let device = try cpu()
    let alignment = try device.info().bufferAlignment
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 256, alignment: alignment)
    defer { memory.deallocate() }
    memory.initializeMemory(as: UInt8.self, repeating: 0)
    let description = TensorDescription(.fp32, shape: [64])
    let releases = Box(0)
    let count: @Sendable () -> Void = { releases.update { $0 += 1 } }
    do {
      let buffer = try Buffer(importing: memory, as: description, on: device, release: count)
      try buffer.withMutableElements(of: Float.self) { $0[63] = 2.5 }
      #expect(releases.value == 0)
    }
    #expect(releases.value == 1)
    #expect(memory.load(fromByteOffset: 252, as: Float.self) == 2.5)

    let short = UnsafeMutableRawBufferPointer(rebasing: memory[..<128])
    expectError(.outOfRange) {
      _ = try Buffer(importing: short, as: description, on: device, release: count)
    }
    #expect(releases.value == 2)
    let odd = TensorDescription(.fp32, shape: [1], strides: [4, 4])
    expectError(.shapeMismatch) {
      _ = try Buffer(importing: memory, as: odd, on: device, release: count)
    }
    #expect(releases.value == 3)
  }

  @Test func surfacesAreRefusedOnTheCPU() throws {
    let device = try cpu()
    let description = TensorDescription(.fp16, shape: [1, 1, 1, 32])
    expectError(.unsupported) {
      _ = try Buffer(importingSurface: 1, as: description, on: device)
    }
    #expect(try Buffer(description, on: device).surfaceID == nil)
  }
}
