// What both actors need: a thread of their own, runs that can be stopped, events that are waited for.

import Dispatch
import Foundation

/// Runs an actor whose calls block for seconds on a thread of its own. (A dispatch queue would not
/// do: on Linux its threads are those of the cooperative pool.)
final class BlockingExecutor: SerialExecutor {
  private let jobs = Jobs()

  init(label: String) {
    let thread = Thread { [jobs] in jobs.run() }
    thread.name = label
    thread.start()
  }

  deinit {
    jobs.end()
  }

  func enqueue(_ job: consuming ExecutorJob) {
    jobs.add(UnownedJob(job), of: self)
  }

  /// What the thread shares with the executor, which may end before it.
  private final class Jobs: @unchecked Sendable {
    private let condition = NSCondition()
    private var waiting: [(job: UnownedJob, executor: BlockingExecutor)] = []
    private var isEnded = false

    func add(_ job: UnownedJob, of executor: BlockingExecutor) {
      condition.withLock { waiting.append((job, executor)) }
      condition.signal()
    }

    func end() {
      condition.withLock { isEnded = true }
      condition.signal()
    }

    func run() {
      while let next = next() {
        next.job.runSynchronously(on: next.executor.asUnownedSerialExecutor())
      }
    }

    private func next() -> (job: UnownedJob, executor: BlockingExecutor)? {
      condition.withLock {
        while waiting.isEmpty && !isEnded { condition.wait() }
        return waiting.isEmpty ? nil : waiting.removeFirst()
      }
    }
  }
}

/// A value that one thread at a time sees.
final class Locked<State>: @unchecked Sendable {
  private let lock = NSLock()
  private var state: State

  init(_ state: State) {
    self.state = state
  }

  func withLock<Result>(_ body: (inout State) throws -> Result) rethrows -> Result {
    try lock.withLock { try body(&state) }
  }
}

/// Stops one call of a session or generator, from any thread: before it begins, or while it runs,
/// but never the call that comes after it.
final class RunControl: Sendable {
  private struct State {
    var isStopped = false
    var isRunning = false
  }

  private let state = Locked(State())
  private let canceller: Canceller

  init(_ canceller: Canceller) {
    self.canceller = canceller
  }

  var isStopped: Bool {
    state.withLock { $0.isStopped }
  }

  func stop() {
    state.withLock { $0.isStopped = true }
    cancel()
  }

  /// A cancellation that comes just before C enters its call is lost; that is why it is repeated
  /// until the call has ended.
  private func cancel() {
    let isRunning = state.withLock {
      if $0.isRunning { canceller.cancel() }
      return $0.isRunning
    }
    guard isRunning else { return }
    DispatchQueue.global().asyncAfter(deadline: .now() + .milliseconds(2)) { self.cancel() }
  }

  /// - Throws: `CancellationError` when it was stopped.
  func run<Result>(_ body: () throws -> Result) throws -> Result {
    let begins = state.withLock {
      $0.isRunning = !$0.isStopped
      return $0.isRunning
    }
    guard begins else { throw CancellationError() }
    defer { state.withLock { $0.isRunning = false } }
    do {
      return try body()
    } catch let error as AneTrainError where error.code == .cancelled && isStopped {
      throw CancellationError()
    }
  }
}

/// Events on their way from a worker to whoever reads them.
final class EventChannel<Event: Sendable>: Sendable {
  private struct State {
    var events: [Event] = []
    var readers: [CheckedContinuation<Event?, any Error>] = []
    var end: Result<Void, any Error>?
  }

  private let state = Locked(State())
  private let replaces: @Sendable (Event, Event) -> Bool

  /// - Parameter replaces: whether an event takes the place of the one before it when that was not
  ///   read yet.
  init(replaces: @escaping @Sendable (Event, Event) -> Bool) {
    self.replaces = replaces
  }

  func send(_ event: Event) {
    let reader: CheckedContinuation<Event?, any Error>? = state.withLock { state in
      if !state.readers.isEmpty { return state.readers.removeFirst() }
      if let last = state.events.last, replaces(event, last) { state.events.removeLast() }
      state.events.append(event)
      return nil
    }
    reader?.resume(returning: event)
  }

  func end(_ result: Result<Void, any Error>) {
    let readers = state.withLock { state in
      state.end = result
      defer { state.readers = [] }
      return state.readers
    }
    for reader in readers { reader.resume(with: result.map { nil }) }
  }

  /// nil: the worker has ended. Otherwise waits, even when the task is cancelled: the worker is
  /// told, and ends soon.
  func next() async throws -> Event? {
    try await withCheckedThrowingContinuation { reader in
      let ready: Result<Event?, any Error>? = state.withLock { state in
        if !state.events.isEmpty { return .success(state.events.removeFirst()) }
        if let end = state.end { return end.map { nil } }
        state.readers.append(reader)
        return nil
      }
      if let ready { reader.resume(with: ready) }
    }
  }
}

/// A call that works on an actor while others read its events.
struct Run<Event: Sendable>: Sendable {
  /// Ends the run when nobody can read it any more.
  let events: AsyncThrowingStream<Event, any Error>
  private let control: RunControl
  private let worker: Task<Void, Never>

  init(
    _ canceller: Canceller,
    replaces: @escaping @Sendable (Event, Event) -> Bool,
    work: @escaping @Sendable (RunControl, EventChannel<Event>) async throws -> Void
  ) {
    let control = RunControl(canceller)
    let channel = EventChannel(replaces: replaces)
    worker = Task {
      do {
        try await work(control, channel)
        channel.end(.success(()))
      } catch {
        channel.end(.failure(error))
      }
    }
    let reader = Reader(control)
    events = AsyncThrowingStream {
      try await withTaskCancellationHandler {
        try await channel.next()
      } onCancel: {
        reader.control.stop()
      }
    }
    self.control = control
  }

  /// Returns when the worker has ended.
  func stop() async {
    control.stop()
    await worker.value
  }
}

/// Lives as long as somebody can read a run's events.
private final class Reader: Sendable {
  let control: RunControl

  init(_ control: RunControl) {
    self.control = control
  }

  deinit {
    control.stop()
  }
}
