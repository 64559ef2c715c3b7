//! Devices: processors that compile and run programs.

use std::fmt;
use std::os::raw::{c_char, c_void};
use std::path::PathBuf;
use std::ptr;
use std::sync::Arc;

use ane_train_sys as sys;

use crate::callback::contain;
use crate::error::{call, Result};
use crate::handle::Handle;
use crate::macros::ReadRaw;
use crate::text::{borrowed_text, c_path, c_string, filled_text, OptionalText};

enumeration! {
    /// How important a message is.
    pub enum LogLevel: sys::anet_log_level {
        /// Nothing is said.
        Off = sys::ANET_LOG_OFF,
        /// Failures.
        Error = sys::ANET_LOG_ERROR,
        /// What works worse than it should.
        Warning = sys::ANET_LOG_WARNING,
        /// What happens.
        Info = sys::ANET_LOG_INFO,
        /// Everything.
        Debug = sys::ANET_LOG_DEBUG,
    }
}

enumeration! {
    /// Where a part of the work runs on the device "ane", which has the engine and the CPU.
    pub enum Placement: sys::anet_placement {
        /// Each program is timed on both sides as it is compiled; the faster side keeps it.
        Measured = sys::ANET_PLACEMENT_MEASURED,
        /// The engine wherever it can.
        Engine = sys::ANET_PLACEMENT_ENGINE,
        /// The CPU.
        Host = sys::ANET_PLACEMENT_HOST,
    }
}

enumeration! {
    /// What happens when an audit finds a difference above the tolerance.
    pub enum AuditAction: sys::anet_audit_action {
        /// The CPU's result is used, and the program stays on the CPU.
        Fallback = sys::ANET_AUDIT_FALLBACK,
        /// The call fails with [`ErrorKind::Numeric`](crate::ErrorKind::Numeric).
        Error = sys::ANET_AUDIT_ERROR,
    }
}

default_is_first!(LogLevel, Placement, AuditAction);

options! {
    /// Options of the device "ane", the Apple Neural Engine.
    pub struct AneOptions: sys::anet_ane_options {
        /// Programs that this process may compile, because systems allow only so many; 0: 110.
        compile_budget: i32,
        /// The framework's quality-of-service class, up to 63; 0: 21.
        qos: i32,
        /// Of a session's embedding and blocks, and of generators.
        forward: Placement,
        /// Of head and cross-entropy, both directions.
        loss: Placement,
        /// Of the gradients of inputs.
        input_gradients: Placement,
        /// Of the gradients of weights.
        weight_gradients: Placement,
        /// Of [`Kernel::compile`](crate::Kernel::compile).
        programs: Placement,
        /// Every so many runs of a program the CPU repeats one, and the results are compared; 0: never.
        audit_every: i32,
        /// What a difference leads to.
        audit_action: AuditAction,
        /// Relative to the tensor's largest value; 0: 0.05.
        audit_tolerance: f64,
    }
    text {
        /// Labels of the audited programs, separated by commas; none: all.
        audit_kernels,
    }
    other {
        /// The framework to open; none: Apple's.
        framework_path: Option<PathBuf>,
        /// For what the device learns about the chip; none: the user's.
        cache_directory: Option<PathBuf>,
    }
}

impl AneOptions {
    /// The framework to open, instead of Apple's.
    #[must_use]
    pub fn framework_path(mut self, path: impl Into<PathBuf>) -> Self {
        self.framework_path = Some(path.into());
        self
    }

    /// The folder for what the device learns about the chip, instead of the user's.
    #[must_use]
    pub fn cache_directory(mut self, path: impl Into<PathBuf>) -> Self {
        self.cache_directory = Some(path.into());
        self
    }

    fn with_raw<R>(&self, make: impl FnOnce(&sys::anet_ane_options) -> Result<R>) -> Result<R> {
        let framework_path = self.framework_path.as_deref().map(c_path).transpose()?;
        let cache_directory = self.cache_directory.as_deref().map(c_path).transpose()?;
        let audit_kernels = OptionalText::new(self.audit_kernels.as_deref())?;
        let mut raw = self.raw();
        raw.framework_path = framework_path.as_ref().map_or(ptr::null(), |path| path.as_ptr());
        raw.cache_directory = cache_directory.as_ref().map_or(ptr::null(), |path| path.as_ptr());
        raw.audit_kernels = audit_kernels.as_ptr();
        make(&raw)
    }
}

type Log = dyn Fn(LogLevel, &str) + Send + Sync;

/// Options of [`Device::open_with`].
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct DeviceOptions {
    /// Worker threads of the CPU, the caller's included; 0: one a core. At most 256.
    pub threads: u32,
    /// For "ane", and for "auto" where that is it.
    pub ane: Option<AneOptions>,
    log_level: LogLevel,
    log: Option<Arc<Log>>,
}

impl DeviceOptions {
    /// All defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Worker threads of the CPU, the caller's included; 0: one a core. At most 256.
    #[must_use]
    pub fn threads(mut self, threads: u32) -> Self {
        self.threads = threads;
        self
    }

    /// For "ane", and for "auto" where that is it.
    #[must_use]
    pub fn ane(mut self, ane: AneOptions) -> Self {
        self.ane = Some(ane);
        self
    }

