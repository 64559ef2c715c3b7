#if canImport(SwiftUI)
  import NotesModel
  import SwiftUI

  #if canImport(Charts)
    import Charts
  #endif

  /// What happens now, and how far it is.
  struct TrainingStatus: View {
    let tuning: FineTuning

    var body: some View {
      VStack(alignment: .leading) {
        Text(title)
        if case .failed(let error) = tuning.state {
          Text("\(error.advice)\n\(error.detail)")
            .font(.footnote)
            .foregroundStyle(.secondary)
            .textSelection(.enabled)
        }
        if let progress = tuning.progress {
          ProgressView(value: progress.fraction)
            .accessibilityLabel("Progress")
          Text(line(progress))
            .font(.footnote)
            .monospacedDigit()
        } else if tuning.isBusy {
          ProgressView()
            .accessibilityLabel("Preparing")
        }
      }
    }

    private var title: String {
      switch tuning.state {
      case .idle: "Nothing has been taught since the app was opened."
      case .preparing: "The model is being prepared."
      case .makingStarter: "The starter model learns to spell. That happens once."
      case .training: "Your notes are being learned."
      case .resting(let reason): reason.text
      case .cancelled: "Cancelled. Nothing is lost: resume when you like."
      case .finished: "Your notes have been learned."
      case .failed(let error): error.title
      }
    }

    private func line(_ progress: TrainingProgress) -> String {
      let loss = progress.loss.formatted(.number.precision(.fractionLength(3)))
      let speed = progress.tokensPerSecond.formatted(.number.precision(.fractionLength(0)))
      let left = Duration.seconds(progress.secondsLeft)
        .formatted(.units(allowed: [.hours, .minutes, .seconds], width: .narrow))
      return "Step \(progress.step) of \(progress.totalSteps), loss \(loss), "
        + "\(speed) tokens/s, \(left) left"
    }
  }

  /// What steps cost, on the notes that are learned and on the others.
  struct LossChart: View {
    let points: [LossPoint]

    var body: some View {
      #if canImport(Charts)
        Chart(points) { point in
          LineMark(x: .value("Step", point.step), y: .value("Loss", point.loss))
            .foregroundStyle(by: .value("Notes", point.series.rawValue))
        }
        .chartXAxisLabel("Step")
        .chartYAxisLabel("Loss")
        .frame(minHeight: 200)
        .accessibilityLabel("Loss by step")
      #else
        EmptyView()
      #endif
    }
  }
#endif
