#if canImport(SwiftUI)
  import Foundation
  import NotesModel

  #if canImport(UIKit)
    import UIKit
  #endif

  /// Heat and, on iOS, the background, as the system tells them.
  struct SystemConditions: DeviceConditions {
    func restReasons() -> AsyncStream<RestReason?> {
      AsyncStream { continuation in
        let tell: @Sendable () -> Void = {
          Task { @MainActor in continuation.yield(Self.reason) }
        }
        let observation = Observation(of: Self.changes, tell)
        continuation.onTermination = { _ in observation.stop() }
        tell()
      }
    }

    private static var changes: [Notification.Name] {
      #if canImport(UIKit)
        return [
          ProcessInfo.thermalStateDidChangeNotification,
          UIApplication.didEnterBackgroundNotification,
          UIApplication.didBecomeActiveNotification,
        ]
      #else
        return [ProcessInfo.thermalStateDidChangeNotification]
      #endif
    }

    @MainActor private static var reason: RestReason? {
      #if canImport(UIKit)
        if UIApplication.shared.applicationState == .background { return .background }
      #endif
      return switch ProcessInfo.processInfo.thermalState {
      case .serious, .critical: .heat
      default: nil
      }
    }
  }

  /// Listens to notifications until it is told to stop. Any thread may do that: the tokens are only
  /// given back.
  private final class Observation: @unchecked Sendable {
    private let tokens: [any NSObjectProtocol]

    init(of names: [Notification.Name], _ changed: @escaping @Sendable () -> Void) {
      tokens = names.map { name in
        NotificationCenter.default.addObserver(forName: name, object: nil, queue: nil) { _ in
          changed()
        }
      }
    }

    func stop() {
      for token in tokens { NotificationCenter.default.removeObserver(token) }
    }
  }
#endif
