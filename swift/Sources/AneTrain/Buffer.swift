import CAneTrain

#if canImport(IOSurface)
  import IOSurface
#endif

/// Memory that kernels read and write. One thread at a time.
public final class Buffer {
  let handle: Handle

  /// Allocates a buffer full of zeros.
  /// - Throws: ``AneTrainError``: `typeMismatch` for an undefined element type, `shapeMismatch`
  ///   for extents below 1, strides that overlap or a size that overflows.
  public init(_ description: TensorDescription, on device: Device) throws(AneTrainError) {
    var native = try description.native()
    handle = try Handle(anet_buffer_release) {
      anet_buffer_create(device.handle.pointer, &native, $0, $1)
    }
  }

  /// Wraps the caller's memory without copying.
  /// - Parameters:
  ///   - memory: aligned to ``DeviceInfo/bufferAlignment``; it lives until `release` is called.
  ///   - release: is called exactly once, on any thread, also when this initializer throws.
  /// - Throws: ``AneTrainError``: `invalidArgument` for misaligned memory, `outOfRange` when it is
  ///   smaller than the description needs, `unsupported` where the device cannot share memory.
  public init(
    importing memory: UnsafeMutableRawBufferPointer,
    as description: TensorDescription,
    on device: Device,
    release: @escaping @Sendable () -> Void
  ) throws(AneTrainError) {
    let owner = MemoryOwner(release)
    var native = try description.native()
    handle = try Handle(anet_buffer_release) {
      anet_buffer_import(
        device.handle.pointer, memory.baseAddress, memory.count, &native,
        { Unmanaged<MemoryOwner>.fromOpaque($0!).release() },
        Unmanaged.passRetained(owner).toOpaque(), $0, $1)
    }
  }

  init(_ handle: consuming Handle) {
    self.handle = handle
  }

  /// Element type, shape and strides.
  public func description() throws(AneTrainError) -> TensorDescription {
    try TensorDescription(.filled { anet_buffer_get_desc(handle.pointer, $0, $1) })
  }

  /// Copies elements in, row-major and without padding.
  /// - Throws: ``AneTrainError``: `typeMismatch` for other elements than the buffer's,
  ///   `shapeMismatch` for another number of them, `busy` in a scope that accesses the buffer.
  public func write<Element: TensorElement>(_ elements: [Element]) throws(AneTrainError) {
    try require(Element.self)
    try check { error in
      elements.withUnsafeBytes {
        anet_buffer_write(handle.pointer, $0.baseAddress, $0.count, error)
      }
    }
  }

  /// Copies all elements out, row-major and without padding. Errors as ``write(_:)``.
  public func read<Element: TensorElement>(
    as type: Element.Type = Element.self
  ) throws(AneTrainError) -> [Element] {
    let count = try require(type).elementCount
    let copy = UnsafeMutableBufferPointer<Element>.allocate(capacity: count)
    defer { copy.deallocate() }
    try check {
      anet_buffer_read(
        handle.pointer, copy.baseAddress, count * MemoryLayout<Element>.stride, $0)
    }
    return Array(copy)
  }

  /// Lends the memory for reading, padding included: an element's offset is the sum of its indices
  /// times the strides of the description.
  ///
  /// A run that uses the buffer meanwhile throws `busy`. Scopes nest.
  public func withBytes<Result>(
    _ body: (RawSpan, TensorDescription) throws -> Result
  ) throws -> Result {
    try mapped(ANET_MAP_READ) { try body(UnsafeRawBufferPointer($0).bytes, $1) }
  }

  /// Lends the memory for reading and writing. Otherwise as ``withBytes(_:)``.
  public func withMutableBytes<Result>(
    _ body: (inout MutableRawSpan, TensorDescription) throws -> Result
  ) throws -> Result {
    try mapped(ANET_MAP_READ_WRITE) { memory, description in
      var bytes = memory.mutableBytes
      return try body(&bytes, description)
    }
  }

  /// Lends the elements for reading, padding included. Otherwise as ``withBytes(_:)``.
  /// - Throws: ``AneTrainError/Code/typeMismatch`` for other elements than the buffer's.
  public func withElements<Element: TensorElement, Result>(
    of type: Element.Type, _ body: (Span<Element>) throws -> Result
  ) throws -> Result {
    try require(type)
    return try mapped(ANET_MAP_READ) { memory, _ in
      try body(UnsafeBufferPointer(memory.assumingMemoryBound(to: type)).span)
    }
  }

