//! Adapters: what fine-tuning adds to a model that stays as it is.

use std::ffi::CString;
use std::fmt;
use std::path::Path;

use ane_train_sys as sys;

use crate::access::{Access, Shared};
use crate::error::{call, Result};
use crate::export::ExportType;
use crate::handle::Handle;
use crate::macros::ReadRaw;
use crate::model::Model;
use crate::text::{c_path, c_string, pointer, OptionalText};

/// Another rank or alpha for the modules that a pattern matches.
#[derive(Clone, Debug)]
pub struct AdapterOverride {
    /// As in [`QuantizeOverride`](crate::QuantizeOverride), of modules: "layers.0.*", "q_proj".
    pub pattern: String,
    /// 0: as it would be without.
    pub rank: i32,
    /// 0: as it would be without.
    pub alpha: f64,
}

options! {
    /// Options of [`Adapter::create`].
    pub struct AdapterOptions: sys::anet_adapter_options {
        /// Up to 4096; 0: 8.
        rank: i32,
        /// 0: 2 * rank.
        alpha: f64,
        /// Of the adapter's input, in training; at least 0, below 1.
        dropout: f64,
        /// The scale is alpha / sqrt(rank) (Kalajdzievski 2023).
        rslora: bool,
        /// Magnitudes of rows are learned apart (Liu et al. 2024).
        dora: bool,
        /// The first adapted layer; a negative one counts from the end. Embedding and head are not
        /// layers.
        first_layer: i32,
        /// The number of adapted layers; 0: to the last.
        layer_count: i32,
        /// Of the values of A.
        seed: u64,
    }
    text {
        /// Patterns of modules separated by commas: "q_proj,v_proj", "mlp.*", "embed_tokens",
        /// "lm_head". None: the seven projections of every layer.
        targets,
    }
    other {
        /// The last that matches a module decides.
        overrides: Vec<AdapterOverride>,
    }
}

impl AdapterOptions {
    /// Adds another rank or alpha (0: as it would be without) for the modules that `pattern` matches;
    /// the last one decides.
    #[must_use]
    pub fn override_matching(mut self, pattern: &str, rank: i32, alpha: f64) -> Self {
        self.overrides.push(AdapterOverride { pattern: pattern.to_string(), rank, alpha });
        self
    }

    fn with_raw<R>(&self, make: impl FnOnce(&sys::anet_adapter_options) -> Result<R>) -> Result<R> {
        let targets = OptionalText::new(self.targets.as_deref())?;
        let patterns: Vec<CString> =
            self.overrides.iter().map(|item| c_string(&item.pattern)).collect::<Result<_>>()?;
        let overrides: Vec<_> = self
            .overrides
            .iter()
            .zip(&patterns)
            .map(|(item, pattern)| sys::anet_adapter_override {
                pattern: pattern.as_ptr(),
                rank: item.rank,
                reserved: 0,
                alpha: item.alpha,
            })
            .collect();
        let mut raw = self.raw();
        raw.targets = targets.as_ptr();
        raw.overrides = pointer(&overrides);
        raw.override_count = overrides.len();
        make(&raw)
    }
}

enumeration! {
    /// What [`Adapter::save`] writes.
    pub enum AdapterFormat: sys::anet_adapter_format {
        /// A folder: adapter_config.json, adapter_model.safetensors.
        Peft = sys::ANET_ADAPTER_PEFT,
        /// A folder: adapter_config.json, adapters.safetensors.
        Mlx = sys::ANET_ADAPTER_MLX,
        /// A file for llama.cpp.
        Gguf = sys::ANET_ADAPTER_GGUF,
    }
}

default_is_first!(AdapterFormat);

options! {
    /// Options of [`Adapter::save`].
    pub struct AdapterSaveOptions: sys::anet_adapter_save_options {
        /// What is written.
        format: AdapterFormat,
        /// `Fp32`, `Fp16` or `Bf16`.
        element_type = r#type: ExportType,
    }
    text {
        /// What the files call the model.
        base_name,
    }
}

results! {
    /// What an adapter is.
    pub struct AdapterInfo: sys::anet_adapter_info {
        /// The largest of its modules.
        rank: i32,
        /// Of that module.
        alpha: f64,
        /// Of the adapter's input, in training.
        dropout: f64,
        /// The scale is alpha / sqrt(rank).
        rslora: bool,
        /// Magnitudes of rows are learned apart.
        dora: bool,
        /// Adapted matrices.
        module_count: u64,
        /// Weights of the adapter.
        weight_count: u64,
    }
}

results! {
    /// One adapted matrix.
    pub struct AdapterModule: sys::anet_adapter_module {
        /// Columns of B.
        rank: i32,
        /// What the scale comes from.
        alpha: f64,
        /// What B (A x) is multiplied by.
        scale: f64,
    }
    text {
        /// "model.layers.0.self_attn.q_proj".
        name = name,
    }
}

