//! Configurations of models.

use ane_train_sys as sys;

use crate::error::{call, Result};
use crate::text::{borrowed_text, c_string};

options! {
    /// The shape of a transformer of the Llama family.
    pub struct ModelConfig: sys::anet_model_config {
        /// Ids are below it.
        vocab_size: i32,
        /// Width of the residual stream.
        hidden_size: i32,
        /// Width of the feed-forward network.
        intermediate_size: i32,
        /// Number of blocks.
        layer_count: i32,
        /// Query heads.
        head_count: i32,
        /// Key and value heads; divides `head_count`; 0: `head_count`.
        kv_head_count: i32,
        /// Even; 0: `hidden_size / head_count`.
        head_dim: i32,
        /// Tokens; 0: 2048.
        context_length: i32,
        /// The head shares the embedding matrix.
        tie_embeddings: bool,
        /// Biases on the q, k and v projections (Qwen2.5).
        qkv_bias: bool,
        /// RMS norm on each query and key head (Qwen3).
        qk_norm: bool,
        /// 0: 10000.
        rope_theta: f64,
        /// 0: 1e-5.
        norm_epsilon: f64,
        /// Llama 3's stretching of long wavelengths; all four or none. 0: none; else at least 1.
        rope_scaling_factor: f64,
        /// With `rope_scaling_factor`.
        rope_low_frequency_factor: f64,
        /// With `rope_scaling_factor`.
        rope_high_frequency_factor: f64,
        /// With `rope_scaling_factor`.
        rope_original_context_length: i32,
    }
}

impl ModelConfig {
    /// Names of the built-in configurations: "tiny", "stories15M", "qwen3-0.6b", ...
    #[must_use]
    pub fn names() -> Vec<&'static str> {
        // SAFETY: any thread; names are borrowed for ever.
        unsafe {
            (0..sys::anet_model_config_count())
                .map(|index| borrowed_text(sys::anet_model_config_name(index)))
                .collect()
        }
    }

    /// A built-in configuration. Fails with [`NotFound`](crate::ErrorKind::NotFound) and the nearest
    /// known name.
    pub fn named(name: &str) -> Result<Self> {
        let name = c_string(name)?;
        Self::read(|raw, error| unsafe { sys::anet_model_config_get(name.as_ptr(), raw, error) })
    }

    /// These values, changed by a JSON object whose keys are the fields of this struct. Errors have
    /// line and column when the text is not JSON; an unknown key names the nearest known one.
    pub fn with_json(&self, json: &str) -> Result<Self> {
        let json = c_string(json)?;
        let mut raw = self.raw();
        call(|error| unsafe { sys::anet_model_config_from_json(json.as_ptr(), &mut raw, error) })?;
        Ok(Self::from_raw(&raw))
    }

    pub(crate) fn read(
        get: impl FnOnce(*mut sys::anet_model_config, *mut *mut sys::anet_error) -> sys::anet_status,
    ) -> Result<Self> {
        let mut raw = sys::anet_model_config::default();
        call(|error| get(&mut raw, error))?;
        Ok(Self::from_raw(&raw))
    }
}
