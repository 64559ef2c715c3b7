//! Examples: what people write, tokenised.

use std::fmt;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::ptr;

use ane_train_sys as sys;

use crate::chat_template::ChatTemplate;
use crate::device::Device;
use crate::error::{Error, ErrorKind, Result};
use crate::handle::{optional, Handle};
use crate::progress::{with_progress, Progress};
use crate::text::{c_path, filled, filled_text, pointer, OptionalText};
use crate::tokenizer::Tokenizer;

enumeration! {
    /// Which tokens a model learns to predict.
    pub enum Supervision: sys::anet_supervision {
        /// Every assistant turn, or the completion, with its stop token.
        Assistant = sys::ANET_SUPERVISE_ASSISTANT,
        /// The last assistant turn alone.
        Last = sys::ANET_SUPERVISE_LAST,
        /// All of them.
        Everything = sys::ANET_SUPERVISE_EVERYTHING,
    }
}

enumeration! {
    /// A part of a folder of data.
    pub enum DataPart: sys::anet_data_part {
        /// train.jsonl.
        Train = sys::ANET_DATA_TRAIN,
        /// valid.jsonl.
        Validation = sys::ANET_DATA_VALIDATION,
        /// test.jsonl.
        Test = sys::ANET_DATA_TEST,
    }
}

enumeration! {
    /// What a file of data is.
    pub enum DataFormat: sys::anet_data_format {
        /// By the file's suffix.
        Automatic = sys::ANET_DATA_AUTOMATIC,
        /// An object a line.
        Jsonl = sys::ANET_DATA_JSONL,
        /// Text.
        Text = sys::ANET_DATA_TEXT,
        /// Token ids.
        Tokens = sys::ANET_DATA_TOKENS,
    }
}

enumeration! {
    /// A choice whose default depends on something else.
    pub enum Switch: sys::anet_switch {
        /// As it fits.
        Default = sys::ANET_SWITCH_DEFAULT,
        /// Always.
        On = sys::ANET_SWITCH_ON,
        /// Never.
        Off = sys::ANET_SWITCH_OFF,
    }
}

default_is_first!(Supervision, DataPart, DataFormat, Switch);

options! {
    /// Options of [`Examples::open`].
    pub struct ExamplesOptions: sys::anet_examples_options {
        /// Of a folder: train.jsonl, valid.jsonl, test.jsonl.
        part: DataPart,
        /// What the file is.
        format: DataFormat,
        /// What is to be learned.
        supervision: Supervision,
        /// The first row that cannot be used is an error; else it is reported.
        strict: bool,
        /// Before texts; default: as the tokenizer itself does it.
        add_bos: Switch,
        /// Behind texts; default: on if the tokenizer has one.
        add_eos: Switch,
        /// Special tokens spelled in texts become their ids.
        parse_special: bool,
        /// Of a token file without a header: 2 or 4; 0: from the vocabulary.
        token_bytes: i32,
        /// 0: 16 MB; a longer line is reported.
        max_line_bytes: u64,
        /// Above it, examples go to a temporary file; 0: 256 MB.
        memory_limit: u64,
        /// Conversations whose decoded tokens are compared; 0: none.
        round_trips: i64,
    }
    text {
        /// A JSON object for the chat template.
        template_variables,
        /// Name of a record's key; none: "text".
        text_key,
        /// None: "prompt".
        prompt_key,
        /// None: "completion".
        completion_key,
        /// None: "messages".
        messages_key,
        /// None: "tools".
        tools_key,
        /// In text files; none: each file is one document.
        document_separator,
    }
    other {
        /// None: then conversations are refused, and a prompt and its completion are joined.
        chat_template: Option<ChatTemplate>,
        /// That end a turn; none: the tokenizer's eos.
        stop_ids: Vec<i32>,
        /// None: TMPDIR, or /var/tmp.
        temporary_directory: Option<PathBuf>,
        /// Its threads tokenise too; the result is the same.
        device: Option<Device>,
    }
}

