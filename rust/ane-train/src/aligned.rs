//! Memory that devices can share.

use std::alloc::{alloc_zeroed, dealloc, handle_alloc_error, Layout};
use std::fmt;
use std::marker::PhantomData;
use std::mem::{align_of, size_of};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::slice;

use crate::device::Device;
use crate::error::{Error, ErrorKind, Result};
use crate::tensor::Element;

/// Elements in memory that is aligned as a device wants it, for [`Buffer::import`].
///
/// [`Buffer::import`]: crate::Buffer::import
pub struct AlignedMemory<T: Element> {
    data: NonNull<T>,
    length: usize,
    layout: Layout,
    owned: PhantomData<T>,
}

// SAFETY: it owns its elements, as a vector does, and elements are Send and Sync.
unsafe impl<T: Element> Send for AlignedMemory<T> {}
// SAFETY: as above.
unsafe impl<T: Element> Sync for AlignedMemory<T> {}

impl<T: Element> AlignedMemory<T> {
    /// `length` zeros.
    pub fn zeroed(device: &Device, length: usize) -> Result<Self> {
        let alignment = device.info()?.buffer_alignment.max(align_of::<T>());
        // At least one byte, as the allocator wants it.
        let size = length.checked_mul(size_of::<T>()).map(|size| size.max(1));
        let layout = size.and_then(|size| Layout::from_size_align(size, alignment).ok());
        let layout = layout.ok_or_else(|| {
            let message = format!("expected elements that fit into memory, seen {length}");
            Error::new(ErrorKind::OutOfMemory, message)
        })?;
        // SAFETY: the size is not 0.
        let data = unsafe { alloc_zeroed(layout) };
        match NonNull::new(data.cast::<T>()) {
            Some(data) => Ok(AlignedMemory { data, length, layout, owned: PhantomData }),
            None => handle_alloc_error(layout),
        }
    }

    /// A copy of `values`.
    pub fn copy_of(device: &Device, values: &[T]) -> Result<Self> {
        let mut memory = Self::zeroed(device, values.len())?;
        memory.copy_from_slice(values);
        Ok(memory)
    }

    pub(crate) fn data(&self) -> *mut T {
        self.data.as_ptr()
    }
}

impl<T: Element> Deref for AlignedMemory<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: `length` elements were allocated, and zeros are values of them.
        unsafe { slice::from_raw_parts(self.data.as_ptr(), self.length) }
    }
}

impl<T: Element> DerefMut for AlignedMemory<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above.
        unsafe { slice::from_raw_parts_mut(self.data.as_ptr(), self.length) }
    }
}

impl<T: Element> Drop for AlignedMemory<T> {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout.
        unsafe { dealloc(self.data.as_ptr().cast(), self.layout) };
    }
}

impl<T: Element> fmt::Debug for AlignedMemory<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("AlignedMemory")
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}
