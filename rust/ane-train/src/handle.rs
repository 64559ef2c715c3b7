//! Counted references to the library's objects.
//!
//! About every `unsafe` block of this crate that calls the library: the handles come from a
//! [`Handle`], which is alive; all other pointers are to locals and arguments that outlive the call,
//! with the lengths that go with them; structs carry their size. Blocks that rely on more say so.

use std::ptr::{self, NonNull};

use ane_train_sys as sys;

use crate::error::{call, Error, ErrorKind, Result};

/// An object of the library with a reference count.
///
/// # Safety
/// The functions are those of this type.
pub(crate) unsafe trait Object {
    unsafe fn retain(object: *mut Self);
    unsafe fn release(object: *mut Self);
}

macro_rules! objects {
    ($($name:ident: $retain:ident, $release:ident;)+) => {
        $(unsafe impl Object for sys::$name {
            unsafe fn retain(object: *mut Self) {
                // SAFETY: as promised by the caller.
                unsafe { sys::$retain(object) }
            }

            unsafe fn release(object: *mut Self) {
                // SAFETY: as promised by the caller.
                unsafe { sys::$release(object) }
            }
        })+
    };
}

objects! {
    anet_device: anet_device_retain, anet_device_release;
    anet_buffer: anet_buffer_retain, anet_buffer_release;
    anet_program: anet_program_retain, anet_program_release;
    anet_kernel: anet_kernel_retain, anet_kernel_release;
    anet_model: anet_model_retain, anet_model_release;
    anet_adapter: anet_adapter_retain, anet_adapter_release;
    anet_tokenizer: anet_tokenizer_retain, anet_tokenizer_release;
    anet_text_decoder: anet_text_decoder_retain, anet_text_decoder_release;
    anet_chat_template: anet_chat_template_retain, anet_chat_template_release;
    anet_examples: anet_examples_retain, anet_examples_release;
    anet_dataset: anet_dataset_retain, anet_dataset_release;
    anet_session: anet_session_retain, anet_session_release;
    anet_generator: anet_generator_retain, anet_generator_release;
}

/// One reference. Not `Send` or `Sync` by itself: each type that holds one says what its thread class
/// allows.
pub(crate) struct Handle<T: Object>(NonNull<T>);

impl<T: Object> Handle<T> {
    /// Takes over the reference that `make` stores.
    pub(crate) fn create(
        make: impl FnOnce(*mut *mut T, *mut *mut sys::anet_error) -> sys::anet_status,
    ) -> Result<Self> {
        let mut object = ptr::null_mut();
        call(|error| make(&mut object, error))?;
        Self::adopt(object)
    }

    /// The same for calls that store two.
    pub(crate) fn create_two(
        make: impl FnOnce(*mut *mut T, *mut *mut T, *mut *mut sys::anet_error) -> sys::anet_status,
    ) -> Result<(Self, Self)> {
        let (mut first, mut second) = (ptr::null_mut(), ptr::null_mut());
        call(|error| make(&mut first, &mut second, error))?;
        Ok((Self::adopt(first)?, Self::adopt(second)?))
    }

    fn adopt(object: *mut T) -> Result<Self> {
        match NonNull::new(object) {
            Some(object) => Ok(Handle(object)),
            None => Err(Error::new(ErrorKind::Internal, "expected a new object, seen none")),
        }
    }

    pub(crate) fn as_ptr(&self) -> *mut T {
        self.0.as_ptr()
    }
}

impl<T: Object> Clone for Handle<T> {
    fn clone(&self) -> Self {
        // SAFETY: "Retain and release are any-thread on every handle."
        unsafe { T::retain(self.as_ptr()) };
        Handle(self.0)
    }
}

impl<T: Object> Drop for Handle<T> {
    fn drop(&mut self) {
        // SAFETY: as above; the reference is this one's.
        unsafe { T::release(self.as_ptr()) };
    }
}

/// The pointer of an optional handle: NULL for none.
pub(crate) fn optional<T: Object>(handle: Option<&Handle<T>>) -> *mut T {
    handle.map_or(ptr::null_mut(), Handle::as_ptr)
}
