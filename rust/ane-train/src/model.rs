//! Models: a configuration and its weights.

use std::fmt;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use ane_train_sys as sys;

use crate::access::Access;
use crate::adapter::{with_adapters, WeightedAdapter};
use crate::config::ModelConfig;
use crate::error::{call, Result};
use crate::export::ExportOptions;
use crate::handle::Handle;
use crate::macros::ReadRaw;
use crate::progress::{with_progress, Progress};
use crate::quantize::{QuantizeOptions, TensorReport};
use crate::text::{borrowed_list, c_path, owned_text};

options! {
    /// Options of [`Model::load_with`].
    pub struct ModelLoadOptions: sys::anet_model_load_options {}
    other {
        /// Each matrix is compressed as it is read: the model in fp32 is never whole in memory.
        quantize: Option<QuantizeOptions>,
    }
}

impl ModelLoadOptions {
    /// Each matrix is compressed as it is read: the model in fp32 is never whole in memory.
    #[must_use]
    pub fn quantize(mut self, options: QuantizeOptions) -> Self {
        self.quantize = Some(options);
        self
    }

    fn with_raw<R>(
        &self,
        make: impl FnOnce(&mut sys::anet_model_load_options) -> Result<R>,
    ) -> Result<R> {
        let mut raw = self.raw();
        match &self.quantize {
            None => make(&mut raw),
            Some(quantize) => quantize.with_raw(|quantize| {
                raw.quantize = quantize;
                make(&mut raw)
            }),
        }
    }
}

/// What a model's files said besides its weights.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ModelInfo {
    /// "hugging_face", "gguf", ...; "" for a model of [`Model::create`].
    pub format: String,
    /// For [`Tokenizer::load`](crate::Tokenizer::load); none when there is none.
    pub tokenizer_path: Option<PathBuf>,
    /// That end a text, by generation_config.json or config.json.
    pub stop_ids: Vec<i32>,
    /// "model.norm.weight: 3 values are NaN".
    pub warnings: Vec<String>,
}

/// A configuration and its weights. Clones are the same model.
///
/// While a session trains it, the weights belong to the session; reading them between steps is fine.
/// Calls that only read may overlap on any threads; one that writes meanwhile fails with
/// [`Busy`](crate::ErrorKind::Busy).
#[derive(Clone)]
pub struct Model {
    handle: Handle<sys::anet_model>,
    pub(crate) access: Access,
}

// SAFETY: "One thread at a time, except that calls which only read them [...] may overlap": those that
// write take the model exclusively (see access.rs), and the library refuses what overlaps.
unsafe impl Send for Model {}
// SAFETY: as above.
unsafe impl Sync for Model {}

impl Model {
    /// A randomly initialised model.
    pub fn create(config: &ModelConfig, seed: u64) -> Result<Self> {
        let config = config.raw();
        Self::new(|model, error| unsafe { sys::anet_model_create(&config, seed, model, error) })
    }

