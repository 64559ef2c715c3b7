//! How a session trains.

use ane_train_sys as sys;

use crate::error::{call, Result};
use crate::text::{c_string, owned_text, OptionalText};

enumeration! {
    /// What programs compute in.
    pub enum Precision: sys::anet_precision {
        /// `F32` where the device has it (the CPU), else `F16`.
        Default = sys::ANET_PRECISION_DEFAULT,
        /// Same seed, same threads: same bits.
        F32 = sys::ANET_PRECISION_F32,
        /// Programs in fp16, fp32 master weights, dynamic loss scale.
        F16 = sys::ANET_PRECISION_F16,
        /// Programs in bf16, products summed in fp32; fp32 master weights, gradients and loss. Fastest
        /// where the processor multiplies bf16; elsewhere the kernel reports say that fp32 does.
        Bf16 = sys::ANET_PRECISION_BF16,
    }
}

enumeration! {
    /// How weights follow gradients.
    pub enum Optimizer: sys::anet_optimizer {
        /// Adam with decoupled weight decay.
        AdamW = sys::ANET_OPTIMIZER_ADAMW,
        /// Stochastic gradient descent.
        Sgd = sys::ANET_OPTIMIZER_SGD,
    }
}

enumeration! {
    /// Learning rate after the warm-up; r is `learning_rate`, m is `min_learning_rate`, p the share of
    /// the steps after the warm-up that are done.
    pub enum Schedule: sys::anet_schedule {
        /// r
        Constant = sys::ANET_SCHEDULE_CONSTANT,
        /// r + (m - r) p
        Linear = sys::ANET_SCHEDULE_LINEAR,
        /// m + (r - m) (1 + cos(pi p)) / 2
        Cosine = sys::ANET_SCHEDULE_COSINE,
        /// r, then linear to m over the last `decay_steps`.
        Wsd = sys::ANET_SCHEDULE_WSD,
    }
}

default_is_first!(Precision, Optimizer, Schedule);

options! {
    /// Options of a [`Session`](crate::Session).
    pub struct SessionOptions: sys::anet_session_options {
        /// What programs compute in.
        precision: Precision,
        /// Sequences in one micro-batch; 0: 1.
        batch_size: i32,
        /// Tokens in one sequence; 0: the model's context length.
        sequence_length: i32,
        /// Micro-batches that [`fit`](crate::Session::fit) accumulates for one optimizer step; 0: 1.
        accumulation_steps: i32,
        /// Keep only each layer's input and compute its activations again in the backward pass.
        activation_checkpointing: bool,
        /// Positions whose logits are in memory at once; 0: 256 or what 32 MB hold, on ane 256 MB.
        loss_chunk: i32,
        /// How weights follow gradients.
        optimizer: Optimizer,
        /// 0: 3e-4.
        learning_rate: f64,
        /// AdamW; 0: 0.9.
        beta1: f64,
        /// AdamW; 0: 0.999.
        beta2: f64,
        /// AdamW; 0: 1e-8.
        epsilon: f64,
        /// SGD; 0: none.
        momentum: f64,
        /// Decoupled, on matrices and embeddings only; 0: none.
        weight_decay: f64,
        /// Of the whole gradient, after accumulation; 0: no clipping.
        clip_norm: f64,
        /// Learning rate after the warm-up.
        schedule: Schedule,
        /// Linear from learning_rate / warmup_steps.
        warmup_steps: i64,
        /// Required by every schedule but the constant one.
        total_steps: i64,
        /// WSD; 0: a fifth of `total_steps`.
        decay_steps: i64,
        /// Where schedules end.
        min_learning_rate: f64,
        /// F16; of the summed loss; 0: 65536 / (batch_size * sequence_length), down to a power of 2.
        initial_loss_scale: f64,
        /// F16: doubles after so many good steps; 0: 2000.
        loss_scale_growth_steps: i64,
        /// Of everything random in training; kept in checkpoints.
        seed: u64,
        /// Bytes that the memory plan may reach; 0: no limit.
        max_memory: u64,
        /// Attention is confined to documents, which begin where a batch's positions are 0. Costs a
        /// mask of sequence_length^2 for each sequence.
        documents: bool,
        /// Batches may come in 1, 2, 4, ... up to 2^length_buckets parts a row, each a sequence of its
        /// own; at most 6. Attention then costs the square of a part's length.
        length_buckets: i32,
        /// Of what the optimizer remembers of each trained parameter: F32, or BF16 in half the
        /// memory, rounded up or down by chance. Default: F32.
        optimizer_precision: Precision,
    }
    text {
        /// Patterns of the parameters that are trained, separated by commas, as in
        /// [`QuantizeOverride`](crate::QuantizeOverride): "layers.11.*,norm.weight". None: all. Not
        /// for sessions that train an adapter.
        trainable,
    }
}

impl SessionOptions {
    /// These values, changed by a JSON object whose keys are the fields of this struct, enumerations
    /// by name ("f16", "sgd", "cosine"). `trainable` is no key. Errors have line and column when the
    /// text is not JSON; an unknown key names the nearest known one.
    pub fn with_json(&self, json: &str) -> Result<Self> {
        let json = c_string(json)?;
        let mut raw = self.raw();
        call(|error| unsafe {
            sys::anet_session_options_from_json(json.as_ptr(), &mut raw, error)
        })?;
        Ok(SessionOptions { trainable: self.trainable.clone(), ..Self::from_raw(&raw) })
    }

    pub(crate) fn with_raw<R>(
        &self,
        make: impl FnOnce(&sys::anet_session_options) -> Result<R>,
    ) -> Result<R> {
        let trainable = OptionalText::new(self.trainable.as_deref())?;
        let mut raw = self.raw();
        raw.trainable = trainable.as_ptr();
        make(&raw)
    }

    /// # Safety
    /// `raw` is as the library filled it in, and its text is still there.
    pub(crate) unsafe fn read(raw: &sys::anet_session_options) -> Self {
        // SAFETY: as promised by the caller.
        let trainable = Some(unsafe { owned_text(raw.trainable) }).filter(|text| !text.is_empty());
        SessionOptions { trainable, ..Self::from_raw(raw) }
    }
}

/// Options of [`SessionView::save`](crate::SessionView::save).
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct SaveOptions {
    /// Checkpoints kept under the root besides the best; 0: all.
    pub keep_last: i32,
    /// This checkpoint's; the lowest so far is marked as the best.
    pub validation_loss: Option<f64>,
}

impl SaveOptions {
    /// Keeps all checkpoints; no validation loss.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Checkpoints kept under the root besides the best; 0: all.
    #[must_use]
    pub fn keep_last(mut self, keep_last: i32) -> Self {
        self.keep_last = keep_last;
        self
    }

    /// This checkpoint's; the lowest so far is marked as the best.
    #[must_use]
    pub fn validation_loss(mut self, loss: f64) -> Self {
        self.validation_loss = Some(loss);
        self
    }

    pub(crate) fn raw(&self) -> sys::anet_save_options {
        sys::anet_save_options {
            keep_last: self.keep_last,
            has_validation_loss: i32::from(self.validation_loss.is_some()),
            validation_loss: self.validation_loss.unwrap_or(0.0),
            ..Default::default()
        }
    }
}
