//! Sessions: steps, fits, what closures may do, checkpoints.

mod common;

use std::ops::ControlFlow;
use std::panic::{catch_unwind, AssertUnwindSafe};

use ane_train::checkpoint;
use ane_train::*;
use common::*;

const GO_ON: Result<ControlFlow<()>> = Ok(ControlFlow::Continue(()));

#[test]
fn a_step_learns() {
    let mut session = session(&device());
    let rows = dataset().read(0, BATCH as usize).unwrap();
    let first = session.step(&[rows.batch()]).unwrap();
    assert_eq!((first.step, first.tokens, first.skipped), (1, 16, false));
    // A new model knows nothing: the loss is that of a guess.
    assert!((first.loss - f64::from(VOCAB).ln()).abs() < 0.2, "{}", first.loss);
    for _ in 0..20 {
        session.step(&[rows.batch()]).unwrap();
    }
    let last = session.eval(&rows.batch()).unwrap();
    assert!(last.loss < first.loss - 1.0, "{} after {}", last.loss, first.loss);
    assert_eq!(session.step_count().unwrap(), 21);
}

#[test]
fn parts_of_a_step_are_the_step() {
    let device = device();
    let (mut whole, mut parts) = (session(&device), session(&device));
    let data = dataset();
    let (a, b) = (data.read(0, 2).unwrap(), data.read(2, 2).unwrap());
    whole.step(&[a.batch(), b.batch()]).unwrap();
    parts.forward_backward(&a.batch()).unwrap();
    parts.forward_backward(&b.batch()).unwrap();
    assert_eq!(parts.tokens().unwrap(), 32);
    assert!(parts.gradients().unwrap().iter().any(|&value| value != 0.0));
    assert_eq!(kind(parts.save(Folder::new(), &SaveOptions::new())), ErrorKind::InvalidState);
    parts.optimizer_step().unwrap();
    assert_eq!(weights(&whole), weights(&parts));
    assert_eq!(kind(parts.optimizer_step()), ErrorKind::InvalidState);
}

#[test]
fn gradients_may_be_changed_between_the_passes() {
    let device = device();
    let (mut one, mut two) = (session(&device), session(&device));
    let rows = dataset().read(0, 2).unwrap();
    one.step(&[rows.batch()]).unwrap();
    // Two ranks with the same batch: twice the sum, twice the tokens.
    two.forward_backward(&rows.batch()).unwrap();
    two.gradients_mut().unwrap().iter_mut().for_each(|value| *value *= 2.0);
    two.set_tokens(32).unwrap();
    two.optimizer_step().unwrap();
    assert_eq!(weights(&one), weights(&two));
    two.forward_backward(&rows.batch()).unwrap();
    two.zero_gradients().unwrap();
    assert_eq!(kind(two.optimizer_step()), ErrorKind::InvalidState);
}

#[test]
fn bad_batches_are_refused_and_change_nothing() {
    let mut session = session(&device());
    let before = weights(&session);
    let ids = ids(16);
    let three_rows = Batch::new(&ids[..12], &ids[..12], 4);
    assert_eq!(kind(session.step(&[three_rows])), ErrorKind::ShapeMismatch);
    let mut wrong = ids.clone();
    wrong[3] = VOCAB;
    let error = session.step(&[Batch::new(&wrong, &ids, LENGTH)]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutOfRange);
    let nothing = vec![-1; 16];
    let uncounted = Batch::new(&ids, &nothing, LENGTH);
    assert_eq!(kind(session.step(&[uncounted])), ErrorKind::InvalidData);
    assert_eq!(before, weights(&session));
}

