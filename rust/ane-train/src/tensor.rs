//! Tensors: element types, shapes, strides.

use ane_train_sys as sys;

use crate::error::{Error, ErrorKind, Result};
use crate::text::borrowed_text;

/// Most axes that a tensor can have.
pub const MAX_RANK: usize = sys::ANET_MAX_RANK as usize;

enumeration! {
    /// The type of a tensor's elements.
    pub enum DataType: sys::anet_dtype {
        /// None; not the type of a tensor.
        Undefined = sys::ANET_DTYPE_UNDEFINED,
        /// A byte, 0 or 1.
        Bool = sys::ANET_DTYPE_BOOL,
        /// `i8`.
        Int8 = sys::ANET_DTYPE_INT8,
        /// `u8`.
        Uint8 = sys::ANET_DTYPE_UINT8,
        /// `i16`.
        Int16 = sys::ANET_DTYPE_INT16,
        /// `u16`.
        Uint16 = sys::ANET_DTYPE_UINT16,
        /// `i32`.
        Int32 = sys::ANET_DTYPE_INT32,
        /// `u32`.
        Uint32 = sys::ANET_DTYPE_UINT32,
        /// `i64`.
        Int64 = sys::ANET_DTYPE_INT64,
        /// `u64`.
        Uint64 = sys::ANET_DTYPE_UINT64,
        /// IEEE half precision: [`F16`].
        Fp16 = sys::ANET_DTYPE_FP16,
        /// The upper half of an `f32`: [`Bf16`].
        Bf16 = sys::ANET_DTYPE_BF16,
        /// `f32`.
        Fp32 = sys::ANET_DTYPE_FP32,
    }
}

impl DataType {
    /// Bytes an element; 0 for an unknown type.
    #[must_use]
    pub fn size(self) -> usize {
        // SAFETY: takes any number.
        unsafe { sys::anet_dtype_size(self.to_raw()) }
    }

    /// "fp32"; "undefined" for an unknown type.
    #[must_use]
    pub fn name(self) -> &'static str {
        // SAFETY: the name is borrowed for ever.
        unsafe { borrowed_text(sys::anet_dtype_name(self.to_raw())) }
    }
}

/// The bits of an IEEE half precision number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct F16(pub u16);

/// The bits of a bfloat16 number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Bf16(pub u16);

/// The byte of a boolean, which is 0 or 1 when the library wrote it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct BoolByte(pub u8);

/// Rust types of a tensor's elements.
///
/// # Safety
/// The type has the size and meaning of `DATA_TYPE`, and every pattern of bits is a value of it.
pub unsafe trait Element: Copy + Default + Send + Sync + 'static {
    /// The library's name for it.
    const DATA_TYPE: DataType;
}

macro_rules! elements {
    ($($type:ty: $data_type:ident),+) => {
        // SAFETY: sizes agree, which a test checks, and all bit patterns are values.
        $(unsafe impl Element for $type {
            const DATA_TYPE: DataType = DataType::$data_type;
        })+

        #[cfg(test)]
        mod tests {
            use super::*;

            #[test]
            fn elements_have_the_sizes_of_their_data_types() {
                $(assert_eq!(std::mem::size_of::<$type>(), DataType::$data_type.size());)+
            }
        }
    };
}
elements!(BoolByte: Bool, i8: Int8, u8: Uint8, i16: Int16, u16: Uint16, i32: Int32, u32: Uint32,
          i64: Int64, u64: Uint64, F16: Fp16, Bf16: Bf16, f32: Fp32);

/// Type, shape and layout of a tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TensorDesc {
    /// The type of its elements.
    pub data_type: DataType,
    /// Extents, outermost first.
    pub shape: Vec<i64>,
    /// Bytes between neighbours along each axis; empty: contiguous. The innermost is the element's
    /// size. Rows of a device may be padded, so never compute an offset without them.
    pub strides: Vec<i64>,
}

impl TensorDesc {
    /// A contiguous tensor.
    #[must_use]
    pub fn new(data_type: DataType, shape: &[i64]) -> Self {
        TensorDesc { data_type, shape: shape.to_vec(), strides: Vec::new() }
    }

    /// The same with strides, in bytes, one for each axis.
    #[must_use]
    pub fn with_strides(mut self, strides: &[i64]) -> Self {
        self.strides = strides.to_vec();
        self
    }

    /// The number of elements; saturates.
    #[must_use]
    pub fn element_count(&self) -> usize {
        self.shape.iter().fold(1, |count: usize, &extent| {
            count.saturating_mul(usize::try_from(extent).unwrap_or(0))
        })
    }

    pub(crate) fn to_raw(&self) -> Result<sys::anet_tensor_desc> {
        let rank = self.shape.len();
        if rank > MAX_RANK {
            let message = format!("expected at most {MAX_RANK} axes, seen {rank}");
            return Err(Error::new(ErrorKind::ShapeMismatch, message));
        }
        if !self.strides.is_empty() && self.strides.len() != rank {
            let seen = self.strides.len();
            let message = format!("expected a stride for each of {rank} axes, seen {seen}");
            return Err(Error::new(ErrorKind::ShapeMismatch, message));
        }
        let mut raw = sys::anet_tensor_desc {
            dtype: self.data_type.to_raw(),
            rank: rank as u32,
            ..Default::default()
        };
        raw.shape[..rank].copy_from_slice(&self.shape);
        raw.strides[..self.strides.len()].copy_from_slice(&self.strides);
        Ok(raw)
    }

    pub(crate) fn from_raw(raw: &sys::anet_tensor_desc) -> Self {
        let rank = (raw.rank as usize).min(MAX_RANK);
        TensorDesc {
            data_type: DataType::from_raw(raw.dtype),
            shape: raw.shape[..rank].to_vec(),
            strides: raw.strides[..rank].to_vec(),
        }
    }
}
