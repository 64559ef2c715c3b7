#if canImport(SwiftUI)
  import NotesModel
  import SwiftUI

  struct NotesApp: App {
    @State private var app = NotesApp.open()

    var body: some Scene {
      WindowGroup {
        switch app {
        case .success(let app):
          RootView().environment(app)
        case .failure(let error):
          ContentUnavailableView(
            error.title, systemImage: "exclamationmark.triangle",
            description: Text("\(error.advice)\n\(error.detail)"))
        }
      }
    }

    @MainActor private static func open() -> Result<AppModel, PresentableError> {
      do {
        return .success(
          try AppModel(folder: AppFolder.standard(), conditions: SystemConditions()))
      } catch {
        return .failure(PresentableError(error))
      }
    }
  }
#endif
