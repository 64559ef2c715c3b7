//! Checkpoints: folders of safetensors and state.json, written atomically, checksummed. Sessions
//! [save](crate::SessionView::save) and [resume](crate::Session::resume) them.

use std::path::{Path, PathBuf};

use ane_train_sys as sys;

use crate::error::Result;
use crate::text::{c_path, filled_text};

enumeration! {
    /// Which checkpoint of a root.
    pub enum Choice: sys::anet_checkpoint_choice {
        /// The one of the last step.
        Latest = sys::ANET_CHECKPOINT_LATEST,
        /// The one of the lowest validation loss.
        Best = sys::ANET_CHECKPOINT_BEST,
    }
}

/// Finds a checkpoint under a root; damaged ones are passed over. Fails with
/// [`NotFound`](crate::ErrorKind::NotFound) saying why each candidate was passed over.
pub fn find(root: impl AsRef<Path>, choice: Choice) -> Result<PathBuf> {
    let root = c_path(root.as_ref())?;
    let path = filled_text(|path, capacity, length, error| unsafe {
        let choice = choice.to_raw();
        sys::anet_checkpoint_find(root.as_ptr(), choice, path, capacity, length, error)
    })?;
    Ok(PathBuf::from(path))
}

/// The state.json of a checkpoint, after every file's checksum was verified.
pub fn inspect(path: impl AsRef<Path>) -> Result<String> {
    let path = c_path(path.as_ref())?;
    filled_text(|json, capacity, length, error| unsafe {
        sys::anet_checkpoint_inspect(path.as_ptr(), json, capacity, length, error)
    })
}
