import CAneTrain

/// Checkpoints: folders of safetensors and state.json, written atomically, checksummed.
public enum Checkpoint {
  /// Which of several checkpoints.
  public enum Choice: Int32, Sendable, CaseIterable {
    /// The one with the most steps.
    case latest = 0  // ANET_CHECKPOINT_LATEST
    /// The one with the lowest validation loss.
    case best = 1  // ANET_CHECKPOINT_BEST
  }

  /// The path of a checkpoint under a root; damaged ones are passed over.
  /// - Throws: ``AneTrainError/Code/notFound`` saying why each candidate was passed over.
  public static func find(
    _ choice: Choice = .latest, in root: String
  ) throws(AneTrainError) -> String {
    try text { anet_checkpoint_find(root, choice.rawValue, $0, $1, $2, $3) }
  }

  /// The state.json of a checkpoint after every file's checksum was verified.
  public static func state(of path: String) throws(AneTrainError) -> String {
    try text { anet_checkpoint_inspect(path, $0, $1, $2, $3) }
  }
}
