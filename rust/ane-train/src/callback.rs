//! Closures that the library calls. A panic must not cross it: it is kept, the call is told to stop,
//! and the panic goes on when the call has returned.

use std::any::Any;
use std::os::raw::c_void;
use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};

use crate::error::{Error, Result};

/// Runs a closure on a thread where nobody waits for it, so that a panic has nowhere to go on. To drop
/// what was thrown can panic, too; what that throws is forgotten.
pub(crate) fn contain(closure: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(closure)) {
        if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
            std::mem::forget(again);
        }
    }
}

/// A closure with what it left behind.
pub(crate) struct Callback<F> {
    pub(crate) closure: F,
    panic: Option<Box<dyn Any + Send>>,
    error: Option<Error>,
}

impl<F> Callback<F> {
    pub(crate) fn new(closure: F) -> Self {
        Callback { closure, panic: None, error: None }
    }

    /// The `user_data` for the trampoline, valid as long as `self` is neither moved nor dropped.
    pub(crate) fn user_data(&mut self) -> *mut c_void {
        (self as *mut Self).cast()
    }

    /// The closure's answer, or `stop` after a panic or an error, which are kept. A closure that has
    /// failed is not called again.
    pub(crate) fn run<R>(&mut self, stop: R, body: impl FnOnce(&mut F) -> Result<R>) -> R {
        if self.panic.is_some() || self.error.is_some() {
            return stop;
        }
        // What a panic leaves half-done is seen by nobody before the panic goes on.
        match catch_unwind(AssertUnwindSafe(|| body(&mut self.closure))) {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                self.error = Some(error);
                stop
            }
            Err(panic) => {
                self.panic = Some(panic);
                stop
            }
        }
    }

    /// After the call: lets a panic go on, and prefers the closure's own error to the call's.
    pub(crate) fn finish<T>(self, result: Result<T>) -> Result<T> {
        if let Some(panic) = self.panic {
            resume_unwind(panic);
        }
        match self.error {
            Some(error) => Err(error),
            None => result,
        }
    }
}
