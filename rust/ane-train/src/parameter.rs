//! Weight tensors.

use ane_train_sys as sys;

use crate::error::{call, Result};
use crate::tensor::MAX_RANK;
use crate::text::{borrowed_text, owned_text};

enumeration! {
    /// How the values of a matrix are held. Scales and palettes are fp16.
    pub enum Compression: sys::anet_compression {
        /// fp32.
        None = sys::ANET_COMPRESSION_NONE,
        /// `Int8Channel`; no answer of the library.
        Default = sys::ANET_COMPRESSION_DEFAULT,
        /// 8 bits, a scale for each row.
        Int8Channel = sys::ANET_COMPRESSION_INT8_CHANNEL,
        /// 8 bits, a scale for `block_size` columns of a row.
        Int8Block = sys::ANET_COMPRESSION_INT8_BLOCK,
        /// 4 bits, the same.
        Int4Block = sys::ANET_COMPRESSION_INT4_BLOCK,
        /// 4 bits, a table of 16 values for `block_size` rows.
        Palette4 = sys::ANET_COMPRESSION_PALETTE4,
    }
}

default_is_first!(Compression);

impl Compression {
    /// "int4_block"; "fp32" for `None`, "undefined" for an unknown one.
    #[must_use]
    pub fn name(self) -> &'static str {
        // SAFETY: takes any number; the name is borrowed for ever.
        unsafe { borrowed_text(sys::anet_compression_name(self.to_raw())) }
    }
}

/// One weight tensor. Parameters lie one after another in one flat array, 16-element aligned.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Parameter {
    /// Hugging Face's name: "model.layers.0.self_attn.q_proj.weight"; of an adapter PEFT's.
    pub name: String,
    /// `[out, in]` for matrices.
    pub shape: Vec<i64>,
    /// Of the first element in the flat array; a compressed parameter has no place there.
    pub offset: Option<u64>,
    /// Number of values.
    pub element_count: u64,
    /// How they are held.
    pub compression: Compression,
    /// Columns that share a scale, rows that share a palette; else 0.
    pub block_size: i32,
    /// Bytes of its values as they are held.
    pub bytes: u64,
}

impl Parameter {
    pub(crate) fn read(
        get: impl FnOnce(*mut sys::anet_parameter, *mut *mut sys::anet_error) -> sys::anet_status,
    ) -> Result<Self> {
        let mut raw = sys::anet_parameter::default();
        call(|error| get(&mut raw, error))?;
        Ok(Parameter {
            // SAFETY: borrowed from the model or adapter, which the caller holds.
            name: unsafe { owned_text(raw.name) },
            shape: raw.shape[..(raw.rank as usize).min(MAX_RANK)].to_vec(),
            offset: Some(raw.offset).filter(|&offset| offset != sys::ANET_NO_OFFSET),
            element_count: raw.element_count,
            compression: Compression::from_raw(raw.compression),
            block_size: raw.block_size,
            bytes: raw.bytes,
        })
    }
}
