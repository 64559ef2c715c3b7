//! Tokenizers: text to token ids and back.

use std::fmt;
use std::path::Path;

use ane_train_sys as sys;

use crate::error::{call, Error, ErrorKind, Result};
use crate::handle::Handle;
use crate::text::{borrowed_text, c_path, c_string, filled, pointer};

/// Which tokens that begin or end a text are added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpecialTokens {
    /// None.
    #[default]
    None,
    /// What the tokenizer adds by itself (Llama's bos).
    AsTrained,
    /// The token that begins a text.
    Bos,
    /// The token that ends it.
    Eos,
    /// Both.
    BosAndEos,
}

/// How text is encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenizeOptions {
    /// Which tokens that begin or end a text are added.
    pub special_tokens: SpecialTokens,
    /// Special tokens spelled in the text become their ids. Off for text from outside, which could
    /// otherwise forge the structure of a prompt.
    pub parse_special: bool,
}

impl TokenizeOptions {
    /// Nothing is added, nothing is special.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Which tokens that begin or end a text are added.
    #[must_use]
    pub fn special_tokens(mut self, tokens: SpecialTokens) -> Self {
        self.special_tokens = tokens;
        self
    }

    /// Special tokens spelled in the text become their ids.
    #[must_use]
    pub fn parse_special(mut self, parse_special: bool) -> Self {
        self.parse_special = parse_special;
        self
    }

    fn flags(self) -> u32 {
        let added = match self.special_tokens {
            SpecialTokens::None => 0,
            SpecialTokens::AsTrained => sys::ANET_TOKENIZE_AS_TRAINED,
            SpecialTokens::Bos => sys::ANET_TOKENIZE_ADD_BOS,
            SpecialTokens::Eos => sys::ANET_TOKENIZE_ADD_EOS,
            SpecialTokens::BosAndEos => sys::ANET_TOKENIZE_ADD_BOS | sys::ANET_TOKENIZE_ADD_EOS,
        };
        let special = if self.parse_special { sys::ANET_TOKENIZE_PARSE_SPECIAL } else { 0 };
        (added | special) as u32
    }
}

/// Bytes `[begin, end)` of a text; empty for a token that is no part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextRange {
    /// The first byte.
    pub begin: i64,
    /// The byte after the last one.
    pub end: i64,
}

/// Text to token ids and back. Clones are the same tokenizer.
#[derive(Clone)]
pub struct Tokenizer {
    pub(crate) handle: Handle<sys::anet_tokenizer>,
}

// SAFETY: the thread class of tokenizers is "Immutable: any thread".
unsafe impl Send for Tokenizer {}
// SAFETY: as above.
unsafe impl Sync for Tokenizer {}

impl Tokenizer {
    /// The byte tokenizer: ids 0 to 255 are bytes, 256 begins a text, 257 ends it.
    pub fn bytes() -> Result<Self> {
        let handle = Handle::create(|tokenizer, error| unsafe {
            sys::anet_tokenizer_create_bytes(tokenizer, error)
        })?;
        Ok(Tokenizer { handle })
    }

    /// Loads a tokenizer.json or a tokenizer.bin of llama2.c.
    ///
    /// `path` is the file, or the model folder that holds it. `vocab_size` is the model's: required
    /// for tokenizer.bin; for tokenizer.json ids up to it are valid without text; 0: not known.
    pub fn load(path: impl AsRef<Path>, vocab_size: i32) -> Result<Self> {
        let path = c_path(path.as_ref())?;
        let handle = Handle::create(|tokenizer, error| unsafe {
            sys::anet_tokenizer_load(path.as_ptr(), vocab_size, tokenizer, error)
        })?;
        Ok(Tokenizer { handle })
    }

    /// SHA-256 in hexadecimal of all that decides how it encodes and decodes.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        // SAFETY: borrowed from the tokenizer, which is immutable.
        unsafe { borrowed_text(sys::anet_tokenizer_fingerprint(self.as_ptr())) }
    }

    /// The id of a special or added token ("<|im_end|>").
    pub fn find_special(&self, name: &str) -> Result<i32> {
        let name = c_string(name)?;
        let mut id = 0;
        call(|error| unsafe {
            sys::anet_tokenizer_find_special(self.as_ptr(), name.as_ptr(), &mut id, error)
        })?;
        Ok(id)
    }

    /// Ids are below this.
    #[must_use]
    pub fn vocab_size(&self) -> i32 {
        unsafe { sys::anet_tokenizer_vocab_size(self.as_ptr()) }
    }

    /// The token that begins a text.
    #[must_use]
    pub fn bos_id(&self) -> Option<i32> {
        Some(unsafe { sys::anet_tokenizer_bos_id(self.as_ptr()) }).filter(|&id| id >= 0)
    }

    /// The token that ends a text.
    #[must_use]
    pub fn eos_id(&self) -> Option<i32> {
        Some(unsafe { sys::anet_tokenizer_eos_id(self.as_ptr()) }).filter(|&id| id >= 0)
    }

    /// The token ids of a text; nothing is added, nothing in it is special.
    pub fn encode(&self, text: &str) -> Result<Vec<i32>> {
        self.encode_with(text, TokenizeOptions::new())
    }

    /// The token ids of a text.
    pub fn encode_with(&self, text: &str, options: TokenizeOptions) -> Result<Vec<i32>> {
        let (data, length, flags) = (text.as_ptr().cast(), text.len(), options.flags());
        // Hardly ever more tokens than bytes.
        filled(length + 2, 0, |ids, capacity, count, error| unsafe {
            sys::anet_tokenizer_encode(
                self.as_ptr(),
                data,
                length,
                flags,
                ids,
                capacity,
                count,
                error,
            )
        })
    }

    /// The token ids of a text, each with the bytes that it comes from.
    pub fn encode_ranges(
        &self,
        text: &str,
        options: TokenizeOptions,
    ) -> Result<Vec<(i32, TextRange)>> {
        let (data, length, flags) = (text.as_ptr().cast(), text.len(), options.flags());
        let mut ranges = Vec::new();
        let blank = sys::anet_text_range { begin: 0, end: 0 };
        let ids = filled(length + 2, 0, |ids, capacity, count, error| {
            ranges.resize(capacity, blank);
            let ranges = ranges.as_mut_ptr();
            let tokenizer = self.as_ptr();
            unsafe {
                sys::anet_tokenizer_encode_ranges(
                    tokenizer, data, length, flags, ids, ranges, capacity, count, error,
                )
            }
        })?;
        let ranges = ranges.iter().map(|raw| TextRange { begin: raw.begin, end: raw.end });
        Ok(ids.into_iter().zip(ranges).collect())
    }

    /// The text of token ids. Invalid bytes become U+FFFD.
    pub fn decode(&self, ids: &[i32]) -> Result<String> {
        let guess = 8 * ids.len() + 16;
        let bytes = filled(guess, 0u8, |text, capacity, length, error| unsafe {
            let (ids, count) = (pointer(ids), ids.len());
            let text = text.cast();
            sys::anet_tokenizer_decode(self.as_ptr(), ids, count, text, capacity, length, error)
        })?;
        String::from_utf8(bytes).map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))
    }

    pub(crate) fn as_ptr(&self) -> *mut sys::anet_tokenizer {
        self.handle.as_ptr()
    }
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Tokenizer").field("vocab_size", &self.vocab_size()).finish()
    }
}
