//! Tokenizers, chat templates, examples, datasets.

mod common;

use std::ops::ControlFlow;

use ane_train::*;
use common::*;

const CHAT: &str = r#"{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]}
{"messages": [{"role": "user", "content": "On"}, {"role": "assistant", "content": "Off"}]}
"#;

/// A turn a line, so that the byte of the line's end is the stop token.
const LINES: &str = "{% for turn in messages %}{{ turn.role }}: {{ turn.content }}\n{% endfor %}";

#[test]
fn text_becomes_ids_and_text_again() {
    let bytes = Tokenizer::bytes().unwrap();
    assert_eq!((bytes.vocab_size(), bytes.bos_id(), bytes.eos_id()), (258, Some(256), Some(257)));
    assert_eq!(bytes.encode("ab").unwrap(), [97, 98]);
    let both = TokenizeOptions::new().special_tokens(SpecialTokens::BosAndEos);
    assert_eq!(bytes.encode_with("ab", both).unwrap(), [256, 97, 98, 257]);
    assert_eq!(bytes.encode("").unwrap(), []);
    assert_eq!(bytes.decode(&[99, 97, 102, 195, 169]).unwrap(), "caf\u{e9}");
    let long = "x\u{20ac}".repeat(3000);
    assert_eq!(bytes.decode(&bytes.encode(&long).unwrap()).unwrap(), long);
    assert_eq!(bytes.encode("a\0b").unwrap(), [97, 0, 98]);
    assert_eq!(kind(bytes.decode(&[300])), ErrorKind::OutOfRange);
    assert_eq!(bytes.fingerprint().len(), 64);
    assert_eq!(kind(bytes.find_special("<|im_end|>")), ErrorKind::NotFound);
    let ranges = bytes.encode_ranges("ab", both).unwrap();
    assert_eq!(ranges[1], (97, TextRange { begin: 0, end: 1 }));
    assert_eq!(ranges[0].1.begin, ranges[0].1.end);
    assert_eq!(kind(Tokenizer::load("/nowhere", 0)), ErrorKind::FileNotFound);
}

#[test]
fn a_decoder_waits_for_whole_characters() {
    let bytes = Tokenizer::bytes().unwrap();
    let mut decoder = TextDecoder::new(&bytes).unwrap();
    assert_eq!(decoder.push(195).unwrap(), "");
    assert_eq!(decoder.push(169).unwrap(), "\u{e9}");
    assert_eq!(decoder.push(195).unwrap(), "");
    assert_eq!(decoder.flush().unwrap(), "\u{fffd}");
    assert_eq!(kind(decoder.push(999).map(str::to_string)), ErrorKind::OutOfRange);
}