#[test]
fn options_come_back_and_wrong_ones_are_named() {
    let device = device();
    let schedule = options().schedule(Schedule::Cosine).total_steps(10).trainable("layers.1.*");
    let session = Session::create(&device, &model(), &schedule).unwrap();
    let seen = session.options().unwrap();
    assert_eq!((seen.schedule, seen.total_steps, seen.batch_size), (Schedule::Cosine, 10, BATCH));
    assert_eq!((seen.beta2, seen.precision), (0.999, Precision::F32));
    assert_eq!(seen.trainable.as_deref(), Some("layers.1.*"));
    drop(session);
    let brain = options().precision(Precision::Bf16);
    let session = Session::create(&device, &model(), &brain).unwrap();
    assert_eq!(session.options().unwrap().precision, Precision::Bf16);
    drop(session);
    let narrow = options().optimizer_precision(Precision::Bf16);
    let plans = [options(), narrow].map(|o| Session::plan_memory(&device, &config(), &o).unwrap());
    assert_eq!(plans[0].optimizer, 2 * plans[1].optimizer);
    let no_total = options().schedule(Schedule::Linear);
    let error = Session::create(&device, &model(), &no_total).unwrap_err();
    assert!(error.message().contains("total_steps"), "{error}");
    let small = options().max_memory(1000);
    assert_eq!(kind(Session::create(&device, &model(), &small)), ErrorKind::MemoryLimit);
    let plan = Session::plan_memory(&device, &config(), &options()).unwrap();
    let used = session_plan(&device);
    assert_eq!(plan, used);
    assert!(plan.total >= plan.weights + plan.gradients + plan.optimizer);
}

fn session_plan(device: &Device) -> MemoryPlan {
    session(device).memory_plan().unwrap()
}

#[test]
fn options_are_read_from_json() {
    let read = options().with_json(r#"{"optimizer": "sgd", "momentum": 0.5}"#).unwrap();
    assert_eq!((read.optimizer, read.momentum, read.batch_size), (Optimizer::Sgd, 0.5, BATCH));
    let error = options().with_json(r#"{"lerning_rate": 1}"#).unwrap_err();
    assert!(error.message().contains("learning_rate"), "{error}");
    let error = options().with_json("{\n!").unwrap_err();
    assert_eq!((error.kind(), error.line()), (ErrorKind::InvalidConfig, Some(2)));
}

#[test]
fn a_fit_reports_what_it_does() {
    let folder = Folder::new();
    let mut session = session(&device());
    let (train, validation) = dataset().split(0.2).unwrap();
    let fit = FitOptions::new()
        .steps(4)
        .eval_every(2)
        .save_every(4)
        .sample_every(3)
        .checkpoint_root(folder.as_ref())
        .validation(&validation);
    let mut seen = Vec::new();
    let result = session.fit_with(&train, &fit, |_, event| {
        seen.push(match &event.kind {
            FitEventKind::Step => format!("step {}", event.step.step),
            FitEventKind::Evaluation { result, .. } => format!("eval {}", result.tokens > 0),
            FitEventKind::Saved { path } => {
                format!("saved {}", path.file_name().unwrap().to_str().unwrap())
            }
            FitEventKind::Sample => "sample".to_string(),
            _ => "new".to_string(),
        });
        GO_ON
    });
    let result = result.unwrap();
    let wanted = [
        "step 1",
        "step 2",
        "eval true",
        "step 3",
        "sample",
        "step 4",
        "eval true",
        "saved step-00000004",
    ];
    assert_eq!(seen, wanted);
    assert_eq!((result.end, result.step.step), (FitEnd::Steps, 4));
    let best = result.best.unwrap();
    assert!(best.0 <= result.evaluation.unwrap().loss);
    assert_eq!(session.cursor().unwrap(), 8);
}

#[test]
fn closures_evaluate_save_read_and_generate_between_steps() {
    let folder = Folder::new();
    let device = device();
    let mut session = session(&device);
    let data = dataset();
    let model = session.model().unwrap();
    let options = GeneratorOptions::new();
    let mut generator = Generator::create(&device, &model, None, &options).unwrap();
    let mut calls = 0;
    let fit = FitOptions::new().steps(2);
    session
        .fit_with(&data, &fit, |session, event| {
            calls += 1;
            assert_eq!(session.step_count()?, event.step.step);
            assert!(session.evaluate(&data, 2)?.loss > 0.0);
            assert_eq!(generator.generate(&[1, 2, 3], &short())?.ids.len(), 6);
            assert_eq!(session.weights()?.len() % 16, 0);
            assert!(session.gradients()?.len() >= model.weight_count() as usize);
            assert_eq!(model.read_parameter(0)?.len(), model.parameter(0)?.element_count as usize);
            session.set_property("calls", &calls.to_string())?;
            session.save(&folder, &SaveOptions::new())?;
            GO_ON
        })
        .unwrap();
    assert_eq!(session.property("calls").unwrap().as_deref(), Some("2"));
    session.remove_property("calls").unwrap();
    assert_eq!(session.property("calls").unwrap(), None);
    let latest = checkpoint::find(&folder, checkpoint::Choice::Latest).unwrap();
    assert!(latest.ends_with("step-00000002"));
    assert!(checkpoint::inspect(latest).unwrap().contains("\"calls\""));
}

#[test]
fn closures_stop_fail_and_panic() {
    let mut session = session(&device());
    let data = dataset();
    let fit = FitOptions::new().steps(10);
    let stopped = session.fit_with(&data, &fit, |_, event| {
        Ok(if event.step.step == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    });
    assert_eq!(stopped.unwrap().end, FitEnd::Callback);

    let error = session.fit_with(&data, &fit, |_, _| Err(Error::callback("no more"))).unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::Callback, "no more"));
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "no more");

    let panic = catch_unwind(AssertUnwindSafe(|| {
        session.fit_with(&data, &fit, |_, _| panic!("from a closure"))
    }));
    assert_eq!(panic.unwrap_err().downcast_ref(), Some(&"from a closure"));
    assert_eq!(session.step_count().unwrap(), 4); // the steps before stand
    session.fit(&data, &FitOptions::new().steps(1)).unwrap();
}

