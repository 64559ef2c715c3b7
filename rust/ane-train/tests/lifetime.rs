//! Handles are dropped in any order, on any thread.

mod common;

use std::any::Any;

use ane_train::*;
use common::*;

const SOURCE: &str = r#"program(1.3)
{
    func main<ios18>(tensor<fp32, [2]> x) {
        tensor<fp32, [2]> y = mul(x = x, y = x)[name = string("y")];
    } -> (y);
}
"#;

/// One of everything, each made from those before it.
fn everything() -> Vec<Box<dyn Any + Send>> {
    let device = device();
    let tokenizer = Tokenizer::bytes().unwrap();
    let decoder = TextDecoder::new(&tokenizer).unwrap();
    let template = ChatTemplate::built_in("chatml").unwrap();
    let program = Program::parse(SOURCE).unwrap();
    let kernel = Kernel::compile(&device, &program, None).unwrap();
    let buffer = kernel.create_buffer(Direction::Input, 0).unwrap();
    let examples = Examples::create(&[Example { ids: ids(9), mask: vec![] }], VOCAB).unwrap();
    let rows = RowsOptions::new().sequence_length(LENGTH);
    let dataset = Dataset::create_rows(&examples, &rows).unwrap();
    let model = model();
    let adapter = Adapter::create(&model, &AdapterOptions::new()).unwrap();
    let session = Session::create_adapter(&device, &adapter, &options()).unwrap();
    let generator =
        Generator::create(&device, &model, Some(&tokenizer), &GeneratorOptions::new()).unwrap();
    let cancel = (session.cancel_handle(), generator.cancel_handle());
    vec![
        Box::new(device),
        Box::new(tokenizer),
        Box::new(decoder),
        Box::new(template),
        Box::new(program),
        Box::new(kernel),
        Box::new(buffer),
        Box::new(examples),
        Box::new(dataset),
        Box::new(model),
        Box::new(adapter),
        Box::new(session),
        Box::new(generator),
        Box::new(cancel),
    ]
}

#[test]
fn everything_is_dropped_in_any_order() {
    let mut random = 12345u64;
    for _ in 0..20 {
        let mut objects = everything();
        while !objects.is_empty() {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            drop(objects.swap_remove((random >> 33) as usize % objects.len()));
        }
    }
}

#[test]
fn everything_is_dropped_on_another_thread() {
    let objects = everything();
    std::thread::spawn(move || drop(objects)).join().unwrap();
}

#[test]
fn children_work_without_their_parents() {
    let device = device();
    let model = model();
    let mut generator = Generator::create(&device, &model, None, &GeneratorOptions::new()).unwrap();
    let adapter = Adapter::create(&model, &AdapterOptions::new()).unwrap();
    generator.set_adapters(&[(&adapter).into()]).unwrap();
    drop((device, model, adapter));
    assert_eq!(generator.generate(&[1], &short()).unwrap().ids.len(), 6);
}