#[test]
fn chat_templates_render() {
    let messages = r#"[{"role": "user", "content": "Hi"}]"#;
    let chatml = ChatTemplate::built_in("chatml").unwrap();
    let text = chatml.render(messages, &RenderOptions::new().generation_prompt(true)).unwrap();
    assert_eq!(text, "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
    let words = "word ".repeat(4000);
    let long = format!(r#"[{{"role": "user", "content": "{words}"}}]"#);
    assert!(chatml.render(&long, &RenderOptions::new()).unwrap().contains(&words[1..]));
    assert_eq!(kind(ChatTemplate::built_in("chatmll")), ErrorKind::NotFound);
    assert_eq!(kind(chatml.render("[", &RenderOptions::new())), ErrorKind::InvalidData);
    let own = ChatTemplate::parse("{{ bos_token }}{{ greeting }}", "<s>", "</s>").unwrap();
    let variables = RenderOptions::new().variables(r#"{"greeting": "hello"}"#);
    assert_eq!(own.render("[]", &variables).unwrap(), "<s>hello");
    let error = ChatTemplate::parse("a\n{% endfor %}", "", "").unwrap_err();
    assert_eq!((error.kind(), error.line()), (ErrorKind::InvalidConfig, Some(2)));
    let refusing = ChatTemplate::parse("{{ raise_exception('never') }}", "", "").unwrap();
    let error = refusing.render("[]", &RenderOptions::new()).unwrap_err();
    assert!(error.kind() == ErrorKind::InvalidData && error.message().contains("never"), "{error}");
    assert_eq!(kind(ChatTemplate::load(Folder::new())), ErrorKind::NotFound);
}

#[test]
fn the_day_of_a_template_is_set_before_it_is_shared() {
    let mut template = ChatTemplate::parse("{{ strftime_now('%Y-%m-%d') }}", "", "").unwrap();
    assert!(template.uses_date());
    template.set_date(86400).unwrap();
    assert_eq!(template.render("[]", &RenderOptions::new()).unwrap(), "1970-01-02");
    assert_eq!(kind(template.set_date(-1)), ErrorKind::OutOfRange);
    let clone = template.clone();
    assert_eq!(kind(template.set_date(0)), ErrorKind::Busy);
    drop(clone);
    template.set_date(0).unwrap();
}

#[test]
fn conversations_become_examples() {
    let folder = Folder::new();
    let path = folder.write("train.jsonl", CHAT);
    let bytes = Tokenizer::bytes().unwrap();
    let chat = ChatTemplate::parse(LINES, "", "").unwrap();
    let options = ExamplesOptions::new()
        .chat_template(&chat)
        .stop_ids(&[10])
        .supervision(Supervision::Assistant)
        .strict(true)
        .device(&device());
    let mut total = 0;
    let examples = Examples::open_with_progress(&path, &bytes, &options, |progress| {
        total = progress.total;
        ControlFlow::Continue(())
    });
    let examples = examples.unwrap();
    assert_eq!((examples.count(), total), (2, CHAT.len() as u64));
    let first = examples.read(0).unwrap();
    assert_eq!(first.ids.len(), first.mask.len());
    let learned = |example: &Example| {
        let pairs = example.ids.iter().zip(&example.mask);
        let ids: Vec<i32> = pairs.filter(|(_, &mask)| mask).map(|(&id, _)| id).collect();
        bytes.decode(&ids).unwrap()
    };
    assert_eq!(learned(&first), "assistant: Ho\n");
    assert!(examples.describe(0, &bytes).unwrap().contains("\"supervised\""));
    assert!(examples.report().unwrap().starts_with('{'));
    assert_eq!(kind(examples.read(2)), ErrorKind::OutOfRange);
    let whole_folder = Examples::open(&folder, &bytes, &options.clone().part(DataPart::Train));
    assert_eq!(whole_folder.unwrap().count(), 2);
    let cancelled =
        Examples::open_with_progress(&path, &bytes, &options, |_| ControlFlow::Break(()));
    assert_eq!(kind(cancelled), ErrorKind::Cancelled);
    let without = ExamplesOptions::new().strict(true);
    assert_eq!(kind(Examples::open(&path, &bytes, &without)), ErrorKind::InvalidData);
}

#[test]
fn a_line_that_cannot_be_used_is_named() {
    let folder = Folder::new();
    let path = folder.write("data.jsonl", "{\"text\": \"good\"}\n{\"txt\": \"bad\"}\n");
    let bytes = Tokenizer::bytes().unwrap();
    let lenient = Examples::open(&path, &bytes, &ExamplesOptions::new()).unwrap();
    assert_eq!(lenient.count(), 1);
    let error = Examples::open(&path, &bytes, &ExamplesOptions::new().strict(true)).unwrap_err();
    assert!(error.message().contains("data.jsonl line 2"), "{error}");
    assert_eq!((error.line(), error.column(), error.native_code()), (Some(2), None, None));
    let keyed = ExamplesOptions::new().text_key("txt");
    assert_eq!(Examples::open(&path, &bytes, &keyed).unwrap().count(), 1);
}

#[test]
fn examples_from_memory_lie_in_rows() {
    let examples: Vec<Example> = (0..6)
        .map(|i| Example {
            ids: ids(5 + i),
            mask: if i % 2 == 0 { vec![true; 5 + i] } else { vec![] },
        })
        .collect();
    let made = Examples::create(&examples, VOCAB).unwrap();
    assert_eq!((made.count(), made.token_count()), (6, 45));
    assert_eq!(made.read(3).unwrap().ids, examples[3].ids);
    let (train, validation) = made.split(0.34).unwrap();
    assert_eq!((train.count(), validation.count()), (4, 2));
    let packed = RowsOptions::new().sequence_length(16).layout(RowLayout::Packed).sequential(true);
    let rows = Dataset::create_rows(&made, &packed).unwrap();
    assert!(rows.window_count() < 6);
    assert!(rows.report().unwrap().contains("density"));
    let read = rows.read(0, 1).unwrap();
    assert_eq!((read.tokens.len(), read.positions[0]), (16, 0));
    assert!(read.positions.iter().filter(|&&position| position == 0).count() > 1);
    let short_mask = [Example { ids: vec![1, 2], mask: vec![true] }];
    assert_eq!(kind(Examples::create(&short_mask, VOCAB)), ErrorKind::ShapeMismatch);
    let outside = [Example { ids: vec![1, VOCAB], mask: vec![] }];
    assert_eq!(kind(Examples::create(&outside, VOCAB)), ErrorKind::InvalidData);
}

#[test]
fn windows_of_tokens_text_and_files() {
    let data = dataset();
    assert_eq!((data.sequence_length(), data.window_count()), (LENGTH, 49));
    assert_eq!(data.fingerprint().unwrap().len(), 64);
    assert_eq!(data.report().unwrap(), "{}");
    let rows = data.read(3, 2).unwrap();
    assert_eq!(rows.tokens[1..8], rows.targets[0..7]); // shifted by one
    let (train, rest) = data.split(0.25).unwrap();
    assert!(train.window_count() > rest.window_count());
    assert_eq!(kind(data.split(1.5)), ErrorKind::InvalidArgument);
    let folder = Folder::new();
    let text = folder.write("text.txt", &"some words. ".repeat(20));
    let windows = DatasetOptions::new().sequence_length(LENGTH).sequential(true);
    let bytes = Tokenizer::bytes().unwrap();
    let from_text = Dataset::open_text(&text, &bytes, &windows).unwrap();
    assert_eq!(bytes.decode(&from_text.read(0, 1).unwrap().tokens).unwrap(), "some wor");
    let file = folder.path("ids.bin");
    let raw: Vec<u8> = (0..100u16).flat_map(u16::to_le_bytes).collect();
    std::fs::write(&file, raw).unwrap();
    let from_file = Dataset::open_tokens(&file, &windows.vocab_size(100)).unwrap();
    assert_eq!(from_file.read(0, 1).unwrap().tokens, [0, 1, 2, 3, 4, 5, 6, 7]);
    let no_length = DatasetOptions::new().vocab_size(VOCAB);
    assert!(Dataset::create_tokens(&ids(20), &no_length).is_err());
}
