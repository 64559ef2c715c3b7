//! Weights and gradients in place.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr;
use std::slice;

use ane_train_sys as sys;

use super::{Session, SessionView};
use crate::access::{Exclusive, Shared};
use crate::error::{call, Result};
use crate::text::borrowed_list;

/// Where an array of the session's lies.
type GetArray = unsafe extern "C" fn(
    *mut sys::anet_session,
    *mut *mut f32,
    *mut usize,
    *mut *mut sys::anet_error,
) -> sys::anet_status;

impl SessionView {
    fn array(&self, get: GetArray) -> Result<(*mut f32, usize)> {
        let (mut values, mut count) = (ptr::null_mut(), 0);
        call(|error| unsafe { get(self.as_ptr(), &mut values, &mut count, error) })?;
        Ok((values, count))
    }

    /// The weights in place, as one flat array laid out as [`Parameter`](crate::Parameter) tells;
    /// those of the adapter when the session trains one. While they are borrowed, calls that change
    /// them fail with [`Busy`](crate::ErrorKind::Busy).
    pub fn weights(&self) -> Result<WeightsRef<'_>> {
        let reading = self.trained_access().share()?;
        let (values, count) = self.array(sys::anet_session_get_weights)?;
        // SAFETY: borrowed from the session; nobody writes while `reading` lives.
        let values = unsafe { borrowed_list(values, count) };
        Ok(WeightsRef { values, _reading: reading })
    }

    /// The accumulated gradients in place: sums over counted tokens times the loss scale, those of the
    /// trained parameters alone, in their order. Zeros before the first call that trains.
    pub fn gradients(&self) -> Result<&[f32]> {
        let (values, count) = self.array(sys::anet_session_get_gradients)?;
        // SAFETY: the session's own; what writes them needs the session mutably.
        Ok(unsafe { borrowed_list(values, count) })
    }
}

impl Session {
    /// The weights in place, for writing; padding between parameters is zero and must stay so. While
    /// they are borrowed, all other calls that need them fail with
    /// [`Busy`](crate::ErrorKind::Busy). The session itself cannot be used meanwhile:
    ///
    /// ```compile_fail,E0499
    /// # fn run(session: &mut ane_train::Session) -> ane_train::Result<()> {
    /// let mut weights = session.weights_mut()?;
    /// session.optimizer_step()?;
    /// weights[0] = 0.0;
    /// # Ok(())
    /// # }
    /// ```
    pub fn weights_mut(&mut self) -> Result<WeightsMut<'_>> {
        let writing = self.trained_access().exclude()?;
        let (values, count) = self.array(sys::anet_session_get_weights)?;
        // SAFETY: borrowed from the session; nobody else reads or writes while `writing` lives.
        let values = unsafe { borrowed_list_mut(values, count) };
        Ok(WeightsMut { values, session: &self.view, _writing: writing })
    }

    /// The accumulated gradients in place, for writing: an all-reduce can sit between
    /// [`forward_backward`](Self::forward_backward) and [`optimizer_step`](Self::optimizer_step).
    /// Ranks add theirs; see [`set_tokens`](Self::set_tokens).
    pub fn gradients_mut(&mut self) -> Result<&mut [f32]> {
        let (values, count) = self.array(sys::anet_session_get_gradients)?;
        // SAFETY: the session's own, which is borrowed mutably.
        Ok(unsafe { borrowed_list_mut(values, count) })
    }
}

/// # Safety
/// `values` is NULL, or `count` values that nobody else uses for `'a`.
unsafe fn borrowed_list_mut<'a>(values: *mut f32, count: usize) -> &'a mut [f32] {
    if values.is_null() || count == 0 {
        return &mut [];
    }
    // SAFETY: as promised by the caller.
    unsafe { slice::from_raw_parts_mut(values, count) }
}

/// Weights for reading; dereferences to a slice.
pub struct WeightsRef<'a> {
    values: &'a [f32],
    _reading: Shared,
}

impl Deref for WeightsRef<'_> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        self.values
    }
}

impl fmt::Debug for WeightsRef<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("WeightsRef").field("length", &self.len()).finish()
    }
}

/// Weights for writing; dereferences to a slice. The session uses them from its next step on.
pub struct WeightsMut<'a> {
    values: &'a mut [f32],
    session: &'a SessionView,
    _writing: Exclusive,
}

impl Deref for WeightsMut<'_> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        self.values
    }
}

impl DerefMut for WeightsMut<'_> {
    fn deref_mut(&mut self) -> &mut [f32] {
        self.values
    }
}

impl Drop for WeightsMut<'_> {
    fn drop(&mut self) {
        // The session is borrowed, so no other call is in progress and this cannot fail.
        let _ = call(|error| unsafe {
            sys::anet_session_weights_changed(self.session.as_ptr(), error)
        });
    }
}

impl fmt::Debug for WeightsMut<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("WeightsMut").field("length", &self.len()).finish()
    }
}
