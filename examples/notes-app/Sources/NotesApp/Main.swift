import Foundation
import NotesModel

@main
enum Main {
  @MainActor static func main() {
    #if canImport(SwiftUI)
      guard CommandLine.arguments.contains("--demo") else { return NotesApp.main() }
    #else
      print("NotesApp is an app for macOS and iOS. Without SwiftUI it shows what its model does.")
    #endif
    Task {
      do {
        try await Demo.run()
        exit(EXIT_SUCCESS)
      } catch {
        let error = PresentableError(error)
        FileHandle.standardError.write(Data("\(error.title). \(error.detail)\n".utf8))
        exit(EXIT_FAILURE)
      }
    }
    dispatchMain()
  }
}
