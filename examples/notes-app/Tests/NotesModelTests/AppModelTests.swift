import Foundation
import Testing

@testable import NotesModel

@MainActor @Suite struct AppModelTests {
  @Test func tellsTheUserWhatFailed() async throws {
    let temporary = try TemporaryFolder()
    let app = try AppModel(folder: temporary.folder, device: oneThread())
    #expect(app.attempt { 1 } == 1)
    #expect(app.failure == nil)
    #expect(app.attempt { throw NothingToLearn() } == nil)
    #expect(app.failure == PresentableError(NothingToLearn()))
    await app.importModel(temporary.folder.url.appending(path: "none"))
    #expect(app.failure?.detail.contains("none") == true)
    #expect(app.model == .starter)
    #expect(app.isFailing)
    app.isFailing = false
    #expect(app.failure == nil)
    #expect(!app.hasAdapter)
    await app.exportAdapter(into: temporary.folder.url)
    #expect(app.failure != nil)
  }

  @Test func curvesStayShort() {
    var curve = LossCurve()
    for step in 1...5000 {
      curve.append(LossPoint(series: .learned, step: step, loss: 1 / Double(step)))
      if step.isMultiple(of: 20) {
        curve.append(LossPoint(series: .held, step: step, loss: 2))
      }
    }
    #expect((LossCurve.capacity / 2...LossCurve.capacity).contains(curve.points.count))
    #expect(curve.points.map(\.step) == curve.points.map(\.step).sorted())
    #expect(curve.points.last?.step == 5000)
    #expect(Set(curve.points.map(\.series)) == [.learned, .held])
  }
}