#[test]
fn an_iterator_of_steps_is_a_fit() {
    let device = device();
    let (mut whole, mut stepped) = (session(&device), session(&device));
    let (train, validation) = dataset().split(0.2).unwrap();
    let fit = FitOptions::new().steps(5).eval_every(2).validation(&validation).eval_at_end(true);
    let result = whole.fit(&train, &fit).unwrap();
    let mut steps = stepped.train(&train, &fit);
    let mut losses = Vec::new();
    while let Some(step) = steps.next() {
        losses.push(step.unwrap().loss);
        assert_eq!(steps.session().step_count().unwrap(), losses.len() as i64);
    }
    let evaluation = steps.evaluation().cloned().unwrap();
    assert_eq!(losses.len(), 5);
    assert_eq!(losses[4].to_bits(), result.step.loss.to_bits());
    assert_eq!(evaluation.loss.to_bits(), result.evaluation.unwrap().loss.to_bits());
    assert_eq!(weights(&whole), weights(&stepped));
    let failing: Vec<_> =
        stepped.train(&train, &FitOptions::new().steps(3).eval_every(1)).collect();
    assert_eq!(failing.len(), 1); // no validation data: one error, then the end
    assert!(failing[0].is_err());
}

#[test]
fn a_resumed_run_is_the_uninterrupted_one() {
    let folder = Folder::new();
    let device = device();
    let data = dataset();
    let (mut whole, mut half) = (session(&device), session(&device));
    whole.fit(&data, &FitOptions::new().steps(6)).unwrap();
    half.fit(&data, &FitOptions::new().steps(3)).unwrap();
    half.save(&folder, &SaveOptions::new().validation_loss(2.5)).unwrap();
    drop(half);
    let mut resumed = Session::resume(&device, &folder).unwrap();
    assert_eq!((resumed.step_count().unwrap(), resumed.cursor().unwrap()), (3, 6));
    resumed.fit(&data, &FitOptions::new().steps(3)).unwrap();
    assert_eq!(weights(&whole), weights(&resumed));
    let other = Session::resume_with(&device, &folder, &options().batch_size(1)).unwrap();
    assert_eq!(other.options().unwrap().batch_size, 1);
    assert!(checkpoint::find(&folder, checkpoint::Choice::Best).is_ok());
    assert_eq!(kind(Session::resume(&device, folder.path("absent"))), ErrorKind::NotFound);
    // Other data than before is refused unless the cursor says where to begin.
    let mut moved = Session::resume(&device, &folder).unwrap();
    let windows = DatasetOptions::new().sequence_length(LENGTH).vocab_size(VOCAB);
    let others = Dataset::create_tokens(&ids(100), &windows).unwrap();
    let one = FitOptions::new().steps(1);
    assert_eq!(kind(moved.fit(&others, &one)), ErrorKind::InvalidData);
    moved.set_cursor(0).unwrap();
    moved.fit(&others, &one).unwrap();
}

