//! Datasets: rows of tokens in a deterministic order.

use std::fmt;
use std::path::Path;

use ane_train_sys as sys;

use crate::error::{call, Error, ErrorKind, Result};
use crate::examples::Examples;
use crate::handle::Handle;
use crate::session::Batch;
use crate::text::{c_path, filled_text, pointer};
use crate::tokenizer::Tokenizer;

enumeration! {
    /// How examples lie in rows.
    pub enum RowLayout: sys::anet_row_layout {
        /// One example a row.
        Padded = sys::ANET_ROWS_PADDED,
        /// Several a row, each with positions from 0, so that nothing is padded: needs
        /// [`SessionOptions::documents`](crate::SessionOptions).
        Packed = sys::ANET_ROWS_PACKED,
        /// 1, 2, 4, ... short examples side by side in equal parts of a row: needs
        /// [`SessionOptions::length_buckets`](crate::SessionOptions).
        Bucketed = sys::ANET_ROWS_BUCKETED,
    }
}

enumeration! {
    /// What becomes of an example of more than `sequence_length + 1` tokens.
    pub enum LongExamples: sys::anet_long_examples {
        /// Its end is cut off.
        Truncate = sys::ANET_LONG_TRUNCATE,
        /// It is left out.
        Skip = sys::ANET_LONG_SKIP,
        /// Pieces that share one token.
        Split = sys::ANET_LONG_SPLIT,
    }
}

default_is_first!(RowLayout, LongExamples);

options! {
    /// Options of datasets of windows.
    pub struct DatasetOptions: sys::anet_dataset_options {
        /// Required: tokens a window; its targets are shifted by one.
        sequence_length: i32,
        /// Ids must be below it; required for token files and arrays.
        vocab_size: i32,
        /// Of a token file without a header: 2 or 4; 0: from `vocab_size`.
        token_bytes: i32,
        /// Of the order.
        seed: u64,
        /// File order instead of a shuffle.
        sequential: bool,
    }
}

options! {
    /// Options of [`Dataset::create_rows`].
    pub struct RowsOptions: sys::anet_rows_options {
        /// Required: tokens a row; its targets are shifted by one.
        sequence_length: i32,
        /// How examples lie in rows.
        layout: RowLayout,
        /// What becomes of those that are too long.
        long_examples: LongExamples,
        /// Required for bucketed rows: the session's.
        batch_size: i32,
        /// Bucketed rows have up to 2^length_buckets parts; 0: 3.
        length_buckets: i32,
        /// Of the order.
        seed: u64,
        /// The order of the examples instead of a shuffle.
        sequential: bool,
    }
}

/// Rows of a dataset.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rows {
    /// Tokens a row.
    pub sequence_length: i32,
    /// Token ids, row-major.
    pub tokens: Vec<i32>,
    /// The id that each position must predict; -1 where nothing is to be learned.
    pub targets: Vec<i32>,
    /// Each token's place in its document.
    pub positions: Vec<i32>,
    /// The number of examples side by side in each row.
    pub parts: Vec<i32>,
}

impl Rows {
    /// The rows as one micro-batch.
    #[must_use]
    pub fn batch(&self) -> Batch<'_> {
        Batch::new(&self.tokens, &self.targets, self.sequence_length)
            .positions(&self.positions)
            .parts(self.parts.first().copied().unwrap_or(0))
    }
}

/// Rows of tokens in a deterministic order that any index can be asked of. Clones are the same
/// dataset.
#[derive(Clone)]
pub struct Dataset {
    pub(crate) handle: Handle<sys::anet_dataset>,
}

// SAFETY: the thread class of datasets is "Immutable: any thread".
unsafe impl Send for Dataset {}
// SAFETY: as above.
unsafe impl Sync for Dataset {}

impl Dataset {
    /// Maps a file of token ids: little-endian uint16 or uint32, bare or with llm.c's header.
    pub fn open_tokens(path: impl AsRef<Path>, options: &DatasetOptions) -> Result<Self> {
        let (path, raw) = (c_path(path.as_ref())?, options.raw());
        let handle = Handle::create(|dataset, error| unsafe {
            sys::anet_dataset_open_tokens(path.as_ptr(), &raw, dataset, error)
        })?;
        Ok(Dataset { handle })
    }

