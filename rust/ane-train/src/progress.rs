//! How far long work has come.

use std::ops::ControlFlow;
use std::os::raw::c_void;

use ane_train_sys as sys;

use crate::callback::Callback;
use crate::error::Result;
use crate::text::borrowed_text;

/// How far long work has come.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Progress<'a> {
    /// A tensor, a file.
    pub what: &'a str,
    /// Elements of a model, bytes of data.
    pub done: u64,
    /// The same when all is done.
    pub total: u64,
}

/// Runs `work(callback, user_data)`, during which the library may call `closure`. When the closure
/// breaks, the work ends with [`Cancelled`](crate::ErrorKind::Cancelled).
pub(crate) fn with_progress<F, R>(
    closure: F,
    work: impl FnOnce(sys::anet_progress_callback, *mut c_void) -> Result<R>,
) -> Result<R>
where
    F: FnMut(&Progress<'_>) -> ControlFlow<()>,
{
    let mut callback = Callback::new(closure);
    let result = work(Some(report::<F>), callback.user_data());
    callback.finish(result)
}

unsafe extern "C" fn report<F>(progress: *const sys::anet_progress, user_data: *mut c_void) -> i32
where
    F: FnMut(&Progress<'_>) -> ControlFlow<()>,
{
    // SAFETY: `user_data` is the callback of `with_progress`, which waits for the call; the struct
    // and its text are borrowed for this one.
    let (callback, raw) = unsafe { (&mut *user_data.cast::<Callback<F>>(), &*progress) };
    // SAFETY: as above.
    let what = unsafe { borrowed_text(raw.what) };
    callback.run(1, |closure| {
        let progress = Progress { what, done: raw.done, total: raw.total };
        Ok(i32::from(closure(&progress).is_break()))
    })
}
