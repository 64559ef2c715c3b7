//! Models: configurations, parameters, files, quantization, adapters.

mod common;

use std::ops::ControlFlow;
use std::panic::{catch_unwind, AssertUnwindSafe};

use ane_train::*;
use common::*;

#[test]
fn configurations_have_names_and_json() {
    assert!(ModelConfig::names().contains(&"tiny"));
    let tiny = ModelConfig::named("tiny").unwrap();
    assert!(tiny.layer_count > 0);
    let error = ModelConfig::named("tinny").unwrap_err();
    assert!(error.message().contains("tiny"), "{error}");
    let read = config().with_json(r#"{"layer_count": 3, "qk_norm": true}"#).unwrap();
    assert_eq!((read.layer_count, read.qk_norm, read.vocab_size), (3, true, VOCAB));
    let error = Model::create(&config().head_count(3), 0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
}

#[test]
fn parameters_are_found_read_and_written() {
    let mut model = model();
    let parameters = model.parameters().unwrap();
    assert_eq!(parameters.len(), model.parameter_count());
    let count: u64 = parameters.iter().map(|parameter| parameter.element_count).sum();
    assert_eq!((count, count * 4), (model.weight_count(), model.weight_bytes()));
    let index = model.find_parameter("model.layers.0.self_attn.q_proj.weight").unwrap();
    let parameter = &parameters[index];
    assert_eq!((&parameter.shape[..], parameter.offset.unwrap() % 16), (&[32, 32][..], 0));
    assert_eq!(parameter.compression, Compression::None);
    let values: Vec<f32> = (0..1024).map(|i| i as f32).collect();
    model.write_parameter(index, &values).unwrap();
    assert_eq!(model.clone().read_parameter(index).unwrap(), values);
    assert_eq!(kind(model.write_parameter(index, &values[1..])), ErrorKind::ShapeMismatch);
    assert_eq!(kind(model.read_parameter(999)), ErrorKind::OutOfRange);
    let error = model.find_parameter("model.norm.wait").unwrap_err();
    assert!(error.message().contains("model.norm.weight"), "{error}");
}

#[test]
fn files_come_back_with_progress_and_cancellation() {
    let folder = Folder::new();
    let model = model();
    let path = folder.path("model.safetensors");
    model.save(&path).unwrap();
    let again = Model::load(&path).unwrap();
    assert_eq!(again.read_parameter(1).unwrap(), model.read_parameter(1).unwrap());
    let (mut last, mut names) = (0, 0);
    let loaded = Model::load_with_progress(&path, &ModelLoadOptions::new(), |progress| {
        assert!(progress.done >= last && progress.done <= progress.total);
        last = progress.done;
        names += usize::from(!progress.what.is_empty());
        ControlFlow::Continue(())
    });
    assert!(loaded.is_ok() && names > 0 && last > 0);
    let cancelled =
        Model::load_with_progress(&path, &ModelLoadOptions::new(), |_| ControlFlow::Break(()));
    assert_eq!(kind(cancelled), ErrorKind::Cancelled);
    let panic = catch_unwind(AssertUnwindSafe(|| {
        Model::load_with_progress(&path, &ModelLoadOptions::new(), |_| panic!("while loading"))
    }));
    assert_eq!(panic.unwrap_err().downcast_ref(), Some(&"while loading"));
    let error = Model::load(folder.path("absent")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::FileNotFound);
    assert_eq!((error.domain(), error.native_code()), ("errno", Some(2)));
}

#[test]
fn exports_are_read_again() {
    let folder = Folder::new();
    let model = model();
    let wanted = model.read_parameter(0).unwrap();
    let paths = [
        ("hf", ExportOptions::new()),
        ("model.gguf", ExportOptions::new().format(ExportFormat::Gguf)),
        ("model.bin", ExportOptions::new().format(ExportFormat::Llama2c)),
    ];
    for (name, options) in paths {
        let path = folder.path(name);
        let mut calls = 0;
        model
            .export_with_progress(&path, &options, |_| {
                calls += 1;
                ControlFlow::Continue(())
            })
            .unwrap();
        assert!(calls > 0);
        let again = Model::load(&path).unwrap();
        assert_eq!(again.read_parameter(0).unwrap(), wanted, "{name}");
        assert!(!again.info().unwrap().format.is_empty());
    }
    let eight_bits = ExportOptions::new().element_type(ExportType::Q8_0);
    assert_eq!(kind(model.export(folder.path("no"), &eight_bits)), ErrorKind::UnsupportedOption);
    let nowhere = ExportOptions::new().companion(folder.path("absent"));
    assert!(model.export(folder.path("no"), &nowhere).is_err());
    assert!(!folder.path("no").exists());
}

#[test]
fn quantized_models_say_what_it_cost() {
    let model = model();
    let options = QuantizeOptions::new()
        .compression(Compression::Int4Block)
        .override_matching("model.embed_tokens.weight", Compression::None, 0)
        .device(&device());
    let mut calls = 0;
    let quantized = model
        .quantize_with_progress(&options, |_| {
            calls += 1;
            ControlFlow::Continue(())
        })
        .unwrap();
    assert!(calls > 0 && quantized.weight_bytes() < model.weight_bytes());
    let index = model.find_parameter("model.layers.0.self_attn.q_proj.weight").unwrap();
    let parameter = quantized.parameter(index).unwrap();
    assert_eq!((parameter.compression, parameter.offset), (Compression::Int4Block, None));
    assert_eq!(parameter.compression.name(), "int4_block");
    let report = quantized.quantization_report(index).unwrap();
    assert!(report.has_error && report.rms > 0.0 && report.bytes_after < report.bytes_before);
    let embedding = quantized.find_parameter("model.embed_tokens.weight").unwrap();
    assert_eq!(quantized.parameter(embedding).unwrap().compression, Compression::None);
    let unmatched = QuantizeOptions::new().override_matching("absent", Compression::None, 0);
    assert_eq!(kind(model.quantize(&unmatched)), ErrorKind::InvalidArgument);

    let folder = Folder::new();
    model.save(folder.path("model")).unwrap();
    let load = ModelLoadOptions::new().quantize(QuantizeOptions::new());
    let read = Model::load_with(folder.path("model"), &load).unwrap();
    assert_eq!(read.parameter(index).unwrap().compression, Compression::Int8Channel);
}

#[test]
fn adapters_train_swap_merge_and_come_back() {
    let folder = Folder::new();
    let (device, mut model, data) = (device(), model(), dataset());
    let lora = AdapterOptions::new()
        .rank(4)
        .alpha(16.0)
        .targets("q_proj,v_proj")
        .override_matching("layers.1.*", 4, 4.0)
        .seed(9);
    let adapter = Adapter::create(&model, &lora).unwrap();
    let info = adapter.info().unwrap();
    assert_eq!((info.rank, info.module_count), (4, 4));
    let modules = adapter.modules().unwrap();
    assert_eq!(modules[0].name, "model.layers.0.self_attn.q_proj");
    assert_eq!((modules[0].scale, modules[3].scale), (4.0, 1.0));
    assert_eq!(adapter.parameters().unwrap().len(), 8);
    assert_eq!(adapter.model().unwrap().weight_count(), model.weight_count());

    let plan = Session::plan_adapter_memory(&device, &adapter, &options()).unwrap();
    assert!(plan.gradients < plan.weights);
    let mut session = Session::create_adapter(&device, &adapter, &options()).unwrap();
    let before = model.read_parameter(2).unwrap();
    session.fit(&data, &FitOptions::new().steps(3)).unwrap();
    assert_eq!(model.read_parameter(2).unwrap(), before); // frozen
    assert!(session.adapter().unwrap().is_some());
    assert_eq!(kind(model.write_parameter(2, &before)), ErrorKind::Busy);
    session.save(folder.path("run"), &SaveOptions::new()).unwrap();
    let other = Adapter::create(&model, &lora).unwrap();
    session.swap_adapter(&other).unwrap();
    session.fit(&data, &FitOptions::new().steps(1)).unwrap();
    let borrowed = session.weights().unwrap();
    assert_eq!(kind(other.clone().write_parameter(0, &[])), ErrorKind::Busy);
    drop(borrowed);
    drop(session);

    let mut resumed = Session::resume_adapter(&device, &model, folder.path("run")).unwrap();
    assert_eq!(resumed.step_count().unwrap(), 3);
    resumed.fit(&data, &FitOptions::new().steps(1)).unwrap();
    drop(resumed);
    let peft = AdapterSaveOptions::new().base_name("base");
    adapter.save(folder.path("peft"), &peft).unwrap();
    let again = Adapter::load(&model, folder.path("peft")).unwrap();
    assert_eq!(again.read_parameter(1).unwrap(), adapter.read_parameter(1).unwrap());
    let gguf = AdapterSaveOptions::new().format(AdapterFormat::Gguf);
    adapter.save(folder.path("adapter.gguf"), &gguf).unwrap();
    assert!(folder.path("adapter.gguf").is_file());

    let merged = model.merge(&[(&adapter).into()]).unwrap();
    model.merge_in_place(&[(&adapter).into()]).unwrap();
    let index = model.find_parameter("model.layers.0.self_attn.q_proj.weight").unwrap();
    let sum = model.read_parameter(index).unwrap();
    assert_eq!(sum, merged.read_parameter(index).unwrap());
    assert_eq!(kind(model.merge_in_place(&[(&adapter).into()])), ErrorKind::InvalidState);
    model.unmerge().unwrap();
    assert_ne!(model.read_parameter(index).unwrap(), sum);
    assert_eq!(kind(model.merge(&[])), ErrorKind::InvalidArgument);
}

#[test]
fn a_session_that_trains_a_model_has_no_adapter() {
    let session = session(&device());
    assert!(session.adapter().unwrap().is_none());
}
