//! Text and lists that cross the border.

use std::ffi::{CStr, CString};
use std::os::raw::c_char;
use std::path::Path;
use std::ptr;
use std::slice;

use ane_train_sys as sys;

use crate::error::{call, Error, ErrorKind, Result};

/// A text of the library's, which is UTF-8; "" for NULL.
///
/// # Safety
/// `text` is NULL or null-terminated, and lives unchanged for `'a`.
pub(crate) unsafe fn borrowed_text<'a>(text: *const c_char) -> &'a str {
    if text.is_null() {
        return "";
    }
    // SAFETY: as promised by the caller.
    let bytes = unsafe { CStr::from_ptr(text) }.to_bytes();
    std::str::from_utf8(bytes).unwrap_or("(text that is not UTF-8)")
}

/// A copy of it.
///
/// # Safety
/// `text` is NULL or null-terminated.
pub(crate) unsafe fn owned_text(text: *const c_char) -> String {
    // SAFETY: as promised by the caller.
    unsafe { borrowed_text(text) }.to_string()
}

/// Text of a known length.
///
/// # Safety
/// `text` is NULL, or `length` bytes that live unchanged for `'a`.
pub(crate) unsafe fn counted_text<'a>(text: *const c_char, length: usize) -> Result<&'a str> {
    if text.is_null() || length == 0 {
        return Ok("");
    }
    // SAFETY: as promised by the caller.
    let bytes = unsafe { slice::from_raw_parts(text.cast::<u8>(), length) };
    std::str::from_utf8(bytes).map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))
}

/// A list of the library's; empty for NULL.
///
/// # Safety
/// `values` is NULL, or `count` values that live unchanged for `'a`.
pub(crate) unsafe fn borrowed_list<'a, T>(values: *const T, count: usize) -> &'a [T] {
    if values.is_null() || count == 0 {
        return &[];
    }
    // SAFETY: as promised by the caller.
    unsafe { slice::from_raw_parts(values, count) }
}

pub(crate) fn c_string(text: &str) -> Result<CString> {
    CString::new(text).map_err(|error| {
        let at = error.nul_position();
        Error::new(
            ErrorKind::InvalidArgument,
            format!("expected text without a null character, seen one at byte {at}"),
        )
    })
}

/// Paths are UTF-8 in the library.
pub(crate) fn c_path(path: &Path) -> Result<CString> {
    match path.to_str() {
        Some(text) => c_string(text),
        None => Err(Error::new(
            ErrorKind::InvalidArgument,
            format!("expected a path in UTF-8, seen {}", path.display()),
        )),
    }
}

/// Optional text for the time of a call.
pub(crate) struct OptionalText(Option<CString>);

impl OptionalText {
    pub(crate) fn new(text: Option<&str>) -> Result<Self> {
        Ok(OptionalText(text.map(c_string).transpose()?))
    }

    /// NULL for none; lives as long as `self`.
    pub(crate) fn as_ptr(&self) -> *const c_char {
        self.0.as_ref().map_or(ptr::null(), |text| text.as_ptr())
    }
}

/// The pointer for a list of the caller's: NULL for an empty one.
pub(crate) fn pointer<T>(values: &[T]) -> *const T {
    if values.is_empty() {
        ptr::null()
    } else {
        values.as_ptr()
    }
}

/// A list whose length only the call knows. It is made again when `guess` elements were too few.
/// `fill(values, capacity, count, error)` is called with room for `capacity` values.
pub(crate) fn filled<T: Copy>(
    guess: usize,
    blank: T,
    mut fill: impl FnMut(*mut T, usize, *mut usize, *mut *mut sys::anet_error) -> sys::anet_status,
) -> Result<Vec<T>> {
    let mut values = vec![blank; guess];
    loop {
        let mut count = 0;
        let (data, capacity) = (values.as_mut_ptr(), values.len());
        let result = call(|error| fill(data, capacity, &mut count, error));
        match result {
            Ok(()) if count <= capacity => {
                values.truncate(count);
                return Ok(values);
            }
            Err(error) if error.kind() != ErrorKind::OutOfRange || count <= capacity => {
                return Err(error)
            }
            _ => values.resize(count, blank),
        }
    }
}

/// Null-terminated text whose length only the call knows; `length` is told without the terminator.
pub(crate) fn filled_text(
    mut fill: impl FnMut(*mut c_char, usize, *mut usize, *mut *mut sys::anet_error) -> sys::anet_status,
) -> Result<String> {
    const GUESS: usize = 4096;
    let mut bytes = filled(GUESS, 0u8, |data, capacity, count, error| {
        let mut length = 0;
        let status = fill(data.cast(), capacity, &mut length, error);
        // SAFETY: `count` points to the local of `filled`.
        unsafe { *count = length + 1 };
        status
    })?;
    bytes.pop(); // the terminator
    String::from_utf8(bytes).map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))
}
