//! What runs did, and where.

use ane_train_sys as sys;

results! {
    /// What runs did, and where: counted, not estimated. Durations are in seconds.
    pub struct Work: sys::anet_step_result, sys::anet_kernel_statistics, sys::anet_kernel_report {
        /// Programs evaluated by the engine.
        engine_evaluations: u64,
        /// Waiting for the engine.
        engine_seconds: f64,
        /// Computing on the CPU, in the background too.
        host_seconds: f64,
        /// Moving and converting between buffers and engine ports.
        copy_seconds: f64,
        /// Of matmul and conv; a multiply-add counts two.
        engine_flops: u64,
        /// The same on the CPU.
        host_flops: u64,
        /// Read by the engine through its ports.
        engine_bytes_in: u64,
        /// Written by the engine.
        engine_bytes_out: u64,
        /// Evaluations repeated after a failure.
        retries: u64,
        /// Parts of runs that the CPU did because the engine failed.
        fallbacks: u64,
        /// Engine results compared with the CPU's.
        audits: u64,
        /// The largest difference seen, relative to the tensor's largest value; else 0.
        audit_error: f64,
    }
}
