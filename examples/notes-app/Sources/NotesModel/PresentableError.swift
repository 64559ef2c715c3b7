import AneTrain
import Foundation

/// What went wrong, in words for the user, and in the library's for whoever helps.
public struct PresentableError: LocalizedError, Hashable, Sendable {
  /// What did not work.
  public let title: String
  /// What the user can do about it.
  public let advice: String
  /// As it was reported.
  public let detail: String

  /// Words for any error.
  public init(_ error: any Error) {
    switch error {
    case let error as PresentableError:
      self = error
      return
    case let error as AneTrainError:
      (title, advice) = Self.words(for: error.code)
    case is NothingToLearn:
      title = "There is nothing to learn yet"
      advice = "Write a note first."
    case is CocoaError:
      title = "A file could not be read or written"
      advice = "Check that there is room on the disk, and try again."
    default:
      title = "Something went wrong"
      advice = "Try again."
    }
    detail = error is NothingToLearn ? "" : String(describing: error)
  }

  static func words(for code: AneTrainError.Code) -> (title: String, advice: String) {
    switch code {
    case .memoryLimit, .outOfMemory:
      (
        "Training needs more memory than it may take",
        "Choose a smaller model, shorter rows or fewer rows at once."
      )
    case .diskFull: ("The disk is full", "Make room, then resume. Nothing that was saved is lost.")
    case .permission, .inputOutput:
      ("A file could not be read or written", "Check where the app keeps its files, and try again.")
    case .fileNotFound:
      ("Something is missing", "Choose a folder with config.json, tokenizer.json and safetensors.")
    case .unsupported, .unsupportedOption, .invalidConfiguration:
      ("This model cannot be used", "Choose a model of the Llama, Qwen2.5 or Qwen3 families.")
    case .invalidCheckpoint, .checksum, .version, .invalidData:
      ("Saved data does not fit", "Begin a new training.")
    case .numeric: ("Training went out of bounds", "Lower the learning rate.")
    case .unavailable, .device, .compileBudget:
      ("The processor refused the work", "Try again; if it goes on, restart the app.")
    default: ("Something went wrong", "Try again.")
    }
  }

  /// For interfaces that show `localizedDescription`.
  public var errorDescription: String? { title }
  /// For interfaces that show it.
  public var recoverySuggestion: String? { advice }
}
