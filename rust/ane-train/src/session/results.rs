//! What a session tells.

use std::ops::Deref;

use ane_train_sys as sys;

use crate::work::Work;

results! {
    /// Bytes by purpose.
    pub struct MemoryPlan: sys::anet_memory_plan {
        /// fp32 master weights.
        weights: u64,
        /// fp32.
        gradients: u64,
        /// Moments.
        optimizer: u64,
        /// Weights as the device's programs want them, when not in place.
        staged: u64,
        /// Kept from the forward to the backward pass.
        activations: u64,
        /// Scratch of the kernels and buffers between them.
        workspace: u64,
        /// All of it.
        total: u64,
    }
}

results! {
    /// What a step did. Durations are in seconds.
    pub struct StepSummary: sys::anet_step_summary, sys::anet_step_result {
        /// Gradients overflowed in F16, the update was skipped.
        skipped: bool,
        /// Optimizer steps done, this one included.
        step: i64,
        /// Mean over the counted tokens, in nats.
        loss: f64,
        /// Counted tokens.
        tokens: u64,
        /// Of the mean gradient, before clipping; 0 without an update.
        grad_norm: f64,
        /// Of this update.
        learning_rate: f64,
        /// Of this update; 1 in F32.
        loss_scale: f64,
        /// All of the step.
        seconds: f64,
        /// Forward pass.
        forward_seconds: f64,
        /// Backward pass.
        backward_seconds: f64,
        /// Head and cross-entropy, both directions.
        loss_seconds: f64,
        /// Norm, clip, update.
        optimizer_seconds: f64,
        /// Batch in, waiting for weights in the session's precision.
        staging_seconds: f64,
        /// Bytes that were staged.
        bytes_staged: u64,
    }
}

results! {
    /// All that a step did; dereferences to its summary.
    pub struct StepResult: sys::anet_step_result {
        /// Counted tokens of all updates, those before a resume included.
        tokens_seen: u64,
    }
    parts {
        /// Step, loss, time by phase.
        summary: StepSummary,
        /// Where the work ran.
        work: Work,
    }
}

impl Deref for StepResult {
    type Target = StepSummary;

    fn deref(&self) -> &StepSummary {
        &self.summary
    }
}

results! {
    /// A loss that was measured.
    pub struct EvalResult: sys::anet_eval_result {
        /// Mean over the counted tokens, in nats; exp(loss) is the perplexity.
        loss: f64,
        /// Counted tokens.
        tokens: u64,
        /// How long it took.
        seconds: f64,
    }
}

results! {
    /// What one document costs.
    pub struct DocumentLoss: sys::anet_document_loss {
        /// Of the dataset's order without shuffling.
        row: u64,
        /// In the row, from 0 on.
        document: u32,
        /// Its first column in the row.
        begin: u32,
        /// Nats.
        loss_sum: f64,
        /// Counted tokens.
        tokens: u64,
    }
}

results! {
    /// One of a session's compiled programs, and what it has done since the session began.
    pub struct KernelReport: sys::anet_kernel_report {
        /// Runs so far.
        runs: u64,
    }
    text {
        /// "block_forward".
        label = label,
        /// "cpu", "ane" or "ane+cpu".
        location = r#where,
        /// Why the CPU has its part, else "".
        reason = reason,
    }
    parts {
        /// What it did, and where.
        work: Work,
    }
}
