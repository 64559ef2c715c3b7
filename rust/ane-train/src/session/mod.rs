//! Sessions: training a model, or an adapter of a model that stays as it is.

mod batch;
mod fit;
mod options;
mod results;
mod steps;
mod weights;

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::path::Path;
use std::ptr;
use std::sync::Arc;

use ane_train_sys as sys;

use crate::access::{Access, Exclusive, Shared};
use crate::adapter::Adapter;
use crate::cancel::{CancelHandle, Cancellable};
use crate::config::ModelConfig;
use crate::dataset::Dataset;
use crate::device::Device;
use crate::error::{call, ErrorKind, Result};
use crate::handle::Handle;
use crate::macros::ReadRaw;
use crate::model::Model;
use crate::text::{c_path, c_string, filled, owned_text, pointer};

pub use batch::Batch;
pub use fit::{FitEnd, FitEvent, FitEventKind, FitOptions, FitResult};
pub use options::{Optimizer, Precision, SaveOptions, Schedule, SessionOptions};
pub use results::{DocumentLoss, EvalResult, KernelReport, MemoryPlan, StepResult, StepSummary};
pub use steps::Steps;
pub use weights::{WeightsMut, WeightsRef};

/// Trains a model, or an adapter of a model that stays as it is, on a device.
///
/// A step is atomic: when it fails or is cancelled, weights and optimizer are as before and the
/// gradients accumulated so far are discarded. What does not train is in [`SessionView`], to which a
/// session dereferences.
///
/// One thread at a time: it can be sent to another thread, but not shared.
///
/// ```compile_fail,E0277
/// fn shared<T: Sync>() {}
/// shared::<ane_train::Session>();
/// ```
pub struct Session {
    view: SessionView,
}

/// What a session can do besides training: evaluate, save, tell. Closures of
/// [`Session::fit_with`] get it between two steps.
pub struct SessionView {
    handle: Arc<Cancellable<sys::anet_session>>,
    model_access: Access,
    /// None when the session trains the model.
    adapter_access: Option<Access>,
    /// The thread class is "One thread at a time": `Send`, but not `Sync`.
    not_shared: PhantomData<Cell<()>>,
}

/// Held by calls that only read weights: the model's and the adapter's.
type Reading = (Shared, Option<Shared>);

/// Held by calls that train: an adapter's model is only read.
type Training = (Option<Shared>, Exclusive);

impl Session {
    /// A session that trains `model` in place.
    pub fn create(device: &Device, model: &Model, options: &SessionOptions) -> Result<Self> {
        let _reading = model.access.share()?;
        options.with_raw(|raw| {
            Self::new(&model.access, None, |session, error| unsafe {
                sys::anet_session_create(device.as_ptr(), model.as_ptr(), raw, session, error)
            })
        })
    }

    /// A session that trains `adapter` in place; its model is frozen and may be compressed. Weights,
    /// gradients and checkpoints are the adapter's.
    pub fn create_adapter(
        device: &Device,
        adapter: &Adapter,
        options: &SessionOptions,
    ) -> Result<Self> {
        let _reading = (adapter.model_access.share()?, adapter.access.share()?);
        options.with_raw(|raw| {
            Self::new(&adapter.model_access, Some(&adapter.access), |session, error| unsafe {
                let (device, adapter) = (device.as_ptr(), adapter.as_ptr());
                sys::anet_session_create_adapter(device, adapter, raw, session, error)
            })
        })
    }

    /// Continues from a checkpoint: training goes on bit for bit as if it had never stopped (F32, same
    /// thread count). `path` is a checkpoint, or a root: then its latest loadable checkpoint.
    pub fn resume(device: &Device, path: impl AsRef<Path>) -> Result<Self> {
        Self::resume_raw(device, path.as_ref(), ptr::null())
    }

    /// The same with other options than those of the checkpoint; what changes the optimizer's state
    /// must agree.
    pub fn resume_with(
        device: &Device,
        path: impl AsRef<Path>,
        options: &SessionOptions,
    ) -> Result<Self> {
        options.with_raw(|raw| Self::resume_raw(device, path.as_ref(), raw))
    }

    fn resume_raw(
        device: &Device,
        path: &Path,
        options: *const sys::anet_session_options,
    ) -> Result<Self> {
        let path = c_path(path)?;
        Self::new(&Access::default(), None, |session, error| unsafe {
            sys::anet_session_resume(device.as_ptr(), path.as_ptr(), options, session, error)
        })
    }

