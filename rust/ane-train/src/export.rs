//! Models as other tools want them.

use std::path::PathBuf;
use std::ptr;

use ane_train_sys as sys;

use crate::error::Result;
use crate::text::c_path;

enumeration! {
    /// What [`Model::export`](crate::Model::export) writes.
    pub enum ExportFormat: sys::anet_export_format {
        /// A folder: config.json, safetensors.
        HuggingFace = sys::ANET_EXPORT_HUGGING_FACE,
        /// A file, version 3.
        Gguf = sys::ANET_EXPORT_GGUF,
        /// A file, version 0, fp32.
        Llama2c = sys::ANET_EXPORT_LLAMA2C,
    }
}

enumeration! {
    /// The type of matrices in files; vectors stay fp32 in GGUF.
    pub enum ExportType: sys::anet_export_type {
        /// 32 bits.
        Fp32 = sys::ANET_EXPORT_FP32,
        /// IEEE half precision.
        Fp16 = sys::ANET_EXPORT_FP16,
        /// The upper half of fp32.
        Bf16 = sys::ANET_EXPORT_BF16,
        /// 8 bits with a scale for 32 values; GGUF alone.
        Q8_0 = sys::ANET_EXPORT_Q8_0,
    }
}

default_is_first!(ExportFormat, ExportType);

options! {
    /// Options of [`Model::export`](crate::Model::export).
    pub struct ExportOptions: sys::anet_export_options {
        /// What is written.
        format: ExportFormat,
        /// The type of matrices.
        element_type = r#type: ExportType,
        /// Of one safetensors file; 0: 5 GB.
        max_shard_bytes: u64,
    }
    other {
        /// The model folder that the model came from: its tokenizer, chat template and generation
        /// settings go along. None: weights and configuration alone.
        companion: Option<PathBuf>,
    }
}

impl ExportOptions {
    /// The model folder that the model came from: its tokenizer, chat template and generation
    /// settings go along.
    #[must_use]
    pub fn companion(mut self, folder: impl Into<PathBuf>) -> Self {
        self.companion = Some(folder.into());
        self
    }

    pub(crate) fn with_raw<R>(
        &self,
        make: impl FnOnce(&mut sys::anet_export_options) -> Result<R>,
    ) -> Result<R> {
        let companion = self.companion.as_deref().map(c_path).transpose()?;
        let mut raw = self.raw();
        raw.companion = companion.as_ref().map_or(ptr::null(), |path| path.as_ptr());
        make(&mut raw)
    }
}
