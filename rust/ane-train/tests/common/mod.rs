//! What the tests share: a small model, a little data, folders that vanish.
#![allow(dead_code)] // no test program uses all of it

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use ane_train::*;

pub const VOCAB: i32 = 64;
pub const LENGTH: i32 = 8;
pub const BATCH: i32 = 2;

pub fn device() -> Device {
    Device::open_with("cpu", &DeviceOptions::new().threads(2)).unwrap()
}

pub fn config() -> ModelConfig {
    ModelConfig::new()
        .vocab_size(VOCAB)
        .hidden_size(32)
        .intermediate_size(64)
        .layer_count(2)
        .head_count(2)
        .context_length(32)
}

pub fn model() -> Model {
    Model::create(&config(), 7).unwrap()
}

/// Numbers that follow a rule, so that something can be learned.
pub fn ids(count: usize) -> Vec<i32> {
    (0..count).map(|i| ((i * i + 3 * i) % VOCAB as usize) as i32).collect()
}

pub fn dataset() -> Dataset {
    let options = DatasetOptions::new().sequence_length(LENGTH).vocab_size(VOCAB).seed(5);
    Dataset::create_tokens(&ids(400), &options).unwrap()
}

pub fn options() -> SessionOptions {
    SessionOptions::new().batch_size(BATCH).sequence_length(LENGTH).learning_rate(1e-2)
}

pub fn session(device: &Device) -> Session {
    Session::create(device, &model(), &options()).unwrap()
}

/// A prompt, and options for a short answer.
pub fn short() -> SamplingOptions {
    SamplingOptions::new().max_tokens(6)
}

pub fn weights(session: &Session) -> Vec<f32> {
    session.weights().unwrap().to_vec()
}

pub fn kind<T: std::fmt::Debug>(result: Result<T>) -> ErrorKind {
    result.unwrap_err().kind()
}

/// A folder of its own below the system's temporary one.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "ane-train-rust-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }
}

impl AsRef<Path> for Folder {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
