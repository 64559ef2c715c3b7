//! Text of a sequence as it grows.

use std::fmt;
use std::os::raw::c_char;
use std::ptr;

use ane_train_sys as sys;

use crate::error::{call, Result};
use crate::handle::Handle;
use crate::text::{counted_text, pointer};
use crate::tokenizer::Tokenizer;

/// Text of a sequence as it grows, in whole characters.
///
/// One thread at a time: it can be sent to another thread, but not shared.
///
/// ```compile_fail,E0277
/// fn shared<T: Sync>() {}
/// shared::<ane_train::TextDecoder>();
/// ```
pub struct TextDecoder {
    handle: Handle<sys::anet_text_decoder>,
}

// SAFETY: the thread class is "One thread at a time"; which thread makes the calls does not matter.
unsafe impl Send for TextDecoder {}

impl TextDecoder {
    /// A decoder at the beginning of a text.
    pub fn new(tokenizer: &Tokenizer) -> Result<Self> {
        let handle = Handle::create(|decoder, error| unsafe {
            sys::anet_text_decoder_create(tokenizer.as_ptr(), decoder, error)
        })?;
        Ok(TextDecoder { handle })
    }

    /// Tokens whose text is known already, a prompt's: some formats leave out the space that begins
    /// a text, and what goes on is not its beginning.
    pub fn prime(&mut self, ids: &[i32]) -> Result<()> {
        call(|error| unsafe {
            sys::anet_text_decoder_prime(self.handle.as_ptr(), pointer(ids), ids.len(), error)
        })
    }

    /// What became complete with this token, perhaps nothing.
    pub fn push(&mut self, id: i32) -> Result<&str> {
        self.text(|decoder, text, length, error| unsafe {
            sys::anet_text_decoder_push(decoder, id, text, length, error)
        })
    }

    /// What is left of an incomplete character, as U+FFFD. The decoder is then as new.
    pub fn flush(&mut self) -> Result<&str> {
        self.text(|decoder, text, length, error| unsafe {
            sys::anet_text_decoder_flush(decoder, text, length, error)
        })
    }

    fn text(
        &mut self,
        decode: impl FnOnce(
            *mut sys::anet_text_decoder,
            *mut *const c_char,
            *mut usize,
            *mut *mut sys::anet_error,
        ) -> sys::anet_status,
    ) -> Result<&str> {
        let (mut text, mut length) = (ptr::null(), 0);
        call(|error| decode(self.handle.as_ptr(), &mut text, &mut length, error))?;
        // SAFETY: borrowed until the next call, which needs the decoder mutably.
        unsafe { counted_text(text, length) }
    }
}

impl fmt::Debug for TextDecoder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("TextDecoder").finish_non_exhaustive()
    }
}
