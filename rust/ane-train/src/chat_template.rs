//! Chat templates: how a model writes a conversation down.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use ane_train_sys as sys;

use crate::error::{call, Error, ErrorKind, Result};
use crate::handle::Handle;
use crate::text::{c_path, c_string, filled_text, OptionalText};

/// What a conversation is rendered with, besides its messages.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct RenderOptions {
    /// A JSON array of tools.
    pub tools: Option<String>,
    /// A JSON object of further variables: `{"enable_thinking": false}`.
    pub variables: Option<String>,
    /// The text ends where the assistant is to go on.
    pub generation_prompt: bool,
}

impl RenderOptions {
    /// No tools, no variables, no generation prompt.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A JSON array of tools.
    #[must_use]
    pub fn tools(mut self, json: impl Into<String>) -> Self {
        self.tools = Some(json.into());
        self
    }

    /// A JSON object of further variables.
    #[must_use]
    pub fn variables(mut self, json: impl Into<String>) -> Self {
        self.variables = Some(json.into());
        self
    }

    /// The text ends where the assistant is to go on.
    #[must_use]
    pub fn generation_prompt(mut self, generation_prompt: bool) -> Self {
        self.generation_prompt = generation_prompt;
        self
    }
}

/// How a model writes a conversation down: its own Jinja template, or a built-in one. Clones are the
/// same template.
#[derive(Clone)]
pub struct ChatTemplate(Arc<Template>);

struct Template(Handle<sys::anet_chat_template>);

// SAFETY: the thread class of chat templates is "Immutable: any thread"; the one call that changes a
// template needs it alone, see `set_date`.
unsafe impl Send for Template {}
// SAFETY: as above.
unsafe impl Sync for Template {}

impl ChatTemplate {
    /// chat_template.jinja, or "chat_template" in tokenizer_config.json of a model folder.
    pub fn load(directory: impl AsRef<Path>) -> Result<Self> {
        let directory = c_path(directory.as_ref())?;
        Self::create(|template, error| unsafe {
            sys::anet_chat_template_load(directory.as_ptr(), template, error)
        })
    }

    /// "chatml", "llama2", "llama3" or "zephyr".
    pub fn built_in(name: &str) -> Result<Self> {
        let name = c_string(name)?;
        Self::create(|template, error| unsafe {
            sys::anet_chat_template_built_in(name.as_ptr(), template, error)
        })
    }

    /// A template of one's own; its variables `bos_token` and `eos_token` hold these texts. Errors
    /// have line and column.
    pub fn parse(text: &str, bos_token: &str, eos_token: &str) -> Result<Self> {
        let (text, bos, eos) = (c_string(text)?, c_string(bos_token)?, c_string(eos_token)?);
        Self::create(|template, error| unsafe {
            let (text, bos, eos) = (text.as_ptr(), bos.as_ptr(), eos.as_ptr());
            sys::anet_chat_template_parse(text, bos, eos, template, error)
        })
    }

    fn create(
        make: impl FnOnce(
            *mut *mut sys::anet_chat_template,
            *mut *mut sys::anet_error,
        ) -> sys::anet_status,
    ) -> Result<Self> {
        Ok(ChatTemplate(Arc::new(Template(Handle::create(make)?))))
    }

    /// The conversation as text. `messages` is a JSON array of `{"role", "content", ...}`.
    pub fn render(&self, messages: &str, options: &RenderOptions) -> Result<String> {
        let messages = c_string(messages)?;
        let tools = OptionalText::new(options.tools.as_deref())?;
        let variables = OptionalText::new(options.variables.as_deref())?;
        let generation_prompt = i32::from(options.generation_prompt);
        filled_text(|text, capacity, length, error| unsafe {
            sys::anet_chat_template_render(
                self.as_ptr(),
                messages.as_ptr(),
                tools.as_ptr(),
                variables.as_ptr(),
                generation_prompt,
                text,
                capacity,
                length,
                error,
            )
        })
    }

    /// The text depends on the day: two runs may train on different tokens unless they set the same
    /// date.
    #[must_use]
    pub fn uses_date(&self) -> bool {
        unsafe { sys::anet_chat_template_uses_date(self.as_ptr()) != 0 }
    }

    /// The day that the template takes for today, in seconds since 1970, UTC; below the year 10000.
    /// Fails with [`Busy`](ErrorKind::Busy) while the template has clones, also in options, because
    /// it may be in use through them.
    pub fn set_date(&mut self, seconds: i64) -> Result<()> {
        let template = Arc::get_mut(&mut self.0).ok_or_else(|| {
            Error::new(ErrorKind::Busy, "expected a chat template without clones, seen some")
        })?;
        call(|error| unsafe {
            sys::anet_chat_template_set_date(template.0.as_ptr(), seconds, error)
        })
    }

    pub(crate) fn as_ptr(&self) -> *mut sys::anet_chat_template {
        (self.0).0.as_ptr()
    }
}

impl fmt::Debug for ChatTemplate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ChatTemplate").field("uses_date", &self.uses_date()).finish()
    }
}