impl ExamplesOptions {
    /// How conversations are written down.
    #[must_use]
    pub fn chat_template(mut self, chat_template: &ChatTemplate) -> Self {
        self.chat_template = Some(chat_template.clone());
        self
    }

    /// Ids that end a turn.
    #[must_use]
    pub fn stop_ids(mut self, ids: &[i32]) -> Self {
        self.stop_ids = ids.to_vec();
        self
    }

    /// Where examples go above the memory limit.
    #[must_use]
    pub fn temporary_directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.temporary_directory = Some(directory.into());
        self
    }

    /// Its threads tokenise too; the result is the same.
    #[must_use]
    pub fn device(mut self, device: &Device) -> Self {
        self.device = Some(device.clone());
        self
    }

    fn with_raw<R>(
        &self,
        make: impl FnOnce(&mut sys::anet_examples_options) -> Result<R>,
    ) -> Result<R> {
        let template_variables = OptionalText::new(self.template_variables.as_deref())?;
        let text_key = OptionalText::new(self.text_key.as_deref())?;
        let prompt_key = OptionalText::new(self.prompt_key.as_deref())?;
        let completion_key = OptionalText::new(self.completion_key.as_deref())?;
        let messages_key = OptionalText::new(self.messages_key.as_deref())?;
        let tools_key = OptionalText::new(self.tools_key.as_deref())?;
        let document_separator = OptionalText::new(self.document_separator.as_deref())?;
        let directory = self.temporary_directory.as_deref().map(c_path).transpose()?;
        let mut raw = self.raw();
        raw.chat_template = self.chat_template.as_ref().map_or(ptr::null(), |chat| chat.as_ptr());
        raw.template_variables = template_variables.as_ptr();
        raw.stop_ids = pointer(&self.stop_ids);
        raw.stop_count = self.stop_ids.len() as u32;
        raw.text_key = text_key.as_ptr();
        raw.prompt_key = prompt_key.as_ptr();
        raw.completion_key = completion_key.as_ptr();
        raw.messages_key = messages_key.as_ptr();
        raw.tools_key = tools_key.as_ptr();
        raw.document_separator = document_separator.as_ptr();
        raw.temporary_directory = directory.as_ref().map_or(ptr::null(), |path| path.as_ptr());
        raw.device = optional(self.device.as_ref().map(|device| &device.handle));
        make(&mut raw)
    }
}

/// One example.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Example {
    /// Token ids.
    pub ids: Vec<i32>,
    /// Which of them are to be learned, one for each id; empty: all.
    pub mask: Vec<bool>,
}

/// Token ids with the mask of what is to be learned, read from files or memory. Larger than memory if
/// need be. Clones are the same examples.
#[derive(Clone)]
pub struct Examples {
    handle: Handle<sys::anet_examples>,
}

// SAFETY: the thread class of examples is "Immutable: any thread".
unsafe impl Send for Examples {}
// SAFETY: as above.
unsafe impl Sync for Examples {}

impl Examples {
    /// Reads and tokenises a file, or a part of a folder. JSONL has one object a line; its keys decide
    /// what it is: {"messages", "tools"}, {"prompt", "completion"}, {"text"} or {"ids", "mask"}. .bin
    /// holds token ids, another suffix means text.
    pub fn open(
        path: impl AsRef<Path>,
        tokenizer: &Tokenizer,
        options: &ExamplesOptions,
    ) -> Result<Self> {
        options.with_raw(|raw| Self::open_raw(path.as_ref(), tokenizer, raw))
    }

