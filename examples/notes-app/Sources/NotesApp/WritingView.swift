#if canImport(SwiftUI)
  import NotesModel
  import SwiftUI

  /// Completes a sentence, with the notes or without.
  struct WritingView: View {
    @Environment(AppModel.self) private var app

    var body: some View {
      @Bindable var writer = app.writer
      Form {
        Section {
          TextField("Begin a sentence", text: $writer.beginning)
            .onSubmit(complete)
          Toggle("Use what was learned from my notes", isOn: $writer.usesNotes)
            .disabled(!app.hasAdapter)
          if writer.isWriting {
            Button("Stop", role: .cancel) {
              Task { await writer.stop() }
            }
          } else {
            Button("Complete", action: complete)
              .disabled(writer.beginning.isEmpty || app.tuning.isBusy)
          }
        }
        if let failure = writer.failure {
          Section {
            Text(failure.title)
            Text("\(failure.advice)\n\(failure.detail)")
              .font(.footnote)
              .foregroundStyle(.secondary)
          }
        } else if !writer.completion.isEmpty {
          Section {
            Text(writer.beginning + writer.completion)
              .textSelection(.enabled)
              .accessibilityLabel("Completed sentence")
              .accessibilityValue(writer.beginning + writer.completion)
          }
        }
      }
      .formStyle(.grouped)
      .navigationTitle("Complete")
    }

    private func complete() {
      guard !app.tuning.isBusy else { return }
      app.writer.complete(with: app.model)
    }
  }
#endif
