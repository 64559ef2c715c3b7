import AneTrain

/// How far a training is.
public struct TrainingProgress: Hashable, Sendable {
  /// Steps that are done.
  public let step: Int
  /// Of the whole training.
  public let totalSteps: Int
  /// Of the last step, in nats a token.
  public let loss: Double
  /// Learned tokens a second, in the last steps.
  public let tokensPerSecond: Double
  /// Until the last step, at the speed of the last ones.
  public let secondsLeft: Double

  /// From 0 to 1.
  public var fraction: Double {
    totalSteps > 0 ? Double(step) / Double(totalSteps) : 0
  }

  /// After a step, and those that were before it.
  init(after step: StepSummary, of totalSteps: Int, previous: TrainingProgress?) {
    let speed = Double(step.tokens) / max(step.seconds, 1e-9)
    let left = Double(max(totalSteps - step.step, 0))
    let isFollowing = previous.map { $0.step < step.step && $0.step < $0.totalSteps } ?? false
    self.step = step.step
    self.totalSteps = totalSteps
    loss = step.loss
    if let previous, isFollowing {
      let seconds = previous.secondsLeft / Double(previous.totalSteps - previous.step)
      tokensPerSecond = Self.smoothed(previous.tokensPerSecond, speed)
      secondsLeft = left * Self.smoothed(seconds, step.seconds)
    } else {
      tokensPerSecond = speed
      secondsLeft = left * step.seconds
    }
  }

  private static func smoothed(_ past: Double, _ now: Double) -> Double {
    0.8 * past + 0.2 * now
  }
}

/// A point of the curve that people watch.
public struct LossPoint: Hashable, Identifiable, Sendable {
  /// Which curve.
  public enum Series: String, Sendable {
    /// Notes that are learned.
    case learned = "Learned notes"
    /// Notes that are held back.
    case held = "Other notes"
  }

  /// Which curve.
  public let series: Series
  /// Steps that are done.
  public let step: Int
  /// In nats a token.
  public let loss: Double

  /// There is one point a step in each curve.
  public var id: String {
    "\(series.rawValue) \(step)"
  }
}

/// Both curves, with as many points as a chart can show.
public struct LossCurve: Hashable, Sendable {
  /// In order of time.
  public private(set) var points: [LossPoint] = []
  static let capacity = 800

  /// When there are too many points, every second of each curve goes.
  mutating func append(_ point: LossPoint) {
    points.append(point)
    guard points.count > Self.capacity else { return }
    var seen: [LossPoint.Series: Int] = [:]
    points.removeAll { point in
      seen[point.series, default: 0] += 1
      return seen[point.series, default: 0].isMultiple(of: 2)
    }
  }
}