    /// The same, telling how far it has come. When the closure breaks, the call ends with
    /// [`Cancelled`](ErrorKind::Cancelled).
    pub fn open_with_progress(
        path: impl AsRef<Path>,
        tokenizer: &Tokenizer,
        options: &ExamplesOptions,
        progress: impl FnMut(&Progress<'_>) -> ControlFlow<()>,
    ) -> Result<Self> {
        options.with_raw(|raw| {
            with_progress(progress, |callback, user_data| {
                raw.progress = callback;
                raw.user_data = user_data;
                Self::open_raw(path.as_ref(), tokenizer, raw)
            })
        })
    }

    fn open_raw(
        path: &Path,
        tokenizer: &Tokenizer,
        raw: &sys::anet_examples_options,
    ) -> Result<Self> {
        let path = c_path(path)?;
        let handle = Handle::create(|examples, error| unsafe {
            sys::anet_examples_open(path.as_ptr(), tokenizer.as_ptr(), raw, examples, error)
        })?;
        Ok(Examples { handle })
    }

    /// Copies examples from memory.
    pub fn create(examples: &[Example], vocab_size: i32) -> Result<Self> {
        let (mut ids, mut mask, mut lengths) = (Vec::new(), Vec::new(), Vec::new());
        for (index, example) in examples.iter().enumerate() {
            let (wanted, seen) = (example.ids.len(), example.mask.len());
            if seen != 0 && seen != wanted {
                let message =
                    format!("expected a mask of {wanted} values in example {index}, seen {seen}");
                return Err(Error::new(ErrorKind::ShapeMismatch, message));
            }
            ids.extend_from_slice(&example.ids);
            mask.extend(example.mask.iter().map(|&learned| u8::from(learned)));
            mask.resize(ids.len(), 1);
            lengths.push(wanted as u64);
        }
        let handle = Handle::create(|created, error| unsafe {
            let (ids, mask, lengths) = (pointer(&ids), pointer(&mask), lengths.as_ptr());
            let count = examples.len();
            sys::anet_examples_create(ids, mask, lengths, count, vocab_size, created, error)
        })?;
        Ok(Examples { handle })
    }

    /// Splits off the last `fraction` of the examples: for training, and for validation.
    pub fn split(&self, fraction: f64) -> Result<(Examples, Examples)> {
        let (train, validation) = Handle::create_two(|train, validation, error| unsafe {
            sys::anet_examples_split(self.as_ptr(), fraction, train, validation, error)
        })?;
        Ok((Examples { handle: train }, Examples { handle: validation }))
    }

    /// Number of examples.
    #[must_use]
    pub fn count(&self) -> u64 {
        unsafe { sys::anet_examples_count(self.as_ptr()) }
    }

    /// Number of tokens.
    #[must_use]
    pub fn token_count(&self) -> u64 {
        unsafe { sys::anet_examples_token_count(self.as_ptr()) }
    }

    /// A copy of one example.
    pub fn read(&self, index: u64) -> Result<Example> {
        const GUESS: usize = 1024;
        let mut mask = Vec::new();
        let ids = filled(GUESS, 0, |ids, capacity, count, error| {
            mask.resize(capacity, 0);
            let mask = mask.as_mut_ptr();
            unsafe {
                sys::anet_examples_read(self.as_ptr(), index, ids, mask, capacity, count, error)
            }
        })?;
        mask.truncate(ids.len());
        Ok(Example { ids, mask: mask.iter().map(|&learned| learned != 0).collect() })
    }

    /// One example as a JSON array of {"text", "supervised", "tokens"}: the runs of its mask.
    pub fn describe(&self, index: u64, tokenizer: &Tokenizer) -> Result<String> {
        filled_text(|json, capacity, length, error| unsafe {
            let tokenizer = tokenizer.as_ptr();
            let examples = self.as_ptr();
            sys::anet_examples_describe(examples, index, tokenizer, json, capacity, length, error)
        })
    }

    /// What the files held, as a JSON object: rows by kind, rows that cannot be used with file, line
    /// and reason, lengths, supervised tokens, duplicates, special tokens spelled in the text, round
    /// trips. Reads all examples.
    pub fn report(&self) -> Result<String> {
        filled_text(|json, capacity, length, error| unsafe {
            sys::anet_examples_get_report(self.as_ptr(), json, capacity, length, error)
        })
    }

    pub(crate) fn as_ptr(&self) -> *mut sys::anet_examples {
        self.handle.as_ptr()
    }
}

impl fmt::Debug for Examples {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Examples").field("count", &self.count()).finish()
    }
}