  /// Lends the elements for reading and writing. Otherwise as ``withElements(of:_:)``.
  public func withMutableElements<Element: TensorElement, Result>(
    of type: Element.Type, _ body: (inout MutableSpan<Element>) throws -> Result
  ) throws -> Result {
    try require(type)
    return try mapped(ANET_MAP_READ_WRITE) { memory, _ in
      var elements = memory.assumingMemoryBound(to: type).mutableSpan
      return try body(&elements)
    }
  }

  /// Lends the memory for writing as a pointer, which must not leave the scope: for functions that
  /// take one. Otherwise as ``withBytes(_:)``.
  public func withUnsafeMutableBytes<Result>(
    _ body: (UnsafeMutableRawBufferPointer, TensorDescription) throws -> Result
  ) throws -> Result {
    try mapped(ANET_MAP_WRITE, body)
  }

  private func mapped<Result>(
    _ access: Int, _ body: (UnsafeMutableRawBufferPointer, TensorDescription) throws -> Result
  ) throws -> Result {
    let view = try anet_buffer_view.filled {
      anet_buffer_map(handle.pointer, anet_map_access(access), $0, $1)
    }
    let result = Swift.Result {
      try body(
        UnsafeMutableRawBufferPointer(start: view.data, count: view.size_bytes),
        TensorDescription(view.desc))
    }
    try check { anet_buffer_unmap(handle.pointer, $0) }
    return try result.get()
  }

  @discardableResult
  private func require<Element: TensorElement>(
    _ type: Element.Type
  ) throws(AneTrainError) -> TensorDescription {
    let description = try description()
    guard description.elementType == type.elementType else {
      throw AneTrainError(
        .typeMismatch,
        "expected elements of \(description.elementType.name), seen \(type.elementType.name)")
    }
    return description
  }
}

/// Calls its closure when the library lets go of it.
private final class MemoryOwner: Sendable {
  private let release: @Sendable () -> Void
  init(_ release: @escaping @Sendable () -> Void) { self.release = release }
  deinit { release() }
}

extension Buffer {
  #if canImport(IOSurface)
    /// Wraps a surface without copying; it is retained until the buffer ends.
    ///
    /// Rows of a surface that the Neural Engine reads are padded to 64 bytes: take the strides from
    /// ``Kernel/inputs`` or ``Kernel/outputs``.
    /// - Throws: ``AneTrainError``: `unsupported` where the device has no surfaces, `typeMismatch`
    ///   or `shapeMismatch` for a bad description, `outOfRange` when the surface is too small.
    public convenience init(
      importing surface: IOSurfaceRef, as description: TensorDescription, on device: Device
    ) throws(AneTrainError) {
      try self.init(
        importing: Unmanaged.passUnretained(surface).toOpaque(), as: description, on: device)
    }

    /// The buffer's surface; nil for ordinary memory. Lock it around accesses, as every surface.
    public var surface: IOSurfaceRef? {
      anet_buffer_get_iosurface(handle.pointer).map {
        Unmanaged<IOSurfaceRef>.fromOpaque($0).takeUnretainedValue()
      }
    }
  #endif

  convenience init(
    importing surface: UnsafeMutableRawPointer, as description: TensorDescription,
    on device: Device
  ) throws(AneTrainError) {
    var native = try description.native()
    self.init(
      try Handle(anet_buffer_release) {
        anet_buffer_import_iosurface(device.handle.pointer, surface, &native, $0, $1)
      })
  }

  /// Wraps a surface of another process, by the number that `IOSurfaceGetID` gave there.
  /// - Throws: ``AneTrainError``: `notFound` for an unknown number, `unsupported` where the device
  ///   has no surfaces.
  public convenience init(
    importingSurface id: UInt32, as description: TensorDescription, on device: Device
  ) throws(AneTrainError) {
    var native = try description.native()
    self.init(
      try Handle(anet_buffer_release) {
        anet_buffer_import_iosurface_id(device.handle.pointer, id, &native, $0, $1)
      })
  }

  /// The number of the buffer's surface; nil for ordinary memory.
  public var surfaceID: UInt32? {
    let id = anet_buffer_get_iosurface_id(handle.pointer)
    return id == 0 ? nil : id
  }
}

extension anet_buffer_view: SizedStruct {}