/// A low-rank adapter (LoRA, rsLoRA, DoRA) of one model, which it keeps alive. Clones are the same
/// adapter. Threads as for [`Model`].
#[derive(Clone)]
pub struct Adapter {
    handle: Handle<sys::anet_adapter>,
    pub(crate) access: Access,
    pub(crate) model_access: Access,
}

// SAFETY: "Thread class as anet_model."
unsafe impl Send for Adapter {}
// SAFETY: as above.
unsafe impl Sync for Adapter {}

impl Adapter {
    /// A new adapter, which changes nothing yet.
    pub fn create(model: &Model, options: &AdapterOptions) -> Result<Self> {
        let _reading = model.access.share()?;
        options.with_raw(|raw| {
            Self::same(&Access::default(), &model.access, |adapter, error| unsafe {
                sys::anet_adapter_create(model.as_ptr(), raw, adapter, error)
            })
        })
    }

    /// Loads an adapter of this model: a folder of PEFT or mlx-lm, or a checkpoint of a session that
    /// trained an adapter.
    pub fn load(model: &Model, path: impl AsRef<Path>) -> Result<Self> {
        let path = c_path(path.as_ref())?;
        let _reading = model.access.share()?;
        Self::same(&Access::default(), &model.access, |adapter, error| unsafe {
            sys::anet_adapter_load(model.as_ptr(), path.as_ptr(), adapter, error)
        })
    }

    /// Another reference to an adapter that others may have, too.
    pub(crate) fn same(
        access: &Access,
        model_access: &Access,
        make: impl FnOnce(*mut *mut sys::anet_adapter, *mut *mut sys::anet_error) -> sys::anet_status,
    ) -> Result<Self> {
        let handle = Handle::create(make)?;
        Ok(Adapter { handle, access: access.clone(), model_access: model_access.clone() })
    }

    /// Writes the adapter for other tools. Atomic: the path has what it had, or the whole adapter.
    pub fn save(&self, path: impl AsRef<Path>, options: &AdapterSaveOptions) -> Result<()> {
        let path = c_path(path.as_ref())?;
        let base_name = OptionalText::new(options.base_name.as_deref())?;
        let mut raw = options.raw();
        raw.base_name = base_name.as_ptr();
        let _reading = self.access.share()?;
        call(|error| unsafe { sys::anet_adapter_save(self.as_ptr(), path.as_ptr(), &raw, error) })
    }

    /// What it is.
    pub fn info(&self) -> Result<AdapterInfo> {
        let mut raw = sys::anet_adapter_info::default();
        call(|error| unsafe { sys::anet_adapter_get_info(self.as_ptr(), &mut raw, error) })?;
        Ok(unsafe { AdapterInfo::read_raw(&raw) })
    }

    /// The adapted matrices, in their order.
    pub fn modules(&self) -> Result<Vec<AdapterModule>> {
        let count = self.info()?.module_count as usize;
        (0..count).map(|index| self.module(index)).collect()
    }

    fn module(&self, index: usize) -> Result<AdapterModule> {
        let mut raw = sys::anet_adapter_module::default();
        call(|error| unsafe {
            sys::anet_adapter_get_module(self.as_ptr(), index, &mut raw, error)
        })?;
        Ok(unsafe { AdapterModule::read_raw(&raw) })
    }

    /// The model that it adapts.
    pub fn model(&self) -> Result<Model> {
        Model::same(&self.model_access, |model, error| unsafe {
            sys::anet_adapter_get_model(self.as_ptr(), model, error)
        })
    }

    pub(crate) fn as_ptr(&self) -> *mut sys::anet_adapter {
        self.handle.as_ptr()
    }
}

impl fmt::Debug for Adapter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Adapter").field(&self.info().ok()).finish()
    }
}

parameters! {
    Adapter {
        sys::anet_adapter_parameter_count, sys::anet_adapter_get_parameter,
        sys::anet_adapter_find_parameter, sys::anet_adapter_read_parameter,
        sys::anet_adapter_write_parameter
    }
}

/// One of several adapters whose shares are added.
#[derive(Clone, Copy, Debug)]
pub struct WeightedAdapter<'a> {
    /// The adapter.
    pub adapter: &'a Adapter,
    /// Taken as it is: 1 for the adapter as it was trained. DoRA: 1 alone.
    pub weight: f64,
}

impl<'a> From<&'a Adapter> for WeightedAdapter<'a> {
    fn from(adapter: &'a Adapter) -> Self {
        WeightedAdapter { adapter, weight: 1.0 }
    }
}

/// A call that reads adapters.
pub(crate) fn with_adapters<R>(
    adapters: &[WeightedAdapter<'_>],
    work: impl FnOnce(*const sys::anet_weighted_adapter, usize) -> Result<R>,
) -> Result<R> {
    let _reading: Vec<Shared> =
        adapters.iter().map(|item| item.adapter.access.share()).collect::<Result<_>>()?;
    let raw: Vec<_> = adapters
        .iter()
        .map(|item| sys::anet_weighted_adapter {
            adapter: item.adapter.as_ptr(),
            weight: item.weight,
        })
        .collect();
    work(pointer(&raw), raw.len())
}
