//! Training on a dataset, with events between the steps.

use std::fmt;
use std::ops::ControlFlow;
use std::os::raw::c_void;
use std::path::{Path, PathBuf};
use std::ptr;

use ane_train_sys as sys;

use super::{EvalResult, Session, SessionView, StepResult, StepSummary, Training};
use crate::callback::Callback;
use crate::dataset::Dataset;
use crate::error::{call, Result};
use crate::handle::optional;
use crate::macros::ReadRaw;
use crate::text::{borrowed_text, c_path};

options! {
    /// Options of [`Session::fit`].
    pub struct FitOptions: sys::anet_fit_options {
        /// Required: updates to make in this call. Steps that F16 skips are reported, and made up for.
        steps: i64,
        /// Evaluates after each step whose number is a multiple of this; 0: never.
        eval_every: i64,
        /// Rows of an evaluation; 0: the whole validation set.
        eval_windows: u64,
        /// Saves after each step whose number is a multiple of this; 0: never.
        save_every: i64,
        /// Checkpoints kept besides the best; 0: all.
        keep_last: i32,
        /// Stops after so many evaluations in a row that did not improve on the best by more than
        /// `min_delta`; 0: never. A resumed run goes on counting.
        patience: i64,
        /// What counts as an improvement, in nats.
        min_delta: f64,
        /// [`FitEventKind::Sample`] after each step whose number is a multiple; 0: never.
        sample_every: i64,
        /// Evaluates after the last step too.
        eval_at_end: bool,
    }
    other {
        /// Required when `save_every` is set.
        checkpoint_root: Option<PathBuf>,
        /// Required when `eval_every` or `eval_at_end` is set.
        validation: Option<Dataset>,
    }
}

impl FitOptions {
    /// Where checkpoints are saved.
    #[must_use]
    pub fn checkpoint_root(mut self, root: impl Into<PathBuf>) -> Self {
        self.checkpoint_root = Some(root.into());
        self
    }

    /// What evaluations measure.
    #[must_use]
    pub fn validation(mut self, dataset: &Dataset) -> Self {
        self.validation = Some(dataset.clone());
        self
    }

    fn with_raw<R>(&self, make: impl FnOnce(&mut sys::anet_fit_options) -> Result<R>) -> Result<R> {
        let root = self.checkpoint_root.as_deref().map(c_path).transpose()?;
        let mut raw = self.raw();
        raw.checkpoint_root = root.as_ref().map_or(ptr::null(), |path| path.as_ptr());
        make(&mut raw)
    }
}

/// What [`Session::fit_with`] reports.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FitEvent<'a> {
    /// The latest step.
    pub step: StepResult,
    /// What happened after it.
    pub kind: FitEventKind<'a>,
}

/// What happened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum FitEventKind<'a> {
    /// The step itself.
    Step,
    /// An evaluation.
    Evaluation {
        /// Its result.
        result: EvalResult,
        /// It is the best of the run so far.
        improved: bool,
    },
    /// A checkpoint was saved.
    Saved {
        /// Its folder.
        path: &'a Path,
    },
    /// The moment to generate.
    Sample,
}

enumeration! {
    /// Why a fit ended.
    pub enum FitEnd: sys::anet_fit_end {
        /// All steps were made.
        Steps = sys::ANET_FIT_STEPS,
        /// The closure stopped it.
        Callback = sys::ANET_FIT_CALLBACK,
        /// [`FitOptions::patience`].
        NoImprovement = sys::ANET_FIT_NO_IMPROVEMENT,
    }
}

/// What a fit did.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct FitResult {
    /// Why it ended.
    pub end: FitEnd,
    /// The last step.
    pub step: StepSummary,
    /// The last evaluation of this call.
    pub evaluation: Option<EvalResult>,
    /// The lowest loss of the run's evaluations, and the step before it.
    pub best: Option<(f64, i64)>,
}

impl FitResult {
    fn from_raw(raw: &sys::anet_fit_result) -> Self {
        // SAFETY: these hold no texts.
        let (step, eval) =
            unsafe { (StepSummary::read_raw(&raw.step), EvalResult::read_raw(&raw.eval)) };
        FitResult {
            end: FitEnd::from_raw(raw.end),
            step,
            evaluation: Some(eval).filter(|eval| eval.tokens > 0),
            best: Some((raw.best_loss, raw.best_step)).filter(|_| raw.has_best != 0),
        }
    }
}

