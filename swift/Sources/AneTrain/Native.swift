// What every file needs to speak to C: handles, errors, sized structs, strings.

import CAneTrain

/// Owns one reference to a C object.
///
/// `Sendable`, because releases are allowed on any thread; whether the calls are is for the class
/// that has the handle to say. That class stays alive during its methods, so the pointer is valid
/// in every call that a method makes.
struct Handle: ~Copyable, @unchecked Sendable {
  typealias Release = @convention(c) (OpaquePointer?) -> Void

  let pointer: OpaquePointer
  private let release: Release

  /// Takes over the reference that `create` makes.
  init(
    _ release: Release,
    _ create: (UnsafeMutablePointer<OpaquePointer?>, ErrorSlot) -> anet_status
  ) throws(AneTrainError) {
    if let mismatch = AneTrainLibrary.mismatch { throw mismatch }
    var created: OpaquePointer?
    try check { create(&created, $0) }
    guard let created else {
      throw AneTrainError(.internal, "expected a new object, seen none")
    }
    self.init(owning: created, release)
  }

  init(owning pointer: OpaquePointer, _ release: Release) {
    self.pointer = pointer
    self.release = release
  }

  deinit {
    release(pointer)
  }
}

/// Where a C call leaves its error object.
typealias ErrorSlot = UnsafeMutablePointer<OpaquePointer?>

/// Makes a C call and throws what it reports.
func check(_ call: (ErrorSlot) -> anet_status) throws(AneTrainError) {
  var error: OpaquePointer?
  let status = call(&error)
  guard status == anet_status(ANET_OK) else {
    throw AneTrainError(status: status, consuming: error)
  }
}

/// A C struct whose first field is its size.
protocol SizedStruct {
  init()
  var struct_size: UInt32 { get set }
}

extension SizedStruct {
  /// All zero but for the size: every field has its default.
  static var sized: Self {
    var value = Self()
    value.struct_size = UInt32(MemoryLayout<Self>.size)
    return value
  }

  /// What a C call writes into a struct.
  static func filled(
    _ call: (UnsafeMutablePointer<Self>, ErrorSlot) -> anet_status
  ) throws(AneTrainError) -> Self {
    var value = Self.sized
    try check { call(&value, $0) }
    return value
  }
}

/// Text of a C call that first tells its length.
func text(
  _ call: (UnsafeMutablePointer<CChar>?, Int, UnsafeMutablePointer<Int>, ErrorSlot) -> anet_status
) throws(AneTrainError) -> String {
  let bytes = try array(terminator: 1, call)
  return string(bytes)
}

/// An array of a C call that first tells its count.
/// - Parameter terminator: elements that C writes behind the array.
func array<Element: BitwiseCopyable>(
  terminator: Int = 0,
  _ call: (UnsafeMutablePointer<Element>?, Int, UnsafeMutablePointer<Int>, ErrorSlot) -> anet_status
) throws(AneTrainError) -> [Element] {
  var count = 0
  try check { call(nil, 0, &count, $0) }
  guard count > 0 else { return [] }
  let capacity = count + terminator
  let elements = UnsafeMutablePointer<Element>.allocate(capacity: capacity)
  defer { elements.deallocate() }
  try check { call(elements, capacity, &count, $0) }
  return Array(UnsafeBufferPointer(start: elements, count: count))
}

/// An array of a C call that works for it each time, with room for `guess` elements at first.
func array<Element: BitwiseCopyable>(
  guess: Int,
  _ call: (UnsafeMutablePointer<Element>?, Int, UnsafeMutablePointer<Int>, ErrorSlot) -> anet_status
) throws(AneTrainError) -> [Element] {
  var capacity = max(guess, 1)
  while true {
    let elements = UnsafeMutablePointer<Element>.allocate(capacity: capacity)
    defer { elements.deallocate() }
    var count = 0
    do {
      try check { call(elements, capacity, &count, $0) }
      return Array(UnsafeBufferPointer(start: elements, count: count))
    } catch  where error.code == .outOfRange && count > capacity {
      capacity = count
    }
  }
}

