import AneTrain
import Foundation
import Testing

@Suite struct TokenizerTests {
  @Test func bytes() throws {
    let tokenizer = try Tokenizer.bytes()
    #expect(tokenizer.vocabularySize == 258)
    #expect(tokenizer.beginID == 256)
    #expect(tokenizer.endID == 257)
    #expect(tokenizer.fingerprint.count == 64)
    #expect(try tokenizer.encode("hé") == [104, 195, 169])
    #expect(try tokenizer.encode("a", options: [.addBegin, .addEnd]) == [256, 97, 257])
    #expect(try tokenizer.encode("") == [])
    #expect(try tokenizer.decode([104, 195, 169]) == "hé")
    #expect(try tokenizer.decode([195]) == "\u{FFFD}")
    #expect(try tokenizer.decode([]) == "")
    #expect(try tokenizer.encode("a\0b") == [97, 0, 98])
    expectError(.outOfRange) { _ = try tokenizer.decode([999]) }
    expectError(.notFound) { _ = try tokenizer.id(ofSpecial: "<|im_end|>") }
  }

  @Test func tellsWhereTokensComeFrom() throws {
    let tokens = try Tokenizer.bytes().tokens(of: "ab", options: .addBegin)
    #expect(tokens.map(\.id) == [256, 97, 98])
    #expect(
      tokens.map(\.bytes) == [
        tokens[0].bytes.lowerBound..<tokens[0].bytes.lowerBound, 0..<1, 1..<2,
      ])
  }

  @Test func loadsTokenizerFiles() throws {
    try withFolder { folder in
      let json = """
        {"version": "1.0", "added_tokens": [{"id": 3, "content": "<end>", "special": true,
          "single_word": false, "lstrip": false, "rstrip": false, "normalized": false}],
         "normalizer": null,
         "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true,
           "use_regex": true},
         "post_processor": null,
         "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true,
           "use_regex": true},
         "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]}}
        """
      try json.write(toFile: folder + "/tokenizer.json", atomically: true, encoding: .utf8)
      let tokenizer = try Tokenizer(contentsOf: folder, vocabularySize: 8)
      #expect(tokenizer.vocabularySize == 8)
      #expect(try tokenizer.id(ofSpecial: "<end>") == 3)
      #expect(try tokenizer.encode("abb<end>", options: .parseSpecial) == [2, 1, 3])
    }
    expectError(.fileNotFound) { _ = try Tokenizer(contentsOf: "/nowhere") }
  }

  @Test func decodesAsTextGrows() throws {
    let decoder = try TextDecoder(.bytes())
    try decoder.prime([97])
    #expect(try decoder.push(195) == "")
    #expect(try decoder.push(169) == "é")
    #expect(try decoder.push(195) == "")
    #expect(try decoder.flush() == "\u{FFFD}")
    #expect(try decoder.flush() == "")
    expectError(.outOfRange) { _ = try decoder.push(-1) }
  }
}

@Suite struct ChatTemplateTests {
  @Test func rendersConversations() throws {
    let template = try ChatTemplate(named: "chatml")
    let text = try template.render([.user("Hi \"you\"\n"), .assistant("Hello")])
    #expect(
      text
        == "<|im_start|>user\nHi \"you\"\n<|im_end|>\n<|im_start|>assistant\nHello<|im_end|>\n")
    let prompt = try template.render([.system("S"), .user("U")], generationPrompt: true)
    #expect(prompt.hasSuffix("<|im_start|>assistant\n"))
    #expect(!template.usesDate)
    #expect(
      try template.render(json: #"[{"role": "user", "content": "U"}]"#)
        == template.render([.user("U")]))
  }

  @Test func passesToolsAndVariables() throws {
    let template = try ChatTemplate(
      parsing: "{{ bos_token }}{{ tools[0].name }}{{ mood }}{{ messages|length }}{{ eos_token }}",
      beginToken: "<s>", endToken: "</s>")
    let text = try template.render(
      [.user("x")], tools: #"[{"name": "clock"}]"#, variables: #"{"mood": "!"}"#)
    #expect(text == "<s>clock!1</s>")
  }

  @Test func knowsItsDate() throws {
    let text = "{{ strftime_now('%Y-%m-%d') }}"
    let template = try ChatTemplate(parsing: text, beginToken: "", endToken: "", date: 86_400)
    #expect(template.usesDate)
    #expect(try template.render([.user("x")]) == "1970-01-02")
    expectError(.outOfRange) {
      _ = try ChatTemplate(parsing: text, beginToken: "", endToken: "", date: .max)
    }
  }

  @Test func refuses() throws {
    let broken = expectError(.invalidConfiguration) {
      _ = try ChatTemplate(parsing: "a\n{% if %}", beginToken: "", endToken: "")
    }
    #expect(broken?.line == 2)
    let angry = try ChatTemplate(
      parsing: "{{ raise_exception('not like this') }}", beginToken: "", endToken: "")
    let error = expectError(.invalidData) { _ = try angry.render(json: "[]") }
    #expect(error?.message.contains("not like this") == true)
    expectError(.notFound) { _ = try ChatTemplate(named: "other") }
    expectError(.notFound) { _ = try ChatTemplate(directory: golden("model_files/llama")) }
  }
}
