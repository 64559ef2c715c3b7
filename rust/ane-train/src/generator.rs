//! Generators: text written with a model.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::marker::PhantomData;
use std::ops::ControlFlow;
use std::os::raw::{c_char, c_void};
use std::sync::Arc;

use ane_train_sys as sys;

use crate::access::{Access, Shared};
use crate::adapter::{with_adapters, WeightedAdapter};
use crate::callback::Callback;
use crate::cancel::{CancelHandle, Cancellable};
use crate::device::Device;
use crate::error::{call, Result};
use crate::handle::{optional, Handle};
use crate::model::Model;
use crate::session::Precision;
use crate::text::{counted_text, pointer};
use crate::tokenizer::Tokenizer;

options! {
    /// Options of [`Generator::create`].
    pub struct GeneratorOptions: sys::anet_generator_options {
        /// Tokens in the KV cache; 0: the model's.
        context_length: i32,
        /// What programs compute in.
        precision: Precision,
        /// Prompts that [`Generator::generate_batch`] decodes at once; 0: 1.
        batch_size: i32,
        /// Ranks of adapters, added up, that each adapted matrix has room for; 0: what the first ones
        /// that are attached need. Programs are compiled again only for more.
        adapter_rank: i32,
    }
}

options! {
    /// How tokens are chosen.
    pub struct SamplingOptions: sys::anet_sampling_options {
        /// 0: until the context is full.
        max_tokens: i32,
        /// 0: greedy.
        temperature: f64,
        /// 0: off; else at most 1.
        top_p: f64,
        /// 0: off.
        top_k: i32,
        /// Of the random choices.
        seed: u64,
        /// Divides the positive logits of ids that the text has, and multiplies the negative ones;
        /// 0: off; else at least 1 (Keskar et al. 2019).
        repetition_penalty: f64,
        /// Least probability relative to the likeliest token; 0: off; else at most 1.
        min_p: f64,
    }
    other {
        /// Generation ends before any of these ids.
        stop_ids: Vec<i32>,
    }
}

impl SamplingOptions {
    /// Generation ends before any of these ids.
    #[must_use]
    pub fn stop_ids(mut self, ids: &[i32]) -> Self {
        self.stop_ids = ids.to_vec();
        self
    }

    /// Valid as long as `self`.
    fn borrowed(&self) -> sys::anet_sampling_options {
        let mut raw = self.raw();
        raw.stop_ids = pointer(&self.stop_ids);
        raw.stop_count = self.stop_ids.len() as u32;
        raw
    }
}

enumeration! {
    /// Why a generation ended.
    pub enum FinishReason: sys::anet_finish_reason {
        /// [`SamplingOptions::max_tokens`].
        Length = sys::ANET_FINISH_LENGTH,
        /// A stop id.
        Stop = sys::ANET_FINISH_STOP,
        /// The KV cache is full.
        Context = sys::ANET_FINISH_CONTEXT,
        /// The closure broke.
        Callback = sys::ANET_FINISH_CALLBACK,
    }
}

/// What was generated.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Generation {
    /// The generated ids, without the prompt's.
    pub ids: Vec<i32>,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// Tokens of the prompt.
    pub prompt_tokens: u64,
    /// Tokens that were generated.
    pub generated_tokens: u64,
    /// Seconds for the prompt.
    pub prefill_seconds: f64,
    /// Seconds for the generated tokens.
    pub decode_seconds: f64,
}

impl Generation {
    fn new(ids: Vec<i32>, raw: &sys::anet_generation_result) -> Self {
        Generation {
            ids,
            finish_reason: FinishReason::from_raw(raw.finish_reason),
            prompt_tokens: raw.prompt_tokens,
            generated_tokens: raw.generated_tokens,
            prefill_seconds: raw.prefill_seconds,
            decode_seconds: raw.decode_seconds,
        }
    }
}

/// A prompt of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prompt {
    /// Its token ids.
    pub ids: Vec<i32>,
    /// Instead of [`SamplingOptions::seed`].
    pub seed: u64,
}

/// A token as it is generated.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Token<'a> {
    /// Its id.
    pub id: i32,
    /// What became complete with it: whole characters, perhaps none. A character that is still
    /// incomplete when the generation ends is left out. "" without a tokenizer.
    pub text: &'a str,
    generator: &'a Attached,
}

impl Token<'_> {
    /// Attaches other adapters from the next token on, as [`Generator::set_adapters`]; what the cache
    /// has of the text stays as it is. Fails with [`Busy`](crate::ErrorKind::Busy) when programs would
    /// have to be compiled.
    pub fn set_adapters(&self, adapters: &[WeightedAdapter<'_>]) -> Result<()> {
        self.generator.set_adapters(adapters)
    }
}

