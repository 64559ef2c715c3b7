import CAneTrain
import Foundation

/// How a model writes a conversation down: its own Jinja template, or a built-in one.
///
/// Rendering is bounded in work and memory and has no side effect. Immutable, so any thread may use
/// it; that is why the date is given when the template is made.
public final class ChatTemplate: Sendable {
  let handle: Handle

  /// chat_template.jinja, or "chat_template" in tokenizer_config.json.
  /// - Parameters:
  ///   - directory: the model folder.
  ///   - date: the day that the template takes for today, in seconds since 1970, UTC; below the
  ///     year 10000; nil: today.
  /// - Throws: ``AneTrainError``: `notFound` when the folder has none, `invalidConfiguration` with
  ///   line and column, `unsupported` naming what of Jinja is not offered, `outOfRange` for a date.
  public convenience init(directory: String, date: Int64? = nil) throws(AneTrainError) {
    try self.init(
      Handle(anet_chat_template_release) { anet_chat_template_load(directory, $0, $1) }, date)
  }

  /// A built-in template: "chatml", "llama2", "llama3" or "zephyr".
  /// - Throws: ``AneTrainError/Code/notFound``.
  public convenience init(named name: String, date: Int64? = nil) throws(AneTrainError) {
    try self.init(
      Handle(anet_chat_template_release) { anet_chat_template_built_in(name, $0, $1) }, date)
  }

  /// A template's text.
  /// - Parameters:
  ///   - beginToken: what the template's variable `bos_token` holds.
  ///   - endToken: what the template's variable `eos_token` holds.
  ///   - date: as in ``init(directory:date:)``.
  public convenience init(
    parsing text: String, beginToken: String, endToken: String, date: Int64? = nil
  ) throws(AneTrainError) {
    try self.init(
      Handle(anet_chat_template_release) {
        anet_chat_template_parse(text, beginToken, endToken, $0, $1)
      }, date)
  }

  private init(_ handle: consuming Handle, _ date: Int64?) throws(AneTrainError) {
    self.handle = handle
    if let date {
      try check { anet_chat_template_set_date(self.handle.pointer, date, $0) }
    }
  }

  /// The text depends on the day: then two runs may train on different tokens unless they set the
  /// same date.
  public var usesDate: Bool {
    anet_chat_template_uses_date(handle.pointer) != 0
  }

  /// A conversation as text.
  /// - Parameters:
  ///   - messages: a JSON array of `{"role", "content", ...}`.
  ///   - tools: a JSON array; nil: none.
  ///   - variables: a JSON object of further variables: `{"enable_thinking": false}`; nil: none.
  ///   - generationPrompt: the text ends where the assistant is to go on.
  /// - Throws: ``AneTrainError/Code/invalidData`` with the template's words when it refuses the
  ///   conversation.
  public func render(
    json messages: String, tools: String? = nil, variables: String? = nil,
    generationPrompt: Bool = false
  ) throws(AneTrainError) -> String {
    try text {
      anet_chat_template_render(
        handle.pointer, messages, tools, variables, generationPrompt.flag, $0, $1, $2, $3)
    }
  }
}

/// One turn of a conversation.
public struct ChatMessage: Codable, Hashable, Sendable {
  /// "system", "user" or "assistant".
  public var role: String
  /// What was said.
  public var content: String

  /// A turn of anybody.
  public init(role: String, content: String) {
    self.role = role
    self.content = content
  }

  /// What the model is told first.
  public static func system(_ content: String) -> ChatMessage {
    ChatMessage(role: "system", content: content)
  }

  /// What the user says.
  public static func user(_ content: String) -> ChatMessage {
    ChatMessage(role: "user", content: content)
  }

  /// What the model says.
  public static func assistant(_ content: String) -> ChatMessage {
    ChatMessage(role: "assistant", content: content)
  }
}

extension ChatTemplate {
  /// A conversation as text; otherwise as ``render(json:tools:variables:generationPrompt:)``.
  public func render(
    _ messages: [ChatMessage], tools: String? = nil, variables: String? = nil,
    generationPrompt: Bool = false
  ) throws -> String {
    let json = String(decoding: try JSONEncoder().encode(messages), as: UTF8.self)
    return try render(
      json: json, tools: tools, variables: variables, generationPrompt: generationPrompt)
  }
}
