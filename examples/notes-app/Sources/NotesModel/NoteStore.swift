import Foundation
import Observation

/// The user's notes, in one file that always has all of them or, when a write fails, what it had.
@MainActor @Observable
public final class NoteStore {
  /// The latest change comes first.
  public private(set) var notes: [Note]
  private let file: URL

  /// Reads the notes; without a file there are none yet.
  /// - Throws: when the file is there and cannot be read. It is then left as it is.
  public init(folder: AppFolder) throws {
    file = folder.notesFile
    guard FileManager.default.fileExists(atPath: file.path) else {
      notes = []
      return
    }
    notes = Self.sorted(try JSONDecoder().decode([Note].self, from: Data(contentsOf: file)))
  }

  /// Adds a note.
  @discardableResult
  public func add(_ note: Note = Note()) throws -> Note {
    try replace(with: notes + [note])
    return note
  }

  /// Keeps the changes of a note, and its time when there are any. A note that was deleted stays so.
  public func update(_ note: Note) throws {
    guard let index = notes.firstIndex(where: { $0.id == note.id }) else { return }
    let known = notes[index]
    guard (known.title, known.body) != (note.title, note.body) else { return }
    var notes = notes
    notes[index] = note
    notes[index].edited = .now
    try replace(with: notes)
  }

  /// Deletes notes; those that are not here do nothing.
  public func delete(_ ids: Set<Note.ID>) throws {
    try replace(with: notes.filter { !ids.contains($0.id) })
  }

  private func replace(with notes: [Note]) throws {
    try makeParent(of: file)
    try JSONEncoder().encode(notes).write(to: file, options: .atomic)
    self.notes = Self.sorted(notes)
  }

  private static func sorted(_ notes: [Note]) -> [Note] {
    notes.sorted { $0.edited > $1.edited }
  }
}