/// The generator, and what its calls read.
struct Attached {
    handle: Arc<Cancellable<sys::anet_generator>>,
    model_access: Access,
    adapter_access: RefCell<Vec<Access>>,
}

impl Attached {
    fn set_adapters(&self, adapters: &[WeightedAdapter<'_>]) -> Result<()> {
        let _reading = self.model_access.share()?;
        with_adapters(adapters, |raw, count| {
            call(|error| unsafe {
                sys::anet_generator_set_adapters(self.handle.0.as_ptr(), raw, count, error)
            })
        })?;
        let access = adapters.iter().map(|item| item.adapter.access.clone()).collect();
        *self.adapter_access.borrow_mut() = access;
        Ok(())
    }

    fn reading(&self) -> Result<Vec<Shared>> {
        let adapters = self.adapter_access.borrow();
        std::iter::once(&self.model_access).chain(adapters.iter()).map(Access::share).collect()
    }
}

impl fmt::Debug for Attached {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Attached").finish_non_exhaustive()
    }
}

/// Writes text with a model, and with adapters that can be exchanged at any token. Sees the weights as
/// they are at each call.
///
/// One thread at a time: it can be sent to another thread, but not shared.
///
/// ```compile_fail,E0277
/// fn shared<T: Sync>() {}
/// shared::<ane_train::Generator>();
/// ```
pub struct Generator {
    attached: Attached,
    vocab_size: usize,
    /// The thread class is "One thread at a time": `Send`, but not `Sync`.
    not_shared: PhantomData<Cell<()>>,
}

/// What the trampolines need.
struct Generating<'a, F> {
    closure: F,
    attached: &'a Attached,
    /// One list a prompt.
    ids: Vec<Vec<i32>>,
}

impl Generator {
    /// Without a tokenizer closures get no text.
    pub fn create(
        device: &Device,
        model: &Model,
        tokenizer: Option<&Tokenizer>,
        options: &GeneratorOptions,
    ) -> Result<Self> {
        let raw = options.raw();
        let _reading = model.access.share()?;
        let handle = Handle::create(|generator, error| unsafe {
            let tokenizer = optional(tokenizer.map(|tokenizer| &tokenizer.handle));
            let (device, model) = (device.as_ptr(), model.as_ptr());
            sys::anet_generator_create(device, model, tokenizer, &raw, generator, error)
        })?;
        let attached = Attached {
            handle: Arc::new(Cancellable(handle)),
            model_access: model.access.clone(),
            adapter_access: RefCell::default(),
        };
        let vocab_size = usize::try_from(model.config()?.vocab_size).unwrap_or(0);
        Ok(Generator { attached, vocab_size, not_shared: PhantomData })
    }

