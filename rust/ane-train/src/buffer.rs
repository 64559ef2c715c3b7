//! Buffers: memory that kernels read and write.

use std::fmt;
use std::mem::{size_of, size_of_val};
use std::ops::{Deref, DerefMut};
use std::os::raw::c_void;
use std::ptr::NonNull;
use std::slice;

use ane_train_sys as sys;

use crate::aligned::AlignedMemory;
use crate::callback::contain;
use crate::device::Device;
use crate::error::{call, Error, ErrorKind, Result};
use crate::handle::Handle;
use crate::tensor::{Element, TensorDesc};

/// Memory that kernels read and write.
///
/// One thread at a time: it can be sent to another thread, but not shared.
///
/// ```compile_fail,E0277
/// fn shared<T: Sync>() {}
/// shared::<ane_train::Buffer>();
/// ```
pub struct Buffer {
    handle: Handle<sys::anet_buffer>,
}

// SAFETY: the thread class is "One thread at a time"; which thread makes the calls does not matter.
unsafe impl Send for Buffer {}

impl Buffer {
    /// A zero-filled buffer.
    pub fn new(device: &Device, desc: &TensorDesc) -> Result<Self> {
        let raw = desc.to_raw()?;
        Self::create_raw(|buffer, error| unsafe {
            sys::anet_buffer_create(device.as_ptr(), &raw, buffer, error)
        })
    }

    /// A buffer over memory that it owns from now on; nothing is copied. Strides of `desc` must lie
    /// within the memory.
    pub fn import<T: Element>(
        device: &Device,
        memory: AlignedMemory<T>,
        desc: &TensorDesc,
    ) -> Result<Self> {
        check_type::<T>(desc)?;
        let raw = desc.to_raw()?;
        let (data, size) = (memory.data().cast::<c_void>(), size_of_val(&*memory));
        let owner = Box::into_raw(Box::new(memory));
        // The library calls `release_box` once, also when the call fails.
        Self::create_raw(|buffer, error| unsafe {
            let release = Some(release_box::<AlignedMemory<T>> as unsafe extern "C" fn(_));
            let device = device.as_ptr();
            sys::anet_buffer_import(device, data, size, &raw, release, owner.cast(), buffer, error)
        })
    }

