#if canImport(SwiftUI)
  import NotesModel
  import SwiftUI
  import UniformTypeIdentifiers

  /// Chooses a model, teaches it the notes, and shows how that goes.
  struct TrainingView: View {
    /// What the memory plan depends on.
    private struct PlanKey: Hashable {
      let model: BaseModel
      let settings: TrainingSettings
    }

    @Environment(AppModel.self) private var app
    @State private var isImporting = false
    @State private var isExporting = false

    private var tuning: FineTuning { app.tuning }

    var body: some View {
      Form {
        modelSection
        settingsSection
        progressSection
      }
      .formStyle(.grouped)
      .navigationTitle("Teach")
      .task(id: PlanKey(model: app.model, settings: tuning.settings)) {
        // A stepper that is held down changes the settings many times.
        try? await Task.sleep(for: .milliseconds(300))
        if !Task.isCancelled && !tuning.isBusy { await tuning.plan(for: app.model) }
      }
    }

    private var modelSection: some View {
      @Bindable var app = app
      return Section {
        Picker("Model", selection: $app.model) {
          ForEach(app.models, id: \.self) { model in
            Text(model.name).tag(model)
          }
        }
        Button("Choose a Model Folder…") { isImporting = true }
          .fileImporter(isPresented: $isImporting, allowedContentTypes: [.folder]) { result in
            if let folder = app.attempt({ try result.get() }) {
              Task { await app.importModel(folder) }
            }
          }
      } footer: {
        Text("A folder of Hugging Face: Llama, Qwen2.5 or Qwen3. Nothing leaves this device.")
      }
      .disabled(tuning.isBusy)
    }

    private var settingsSection: some View {
      @Bindable var tuning = app.tuning
      return Section {
        Stepper(
          "Steps: \(tuning.settings.steps)", value: $tuning.settings.steps, in: 20...2000, step: 20)
        Stepper(
          "Adapter size: \(tuning.settings.rank)", value: $tuning.settings.rank, in: 2...64, step: 2
        )
      } footer: {
        if let need = tuning.memoryNeed {
          Text(need.text).foregroundStyle(need.isAllowed ? Color.secondary : Color.red)
        }
      }
      .disabled(tuning.isBusy)
    }

    private var progressSection: some View {
      Section {
        TrainingStatus(tuning: tuning)
        if !tuning.losses.points.isEmpty { LossChart(points: tuning.losses.points) }
        buttons
      }
    }

    @ViewBuilder private var buttons: some View {
      if tuning.isBusy {
        Button("Cancel", role: .cancel) {
          Task { await tuning.cancel() }
        }
      } else {
        Button("Teach My Notes") {
          tuning.start(on: app.notes.notes, model: app.model)
        }
        .disabled(app.notes.notes.isEmpty || tuning.memoryNeed?.isAllowed == false)
        if tuning.canResume {
          Button("Resume") { tuning.resume() }
        }
        Button("Export the Adapter…") { isExporting = true }
          .disabled(!app.hasAdapter)
          .fileImporter(isPresented: $isExporting, allowedContentTypes: [.folder]) { result in
            if let folder = app.attempt({ try result.get() }) {
              Task { await app.exportAdapter(into: folder) }
            }
          }
      }
    }
  }
#endif
