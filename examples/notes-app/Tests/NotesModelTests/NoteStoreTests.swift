import Foundation
import Testing

@testable import NotesModel

@MainActor @Suite struct NoteStoreTests {
  let temporary: TemporaryFolder

  init() throws {
    temporary = try TemporaryFolder()
  }

  private func store() throws -> NoteStore {
    try NoteStore(folder: temporary.folder)
  }

  @Test func keepsNotesOnDisk() throws {
    let first = try store()
    #expect(first.notes.isEmpty)
    var note = try first.add(Note(title: "Boat"))
    try first.add(Note(title: "Garden"))
    note.body = "Third stone."
    try first.update(note)
    let second = try store()
    #expect(second.notes == first.notes)
    #expect(second.notes.map(\.title) == ["Boat", "Garden"])
    #expect(second.notes.first?.body == "Third stone.")
    try second.delete([note.id, UUID()])
    #expect(try store().notes.map(\.title) == ["Garden"])
  }

  @Test func onlyChangesCount() throws {
    let store = try store()
    let old = try store.add(Note(title: "Old", edited: .distantPast))
    try store.add(Note(title: "New"))
    try store.update(old)
    #expect(store.notes.map(\.title) == ["New", "Old"])
    #expect(store.notes.last?.edited == .distantPast)
    var changed = old
    changed.body = "Text"
    try store.update(changed)
    #expect(store.notes.map(\.title) == ["Old", "New"])
  }

  @Test func deletedNotesStayDeleted() throws {
    let store = try store()
    var note = try store.add()
    try store.delete([note.id])
    note.body = "An editor that was still open"
    try store.update(note)
    #expect(store.notes.isEmpty)
  }

  @Test func damagedFilesAreLeftAlone() throws {
    let damaged = Data("[{".utf8)
    try damaged.write(to: temporary.folder.notesFile)
    #expect(throws: DecodingError.self) { try store() }
    #expect(try Data(contentsOf: temporary.folder.notesFile) == damaged)
  }

  @Test func failedWritesChangeNothing() throws {
    let file = temporary.folder.url.appending(path: "file")
    try Data().write(to: file)
    let store = try NoteStore(folder: AppFolder(file.appending(path: "below")))
    #expect(throws: (any Error).self) { try store.add() }
    #expect(store.notes.isEmpty)
  }

  @Test func textsHaveTitlesAndNoBlankEdges() {
    #expect(Note(title: " Boat ", body: "\nThird stone.\n").text == "Boat\nThird stone.")
    #expect(Note(title: "Boat").text == "Boat")
    #expect(Note(title: " ", body: "\n").text.isEmpty)
  }
}
