/// Why training waits for a while.
public enum RestReason: String, Sendable {
  /// The user does something else.
  case background
  /// The device is hot.
  case heat

  /// For people.
  public var text: String {
    switch self {
    case .background: "Paused while the app is in the background."
    case .heat: "Paused until the device has cooled down."
    }
  }
}

/// Tells when the device has better things to do than to train.
public protocol DeviceConditions: Sendable {
  /// What holds now, then every change; nil: training may go on. Does not end by itself.
  func restReasons() -> AsyncStream<RestReason?>
}

/// Conditions that are always good.
public struct ConstantConditions: DeviceConditions {
  /// For tests and tools.
  public init() {}

  /// Training may go on.
  public func restReasons() -> AsyncStream<RestReason?> {
    AsyncStream { $0.yield(nil) }
  }
}
