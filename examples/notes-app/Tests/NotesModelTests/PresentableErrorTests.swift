import AneTrain
import Foundation
import Testing

@testable import NotesModel

@Suite struct PresentableErrorTests {
  @Test(arguments: [
    (AneTrainError.Code.memoryLimit, "Training needs more memory than it may take"),
    (.diskFull, "The disk is full"), (.permission, "A file could not be read or written"),
    (.fileNotFound, "Something is missing"), (.unsupported, "This model cannot be used"),
    (.checksum, "Saved data does not fit"), (.numeric, "Training went out of bounds"),
    (.device, "The processor refused the work"), (.internal, "Something went wrong"),
    (AneTrainError.Code(rawValue: 12345), "Something went wrong"),
  ])
  func hasWordsForEveryCode(code: AneTrainError.Code, title: String) {
    #expect(PresentableError.words(for: code).title == title)
    #expect(!PresentableError.words(for: code).advice.isEmpty)
  }

  @Test func keepsWhatTheLibrarySaid() throws {
    let error = #expect(throws: AneTrainError.self) { try Tokenizer(contentsOf: "/no/such/file") }
    let words = PresentableError(try #require(error))
    #expect(words.title == "Something is missing")
    #expect(words.detail.contains("/no/such/file"))
    #expect(words.localizedDescription == words.title)
    #expect(PresentableError(words) == words)
  }

  @Test func knowsErrorsOfFiles() {
    let error = #expect(throws: (any Error).self) {
      try Data(contentsOf: URL(filePath: "/no/such/file"))
    }
    #expect(error.map { PresentableError($0).title } == "A file could not be read or written")
  }
}