/// A number in the width that C has for it.
func narrow<Number: FixedWidthInteger>(
  _ value: some FixedWidthInteger, _ name: StaticString
) throws(AneTrainError) -> Number {
  guard let number = Number(exactly: value) else {
    throw AneTrainError(
      .outOfRange, "expected '\(name)' from \(Number.min) to \(Number.max), seen \(value)")
  }
  return number
}

/// One of the choices that this package knows.
func known<Choice: RawRepresentable>(
  _ value: Int32
) throws(AneTrainError) -> Choice where Choice.RawValue == Int32 {
  guard let choice = Choice(rawValue: value) else {
    throw AneTrainError(
      .version, "expected a \(Choice.self) that this package knows, seen \(value)")
  }
  return choice
}

/// Borrowed text; "" for NULL.
func string(_ text: UnsafePointer<CChar>?) -> String {
  text.map { String(cString: $0) } ?? ""
}

/// Text with its length, not terminated.
func string(_ bytes: some Sequence<CChar>) -> String {
  String(decoding: bytes.map(UInt8.init(bitPattern:)), as: UTF8.self)
}

extension Bool {
  var flag: Int32 { self ? 1 : 0 }
}

/// What the pointers of C structs point to during one call.
struct Arena: ~Copyable {
  private var allocations: [UnsafeMutableRawPointer] = []

  fileprivate init() {}

  deinit {
    for allocation in allocations { allocation.deallocate() }
  }

  /// Null-terminated; NULL for nil.
  mutating func string(_ text: String?) -> UnsafePointer<CChar>? {
    guard let text else { return nil }
    return array(text.utf8.map(CChar.init(bitPattern:)) + [0])
  }

  /// NULL for an empty array.
  mutating func array<Element: BitwiseCopyable>(_ elements: [Element]) -> UnsafePointer<Element>? {
    guard !elements.isEmpty else { return nil }
    let copy = UnsafeMutableBufferPointer<Element>.allocate(capacity: elements.count)
    _ = copy.initialize(from: elements)
    allocations.append(UnsafeMutableRawPointer(copy.baseAddress!))
    return UnsafePointer(copy.baseAddress!)
  }

  /// Null-terminated strings; NULL for none.
  mutating func strings(_ texts: [String]) -> UnsafePointer<UnsafePointer<CChar>?>? {
    var pointers: [UnsafePointer<CChar>?] = []
    for text in texts { pointers.append(string(text)) }
    return array(pointers)
  }

  /// One string with commas; NULL for none.
  mutating func list(_ texts: [String]) -> UnsafePointer<CChar>? {
    texts.isEmpty ? nil : string(texts.joined(separator: ","))
  }

  mutating func value<Value: BitwiseCopyable>(_ value: Value) -> UnsafePointer<Value>? {
    array([value])
  }
}

/// Lends an arena that lives as long as `body`.
func withArena<Result: ~Copyable>(
  _ body: (inout Arena) throws(AneTrainError) -> Result
) throws(AneTrainError) -> Result {
  var arena = Arena()
  return try body(&arena)
}

/// A closure that C calls while it runs, and what the closure threw.
final class Callback<Input, Output> {
  private let body: (Input) throws -> Output
  fileprivate var error: (any Error)?

  fileprivate init(_ body: @escaping (Input) throws -> Output) {
    self.body = body
  }

  static func from(_ userData: UnsafeMutableRawPointer?) -> Callback {
    Unmanaged.fromOpaque(userData!).takeUnretainedValue()
  }

  /// nil: the closure threw, now or before.
  func callAsFunction(_ input: Input) -> Output? {
    guard error == nil else { return nil }
    do {
      return try body(input)
    } catch {
      self.error = error
      return nil
    }
  }
}

/// Makes a C call that gets a closure as its user data. What the closure throws is thrown here
/// once C has returned.
func withCallback<Input, Output, Result: ~Copyable>(
  _ body: (Input) throws -> Output,
  _ call: (UnsafeMutableRawPointer) throws(AneTrainError) -> Result
) throws -> Result {
  try withoutActuallyEscaping(body) { body in
    let callback = Callback(body)
    return try withExtendedLifetime(callback) {
      do {
        let result = try call(Unmanaged.passUnretained(callback).toOpaque())
        if let error = callback.error { throw error }
        return result
      } catch {
        throw callback.error ?? error
      }
    }
  }
}
