#if canImport(SwiftUI)
  import NotesModel
  import SwiftUI

  /// Notes and the two things that the app does with them.
  struct RootView: View {
    /// What the detail shows.
    private enum Page: Hashable {
      case note(Note.ID)
      case training
      case writing
    }

    @Environment(AppModel.self) private var app
    @State private var page: Page?

    var body: some View {
      @Bindable var app = app
      NavigationSplitView {
        List(selection: $page) {
          Section("Notes") {
            ForEach(app.notes.notes) { note in
              NavigationLink(value: Page.note(note.id)) {
                Text(note.title.isEmpty ? "New Note" : note.title)
              }
            }
            .onDelete(perform: delete)
          }
          Section("Model") {
            NavigationLink(value: Page.training) {
              Label("Teach", systemImage: "graduationcap")
            }
            NavigationLink(value: Page.writing) {
              Label("Complete", systemImage: "text.cursor")
            }
          }
        }
        .navigationTitle("Notes")
        .toolbar {
          Button("New Note", systemImage: "square.and.pencil", action: add)
        }
      } detail: {
        detail
      }
      .alert(isPresented: $app.isFailing, error: app.failure) { _ in
        Button("OK") { app.isFailing = false }
      } message: { error in
        Text("\(error.advice)\n\(error.detail)")
      }
    }

    @ViewBuilder private var detail: some View {
      switch page {
      case .note(let id):
        if let note = app.notes.notes.first(where: { $0.id == id }) {
          NoteEditor(note: note).id(id)
        }
      case .training:
        TrainingView()
      case .writing:
        WritingView()
      case nil:
        ContentUnavailableView("No Note", systemImage: "note.text")
      }
    }

    private func add() {
      if let note = app.attempt({ try app.notes.add() }) { page = .note(note.id) }
    }

    private func delete(at offsets: IndexSet) {
      let ids = Set(offsets.map { app.notes.notes[$0].id })
      app.attempt { try app.notes.delete(ids) }
    }
  }
#endif
