//! Fine-tunes a chat model with LoRA on conversations, stops half-way, resumes, and exports: the whole
//! way of an adapter, as `examples/07_finetune_jsonl.c` goes it. The losses are the same to the last
//! bit.
//!
//! ```text
//! cargo run -- model-folder chats-folder output-folder [steps]
//! ```
//!
//! The model is a folder of Hugging Face; chats-folder has train.jsonl and valid.jsonl, a conversation
//! a line: {"messages": [{"role": "user", "content": "..."}, ...]}.

use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::ExitCode;

use ane_train::{
    Adapter, AdapterOptions, AdapterSaveOptions, ChatTemplate, DataPart, Dataset, Device, Examples,
    ExamplesOptions, ExportFormat, ExportOptions, ExportType, FitEvent, FitEventKind, FitOptions,
    Generator, GeneratorOptions, Model, Precision, RenderOptions, RowLayout, RowsOptions,
    SamplingOptions, Schedule, Session, SessionOptions, SessionView, TokenizeOptions, Tokenizer,
};

const ROW_LENGTH: i32 = 128;
const BATCH_SIZE: i32 = 2;

/// For reading, and all bits for comparing.
fn print_loss(what: &str, step: i64, loss: f64) {
    println!("{what:<10} {step:>3}  loss {loss:.4}  {:016x}", loss.to_bits());
}

fn report(_: &SessionView, event: &FitEvent<'_>) -> ane_train::Result<ControlFlow<()>> {
    match &event.kind {
        FitEventKind::Step => print_loss("step", event.step.step, event.step.loss),
        FitEventKind::Saved { path } => {
            println!("saved {}", path.file_name().unwrap_or_default().to_string_lossy());
        }
        _ => {}
    }
    Ok(ControlFlow::Continue(()))
}

fn finetune(folder: &Path, chats: &Path, output: &Path, steps: i64) -> ane_train::Result<()> {
    // The model, its vocabulary, and the way it writes a conversation down.
    let device = Device::open("cpu")?;
    let model = Model::load(folder)?;
    let stop_ids = model.info()?.stop_ids;
    let tokenizer = Tokenizer::load(folder, model.config()?.vocab_size)?;
    let chat = ChatTemplate::load(folder)?;

    // What the assistant says is learned, with the token that ends its turn; nothing else is.
    let read = |part| {
        let reading =
            ExamplesOptions::new().part(part).chat_template(&chat).stop_ids(&stop_ids).strict(true); // a conversation that cannot be used is an error with its line
        let packed =
            RowsOptions::new().sequence_length(ROW_LENGTH).layout(RowLayout::Packed).seed(7);
        let conversations = Examples::open(chats, &tokenizer, &reading)?;
        Ok((Dataset::create_rows(&conversations, &packed)?, conversations.count()))
    };
    let (train, train_count) = read(DataPart::Train)?;
    let (validation, validation_count) = read(DataPart::Validation)?;
    println!("{train_count} conversations for training, {validation_count} for validation");

    // The adapter: 8 columns beside each projection, all that is trained.
    let adapter = Adapter::create(&model, &AdapterOptions::new().rank(8).seed(42))?;
    let options = SessionOptions::new()
        .precision(Precision::F32)
        .batch_size(BATCH_SIZE)
        .sequence_length(ROW_LENGTH)
        .documents(true) // packed conversations do not see each other
        .learning_rate(2e-3)
        .schedule(Schedule::Cosine)
        .total_steps(steps)
        .clip_norm(1.0);
    let mut session = Session::create_adapter(&device, &adapter, &options)?;

    // The first half, saved at its end.
    print_loss("validation", 0, session.evaluate(&validation, 0)?.loss);
    let checkpoints = output.join("checkpoints");
    let half = steps / 2;
    let fit = FitOptions::new().steps(half).save_every(half).checkpoint_root(&checkpoints);
    session.fit_with(&train, &fit, report)?;
    drop(session);

    // The second half, as if the first had never ended.
    let mut session = Session::resume_adapter(&device, &model, &checkpoints)?;
    session.fit_with(&train, &FitOptions::new().steps(steps - half), report)?;
    print_loss("validation", steps, session.evaluate(&validation, 0)?.loss);

    // What it answers now.
    let adapter = session.adapter()?.expect("the session trains an adapter");
    let messages = r#"[{"role": "user", "content": "What is the sum of one and two?"}]"#;
    let prompt = chat.render(messages, &RenderOptions::new().generation_prompt(true))?;
    let ids = tokenizer.encode_with(&prompt, TokenizeOptions::new().parse_special(true))?;
    let greedy = SamplingOptions::new().max_tokens(32).stop_ids(&stop_ids);
    let mut generator =
        Generator::create(&device, &model, Some(&tokenizer), &GeneratorOptions::new())?;
    generator.set_adapters(&[(&adapter).into()])?;
    print!("answer: ");
    generator.generate_with(&ids, &greedy, |token| {
        print!("{}", token.text);
        ControlFlow::Continue(())
    })?;
    let _ = std::io::stdout().flush();

    // The adapter for PEFT, and the model with the adapter in its weights for llama.cpp.
    adapter.save(output.join("adapter"), &AdapterSaveOptions::new())?;
    let gguf = ExportOptions::new()
        .format(ExportFormat::Gguf)
        .element_type(ExportType::Fp16)
        .companion(folder);
    model.merge(&[(&adapter).into()])?.export(output.join("model.gguf"), &gguf)?;
    println!("\nwrote adapter and model.gguf");
    Ok(())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.len() < 4 {
        eprintln!("usage: {} model-folder chats-folder output-folder [steps]", arguments[0]);
        return ExitCode::from(2);
    }
    let [folder, chats, output] = [1, 2, 3].map(|index| Path::new(&arguments[index]));
    let steps = arguments.get(4).and_then(|text| text.parse().ok()).unwrap_or(20);
    match finetune(folder, chats, output, steps) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
