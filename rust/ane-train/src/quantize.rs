//! Models whose matrices are held in 8 or 4 bits.

use std::ffi::CString;

use ane_train_sys as sys;

use crate::device::Device;
use crate::error::Result;
use crate::handle::optional;
use crate::parameter::Compression;
use crate::text::{c_string, pointer};

/// An exception for the tensors whose names a pattern matches.
#[derive(Clone, Debug)]
pub struct QuantizeOverride {
    /// `*` stands for any run of characters. Matches the whole name, or its end from a dot on:
    /// "down_proj.weight", "layers.0.*", "model.embed_tokens.weight".
    pub pattern: String,
    /// How these are held.
    pub compression: Compression,
    /// 0: the default of the compression.
    pub block_size: i32,
}

options! {
    /// Which matrices are compressed, and how. Vectors (norms, biases) always stay fp32.
    pub struct QuantizeOptions: sys::anet_quantize_options {
        /// How the values are held.
        compression: Compression,
        /// Divides the columns, of a palette the rows; 0: 32 columns a scale, one row a palette.
        block_size: i32,
    }
    other {
        /// The last that matches a tensor decides.
        overrides: Vec<QuantizeOverride>,
        /// Its threads work too; the result is the same.
        device: Option<Device>,
    }
}

impl QuantizeOptions {
    /// Adds an exception for the tensors whose names `pattern` matches; the last one decides.
    #[must_use]
    pub fn override_matching(
        mut self,
        pattern: &str,
        compression: Compression,
        block_size: i32,
    ) -> Self {
        let pattern = pattern.to_string();
        self.overrides.push(QuantizeOverride { pattern, compression, block_size });
        self
    }

    /// Its threads work too; the result is the same.
    #[must_use]
    pub fn device(mut self, device: &Device) -> Self {
        self.device = Some(device.clone());
        self
    }

    pub(crate) fn with_raw<R>(
        &self,
        make: impl FnOnce(&mut sys::anet_quantize_options) -> Result<R>,
    ) -> Result<R> {
        let patterns: Vec<CString> =
            self.overrides.iter().map(|item| c_string(&item.pattern)).collect::<Result<_>>()?;
        let overrides: Vec<_> = self
            .overrides
            .iter()
            .zip(&patterns)
            .map(|(item, pattern)| sys::anet_quantize_override {
                pattern: pattern.as_ptr(),
                compression: item.compression.to_raw(),
                block_size: item.block_size,
            })
            .collect();
        let mut raw = self.raw();
        raw.overrides = pointer(&overrides);
        raw.override_count = overrides.len();
        raw.device = optional(self.device.as_ref().map(|device| &device.handle));
        make(&mut raw)
    }
}

results! {
    /// What quantization made of one parameter.
    pub struct TensorReport: sys::anet_tensor_report {
        /// How it is held.
        compression: Compression,
        /// Columns that share a scale, rows that share a palette; else 0.
        block_size: i32,
        /// The errors were measured; else they are not known, because a file held the matrix
        /// compressed.
        has_error: bool,
        /// As fp32.
        bytes_before: u64,
        /// As it is held.
        bytes_after: u64,
        /// Largest absolute difference.
        worst: f64,
        /// Root of the mean squared difference.
        rms: f64,
        /// `rms` over the root of the mean squared value.
        relative_rms: f64,
    }
    text {
        /// The parameter's name.
        name = name,
    }
}