    /// [`resume`](Self::resume) for a checkpoint of a session that trained an adapter; `model` is the
    /// one that was adapted.
    pub fn resume_adapter(device: &Device, model: &Model, path: impl AsRef<Path>) -> Result<Self> {
        Self::resume_adapter_raw(device, model, path.as_ref(), ptr::null())
    }

    /// The same with other options than those of the checkpoint.
    pub fn resume_adapter_with(
        device: &Device,
        model: &Model,
        path: impl AsRef<Path>,
        options: &SessionOptions,
    ) -> Result<Self> {
        options.with_raw(|raw| Self::resume_adapter_raw(device, model, path.as_ref(), raw))
    }

    fn resume_adapter_raw(
        device: &Device,
        model: &Model,
        path: &Path,
        options: *const sys::anet_session_options,
    ) -> Result<Self> {
        let path = c_path(path)?;
        let _reading = model.access.share()?;
        Self::new(&model.access, Some(&Access::default()), |session, error| unsafe {
            let (device, model, path) = (device.as_ptr(), model.as_ptr(), path.as_ptr());
            sys::anet_session_resume_adapter(device, model, path, options, session, error)
        })
    }

    fn new(
        model_access: &Access,
        adapter_access: Option<&Access>,
        make: impl FnOnce(*mut *mut sys::anet_session, *mut *mut sys::anet_error) -> sys::anet_status,
    ) -> Result<Self> {
        let view = SessionView {
            handle: Arc::new(Cancellable(Handle::create(make)?)),
            model_access: model_access.clone(),
            adapter_access: adapter_access.cloned(),
            not_shared: PhantomData,
        };
        Ok(Session { view })
    }

    /// The memory that a session would use; allocates none of it.
    pub fn plan_memory(
        device: &Device,
        config: &ModelConfig,
        options: &SessionOptions,
    ) -> Result<MemoryPlan> {
        let config = config.raw();
        options.with_raw(|raw| {
            read_plan(|plan, error| unsafe {
                sys::anet_session_plan_memory(device.as_ptr(), &config, raw, plan, error)
            })
        })
    }

    /// The memory that [`create_adapter`](Self::create_adapter) would use; allocates none of it.
    /// `weights` are those of the frozen model and of the adapter.
    pub fn plan_adapter_memory(
        device: &Device,
        adapter: &Adapter,
        options: &SessionOptions,
    ) -> Result<MemoryPlan> {
        options.with_raw(|raw| {
            read_plan(|plan, error| unsafe {
                let (device, adapter) = (device.as_ptr(), adapter.as_ptr());
                sys::anet_session_plan_adapter_memory(device, adapter, raw, plan, error)
            })
        })
    }

    /// Goes on with another adapter of the same model, ranks and modules: between steps, compiling
    /// nothing. The optimizer's moments of each adapter are kept until the session ends.
    pub fn swap_adapter(&mut self, adapter: &Adapter) -> Result<()> {
        let _reading = adapter.access.share()?;
        call(|error| unsafe {
            sys::anet_session_swap_adapter(self.as_ptr(), adapter.as_ptr(), error)
        })?;
        self.view.adapter_access = Some(adapter.access.clone());
        Ok(())
    }

    /// Forward, backward and update over micro-batches whose gradients are averaged over all their
    /// counted tokens.
    pub fn step(&mut self, batches: &[Batch<'_>]) -> Result<StepResult> {
        let batches = batches.iter().map(Batch::raw).collect::<Result<Vec<_>>>()?;
        self.train_raw(|session, result, error| unsafe {
            sys::anet_session_step(session, pointer(&batches), batches.len(), result, error)
        })
    }

    /// Adds the gradient of one micro-batch to the accumulated one. A failure discards everything
    /// accumulated.
    pub fn forward_backward(&mut self, batch: &Batch<'_>) -> Result<StepResult> {
        let batch = batch.raw()?;
        self.train_raw(|session, result, error| unsafe {
            sys::anet_session_forward_backward(session, &batch, result, error)
        })
    }

    /// Updates the weights from the accumulated gradient and clears it.
    pub fn optimizer_step(&mut self) -> Result<StepResult> {
        self.train_raw(|session, result, error| unsafe {
            sys::anet_session_optimizer_step(session, result, error)
        })
    }

    fn train_raw(
        &mut self,
        train: impl FnOnce(
            *mut sys::anet_session,
            *mut sys::anet_step_result,
            *mut *mut sys::anet_error,
        ) -> sys::anet_status,
    ) -> Result<StepResult> {
        let _training = self.training()?;
        let mut raw = sys::anet_step_result::default();
        call(|error| train(self.as_ptr(), &mut raw, error))?;
        Ok(unsafe { StepResult::read_raw(&raw) })
    }

    /// Discards the accumulated gradient.
    pub fn zero_gradients(&mut self) -> Result<()> {
        call(|error| unsafe { sys::anet_session_zero_gradients(self.as_ptr(), error) })
    }

    /// After adding other ranks' gradients: the sum of their tokens.
    pub fn set_tokens(&mut self, tokens: u64) -> Result<()> {
        call(|error| unsafe { sys::anet_session_set_tokens(self.as_ptr(), tokens, error) })
    }

    /// The next row that [`fit`](Self::fit) reads.
    pub fn set_cursor(&mut self, cursor: u64) -> Result<()> {
        call(|error| unsafe { sys::anet_session_set_cursor(self.as_ptr(), cursor, error) })
    }
}

impl Deref for Session {
    type Target = SessionView;

