import Foundation

/// What the user writes.
public struct Note: Codable, Hashable, Identifiable, Sendable {
  /// Stays the same when the note is edited.
  public let id: UUID
  /// One line.
  public var title: String
  /// Any number of lines.
  public var body: String
  /// The last change.
  public var edited: Date

  /// A note, empty but for what is given.
  public init(title: String = "", body: String = "", id: UUID = UUID(), edited: Date = .now) {
    self.id = id
    self.title = title
    self.body = body
    self.edited = edited
  }

  /// What a model learns of it; empty for an empty note.
  public var text: String {
    [title, body].map { $0.trimmingCharacters(in: .whitespacesAndNewlines) }
      .filter { !$0.isEmpty }.joined(separator: "\n")
  }
}
