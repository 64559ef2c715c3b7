//! What can go wrong.

use std::fmt;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

use ane_train_sys as sys;

use crate::text::borrowed_text;

enumeration! {
    /// What kind of failure an [`Error`] is. Numbers are frozen; the library groups them: below 20 the
    /// caller's mistakes, then the environment, resources, data, control, and defects of the library.
    pub enum ErrorKind: sys::anet_status {
        /// An argument has no meaning here.
        InvalidArgument = sys::ANET_E_INVALID_ARGUMENT,
        /// A handle of another type.
        InvalidHandle = sys::ANET_E_INVALID_HANDLE,
        /// A struct whose size no version of the library knows.
        InvalidStructSize = sys::ANET_E_INVALID_STRUCT_SIZE,
        /// An option that cannot be honoured.
        UnsupportedOption = sys::ANET_E_UNSUPPORTED_OPTION,
        /// Extents or lengths that do not fit.
        ShapeMismatch = sys::ANET_E_SHAPE_MISMATCH,
        /// Elements of another type.
        TypeMismatch = sys::ANET_E_TYPE_MISMATCH,
        /// An index or token id.
        OutOfRange = sys::ANET_E_OUT_OF_RANGE,
        /// A name.
        NotFound = sys::ANET_E_NOT_FOUND,
        /// Not now: something else must come first.
        InvalidState = sys::ANET_E_INVALID_STATE,
        /// This machine lacks the device.
        Unavailable = sys::ANET_E_UNAVAILABLE,
        /// The device or format cannot do this.
        Unsupported = sys::ANET_E_UNSUPPORTED,
        /// The system does not allow it.
        Permission = sys::ANET_E_PERMISSION,
        /// Reading or writing failed.
        Io = sys::ANET_E_IO,
        /// No room left on the device that holds the file.
        DiskFull = sys::ANET_E_DISK_FULL,
        /// No such file.
        FileNotFound = sys::ANET_E_FILE_NOT_FOUND,
        /// The device failed; domain and native code say how.
        Device = sys::ANET_E_DEVICE,
        /// Memory could not be allocated.
        OutOfMemory = sys::ANET_E_OUT_OF_MEMORY,
        /// The plan exceeds [`SessionOptions::max_memory`](crate::SessionOptions).
        MemoryLimit = sys::ANET_E_MEMORY_LIMIT,
        /// The process may compile no more programs.
        CompileBudget = sys::ANET_E_COMPILE_BUDGET,
        /// MIL text that is not a program.
        InvalidProgram = sys::ANET_E_INVALID_PROGRAM,
        /// A blob file that the program cannot use.
        InvalidBlob = sys::ANET_E_INVALID_BLOB,
        /// A configuration that cannot be.
        InvalidConfig = sys::ANET_E_INVALID_CONFIG,
        /// A checkpoint that cannot be used.
        InvalidCheckpoint = sys::ANET_E_INVALID_CHECKPOINT,
        /// Data that cannot be used.
        InvalidData = sys::ANET_E_INVALID_DATA,
        /// A file that has changed since it was written.
        Checksum = sys::ANET_E_CHECKSUM,
        /// A file of another version, or a library with another ABI than this crate was made for.
        Version = sys::ANET_E_VERSION,
        /// The loss is not finite, or an audit failed.
        Numeric = sys::ANET_E_NUMERIC,
        /// The caller cancelled it.
        Cancelled = sys::ANET_E_CANCELLED,
        /// Overlapping calls, a mapped buffer in a run, weights that are borrowed.
        Busy = sys::ANET_E_BUSY,
        /// A closure of the caller failed.
        Callback = sys::ANET_E_CALLBACK,
        /// A defect of the library.
        Internal = sys::ANET_E_INTERNAL,
    }
}

impl ErrorKind {
    /// The frozen number.
    #[must_use]
    pub fn code(self) -> i32 {
        self.to_raw()
    }