    fn deref(&self) -> &SessionView {
        &self.view
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Session").field("step", &self.step_count().ok()).finish()
    }
}

fn read_plan(
    get: impl FnOnce(*mut sys::anet_memory_plan, *mut *mut sys::anet_error) -> sys::anet_status,
) -> Result<MemoryPlan> {
    let mut raw = sys::anet_memory_plan::default();
    call(|error| get(&mut raw, error))?;
    Ok(unsafe { MemoryPlan::read_raw(&raw) })
}

fn read_eval(
    eval: impl FnOnce(*mut sys::anet_eval_result, *mut *mut sys::anet_error) -> sys::anet_status,
) -> Result<EvalResult> {
    let mut raw = sys::anet_eval_result::default();
    call(|error| eval(&mut raw, error))?;
    Ok(unsafe { EvalResult::read_raw(&raw) })
}

impl SessionView {
    /// The loss of one micro-batch; changes nothing.
    pub fn eval(&self, batch: &Batch<'_>) -> Result<EvalResult> {
        let batch = batch.raw()?;
        let _reading = self.reading()?;
        read_eval(|result, error| unsafe {
            sys::anet_session_eval(self.as_ptr(), &batch, result, error)
        })
    }

    /// The loss over the first `max_windows` rows of a dataset, in its order (0: all of one epoch).
    pub fn evaluate(&self, dataset: &Dataset, max_windows: u64) -> Result<EvalResult> {
        let _reading = self.reading()?;
        read_eval(|result, error| unsafe {
            let dataset = dataset.as_ptr();
            sys::anet_session_evaluate(self.as_ptr(), dataset, max_windows, result, error)
        })
    }

    /// The losses of single documents: of the first `max_rows` rows of a dataset (0: all), in their
    /// order, those without a counted token left out.
    pub fn score(&self, dataset: &Dataset, max_rows: u64) -> Result<Vec<DocumentLoss>> {
        let _reading = self.reading()?;
        let blank =
            sys::anet_document_loss { row: 0, document: 0, begin: 0, loss_sum: 0.0, tokens: 0 };
        // A document has a token and its target, so no row has more than its tokens.
        let rows = dataset.window_count().min(if max_rows == 0 { u64::MAX } else { max_rows });
        let most = rows.saturating_mul(dataset.sequence_length() as u64).min(1 << 16).max(rows);
        let raw = filled(most as usize, blank, |losses, capacity, count, error| unsafe {
            let (session, dataset) = (self.as_ptr(), dataset.as_ptr());
            sys::anet_session_score(session, dataset, max_rows, losses, capacity, count, error)
        })?;
        Ok(raw.iter().map(|document| unsafe { DocumentLoss::read_raw(document) }).collect())
    }

    /// Saves everything that resuming needs as `<root>/step-<8 digits>`. A crash at any moment leaves
    /// either the complete checkpoint or none. Refused where `root` has checkpoints of later steps,
    /// which are another run's.
    pub fn save(&self, root: impl AsRef<Path>, options: &SaveOptions) -> Result<()> {
        let (root, raw) = (c_path(root.as_ref())?, options.raw());
        let _reading = self.reading()?;
        call(|error| unsafe { sys::anet_session_save(self.as_ptr(), root.as_ptr(), &raw, error) })
    }

    /// Cancels the running call from other threads.
    #[must_use]
    pub fn cancel_handle(&self) -> CancelHandle {
        CancelHandle::of_session(&self.handle)
    }

    /// The model that the session trains, or whose adapter it trains.
    pub fn model(&self) -> Result<Model> {
        Model::same(&self.model_access, |model, error| unsafe {
            sys::anet_session_get_model(self.as_ptr(), model, error)
        })
    }