#[test]
fn borrowed_weights_cannot_be_changed_elsewhere() {
    let mut session = session(&device());
    let mut model = session.model().unwrap();
    let values = model.read_parameter(0).unwrap();
    let borrowed = session.weights().unwrap();
    assert_eq!(kind(model.write_parameter(0, &values)), ErrorKind::Busy);
    assert_eq!(model.read_parameter(0).unwrap(), values); // reading is fine
    assert!(format!("{borrowed:?}").contains("length"));
    drop(borrowed);
    model.write_parameter(0, &values).unwrap();

    let mut writing = session.weights_mut().unwrap();
    writing[0] = 0.25;
    assert_eq!(kind(model.read_parameter(0)), ErrorKind::Busy);
    assert_eq!(kind(model.quantize(&QuantizeOptions::new())), ErrorKind::Busy);
    drop(writing);
    assert_eq!(model.read_parameter(0).unwrap()[0], 0.25);
    assert_eq!(session.weights().unwrap()[0], 0.25);
}

#[test]
fn weights_that_a_closure_keeps_stop_the_fit_instead_of_changing_under_it() {
    let mut session = session(&device());
    let fit = FitOptions::new().steps(3);
    let result = session.fit_with(&dataset(), &fit, |session, _| {
        std::mem::forget(session.weights()?);
        GO_ON
    });
    assert_eq!(kind(result), ErrorKind::Busy);
    assert_eq!(session.step_count().unwrap(), 1);
}

#[test]
fn one_model_is_trained_by_one_session() {
    let device = device();
    let model = model();
    let mut first = Session::create(&device, &model, &options()).unwrap();
    assert_eq!(kind(Session::create(&device, &model, &options())), ErrorKind::Busy);
    let rows = dataset().read(0, 2).unwrap();
    first.step(&[rows.batch()]).unwrap();
    let handle = first.cancel_handle();
    drop(first);
    handle.cancel(); // nothing left to cancel, and nothing held
    Session::create(&device, &model, &options()).unwrap();
}

#[test]
fn another_thread_cancels_and_the_step_is_undone() {
    let device = device();
    let mut session = session(&device);
    let data = dataset();
    let handle = session.cancel_handle();
    let before = weights(&session);
    // Cancelled from inside the fit: the next step ends at its first kernel.
    let result = session.fit_with(&data, &FitOptions::new().steps(1_000_000), |session, event| {
        if event.step.step == 2 {
            let (handle, borrowed) = (handle.clone(), session.cancel_handle());
            std::thread::spawn(move || (handle.cancel(), borrowed.cancel())).join().unwrap();
        }
        GO_ON
    });
    assert_eq!(kind(result), ErrorKind::Cancelled);
    assert_eq!(session.step_count().unwrap(), 2);
    assert_ne!(before, weights(&session));
    // From outside, at any moment.
    let handle = session.cancel_handle();
    let (sender, receiver) = std::sync::mpsc::channel();
    let canceller = std::thread::spawn(move || {
        receiver.recv().unwrap();
        handle.cancel();
    });
    let mut sender = Some(sender);
    let result = session.fit_with(&data, &FitOptions::new().steps(1_000_000), |_, _| {
        if let Some(sender) = sender.take() {
            sender.send(()).unwrap();
        }
        GO_ON
    });
    assert_eq!(kind(result), ErrorKind::Cancelled);
    canceller.join().unwrap();
    session.fit(&data, &FitOptions::new().steps(1)).unwrap();
}

#[test]
fn a_session_goes_to_another_thread() {
    let mut session = session(&device());
    let data = dataset();
    let steps = std::thread::spawn(move || {
        session.fit(&data, &FitOptions::new().steps(2)).unwrap();
        session.step_count().unwrap()
    });
    assert_eq!(steps.join().unwrap(), 2);
}

#[test]
fn kernels_and_documents_are_told() {
    let mut session = session(&device());
    let data = dataset();
    session.fit(&data, &FitOptions::new().steps(1)).unwrap();
    let reports = session.kernel_reports().unwrap();
    assert!(reports.iter().any(|report| report.label == "block_forward" && report.runs > 0));
    assert!(reports.iter().all(|report| report.location == "cpu"));
    let scores = session.score(&data, 2).unwrap();
    assert_eq!(scores.len(), 2);
    let mean = scores.iter().map(|score| score.loss_sum).sum::<f64>()
        / scores.iter().map(|score| score.tokens).sum::<u64>() as f64;
    assert!(mean > 0.0 && mean < 10.0);
    session.set_learning_rate(5e-3).unwrap();
    let rows = data.read(0, 2).unwrap();
    assert_eq!(session.step(&[rows.batch()]).unwrap().learning_rate, 5e-3);
}
