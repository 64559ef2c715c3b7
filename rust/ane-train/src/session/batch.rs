//! Micro-batches.

use ane_train_sys as sys;

use crate::error::{Error, ErrorKind, Result};
use crate::text::pointer;

/// One micro-batch: rows of `sequence_length` tokens, row-major, as many as the session's batch size.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    tokens: &'a [i32],
    targets: &'a [i32],
    positions: &'a [i32],
    sequence_length: i32,
    parts: i32,
}

impl<'a> Batch<'a> {
    /// `targets` are the ids that each position must predict; -1: not counted.
    #[must_use]
    pub fn new(tokens: &'a [i32], targets: &'a [i32], sequence_length: i32) -> Self {
        Batch { tokens, targets, positions: &[], sequence_length, parts: 0 }
    }

    /// Each token's place in its document: 0, or one more than its neighbour's. Zeros inside a row
    /// need [`SessionOptions::documents`](crate::SessionOptions), or parts that begin there. Without:
    /// 0, 1, 2, ... in each part.
    #[must_use]
    pub fn positions(mut self, positions: &'a [i32]) -> Self {
        self.positions = positions;
        self
    }

    /// Sequences side by side in each row; 0: 1.
    #[must_use]
    pub fn parts(mut self, parts: i32) -> Self {
        self.parts = parts;
        self
    }

    /// The library reads as many values as the extents tell, so they must be there.
    pub(super) fn raw(&self) -> Result<sys::anet_batch> {
        let length = usize::try_from(self.sequence_length).unwrap_or(0);
        let count = self.tokens.len();
        let rows = if length == 0 || count % length != 0 { 0 } else { count / length };
        let rows = i32::try_from(rows).ok().filter(|&rows| rows > 0);
        let sequence_count = rows.ok_or_else(|| {
            let wanted = self.sequence_length;
            mismatch(format!("expected rows of {wanted} tokens, seen {count} tokens"))
        })?;
        for (name, values) in [("targets", self.targets), ("positions", self.positions)] {
            let seen = values.len();
            if seen != count && (seen != 0 || name == "targets") {
                return Err(mismatch(format!("expected {count} {name}, as tokens, seen {seen}")));
            }
        }
        Ok(sys::anet_batch {
            sequence_count,
            sequence_length: self.sequence_length,
            tokens: pointer(self.tokens),
            targets: pointer(self.targets),
            positions: pointer(self.positions),
            parts: self.parts,
            ..Default::default()
        })
    }
}

fn mismatch(message: String) -> Error {
    Error::new(ErrorKind::ShapeMismatch, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(batch: &Batch<'_>) -> String {
        let error = batch.raw().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ShapeMismatch);
        error.message().to_string()
    }

    #[test]
    fn extents_agree_with_the_values() {
        let raw = Batch::new(&[1, 2, 3, 4], &[2, 3, 4, -1], 2).raw().unwrap();
        assert_eq!((raw.sequence_count, raw.sequence_length), (2, 2));
        assert!(raw.positions.is_null());
    }

    #[test]
    fn what_is_too_short_never_reaches_the_library() {
        let ids = [1, 2, 3, 4];
        assert!(refusal(&Batch::new(&ids, &ids, 3)).contains("rows of 3"));
        assert!(refusal(&Batch::new(&ids, &ids, 0)).contains("rows of 0"));
        assert!(refusal(&Batch::new(&ids, &ids, -2)).contains("rows of -2"));
        assert!(refusal(&Batch::new(&[], &[], 2)).contains("0 tokens"));
        assert!(refusal(&Batch::new(&ids, &ids[1..], 2)).contains("4 targets"));
        assert!(refusal(&Batch::new(&ids, &[], 2)).contains("4 targets"));
        assert!(refusal(&Batch::new(&ids, &ids, 2).positions(&[0])).contains("4 positions"));
    }
}