    /// The adapter that the session trains; none when it trains a model.
    pub fn adapter(&self) -> Result<Option<Adapter>> {
        let access = match &self.adapter_access {
            Some(access) => access,
            None => return Ok(None),
        };
        let adapter = Adapter::same(access, &self.model_access, |adapter, error| unsafe {
            sys::anet_session_get_adapter(self.as_ptr(), adapter, error)
        })?;
        Ok(Some(adapter))
    }

    /// The options that it runs with; defaults are resolved.
    pub fn options(&self) -> Result<SessionOptions> {
        let mut raw = sys::anet_session_options::default();
        call(|error| unsafe { sys::anet_session_get_options(self.as_ptr(), &mut raw, error) })?;
        Ok(unsafe { SessionOptions::read(&raw) })
    }

    /// The memory that it uses.
    pub fn memory_plan(&self) -> Result<MemoryPlan> {
        read_plan(|plan, error| unsafe {
            sys::anet_session_get_memory_plan(self.as_ptr(), plan, error)
        })
    }

    /// Its kernels: embedding, block and head, both directions; where they run and what they did.
    pub fn kernel_reports(&self) -> Result<Vec<KernelReport>> {
        let count = unsafe { sys::anet_session_kernel_count(self.as_ptr()) };
        (0..count)
            .map(|index| {
                let mut raw = sys::anet_kernel_report::default();
                call(|error| unsafe {
                    sys::anet_session_get_kernel_report(self.as_ptr(), index, &mut raw, error)
                })?;
                Ok(unsafe { KernelReport::read_raw(&raw) })
            })
            .collect()
    }

    /// Optimizer steps done.
    pub fn step_count(&self) -> Result<i64> {
        let mut step = 0;
        call(|error| unsafe { sys::anet_session_get_step(self.as_ptr(), &mut step, error) })?;
        Ok(step)
    }

    /// The next row that [`Session::fit`] reads; checkpoints keep it.
    pub fn cursor(&self) -> Result<u64> {
        let mut cursor = 0;
        call(|error| unsafe { sys::anet_session_get_cursor(self.as_ptr(), &mut cursor, error) })?;
        Ok(cursor)
    }

    /// Counted tokens behind the accumulated gradient: the divisor of the next update.
    pub fn tokens(&self) -> Result<u64> {
        let mut tokens = 0;
        call(|error| unsafe { sys::anet_session_get_tokens(self.as_ptr(), &mut tokens, error) })?;
        Ok(tokens)
    }

    /// Replaces the options' learning rate from the next step on; the schedule goes on.
    pub fn set_learning_rate(&self, learning_rate: f64) -> Result<()> {
        call(|error| unsafe {
            sys::anet_session_set_learning_rate(self.as_ptr(), learning_rate, error)
        })
    }

    /// Stores a string in the session's checkpoints ("epoch" = "3").
    pub fn set_property(&self, key: &str, value: &str) -> Result<()> {
        let (key, value) = (c_string(key)?, c_string(value)?);
        call(|error| unsafe {
            sys::anet_session_set_property(self.as_ptr(), key.as_ptr(), value.as_ptr(), error)
        })
    }

    /// Removes such a string.
    pub fn remove_property(&self, key: &str) -> Result<()> {
        let key = c_string(key)?;
        call(|error| unsafe {
            sys::anet_session_set_property(self.as_ptr(), key.as_ptr(), ptr::null(), error)
        })
    }

    /// A string that was stored.
    pub fn property(&self, key: &str) -> Result<Option<String>> {
        let key = c_string(key)?;
        let mut value = ptr::null();
        let result = call(|error| unsafe {
            sys::anet_session_get_property(self.as_ptr(), key.as_ptr(), &mut value, error)
        });
        match result {
            // SAFETY: borrowed until the property changes; copied here.
            Ok(()) => Ok(Some(unsafe { owned_text(value) })),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn as_ptr(&self) -> *mut sys::anet_session {
        self.handle.0.as_ptr()
    }

    fn trained_access(&self) -> &Access {
        self.adapter_access.as_ref().unwrap_or(&self.model_access)
    }

    fn reading(&self) -> Result<Reading> {
        let adapter = self.adapter_access.as_ref().map(Access::share).transpose()?;
        Ok((self.model_access.share()?, adapter))
    }

    fn training(&self) -> Result<Training> {
        match &self.adapter_access {
            Some(access) => Ok((Some(self.model_access.share()?), access.exclude()?)),
            None => Ok((None, self.model_access.exclude()?)),
        }
    }
}

impl fmt::Debug for SessionView {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SessionView").field("step", &self.step_count().ok()).finish()
    }
}