    /// Messages up to `level` go to `log`, on whichever thread has something to say. It lives as long
    /// as the device and all that came from it, and must not call this library. If it panics, the
    /// message is lost and the work goes on.
    #[must_use]
    pub fn log(
        mut self,
        level: LogLevel,
        log: impl Fn(LogLevel, &str) + Send + Sync + 'static,
    ) -> Self {
        self.log_level = level;
        self.log = Some(Arc::new(log));
        self
    }
}

impl fmt::Debug for DeviceOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("DeviceOptions")
            .field("threads", &self.threads)
            .field("ane", &self.ane)
            .field("log_level", &self.log_level)
            .finish_non_exhaustive()
    }
}

unsafe extern "C" fn log_message(
    level: sys::anet_log_level,
    message: *const c_char,
    user_data: *mut c_void,
) {
    // SAFETY: `user_data` is the box of Device::open_with, until `log_release`.
    let log = unsafe { &*user_data.cast::<Arc<Log>>() };
    // SAFETY: the message is null-terminated text, borrowed for the call.
    let message = unsafe { borrowed_text(message) };
    contain(|| log(LogLevel::from_raw(level), message));
}

unsafe extern "C" fn log_release(user_data: *mut c_void) {
    // SAFETY: called once, with the box of Device::open_with.
    let log = unsafe { Box::from_raw(user_data.cast::<Arc<Log>>()) };
    contain(|| drop(log));
}

/// A processor that compiles and runs programs. Clones are the same device.
#[derive(Clone)]
pub struct Device {
    pub(crate) handle: Handle<sys::anet_device>,
}

// SAFETY: the thread class of devices is "Any thread".
unsafe impl Send for Device {}
// SAFETY: as above.
unsafe impl Sync for Device {}

impl Device {
    /// Opens "cpu", "ane" for the Apple Neural Engine, or "auto": "ane" where it is available, else
    /// "cpu".
    pub fn open(name: &str) -> Result<Self> {
        Self::open_with(name, &DeviceOptions::new())
    }

    /// The same with options. Fails with [`Unavailable`](crate::ErrorKind::Unavailable) and the reason
    /// when this machine lacks the device.
    pub fn open_with(name: &str, options: &DeviceOptions) -> Result<Self> {
        let name = c_string(name)?;
        match &options.ane {
            Some(ane) => ane.with_raw(|ane| Self::open_raw(&name, options, ane)),
            None => Self::open_raw(&name, options, ptr::null()),
        }
    }

    fn open_raw(
        name: &std::ffi::CStr,
        options: &DeviceOptions,
        ane: *const sys::anet_ane_options,
    ) -> Result<Self> {
        let mut raw = sys::anet_device_options {
            threads: options.threads,
            log_level: options.log_level.to_raw(),
            ane,
            ..Default::default()
        };
        if let Some(log) = &options.log {
            raw.log = Some(log_message);
            raw.log_user_data = Box::into_raw(Box::new(Arc::clone(log))).cast();
            raw.log_release = Some(log_release);
        }
        let handle = Handle::create(|device, error| unsafe {
            sys::anet_device_open(name.as_ptr(), &raw, device, error)
        })?;
        Ok(Device { handle })
    }

    /// The devices that this build of the library knows, and which of them can be opened here.
    pub fn list() -> Result<Vec<DeviceListing>> {
        // SAFETY: any thread, no arguments.
        let count = unsafe { sys::anet_device_listing_count() };
        (0..count)
            .map(|index| {
                let mut raw = sys::anet_device_listing::default();
                call(|error| unsafe { sys::anet_device_listing_get(index, &mut raw, error) })?;
                Ok(unsafe { DeviceListing::read_raw(&raw) })
            })
            .collect()
    }

    /// Name, threads, what it can do.
    pub fn info(&self) -> Result<DeviceInfo> {
        let mut raw = sys::anet_device_info::default();
        call(|error| unsafe { sys::anet_device_get_info(self.as_ptr(), &mut raw, error) })?;
        Ok(unsafe { DeviceInfo::read_raw(&raw) })
    }

    /// What the device has found out about itself, as a JSON object.
    pub fn report(&self) -> Result<String> {
        filled_text(|json, capacity, length, error| unsafe {
            sys::anet_device_get_report(self.as_ptr(), json, capacity, length, error)
        })
    }

    pub(crate) fn as_ptr(&self) -> *mut sys::anet_device {
        self.handle.as_ptr()
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.info().map(|info| info.name).unwrap_or_default();
        formatter.debug_tuple("Device").field(&name).finish()
    }
}

results! {
    /// What a device is.
    pub struct DeviceInfo: sys::anet_device_info {
        /// Worker threads of the CPU, the caller's included.
        threads: u32,
        /// Bytes; imported memory must have it.
        buffer_alignment: usize,
        /// Sessions and generators run in every [`Precision`](crate::Precision); else in `F16`
        /// alone.
        has_f32: bool,
    }
    text {
        /// "cpu".
        name = name,
        /// "AMD EPYC 9B45, 2 threads, AVX3".
        description = description,
    }
}

results! {
    /// A device that the library knows.
    pub struct DeviceListing: sys::anet_device_listing {
        /// [`Device::open`] can succeed here.
        available: bool,
    }
    text {
        /// The name for [`Device::open`].
        name = name,
        /// What it is.
        description = description,
        /// Why it is not available, else "".
        reason = reason,
    }
}