    /// Attaches adapters in place of those that were attached; none: detaches all. Compiles nothing
    /// when they adapt no other matrices and no larger rank than any before.
    pub fn set_adapters(&mut self, adapters: &[WeightedAdapter<'_>]) -> Result<()> {
        self.attached.set_adapters(adapters)
    }

    /// Continues a prompt.
    pub fn generate(&mut self, prompt: &[i32], options: &SamplingOptions) -> Result<Generation> {
        self.generate_with(prompt, options, |_| ControlFlow::Continue(()))
    }

    /// The same, handing each token to a closure. When it breaks, the generation ends.
    pub fn generate_with<F>(
        &mut self,
        prompt: &[i32],
        options: &SamplingOptions,
        closure: F,
    ) -> Result<Generation>
    where
        F: FnMut(&Token<'_>) -> ControlFlow<()>,
    {
        let options = options.borrowed();
        let _reading = self.attached.reading()?;
        let ids = vec![Vec::new()];
        let mut callback = Callback::new(Generating { closure, attached: &self.attached, ids });
        let mut raw = sys::anet_generation_result::default();
        let result = call(|error| unsafe {
            sys::anet_generator_generate(
                self.as_ptr(),
                pointer(prompt),
                prompt.len(),
                &options,
                Some(receive::<F>),
                callback.user_data(),
                std::ptr::null_mut(),
                0,
                &mut raw,
                error,
            )
        });
        let ids = callback.closure.ids.pop().unwrap_or_default();
        callback.finish(result)?;
        Ok(Generation::new(ids, &raw))
    }

    /// Continues several prompts, [`GeneratorOptions::batch_size`] of them at a time, which is faster
    /// than one after another. Each gets the text that it would get alone, up to the rounding of sums.
    pub fn generate_batch(
        &mut self,
        prompts: &[Prompt],
        options: &SamplingOptions,
    ) -> Result<Vec<Generation>> {
        self.generate_batch_with(prompts, options, |_, _| ControlFlow::Continue(()))
    }

    /// The same, handing each token to a closure with the index of its prompt. When it breaks, this
    /// prompt's text ends.
    pub fn generate_batch_with<F>(
        &mut self,
        prompts: &[Prompt],
        options: &SamplingOptions,
        closure: F,
    ) -> Result<Vec<Generation>>
    where
        F: FnMut(usize, &Token<'_>) -> ControlFlow<()>,
    {
        let options = options.borrowed();
        let raw_prompts: Vec<_> = prompts
            .iter()
            .map(|prompt| sys::anet_prompt {
                ids: pointer(&prompt.ids),
                count: prompt.ids.len(),
                seed: prompt.seed,
            })
            .collect();
        let _reading = self.attached.reading()?;
        let ids = vec![Vec::new(); prompts.len()];
        let mut callback = Callback::new(Generating { closure, attached: &self.attached, ids });
        let mut results = vec![sys::anet_generation_result::default(); prompts.len()];
        let result = call(|error| unsafe {
            sys::anet_generator_generate_batch(
                self.as_ptr(),
                pointer(&raw_prompts),
                raw_prompts.len(),
                &options,
                Some(receive_batch::<F>),
                callback.user_data(),
                results.as_mut_ptr(),
                error,
            )
        });
        let ids = std::mem::take(&mut callback.closure.ids);
        callback.finish(result)?;
        Ok(ids.into_iter().zip(&results).map(|(ids, raw)| Generation::new(ids, raw)).collect())
    }

    /// The logits that follow a prompt: one for each id of the model's vocabulary.
    pub fn logits(&mut self, prompt: &[i32]) -> Result<Vec<f32>> {
        let mut logits = vec![0.0; self.vocab_size];
        let _reading = self.attached.reading()?;
        call(|error| unsafe {
            let (values, count) = (logits.as_mut_ptr(), logits.len());
            let generator = self.as_ptr();
            sys::anet_generator_logits(
                generator,
                pointer(prompt),
                prompt.len(),
                values,
                count,
                error,
            )
        })?;
        Ok(logits)
    }

    /// Cancels the running call from other threads.
    pub fn cancel_handle(&self) -> CancelHandle {
        CancelHandle::of_generator(&self.attached.handle)
    }

    fn as_ptr(&self) -> *mut sys::anet_generator {
        self.attached.handle.0.as_ptr()
    }
}

impl fmt::Debug for Generator {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Generator").finish_non_exhaustive()
    }
}

/// Hands a token of the prompt `index` on.
///
/// # Safety
/// `text` and `length` are as the library gives them to its callbacks.
unsafe fn hand_on<F>(
    callback: &mut Callback<Generating<'_, F>>,
    index: usize,
    id: i32,
    text: *const c_char,
    length: usize,
    call: impl FnOnce(&mut F, &Token<'_>) -> ControlFlow<()>,
) -> i32 {
    const STOP: i32 = 1;
    callback.run(STOP, |generating| {
        generating.ids[index].push(id);
        // SAFETY: as promised by the caller.
        let text = unsafe { counted_text(text, length) }?;
        let token = Token { id, text, generator: generating.attached };
        Ok(i32::from(call(&mut generating.closure, &token).is_break()))
    })
}

unsafe extern "C" fn receive<F>(
    id: i32,
    text: *const c_char,
    length: usize,
    user_data: *mut c_void,
) -> i32
where
    F: FnMut(&Token<'_>) -> ControlFlow<()>,
{
    // SAFETY: `user_data` is the callback of `generate_with`, which waits for the call.
    unsafe {
        let callback = &mut *user_data.cast::<Callback<Generating<'_, F>>>();
        hand_on(callback, 0, id, text, length, |closure, token| closure(token))
    }
}

unsafe extern "C" fn receive_batch<F>(
    index: usize,
    id: i32,
    text: *const c_char,
    length: usize,
    user_data: *mut c_void,
) -> i32
where
    F: FnMut(usize, &Token<'_>) -> ControlFlow<()>,
{
    // SAFETY: `user_data` is the callback of `generate_batch_with`, which waits for the call.
    unsafe {
        let callback = &mut *user_data.cast::<Callback<Generating<'_, F>>>();
        hand_on(callback, index, id, text, length, |closure, token| closure(index, token))
    }
}
