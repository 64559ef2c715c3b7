#if canImport(SwiftUI)
  import NotesModel
  import SwiftUI

  /// Edits a note, and saves it when the user pauses.
  struct NoteEditor: View {
    @Environment(AppModel.self) private var app
    @State private var draft: Note

    init(note: Note) {
      _draft = State(initialValue: note)
    }

    var body: some View {
      VStack(alignment: .leading) {
        TextField("Title", text: $draft.title)
          .font(.title2)
          .textFieldStyle(.plain)
        Divider()
        TextEditor(text: $draft.body)
          .accessibilityLabel("Text of the note")
      }
      .padding()
      .navigationTitle(draft.title.isEmpty ? "New Note" : draft.title)
      .task(id: draft) {
        try? await Task.sleep(for: .milliseconds(500))
        if !Task.isCancelled { save() }
      }
      .onDisappear(perform: save)
    }

    private func save() {
      app.attempt { try app.notes.update(draft) }
    }
  }
#endif
