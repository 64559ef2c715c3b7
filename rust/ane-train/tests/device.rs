//! Devices, errors, log closures.

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use ane_train::*;
use common::*;

#[test]
fn the_cpu_is_listed_and_described() {
    let list = Device::list().unwrap();
    let cpu = list.iter().find(|entry| entry.name == "cpu").unwrap();
    assert!(cpu.available && cpu.reason.is_empty() && !cpu.description.is_empty());
    let info = device().info().unwrap();
    assert_eq!((info.name.as_str(), info.threads, info.has_f32), ("cpu", 2, true));
    assert!(info.buffer_alignment.is_power_of_two());
    assert!(device().report().unwrap().starts_with('{'));
    assert!(format!("{:?}", device()).contains("cpu"));
}

#[test]
fn a_device_that_is_not_there_is_an_error_with_words() {
    let error = Device::open("gpu").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(error.kind().code(), 8);
    assert!(error.message().contains("gpu"), "{error}");
    assert!(error.to_string().starts_with("not found (8): "), "{error}");
    assert_eq!((error.line(), error.column(), error.native_code()), (None, None, None));
}

#[test]
fn options_that_cannot_be_honoured_are_refused() {
    let many = DeviceOptions::new().threads(1000);
    assert_eq!(kind(Device::open_with("cpu", &many)), ErrorKind::OutOfRange);
    let ane = DeviceOptions::new().ane(AneOptions::new().audit_every(3));
    assert_eq!(kind(Device::open_with("cpu", &ane)), ErrorKind::UnsupportedOption);
    assert_eq!(kind(Device::open("c\0pu")), ErrorKind::InvalidArgument);
}

#[test]
fn a_missing_framework_is_unavailable_and_says_which() {
    let options = DeviceOptions::new().ane(AneOptions::new().framework_path("/nowhere/framework"));
    let error = Device::open_with("ane", &options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.message().contains("/nowhere/framework"), "{error}");
}

struct Dropped(Arc<AtomicUsize>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_log_closure_hears_the_session_and_dies_with_the_last_handle() {
    let drops = Arc::new(AtomicUsize::new(0));
    let lines = Arc::new(Mutex::new(Vec::new()));
    let (guard, heard) = (Dropped(drops.clone()), lines.clone());
    let options = DeviceOptions::new().threads(2).log(LogLevel::Debug, move |level, message| {
        let _ = &guard;
        heard.lock().unwrap().push(format!("{level:?} {message}"));
    });
    let device = Device::open_with("cpu", &options).unwrap();
    drop(options);
    let session = session(&device);
    drop(device);
    assert!(!lines.lock().unwrap().is_empty());
    assert_eq!(drops.load(Ordering::SeqCst), 0);
    drop(session);
    assert_eq!(drops.load(Ordering::SeqCst), 1);
}

#[test]
fn a_log_closure_is_given_back_when_the_open_fails() {
    let drops = Arc::new(AtomicUsize::new(0));
    let guard = Dropped(drops.clone());
    let options = DeviceOptions::new().log(LogLevel::Info, move |_, _| {
        let _ = &guard;
    });
    assert_eq!(kind(Device::open_with("gpu", &options)), ErrorKind::NotFound);
    drop(options);
    assert_eq!(drops.load(Ordering::SeqCst), 1);
}

#[test]
fn a_log_closure_that_panics_loses_its_message_only() {
    let options =
        DeviceOptions::new().threads(1).log(LogLevel::Debug, |_, _| panic!("in a log closure"));
    let device = Device::open_with("cpu", &options).unwrap();
    assert!(session(&device).step_count().is_ok());
}

#[test]
fn what_is_any_thread_is_send_and_sync() {
    fn any_thread<T: Send + Sync>() {}
    fn one_thread_at_a_time<T: Send>() {}
    any_thread::<(Device, Program, Model, Adapter, Tokenizer, ChatTemplate, Examples, Dataset)>();
    any_thread::<(CancelHandle, Error, AlignedMemory<f32>, DeviceOptions, FitOptions)>();
    one_thread_at_a_time::<(Session, Generator, Kernel, Buffer, TextDecoder)>();
}

#[test]
fn clones_are_the_same_device_and_may_be_dropped_in_any_order() {
    let first = device();
    let second = first.clone();
    drop(first);
    assert_eq!(second.info().unwrap().name, "cpu");
    let session = session(&second);
    let model = session.model().unwrap();
    drop(second);
    drop(session);
    assert_eq!(model.config().unwrap().vocab_size, VOCAB);
}