    /// A buffer over memory of somebody else's; nothing is copied. `release` runs once, on any
    /// thread, when the memory is no longer needed, also when this call fails.
    ///
    /// # Safety
    /// `data` is `size_bytes` of initialised memory that nobody else reads or writes until `release`
    /// is called.
    pub unsafe fn import_raw<F: FnOnce() + Send + 'static>(
        device: &Device,
        data: NonNull<u8>,
        size_bytes: usize,
        desc: &TensorDesc,
        release: F,
    ) -> Result<Self> {
        let raw = match desc.to_raw() {
            Ok(raw) => raw,
            Err(error) => {
                release();
                return Err(error);
            }
        };
        let owner = Box::into_raw(Box::new(release));
        Self::create_raw(|buffer, error| unsafe {
            sys::anet_buffer_import(
                device.as_ptr(),
                data.as_ptr().cast(),
                size_bytes,
                &raw,
                Some(release_call::<F>),
                owner.cast(),
                buffer,
                error,
            )
        })
    }

    /// A buffer over an `IOSurface`, which it retains; nothing is copied. Where there are no
    /// surfaces, or on the device "cpu", this fails with
    /// [`Unsupported`](crate::ErrorKind::Unsupported).
    ///
    /// # Safety
    /// `surface` is an `IOSurfaceRef`, and whoever else has it writes only while the buffer is
    /// neither mapped nor in a run.
    pub unsafe fn import_iosurface(
        device: &Device,
        surface: NonNull<c_void>,
        desc: &TensorDesc,
    ) -> Result<Self> {
        let raw = desc.to_raw()?;
        Self::create_raw(|buffer, error| unsafe {
            let device = device.as_ptr();
            sys::anet_buffer_import_iosurface(device, surface.as_ptr(), &raw, buffer, error)
        })
    }

    /// The same for a surface of another process, by the number that `IOSurfaceGetID` gave there.
    ///
    /// # Safety
    /// As for [`import_iosurface`](Self::import_iosurface).
    pub unsafe fn import_iosurface_id(device: &Device, id: u32, desc: &TensorDesc) -> Result<Self> {
        let raw = desc.to_raw()?;
        Self::create_raw(|buffer, error| unsafe {
            sys::anet_buffer_import_iosurface_id(device.as_ptr(), id, &raw, buffer, error)
        })
    }

    pub(crate) fn create_raw(
        make: impl FnOnce(*mut *mut sys::anet_buffer, *mut *mut sys::anet_error) -> sys::anet_status,
    ) -> Result<Self> {
        Ok(Buffer { handle: Handle::create(make)? })
    }

    /// The buffer's `IOSurfaceRef`, borrowed from the buffer; none for ordinary memory.
    #[must_use]
    pub fn iosurface(&self) -> Option<NonNull<c_void>> {
        NonNull::new(unsafe { sys::anet_buffer_get_iosurface(self.as_ptr()) })
    }

    /// The number of its surface; none for ordinary memory.
    #[must_use]
    pub fn iosurface_id(&self) -> Option<u32> {
        let id = unsafe { sys::anet_buffer_get_iosurface_id(self.as_ptr()) };
        Some(id).filter(|&id| id != 0)
    }

    /// Type, shape and strides.
    pub fn desc(&self) -> Result<TensorDesc> {
        let mut raw = sys::anet_tensor_desc::default();
        call(|error| unsafe { sys::anet_buffer_get_desc(self.as_ptr(), &mut raw, error) })?;
        Ok(TensorDesc::from_raw(&raw))
    }

    /// Makes the elements readable; a run that uses the buffer meanwhile fails with
    /// [`Busy`](crate::ErrorKind::Busy).
    pub fn map_read<T: Element>(&self) -> Result<MappedRead<'_, T>> {
        Ok(MappedRead(Mapping::new(self, sys::ANET_MAP_READ)?))
    }

    /// Makes the elements writable, for callers who overwrite all of them.
    pub fn map_write<T: Element>(&mut self) -> Result<MappedWrite<'_, T>> {
        Ok(MappedWrite(Mapping::new(self, sys::ANET_MAP_WRITE)?))
    }

    /// Makes the elements readable and writable.
    pub fn map_read_write<T: Element>(&mut self) -> Result<MappedWrite<'_, T>> {
        Ok(MappedWrite(Mapping::new(self, sys::ANET_MAP_READ_WRITE)?))
    }

    /// Copies elements in, dense and row-major, all of them.
    pub fn write<T: Element>(&mut self, values: &[T]) -> Result<()> {
        check_type::<T>(&self.desc()?)?;
        let size = size_of_val(values);
        call(|error| unsafe {
            sys::anet_buffer_write(self.as_ptr(), values.as_ptr().cast(), size, error)
        })
    }

    /// Copies all elements out, dense and row-major.
    pub fn read<T: Element>(&self) -> Result<Vec<T>> {
        let desc = self.desc()?;
        check_type::<T>(&desc)?;
        let mut values = vec![T::default(); desc.element_count()];
        let size = size_of_val(&*values);
        call(|error| unsafe {
            sys::anet_buffer_read(self.as_ptr(), values.as_mut_ptr().cast(), size, error)
        })?;
        Ok(values)
    }

    pub(crate) fn as_ptr(&self) -> *mut sys::anet_buffer {
        self.handle.as_ptr()
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Buffer").field(&self.desc().ok()).finish()
    }
}

unsafe extern "C" fn release_box<M>(owner: *mut c_void) {
    // SAFETY: called once, with the box of `import`.
    drop(unsafe { Box::from_raw(owner.cast::<M>()) });
}

unsafe extern "C" fn release_call<F: FnOnce()>(owner: *mut c_void) {
    // SAFETY: called once, with the box of `import_raw`.
    let release = unsafe { Box::from_raw(owner.cast::<F>()) };
    contain(release);
}

fn check_type<T: Element>(desc: &TensorDesc) -> Result<()> {
    if desc.data_type == T::DATA_TYPE {
        return Ok(());
    }
    let (expected, seen) = (T::DATA_TYPE.name(), desc.data_type.name());
    let message = format!("expected a buffer of {expected}, seen one of {seen}");
    Err(Error::new(ErrorKind::TypeMismatch, message))
}

