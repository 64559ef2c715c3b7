//! Training step by step, as an iterator.

use std::ops::ControlFlow;

use super::{EvalResult, FitEnd, FitEventKind, FitOptions, Session, SessionView, StepResult};
use crate::dataset::Dataset;
use crate::error::Result;

/// The steps of [`Session::train`].
#[derive(Debug)]
pub struct Steps<'a> {
    session: &'a mut Session,
    train: Dataset,
    options: FitOptions,
    remaining: i64,
    evaluation: Option<EvalResult>,
}

impl Session {
    /// Trains on rows of a dataset as [`fit`](Self::fit) does, one step each time the iterator is
    /// asked. It ends after [`FitOptions::steps`], after a failure, or when there is no more
    /// improvement.
    ///
    /// ```no_run
    /// # fn main() -> ane_train::Result<()> {
    /// # let (mut session, train): (ane_train::Session, ane_train::Dataset) = unimplemented!();
    /// for step in session.train(&train, &ane_train::FitOptions::new().steps(100)) {
    ///     println!("{:.3}", step?.loss);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn train(&mut self, train: &Dataset, options: &FitOptions) -> Steps<'_> {
        Steps {
            session: self,
            train: train.clone(),
            options: options.clone(),
            remaining: options.steps,
            evaluation: None,
        }
    }
}

impl Steps<'_> {
    /// The session between two steps.
    #[must_use]
    pub fn session(&self) -> &SessionView {
        self.session
    }

    /// The latest evaluation.
    #[must_use]
    pub fn evaluation(&self) -> Option<&EvalResult> {
        self.evaluation.as_ref()
    }

    fn step(&mut self) -> Result<Option<StepResult>> {
        let mut options = self.options.clone().steps(1);
        options.eval_at_end &= self.remaining == 1;
        let (mut step, mut evaluation) = (None, None);
        let result = self.session.fit_with(&self.train, &options, |_, event| {
            match &event.kind {
                FitEventKind::Step => step = Some(event.step.clone()),
                FitEventKind::Evaluation { result, .. } => evaluation = Some(result.clone()),
                _ => {}
            }
            Ok(ControlFlow::Continue(()))
        })?;
        if result.end == FitEnd::NoImprovement {
            self.remaining = 1;
        }
        self.evaluation = evaluation.or_else(|| self.evaluation.take());
        Ok(step)
    }
}

impl Iterator for Steps<'_> {
    type Item = Result<StepResult>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.remaining <= 0 {
            return None;
        }
        let step = self.step();
        self.remaining = if step.is_ok() { self.remaining - 1 } else { 0 };
        step.transpose()
    }
}
