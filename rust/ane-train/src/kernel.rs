//! Kernels: functions of programs, compiled for a device.

use std::fmt;
use std::ptr;

use ane_train_sys as sys;

use crate::buffer::Buffer;
use crate::device::Device;
use crate::error::{call, Result};
use crate::handle::Handle;
use crate::macros::ReadRaw;
use crate::program::{Direction, Port, Program};
use crate::text::{owned_text, pointer, OptionalText};
use crate::work::Work;

/// A compiled function.
///
/// One thread at a time: it can be sent to another thread, but not shared.
///
/// ```compile_fail,E0277
/// fn shared<T: Sync>() {}
/// shared::<ane_train::Kernel>();
/// ```
pub struct Kernel {
    handle: Handle<sys::anet_kernel>,
}

// SAFETY: the thread class is "One thread at a time"; which thread makes the calls does not matter.
unsafe impl Send for Kernel {}

results! {
    /// What a kernel is and what its runs so far did.
    pub struct KernelStatistics: sys::anet_kernel_statistics {
        /// Steps in the compiled plan.
        op_count: u32,
        /// Scratch memory.
        workspace_bytes: u64,
        /// Weights baked in.
        constant_bytes: u64,
        /// Of matmul and conv; a multiply-add counts two.
        flops: u64,
        /// Spent in runs so far.
        seconds: f64,
        /// Runs so far.
        runs: u64,
    }
    parts {
        /// What the runs did, and where.
        work: Work,
    }
}

/// Where a kernel runs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KernelPlacement {
    /// "cpu", "ane", or "ane+cpu" when the CPU has a part.
    pub location: String,
    /// Why the CPU has its part, else "".
    pub reason: String,
}

impl Kernel {
    /// Compiles a function; `function` may be `None`: the first one. Fails with
    /// [`Unsupported`](crate::ErrorKind::Unsupported) naming the op and the rule.
    pub fn compile(device: &Device, program: &Program, function: Option<&str>) -> Result<Self> {
        let function = OptionalText::new(function)?;
        let handle = Handle::create(|kernel, error| unsafe {
            let name = function.as_ptr();
            sys::anet_kernel_compile(device.as_ptr(), program.as_ptr(), name, kernel, error)
        })?;
        Ok(Kernel { handle })
    }

    /// Its ports, with the layouts that bound buffers must have.
    pub fn ports(&self, direction: Direction) -> Result<Vec<Port>> {
        let direction = direction.to_raw();
        let count = unsafe { sys::anet_kernel_port_count(self.as_ptr(), direction) };
        (0..count)
            .map(|index| {
                Port::read(|port, error| unsafe {
                    sys::anet_kernel_get_port(self.as_ptr(), direction, index, port, error)
                })
            })
            .collect()
    }

    /// A zero-filled buffer that fits a port.
    pub fn create_buffer(&self, direction: Direction, index: usize) -> Result<Buffer> {
        Buffer::create_raw(|buffer, error| unsafe {
            let direction = direction.to_raw();
            sys::anet_kernel_create_buffer(self.as_ptr(), direction, index, buffer, error)
        })
    }

    /// Runs the kernel on buffers in port order; returns when the outputs are written. After a
    /// failure the outputs' contents are undefined.
    pub fn run(&mut self, inputs: &[&Buffer], outputs: &mut [&mut Buffer]) -> Result<()> {
        let inputs: Vec<_> = inputs.iter().map(|buffer| buffer.as_ptr()).collect();
        let outputs: Vec<_> = outputs.iter().map(|buffer| buffer.as_ptr()).collect();
        call(|error| unsafe {
            sys::anet_kernel_run(
                self.as_ptr(),
                pointer(&inputs),
                inputs.len(),
                pointer(&outputs),
                outputs.len(),
                error,
            )
        })
    }

    /// What it is and what its runs so far did.
    pub fn statistics(&self) -> Result<KernelStatistics> {
        let mut raw = sys::anet_kernel_statistics::default();
        call(|error| unsafe { sys::anet_kernel_get_statistics(self.as_ptr(), &mut raw, error) })?;
        Ok(unsafe { KernelStatistics::read_raw(&raw) })
    }

    /// Where it runs, and why.
    pub fn placement(&self) -> Result<KernelPlacement> {
        let (mut location, mut reason) = (ptr::null(), ptr::null());
        call(|error| unsafe {
            sys::anet_kernel_get_placement(self.as_ptr(), &mut location, &mut reason, error)
        })?;
        // SAFETY: borrowed until the next such call, and copied before.
        let (location, reason) = unsafe { (owned_text(location), owned_text(reason)) };
        Ok(KernelPlacement { location, reason })
    }

    fn as_ptr(&self) -> *mut sys::anet_kernel {
        self.handle.as_ptr()
    }
}

impl fmt::Debug for Kernel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Kernel").finish_non_exhaustive()
    }
}
