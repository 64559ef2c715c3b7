//! Cancelling from other threads.

use std::fmt;
use std::sync::{Arc, Weak};

use ane_train_sys as sys;

use crate::handle::Handle;

/// The part of a session or generator that its cancel handles share.
pub(crate) struct Cancellable<T: crate::handle::Object>(pub(crate) Handle<T>);

// SAFETY: what several threads can do with it is to cancel, "any thread", and to release, "any-thread
// on every handle".
unsafe impl<T: crate::handle::Object> Send for Cancellable<T> {}
// SAFETY: as above.
unsafe impl<T: crate::handle::Object> Sync for Cancellable<T> {}

trait Cancel: Send + Sync {
    fn cancel(&self);
}

impl Cancel for Cancellable<sys::anet_session> {
    fn cancel(&self) {
        unsafe { sys::anet_session_cancel(self.0.as_ptr()) }
    }
}

impl Cancel for Cancellable<sys::anet_generator> {
    fn cancel(&self) {
        unsafe { sys::anet_generator_cancel(self.0.as_ptr()) }
    }
}

/// Makes the running call of a session or generator end with
/// [`Cancelled`](crate::ErrorKind::Cancelled), from any thread. Without a running call, or when the
/// session or generator is gone, it does nothing.
#[derive(Clone)]
pub struct CancelHandle(Weak<dyn Cancel>);

impl CancelHandle {
    pub(crate) fn of_session(session: &Arc<Cancellable<sys::anet_session>>) -> Self {
        let target: Arc<dyn Cancel> = session.clone();
        CancelHandle(Arc::downgrade(&target))
    }

    pub(crate) fn of_generator(generator: &Arc<Cancellable<sys::anet_generator>>) -> Self {
        let target: Arc<dyn Cancel> = generator.clone();
        CancelHandle(Arc::downgrade(&target))
    }

    /// Cancels the running call, at its next kernel.
    pub fn cancel(&self) {
        if let Some(target) = self.0.upgrade() {
            target.cancel();
        }
    }
}

impl fmt::Debug for CancelHandle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("CancelHandle").finish_non_exhaustive()
    }
}