    /// "shape mismatch".
    #[must_use]
    pub fn name(self) -> &'static str {
        // SAFETY: the name is borrowed for ever and never NULL.
        unsafe { borrowed_text(sys::anet_status_name(self.to_raw())) }
    }

    /// The same call may succeed later: busy, out of memory, disk full, compile budget.
    #[must_use]
    pub fn is_retryable(self) -> bool {
        // SAFETY: takes any number.
        unsafe { sys::anet_status_is_retryable(self.to_raw()) != 0 }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A failure, for programs ([`kind`](Error::kind)) and for people ([`message`](Error::message)).
#[derive(Debug)]
pub struct Error(Box<Details>);

#[derive(Debug)]
struct Details {
    kind: ErrorKind,
    message: String,
    domain: String,
    native_code: i64,
    line: u32,
    column: u32,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error(Box::new(Details {
            kind,
            message: message.into(),
            domain: String::new(),
            native_code: 0,
            line: 0,
            column: 0,
            source: None,
        }))
    }

    /// For closures that fail: the call that runs the closure ends with this error, whose
    /// [`source`](std::error::Error::source) is `cause`.
    pub fn callback(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        let cause = cause.into();
        let mut error = Error::new(ErrorKind::Callback, cause.to_string());
        error.0.source = Some(cause);
        error
    }

    /// What kind of failure it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// One line that says what was expected and what was seen.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Where the native code comes from: "errno", an `NSError` domain, or "".
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.0.domain
    }

    /// `errno` or an `NSError` code, when the system gave one.
    #[must_use]
    pub fn native_code(&self) -> Option<i64> {
        Some(self.0.native_code).filter(|&code| code != 0)
    }

    /// The line, from 1, in the MIL or JSON text that was read.
    #[must_use]
    pub fn line(&self) -> Option<u32> {
        Some(self.0.line).filter(|&line| line > 0)
    }

    /// The column, from 1, in that line.
    #[must_use]
    pub fn column(&self) -> Option<u32> {
        Some(self.0.column).filter(|&column| column > 0)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind();
        write!(formatter, "{} ({}): {}", kind, kind.code(), self.message())?;
        if let (Some(line), Some(column)) = (self.line(), self.column()) {
            write!(formatter, " at {line}:{column}")?;
        }
        if let Some(code) = self.native_code() {
            write!(formatter, " [{} {code}]", self.domain())?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0.source {
            Some(cause) => Some(cause.as_ref()),
            None => None,
        }
    }
}

/// Makes a call that can fail.
pub(crate) fn call(make: impl FnOnce(*mut *mut sys::anet_error) -> sys::anet_status) -> Result<()> {
    check_abi()?;
    let mut error = ptr::null_mut();
    let status = make(&mut error);
    if status == sys::ANET_OK {
        return Ok(());
    }
    Err(take(status, error))
}

/// Reads and releases an error object; without one the status is all that is known.
fn take(status: sys::anet_status, error: *mut sys::anet_error) -> Error {
    if error.is_null() {
        let kind = ErrorKind::from_raw(status);
        return Error::new(kind, kind.name());
    }
    // SAFETY: `error` is an error object that this function owns; the texts are copied before it is
    // released.
    unsafe {
        let details = Details {
            kind: ErrorKind::from_raw(sys::anet_error_status(error)),
            message: borrowed_text(sys::anet_error_message(error)).to_string(),
            domain: borrowed_text(sys::anet_error_domain(error)).to_string(),
            native_code: sys::anet_error_native_code(error),
            line: u32::try_from(sys::anet_error_line(error)).unwrap_or(0),
            column: u32::try_from(sys::anet_error_column(error)).unwrap_or(0),
            source: None,
        };
        sys::anet_error_release(error);
        Error(Box::new(details))
    }
}

/// Once a process: a library of another ABI reads other structs than this crate writes.
fn check_abi() -> Result<()> {
    static CHECKED: AtomicBool = AtomicBool::new(false);
    if CHECKED.load(Ordering::Relaxed) {
        return Ok(());
    }
    // SAFETY: any thread, no arguments.
    let seen = unsafe { sys::anet_abi_version() };
    let expected = sys::ANET_ABI_VERSION as u32;
    if seen != expected {
        return Err(Error::new(
            ErrorKind::Version,
            format!("expected libane_train of ABI {expected}, seen ABI {seen}"),
        ));
    }
    CHECKED.store(true, Ordering::Relaxed);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_numbers_are_kept() {
        let kind = ErrorKind::from_raw(12345);
        assert_eq!(kind, ErrorKind::Unknown(12345));
        assert_eq!(kind.code(), 12345);
        assert!(!kind.name().is_empty());
    }

    #[test]
    fn a_status_without_an_object_is_an_error_too() {
        let error = take(sys::ANET_E_BUSY, ptr::null_mut());
        assert_eq!(error.kind(), ErrorKind::Busy);
        assert!(error.kind().is_retryable());
        assert_eq!(error.to_string(), "busy (81): busy");
    }

    #[test]
    fn details_are_shown() {
        let mut error = Error::new(ErrorKind::Io, "expected a folder");
        error.0.domain = "errno".to_string();
        error.0.native_code = 20;
        error.0.line = 3;
        error.0.column = 7;
        let text = format!("{} (23): expected a folder at 3:7 [errno 20]", ErrorKind::Io.name());
        assert_eq!(error.to_string(), text);
    }
}
