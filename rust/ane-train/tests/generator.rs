//! Generation: greedy, batched, with closures, with adapters.

mod common;

use std::ops::ControlFlow;
use std::panic::{catch_unwind, AssertUnwindSafe};

use ane_train::*;
use common::*;

fn bytes_model() -> (Device, Model, Tokenizer) {
    let tokenizer = Tokenizer::bytes().unwrap();
    let config = config().vocab_size(tokenizer.vocab_size());
    (device(), Model::create(&config, 3).unwrap(), tokenizer)
}

fn generator() -> Generator {
    Generator::create(&device(), &model(), None, &GeneratorOptions::new()).unwrap()
}

#[test]
fn greedy_generation_follows_the_logits() {
    let mut generator = generator();
    let logits = generator.logits(&[1, 2, 3]).unwrap();
    assert_eq!(logits.len(), VOCAB as usize);
    let best = (0..VOCAB).max_by(|&a, &b| logits[a as usize].total_cmp(&logits[b as usize]));
    let generation = generator.generate(&[1, 2, 3], &short()).unwrap();
    assert_eq!(Some(generation.ids[0]), best);
    assert_eq!(generation.finish_reason, FinishReason::Length);
    assert_eq!((generation.prompt_tokens, generation.generated_tokens), (3, 6));
}

#[test]
fn generation_ends_for_several_reasons() {
    let mut generator = generator();
    let ids = generator.generate(&[1, 2, 3], &short()).unwrap().ids;
    let stop = generator.generate(&[1, 2, 3], &short().stop_ids(&ids[..1])).unwrap();
    assert_eq!((stop.finish_reason, stop.ids.len()), (FinishReason::Stop, 0));
    let full = generator.generate(&[1, 2, 3], &SamplingOptions::new()).unwrap();
    assert_eq!(full.finish_reason, FinishReason::Context);
    let mut seen = Vec::new();
    let broken = generator.generate_with(&[1, 2, 3], &short(), |token| {
        seen.push(token.id);
        assert_eq!(token.text, "");
        if seen.len() == 2 {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    });
    let broken = broken.unwrap();
    assert_eq!(broken.finish_reason, FinishReason::Callback);
    assert_eq!((&broken.ids, &seen[..]), (&seen, &ids[..2]));
}

#[test]
fn mistakes_are_refused() {
    let mut generator = generator();
    assert_eq!(kind(generator.generate(&[], &short())), ErrorKind::InvalidData);
    assert_eq!(kind(generator.generate(&[VOCAB], &short())), ErrorKind::OutOfRange);
    assert_eq!(kind(generator.generate(&[1; 40], &short())), ErrorKind::InvalidData);
    assert_eq!(kind(generator.generate(&[1], &short().top_p(2.0))), ErrorKind::OutOfRange);
}

#[test]
fn a_panic_in_a_closure_goes_on() {
    let mut generator = generator();
    let panic = catch_unwind(AssertUnwindSafe(|| {
        generator.generate_with(&[1], &short(), |_| panic!("at a token"))
    }));
    assert_eq!(panic.unwrap_err().downcast_ref(), Some(&"at a token"));
    let prompts = [Prompt { ids: vec![1], seed: 0 }, Prompt { ids: vec![2], seed: 0 }];
    let panic = catch_unwind(AssertUnwindSafe(|| {
        generator.generate_batch_with(&prompts, &short(), |_, _| panic!("in a batch"))
    }));
    assert_eq!(panic.unwrap_err().downcast_ref(), Some(&"in a batch"));
    assert_eq!(generator.generate(&[1], &short()).unwrap().ids.len(), 6);
}

#[test]
fn another_thread_cancels() {
    let mut generator = generator();
    let handle = generator.cancel_handle();
    let result = generator.generate_with(&[1], &SamplingOptions::new(), |_| {
        let handle = handle.clone();
        std::thread::spawn(move || handle.cancel()).join().unwrap();
        ControlFlow::Continue(())
    });
    assert_eq!(kind(result), ErrorKind::Cancelled);
    drop(generator);
    handle.cancel();
}

#[test]
fn a_batch_has_the_texts_of_its_prompts() {
    let (device, model, tokenizer) = bytes_model();
    let options = GeneratorOptions::new().batch_size(2);
    let mut generator = Generator::create(&device, &model, Some(&tokenizer), &options).unwrap();
    let texts = ["one", "two", "three"];
    let prompts: Vec<_> =
        texts.iter().map(|text| Prompt { ids: tokenizer.encode(text).unwrap(), seed: 1 }).collect();
    let mut tokens = [0; 3];
    let together = generator
        .generate_batch_with(&prompts, &short(), |index, _| {
            tokens[index] += 1;
            ControlFlow::Continue(())
        })
        .unwrap();
    for (prompt, generation) in prompts.iter().zip(&together) {
        assert_eq!(generator.generate(&prompt.ids, &short()).unwrap().ids, generation.ids);
    }
    assert_eq!(tokens, [6; 3]);
}

#[test]
fn text_is_whole_characters_and_the_decoder_agrees() {
    let (device, model, tokenizer) = bytes_model();
    let options = GeneratorOptions::new();
    let mut generator = Generator::create(&device, &model, Some(&tokenizer), &options).unwrap();
    let prompt = tokenizer.encode("caf\u{e9}").unwrap();
    let (mut streamed, mut pushed) = (String::new(), String::new());
    let mut decoder = TextDecoder::new(&tokenizer).unwrap();
    decoder.prime(&prompt).unwrap();
    let sampling = SamplingOptions::new().temperature(1.0).seed(4).max_tokens(12);
    generator
        .generate_with(&prompt, &sampling, |token| {
            streamed.push_str(token.text);
            pushed.push_str(decoder.push(token.id).unwrap());
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(streamed, pushed);
}

#[test]
fn adapters_are_exchanged_at_any_token() {
    let (device, model) = (device(), model());
    let options = AdapterOptions::new().rank(4);
    let mut strong = Adapter::create(&model, &options).unwrap();
    let index = strong.find_parameter("model.layers.1.mlp.down_proj.lora_B.weight").unwrap();
    let count = strong.parameter(index).unwrap().element_count as usize;
    strong.write_parameter(index, &vec![3.0; count]).unwrap();
    let mut generator = Generator::create(&device, &model, None, &GeneratorOptions::new()).unwrap();
    let plain = generator.logits(&[1, 2]).unwrap();
    generator.set_adapters(&[(&strong).into()]).unwrap();
    let adapted = generator.logits(&[1, 2]).unwrap();
    assert_ne!(plain, adapted);
    let half = WeightedAdapter { adapter: &strong, weight: 0.5 };
    generator.set_adapters(&[half]).unwrap();
    assert_ne!(generator.logits(&[1, 2]).unwrap(), adapted);
    // Detached in the middle of a text, and a writer is refused while one is written.
    let mut writer = strong.clone();
    generator
        .generate_with(&[1, 2], &short(), |token| {
            assert_eq!(kind(writer.write_parameter(index, &vec![0.0; count])), ErrorKind::Busy);
            token.set_adapters(&[]).unwrap();
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(generator.logits(&[1, 2]).unwrap(), plain);
    let deeper = Model::create(&config().layer_count(3), 7).unwrap();
    let other = Adapter::create(&deeper, &options).unwrap();
    assert_eq!(kind(generator.set_adapters(&[(&other).into()])), ErrorKind::InvalidArgument);
}