impl fmt::Display for FitEnd {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            FitEnd::Steps => "all steps were made",
            FitEnd::Callback => "stopped by the caller",
            FitEnd::NoImprovement => "no more improvement",
            FitEnd::Unknown(_) => "unknown",
        })
    }
}

/// What the trampoline needs.
struct Fitting<'a, F> {
    closure: F,
    session: &'a SessionView,
    /// The library trains; none while the closure runs, which may borrow weights.
    training: Option<Training>,
}

impl Session {
    /// Trains on rows of a dataset, from the session's data cursor on. Steps before a failure stand.
    pub fn fit(&mut self, train: &Dataset, options: &FitOptions) -> Result<FitResult> {
        let _training = self.training()?;
        options.with_raw(|raw| self.fit_raw(train, options.validation.as_ref(), raw))
    }

    /// The same, reporting each step, evaluation and checkpoint to a closure, which may evaluate,
    /// save, read weights and generate. When it breaks, the fit ends; when it fails, the fit fails
    /// with its error. It cannot train:
    ///
    /// ```compile_fail,E0599
    /// # fn run(session: &mut ane_train::Session, data: &ane_train::Dataset) {
    /// let fit = ane_train::FitOptions::new().steps(1);
    /// let _ = session.fit_with(data, &fit, |session, _| {
    ///     session.zero_gradients()?;
    ///     Ok(std::ops::ControlFlow::Continue(()))
    /// });
    /// # }
    /// ```
    pub fn fit_with<F>(
        &mut self,
        train: &Dataset,
        options: &FitOptions,
        closure: F,
    ) -> Result<FitResult>
    where
        F: FnMut(&SessionView, &FitEvent<'_>) -> Result<ControlFlow<()>>,
    {
        let session = &self.view;
        let training = Some(session.training()?);
        let mut callback = Callback::new(Fitting { closure, session, training });
        let result = options.with_raw(|raw| {
            raw.callback = Some(report::<F>);
            raw.user_data = callback.user_data();
            self.fit_raw(train, options.validation.as_ref(), raw)
        });
        callback.finish(result)
    }

    fn fit_raw(
        &self,
        train: &Dataset,
        validation: Option<&Dataset>,
        options: &sys::anet_fit_options,
    ) -> Result<FitResult> {
        let validation = optional(validation.map(|dataset| &dataset.handle));
        let mut raw = sys::anet_fit_result::default();
        raw.step.struct_size = sys::anet_step_summary::default().struct_size;
        raw.eval.struct_size = sys::anet_eval_result::default().struct_size;
        call(|error| unsafe {
            let session = self.as_ptr();
            sys::anet_session_fit(session, train.as_ptr(), validation, options, &mut raw, error)
        })?;
        Ok(FitResult::from_raw(&raw))
    }
}

/// None for a kind that this version of the crate does not know.
///
/// # Safety
/// `raw` is an event of the library's, during the call of its callback.
unsafe fn event_of(raw: &sys::anet_fit_event) -> Option<FitEvent<'_>> {
    // SAFETY: as promised by the caller; the result is there on every event.
    unsafe {
        let kind = match raw.kind {
            sys::ANET_EVENT_STEP => FitEventKind::Step,
            sys::ANET_EVENT_EVAL => FitEventKind::Evaluation {
                result: EvalResult::read_raw(&raw.eval),
                improved: raw.improved != 0,
            },
            sys::ANET_EVENT_SAVE => {
                FitEventKind::Saved { path: Path::new(borrowed_text(raw.checkpoint)) }
            }
            sys::ANET_EVENT_SAMPLE => FitEventKind::Sample,
            _ => return None,
        };
        Some(FitEvent { step: StepResult::read_raw(raw.result.as_ref()?), kind })
    }
}

unsafe extern "C" fn report<F>(event: *const sys::anet_fit_event, user_data: *mut c_void) -> i32
where
    F: FnMut(&SessionView, &FitEvent<'_>) -> Result<ControlFlow<()>>,
{
    const STOP: i32 = 1;
    const FAIL: i32 = -1;
    // SAFETY: `user_data` is the callback of `fit_with`, which waits for the call; the event is
    // borrowed for this one.
    let (callback, event) =
        unsafe { (&mut *user_data.cast::<Callback<Fitting<'_, F>>>(), event_of(&*event)) };
    let event = match event {
        Some(event) => event,
        None => return 0,
    };
    callback.run(FAIL, |fitting| {
        fitting.training = None;
        let answer = (fitting.closure)(fitting.session, &event)?;
        fitting.training = Some(fitting.session.training()?);
        Ok(if answer.is_break() { STOP } else { 0 })
    })
}
