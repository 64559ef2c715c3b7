//! Fine-tune language models on the user's own device.
//!
//! `libane_train` for Rust: a [`Device`] compiles and runs programs, a [`Session`] trains a [`Model`]
//! or an [`Adapter`] of one on the rows of a [`Dataset`], a [`Generator`] writes text with it.
//!
//! ```no_run
//! use ane_train::{Dataset, DatasetOptions, Device, FitOptions, Model, ModelConfig};
//! use ane_train::{SaveOptions, Session, SessionOptions, Tokenizer};
//!
//! # fn main() -> ane_train::Result<()> {
//! let device = Device::open("auto")?;
//! let rows = DatasetOptions::new().sequence_length(128);
//! let train = Dataset::open_text("notes.txt", &Tokenizer::bytes()?, &rows)?;
//! let model = Model::create(&ModelConfig::named("tiny")?, 42)?;
//! let options = SessionOptions::new().batch_size(8).sequence_length(128).learning_rate(1e-3);
//! let mut session = Session::create(&device, &model, &options)?;
//! session.fit(&train, &FitOptions::new().steps(100))?;
//! session.save("checkpoints", &SaveOptions::new())?;
//! # Ok(())
//! # }
//! ```
//!
//! **Options** start with [`new`](SessionOptions::new), which is all defaults, and are chained. A zero
//! is the default of a number.
//!
//! **Threads.** What the library allows on any thread is `Send` and `Sync`: devices, programs, models,
//! adapters, tokenizers, chat templates, examples, datasets. What it allows on one thread at a time is
//! `Send` alone: sessions, generators, kernels, buffers, text decoders. A [`CancelHandle`] may be used
//! on any thread.
//!
//! **Handles** are counted: a clone is the same object, and they may be dropped in any order.
//!
//! **Closures** may panic: the call that runs them stops, and the panic goes on from there.
#![deny(missing_docs, unsafe_op_in_unsafe_fn)]
#![warn(clippy::pedantic)]
// Errors are documented where more is to be said than that calls can fail. Numbers are converted where
// the library has checked their range. Names of files are no code.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::doc_markdown,
    clippy::missing_errors_doc
)]

#[macro_use]
mod macros;
#[macro_use]
mod parameter;

mod access;
mod adapter;
mod aligned;
mod buffer;
mod callback;
mod cancel;
mod chat_template;
pub mod checkpoint;
mod config;
mod dataset;
mod device;
mod error;
mod examples;
mod export;
mod generator;
mod handle;
mod kernel;
mod model;
mod program;
mod progress;
mod quantize;
mod session;
mod tensor;
mod text;
mod text_decoder;
mod tokenizer;
mod version;
mod work;

pub use adapter::{
    Adapter, AdapterFormat, AdapterInfo, AdapterModule, AdapterOptions, AdapterOverride,
    AdapterSaveOptions, WeightedAdapter,
};
pub use aligned::AlignedMemory;
pub use buffer::{Buffer, MappedRead, MappedWrite};
pub use cancel::CancelHandle;
pub use chat_template::{ChatTemplate, RenderOptions};
pub use config::ModelConfig;
pub use dataset::{Dataset, DatasetOptions, LongExamples, RowLayout, Rows, RowsOptions};
pub use device::{
    AneOptions, AuditAction, Device, DeviceInfo, DeviceListing, DeviceOptions, LogLevel, Placement,
};
pub use error::{Error, ErrorKind, Result};
pub use examples::{DataFormat, DataPart, Example, Examples, ExamplesOptions, Supervision, Switch};
pub use export::{ExportFormat, ExportOptions, ExportType};
pub use generator::{
    FinishReason, Generation, Generator, GeneratorOptions, Prompt, SamplingOptions, Token,
};
pub use kernel::{Kernel, KernelPlacement, KernelStatistics};
pub use model::{Model, ModelInfo, ModelLoadOptions};
pub use parameter::{Compression, Parameter};
pub use program::{
    BlobFile, DifferentiateOptions, Direction, Port, Program, ProgramQuantizeOptions, Taps,
};
pub use progress::Progress;
pub use quantize::{QuantizeOptions, QuantizeOverride, TensorReport};
pub use session::{
    Batch, DocumentLoss, EvalResult, FitEnd, FitEvent, FitEventKind, FitOptions, FitResult,
    KernelReport, MemoryPlan, Optimizer, Precision, SaveOptions, Schedule, Session, SessionOptions,
    SessionView, StepResult, StepSummary, Steps, WeightsMut, WeightsRef,
};
pub use tensor::{Bf16, BoolByte, DataType, Element, TensorDesc, F16, MAX_RANK};
pub use text_decoder::TextDecoder;
pub use tokenizer::{SpecialTokens, TextRange, TokenizeOptions, Tokenizer};
pub use version::{build_info, version, version_number};
pub use work::Work;

/// The page's code blocks, as tests.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/rust.md")]
struct Documentation;