    /// Reads a text file through a tokenizer, whose vocabulary it uses.
    pub fn open_text(
        path: impl AsRef<Path>,
        tokenizer: &Tokenizer,
        options: &DatasetOptions,
    ) -> Result<Self> {
        let (path, raw) = (c_path(path.as_ref())?, options.raw());
        let handle = Handle::create(|dataset, error| unsafe {
            let tokenizer = tokenizer.as_ptr();
            sys::anet_dataset_open_text(path.as_ptr(), tokenizer, &raw, dataset, error)
        })?;
        Ok(Dataset { handle })
    }

    /// Copies token ids from memory.
    pub fn create_tokens(ids: &[i32], options: &DatasetOptions) -> Result<Self> {
        let raw = options.raw();
        let handle = Handle::create(|dataset, error| unsafe {
            sys::anet_dataset_create_tokens(pointer(ids), ids.len(), &raw, dataset, error)
        })?;
        Ok(Dataset { handle })
    }

    /// Rows of examples.
    pub fn create_rows(examples: &Examples, options: &RowsOptions) -> Result<Self> {
        let raw = options.raw();
        let handle = Handle::create(|dataset, error| unsafe {
            sys::anet_dataset_create_rows(examples.as_ptr(), &raw, dataset, error)
        })?;
        Ok(Dataset { handle })
    }

    /// What became of the examples, as a JSON object: rows, density, truncated, skipped, split,
    /// supervised tokens that are in no row. {} for windows.
    pub fn report(&self) -> Result<String> {
        filled_text(|json, capacity, length, error| unsafe {
            sys::anet_dataset_get_report(self.as_ptr(), json, capacity, length, error)
        })
    }

    /// SHA-256 in hexadecimal of tokens, masks and order; kept in checkpoints. The first call may read
    /// all data.
    pub fn fingerprint(&self) -> Result<String> {
        filled_text(|text, capacity, length, error| unsafe {
            sys::anet_dataset_get_fingerprint(self.as_ptr(), text, capacity, length, error)
        })
    }

    /// Splits off the last `fraction` of the tokens of windows: for training, and for validation.
    pub fn split(&self, fraction: f64) -> Result<(Dataset, Dataset)> {
        let (train, validation) = Handle::create_two(|train, validation, error| unsafe {
            sys::anet_dataset_split(self.as_ptr(), fraction, train, validation, error)
        })?;
        Ok((Dataset { handle: train }, Dataset { handle: validation }))
    }

    /// Rows in one epoch.
    #[must_use]
    pub fn window_count(&self) -> u64 {
        unsafe { sys::anet_dataset_window_count(self.as_ptr()) }
    }

    /// Tokens a row.
    #[must_use]
    pub fn sequence_length(&self) -> i32 {
        unsafe { sys::anet_dataset_sequence_length(self.as_ptr()) }
    }

    /// Copies `count` rows from `first` on of the endless sequence of epochs.
    pub fn read(&self, first: u64, count: usize) -> Result<Rows> {
        let sequence_length = self.sequence_length();
        let size = count.checked_mul(sequence_length as usize).ok_or_else(|| {
            let message = format!("expected rows that fit into memory, seen {count}");
            Error::new(ErrorKind::OutOfMemory, message)
        })?;
        let zeros = || vec![0; size];
        let (tokens, targets, positions) = (zeros(), zeros(), zeros());
        let parts = vec![0; count];
        let mut rows = Rows { sequence_length, tokens, targets, positions, parts };
        call(|error| unsafe {
            sys::anet_dataset_read(
                self.as_ptr(),
                first,
                count,
                rows.tokens.as_mut_ptr(),
                rows.targets.as_mut_ptr(),
                rows.positions.as_mut_ptr(),
                rows.parts.as_mut_ptr(),
                error,
            )
        })?;
        Ok(rows)
    }

    pub(crate) fn as_ptr(&self) -> *mut sys::anet_dataset {
        self.handle.as_ptr()
    }
}

impl fmt::Debug for Dataset {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Dataset")
            .field("window_count", &self.window_count())
            .field("sequence_length", &self.sequence_length())
            .finish()
    }
}
