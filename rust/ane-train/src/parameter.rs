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

/// The tensors of a model and of an adapter are reached by calls of the same shape: count, get, find,
/// read, write.
macro_rules! parameters {
    ($owner:ident { $count:path, $get:path, $find:path, $read:path, $write:path }) => {
        impl $owner {
            /// Number of tensors, of an adapter: A, B and, with DoRA, the magnitudes of each module.
            #[must_use]
            pub fn parameter_count(&self) -> usize {
                unsafe { $count(self.as_ptr()) }
            }

            /// A tensor by its index.
            pub fn parameter(&self, index: usize) -> $crate::Result<$crate::Parameter> {
                $crate::Parameter::read(|raw, error| unsafe {
                    $get(self.as_ptr(), index, raw, error)
                })
            }

            /// All tensors, in their order.
            pub fn parameters(&self) -> $crate::Result<Vec<$crate::Parameter>> {
                (0..self.parameter_count()).map(|index| self.parameter(index)).collect()
            }

            /// The index of a tensor. Fails with [`NotFound`](crate::ErrorKind::NotFound) and the nearest name.
            pub fn find_parameter(&self, name: &str) -> $crate::Result<usize> {
                let name = $crate::text::c_string(name)?;
                let mut index = 0;
                $crate::error::call(|error| unsafe {
                    $find(self.as_ptr(), name.as_ptr(), &mut index, error)
                })?;
                Ok(index)
            }

            /// A copy of one tensor, of a compressed one the values that it stands for.
            pub fn read_parameter(&self, index: usize) -> $crate::Result<Vec<f32>> {
                let mut values = vec![0.0; self.parameter(index)?.element_count as usize];
                let _reading = self.access.share()?;
                $crate::error::call(|error| unsafe {
                    let (data, count) = (values.as_mut_ptr(), values.len());
                    $read(self.as_ptr(), index, data, count, error)
                })?;
                Ok(values)
            }

            /// Copies one tensor in. A session that trains it uses it from its next step on.
            pub fn write_parameter(&mut self, index: usize, values: &[f32]) -> $crate::Result<()> {
                let _writing = self.access.exclude()?;
                $crate::error::call(|error| unsafe {
                    let (data, count) = (values.as_ptr(), values.len());
                    $write(self.as_ptr(), index, data, count, error)
                })
            }
        }
    };
}