    /// Loads a model: a folder of Hugging Face, a GGUF file, a llama2.c file, a BLZT checkpoint, a
    /// checkpoint folder of a session, or a file of [`save`](Self::save).
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        Self::load_with(path, &ModelLoadOptions::new())
    }

    /// The same with options.
    pub fn load_with(path: impl AsRef<Path>, options: &ModelLoadOptions) -> Result<Self> {
        let path = c_path(path.as_ref())?;
        options.with_raw(|raw| {
            Self::new(|model, error| unsafe {
                sys::anet_model_load(path.as_ptr(), raw, model, error)
            })
        })
    }

    /// The same, telling how far it has come. When the closure breaks, the call ends with
    /// [`Cancelled`](crate::ErrorKind::Cancelled).
    pub fn load_with_progress(
        path: impl AsRef<Path>,
        options: &ModelLoadOptions,
        progress: impl FnMut(&Progress<'_>) -> ControlFlow<()>,
    ) -> Result<Self> {
        let path = c_path(path.as_ref())?;
        options.with_raw(|raw| {
            with_progress(progress, |callback, user_data| {
                raw.progress = callback;
                raw.user_data = user_data;
                Self::new(|model, error| unsafe {
                    sys::anet_model_load(path.as_ptr(), raw, model, error)
                })
            })
        })
    }

    /// A model of its own.
    pub(crate) fn new(
        make: impl FnOnce(*mut *mut sys::anet_model, *mut *mut sys::anet_error) -> sys::anet_status,
    ) -> Result<Self> {
        Self::same(&Access::default(), make)
    }

    /// Another reference to a model that others have, too.
    pub(crate) fn same(
        access: &Access,
        make: impl FnOnce(*mut *mut sys::anet_model, *mut *mut sys::anet_error) -> sys::anet_status,
    ) -> Result<Self> {
        Ok(Model { handle: Handle::create(make)?, access: access.clone() })
    }

    /// Writes the weights alone as safetensors, as they are held, the configuration in its metadata.
    /// Atomic.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = c_path(path.as_ref())?;
        let _reading = self.access.share()?;
        call(|error| unsafe { sys::anet_model_save(self.as_ptr(), path.as_ptr(), error) })
    }

    /// Writes the model for other tools. Atomic: the path has what it had, or the whole export.
    pub fn export(&self, path: impl AsRef<Path>, options: &ExportOptions) -> Result<()> {
        options.with_raw(|raw| self.export_raw(path.as_ref(), raw))
    }

    /// The same, telling how far it has come. When the closure breaks, the call ends with
    /// [`Cancelled`](crate::ErrorKind::Cancelled).
    pub fn export_with_progress(
        &self,
        path: impl AsRef<Path>,
        options: &ExportOptions,
        progress: impl FnMut(&Progress<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        options.with_raw(|raw| {
            with_progress(progress, |callback, user_data| {
                raw.progress = callback;
                raw.user_data = user_data;
                self.export_raw(path.as_ref(), raw)
            })
        })
    }

    fn export_raw(&self, path: &Path, raw: &sys::anet_export_options) -> Result<()> {
        let path = c_path(path)?;
        let _reading = self.access.share()?;
        call(|error| unsafe { sys::anet_model_export(self.as_ptr(), path.as_ptr(), raw, error) })
    }

    /// What its files said besides the weights.
    pub fn info(&self) -> Result<ModelInfo> {
        let mut raw = sys::anet_model_info::default();
        call(|error| unsafe { sys::anet_model_get_info(self.as_ptr(), &mut raw, error) })?;
        // SAFETY: all is borrowed from the model and copied here.
        unsafe {
            let tokenizer_path = owned_text(raw.tokenizer_path);
            let warnings = borrowed_list(raw.warnings, raw.warning_count as usize);
            Ok(ModelInfo {
                format: owned_text(raw.format),
                tokenizer_path: Some(PathBuf::from(tokenizer_path))
                    .filter(|path| !path.as_os_str().is_empty()),
                stop_ids: borrowed_list(raw.stop_ids, raw.stop_count).to_vec(),
                warnings: warnings.iter().map(|&text| owned_text(text)).collect(),
            })
        }
    }

    /// Its configuration.
    pub fn config(&self) -> Result<ModelConfig> {
        ModelConfig::read(|raw, error| unsafe {
            sys::anet_model_get_config(self.as_ptr(), raw, error)
        })
    }

    /// Number of weights (padding between tensors not counted).
    #[must_use]
    pub fn weight_count(&self) -> u64 {
        unsafe { sys::anet_model_weight_count(self.as_ptr()) }
    }

    /// Bytes of the weights as they are held.
    #[must_use]
    pub fn weight_bytes(&self) -> u64 {
        unsafe { sys::anet_model_weight_bytes(self.as_ptr()) }
    }

    /// A copy with compressed matrices. It can be evaluated, generate, and be the base of adapters;
    /// sessions train its vectors alone.
    pub fn quantize(&self, options: &QuantizeOptions) -> Result<Model> {
        options.with_raw(|raw| self.quantize_raw(raw))
    }

    /// The same, telling how far it has come. When the closure breaks, the call ends with
    /// [`Cancelled`](crate::ErrorKind::Cancelled).
    pub fn quantize_with_progress(
        &self,
        options: &QuantizeOptions,
        progress: impl FnMut(&Progress<'_>) -> ControlFlow<()>,
    ) -> Result<Model> {
        options.with_raw(|raw| {
            with_progress(progress, |callback, user_data| {
                raw.progress = callback;
                raw.user_data = user_data;
                self.quantize_raw(raw)
            })
        })
    }

    fn quantize_raw(&self, raw: &sys::anet_quantize_options) -> Result<Model> {
        let _reading = self.access.share()?;
        Self::new(|model, error| unsafe {
            sys::anet_model_quantize(self.as_ptr(), raw, model, error)
        })
    }

    /// What quantization made of a parameter, also of one that stayed fp32.
    pub fn quantization_report(&self, index: usize) -> Result<TensorReport> {
        let mut raw = sys::anet_tensor_report::default();
        call(|error| unsafe {
            sys::anet_model_get_quantization_report(self.as_ptr(), index, &mut raw, error)
        })?;
        Ok(unsafe { TensorReport::read_raw(&raw) })
    }

    /// A new fp32 model with the adapters in its weights, also from a compressed one.
    pub fn merge(&self, adapters: &[WeightedAdapter<'_>]) -> Result<Model> {
        let _reading = self.access.share()?;
        with_adapters(adapters, |raw, count| {
            Self::new(|model, error| unsafe {
                sys::anet_model_merge(self.as_ptr(), raw, count, model, error)
            })
        })
    }

    /// Adds the adapters to the weights in place, until [`unmerge`](Self::unmerge).
    pub fn merge_in_place(&mut self, adapters: &[WeightedAdapter<'_>]) -> Result<()> {
        let _writing = self.access.exclude()?;
        with_adapters(adapters, |raw, count| {
            call(|error| unsafe {
                sys::anet_model_merge_in_place(self.as_ptr(), raw, count, error)
            })
        })
    }

    /// Puts the weights back that [`merge_in_place`](Self::merge_in_place) replaced, bit for bit.
    pub fn unmerge(&mut self) -> Result<()> {
        let _writing = self.access.exclude()?;
        call(|error| unsafe { sys::anet_model_unmerge(self.as_ptr(), error) })
    }

    pub(crate) fn as_ptr(&self) -> *mut sys::anet_model {
        self.handle.as_ptr()
    }
}

impl fmt::Debug for Model {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Model").field("weights", &self.weight_count()).finish()
    }
}

parameters! {
    Model {
        sys::anet_model_parameter_count, sys::anet_model_get_parameter,
        sys::anet_model_find_parameter, sys::anet_model_read_parameter,
        sys::anet_model_write_parameter
    }
}
