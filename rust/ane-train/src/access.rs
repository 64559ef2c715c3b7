//! Who may touch weights that Rust code has borrowed.
//!
//! The library refuses calls that overlap, but it cannot know of a slice that lies over its memory: a
//! model has many handles, and a call through one of them could change what another has borrowed. So
//! the handles of one model, or of one adapter, share an [`Access`]. Slices and calls take it, shared
//! for reading and exclusively for writing, and what does not fit together fails with
//! [`ErrorKind::Busy`], as overlapping calls do.

use std::sync::atomic::{AtomicIsize, Ordering};
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};

const EXCLUSIVE: isize = -1;

/// Above 0: the number of readers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Access(Arc<AtomicIsize>);

/// Nobody writes while this lives.
#[derive(Debug)]
pub(crate) struct Shared(Access);

/// Nobody else reads or writes while this lives.
#[derive(Debug)]
pub(crate) struct Exclusive(Access);

impl Access {
    pub(crate) fn share(&self) -> Result<Shared> {
        self.0
            .fetch_update(Ordering::Acquire, Ordering::Relaxed, |readers| {
                if readers == EXCLUSIVE {
                    None
                } else {
                    Some(readers + 1)
                }
            })
            .map(|_| Shared(self.clone()))
            .map_err(|_| busy("are being changed"))
    }

    pub(crate) fn exclude(&self) -> Result<Exclusive> {
        self.0
            .compare_exchange(0, EXCLUSIVE, Ordering::Acquire, Ordering::Relaxed)
            .map(|_| Exclusive(self.clone()))
            .map_err(|_| busy("are in use"))
    }
}

fn busy(seen: &str) -> Error {
    let message = format!("expected weights that nobody has borrowed, seen weights that {seen}");
    Error::new(ErrorKind::Busy, message)
}

impl Drop for Shared {
    fn drop(&mut self) {
        (self.0).0.fetch_sub(1, Ordering::Release);
    }
}

impl Drop for Exclusive {
    fn drop(&mut self) {
        (self.0).0.store(0, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_share_and_a_writer_is_alone() {
        let access = Access::default();
        let first = access.share().unwrap();
        let second = access.clone().share().unwrap();
        assert_eq!(access.exclude().unwrap_err().kind(), ErrorKind::Busy);
        drop((first, second));
        let writer = access.exclude().unwrap();
        assert_eq!(access.share().unwrap_err().kind(), ErrorKind::Busy);
        assert_eq!(access.exclude().unwrap_err().kind(), ErrorKind::Busy);
        drop(writer);
        assert!(access.share().is_ok());
    }
}