/// Lasts from the map to the unmap.
struct Mapping<'a, T> {
    buffer: &'a Buffer,
    data: NonNull<T>,
    length: usize,
    desc: TensorDesc,
}

impl<'a, T: Element> Mapping<'a, T> {
    fn new(buffer: &'a Buffer, access: sys::anet_map_access) -> Result<Self> {
        check_type::<T>(&buffer.desc()?)?;
        let mut raw = sys::anet_buffer_view::default();
        raw.desc.struct_size = sys::anet_tensor_desc::default().struct_size;
        call(|error| unsafe { sys::anet_buffer_map(buffer.as_ptr(), access, &mut raw, error) })?;
        let data = NonNull::new(raw.data.cast::<T>());
        let mapping = Mapping {
            buffer,
            data: data.unwrap_or_else(NonNull::dangling),
            length: data.map_or(0, |_| raw.size_bytes / size_of::<T>()),
            desc: TensorDesc::from_raw(&raw.desc),
        };
        let address = mapping.data.as_ptr() as usize;
        if address % std::mem::align_of::<T>() != 0 {
            let message = format!("expected memory aligned for its elements, seen {address:#x}");
            return Err(Error::new(ErrorKind::InvalidArgument, message));
        }
        Ok(mapping)
    }

    /// Element offset and length of each row, in row-major order of the outer axes.
    fn rows(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        let (shape, strides) = (&self.desc.shape, &self.desc.strides);
        let outer = shape.len().saturating_sub(1);
        let extent = shape.last().map_or(1, |&extent| extent as usize);
        let count = shape[..outer].iter().product::<i64>() as usize;
        (0..count).map(move |row| {
            let mut rest = row;
            let mut bytes = 0;
            for axis in (0..outer).rev() {
                bytes += rest % shape[axis] as usize * strides[axis] as usize;
                rest /= shape[axis] as usize;
            }
            (bytes / size_of::<T>(), extent)
        })
    }
}

impl<T> Mapping<'_, T> {
    fn values(&self) -> &[T] {
        // SAFETY: the map made `length` elements addressable until the unmap; nobody writes, because
        // the buffer is borrowed and runs that use a mapped buffer are refused.
        unsafe { slice::from_raw_parts(self.data.as_ptr(), self.length) }
    }
}

impl<T> Drop for Mapping<'_, T> {
    fn drop(&mut self) {
        // It is mapped, so this cannot fail.
        let _ = call(|error| unsafe { sys::anet_buffer_unmap(self.buffer.as_ptr(), error) });
    }
}

/// The elements of a buffer, until it is dropped.
///
/// Dereferences to the elements as they lie in memory. Rows may be padded: then [`rows`](Self::rows)
/// has the tensor's elements alone.
pub struct MappedRead<'a, T: Element>(Mapping<'a, T>);

impl<T: Element> MappedRead<'_, T> {
    /// Type, shape and strides in bytes.
    #[must_use]
    pub fn desc(&self) -> &TensorDesc {
        &self.0.desc
    }

    /// The rows along the innermost axis, in row-major order of the others.
    pub fn rows(&self) -> impl Iterator<Item = &[T]> {
        self.0.rows().map(move |(at, length)| &self[at..at + length])
    }
}

impl<T: Element> Deref for MappedRead<'_, T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        self.0.values()
    }
}

/// The elements of a buffer for writing, until it is dropped.
///
/// Dereferences as [`MappedRead`].
pub struct MappedWrite<'a, T: Element>(Mapping<'a, T>);

impl<T: Element> MappedWrite<'_, T> {
    /// Type, shape and strides in bytes.
    #[must_use]
    pub fn desc(&self) -> &TensorDesc {
        &self.0.desc
    }

    /// Calls `write` with each row along the innermost axis, in row-major order of the others.
    pub fn for_each_row(&mut self, mut write: impl FnMut(&mut [T])) {
        let rows: Vec<_> = self.0.rows().collect();
        for (at, length) in rows {
            write(&mut self[at..at + length]);
        }
    }
}

impl<T: Element> Deref for MappedWrite<'_, T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        self.0.values()
    }
}

impl<T: Element> DerefMut for MappedWrite<'_, T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in Mapping::values; the buffer is borrowed mutably, so this is the only mapping
        // in use.
        unsafe { slice::from_raw_parts_mut(self.0.data.as_ptr(), self.0.length) }
    }
}
