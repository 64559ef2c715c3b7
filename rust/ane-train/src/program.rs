//! Programs in MIL, the language that the Neural Engine's compiler reads.

use std::ffi::CString;
use std::fmt;
use std::path::Path;
use std::ptr;

use ane_train_sys as sys;

use crate::buffer::Buffer;
use crate::device::Device;
use crate::error::{call, Result};
use crate::handle::Handle;
use crate::tensor::TensorDesc;
use crate::text::{
    borrowed_text, c_path, c_string, counted_text, owned_text, pointer, OptionalText,
};

enumeration! {
    /// Which ports of a function.
    pub enum Direction: sys::anet_direction {
        /// What it reads.
        Input = sys::ANET_INPUT,
        /// What it returns.
        Output = sys::ANET_OUTPUT,
    }
}

enumeration! {
    /// Which forward values the backward function is given and which it computes again.
    pub enum Taps: sys::anet_taps {
        /// Keep the expensive ones.
        Automatic = sys::ANET_TAPS_AUTOMATIC,
        /// Keep all.
        All = sys::ANET_TAPS_ALL,
        /// Recompute everything: activation checkpointing.
        None = sys::ANET_TAPS_NONE,
    }
}

default_is_first!(Taps);

options! {
    /// Options of [`Program::differentiate`].
    pub struct DifferentiateOptions: sys::anet_differentiate_options {
        /// Which forward values are kept.
        taps: Taps,
    }
    other {
        /// Inputs to differentiate by; none: every floating input.
        inputs: Vec<String>,
        /// Outputs that get a seed gradient; none: every floating output.
        outputs: Vec<String>,
    }
}

impl DifferentiateOptions {
    /// Inputs to differentiate by.
    #[must_use]
    pub fn inputs(mut self, names: &[&str]) -> Self {
        self.inputs = names.iter().map(ToString::to_string).collect();
        self
    }

    /// Outputs that get a seed gradient.
    #[must_use]
    pub fn outputs(mut self, names: &[&str]) -> Self {
        self.outputs = names.iter().map(ToString::to_string).collect();
        self
    }
}

options! {
    /// Options of [`Program::quantize`].
    pub struct ProgramQuantizeOptions: sys::anet_program_quantize_options {
        /// Share of the observed magnitudes that an activation's range holds; the rest is clipped.
        /// 0: 1, all of them.
        coverage: f64,
    }
}

/// A blob file that `BLOBFILE(path=..., offset=...)` names.
#[derive(Clone, Copy, Debug)]
pub struct BlobFile<'a> {
    /// Exactly as in the text: `@model_path/weights/weight.bin`.
    pub path: &'a str,
    /// The file's bytes.
    pub data: &'a [u8],
}

/// A named input or output of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Port {
    /// Its name in the program.
    pub name: String,
    /// Its type, shape and layout.
    pub desc: TensorDesc,
}

impl Port {
    pub(crate) fn read(
        get: impl FnOnce(*mut sys::anet_port, *mut *mut sys::anet_error) -> sys::anet_status,
    ) -> Result<Self> {
        let mut raw = sys::anet_port::default();
        raw.desc.struct_size = sys::anet_tensor_desc::default().struct_size;
        call(|error| get(&mut raw, error))?;
        // SAFETY: the name is borrowed from the program or kernel, which the caller holds.
        let name = unsafe { owned_text(raw.name) };
        Ok(Port { name, desc: TensorDesc::from_raw(&raw.desc) })
    }
}

fn c_strings(texts: &[String]) -> Result<Vec<CString>> {
    texts.iter().map(|text| c_string(text)).collect()
}

/// A verified MIL program. Clones are the same program.
#[derive(Clone)]
pub struct Program {
    handle: Handle<sys::anet_program>,
}

// SAFETY: the thread class of programs is "Immutable: any thread".
unsafe impl Send for Program {}
// SAFETY: as above.
unsafe impl Sync for Program {}

impl Program {
    /// Parses and verifies MIL text. Errors have line and column.
    pub fn parse(text: &str) -> Result<Self> {
        Self::parse_with_blobs(text, &[])
    }

    /// The same for text that names blob files.
    pub fn parse_with_blobs(text: &str, blobs: &[BlobFile<'_>]) -> Result<Self> {
        let paths = blobs.iter().map(|blob| c_string(blob.path)).collect::<Result<Vec<_>>>()?;
        let files: Vec<_> = blobs
            .iter()
            .zip(&paths)
            .map(|(blob, path)| sys::anet_blob_file {
                path: path.as_ptr(),
                data: blob.data.as_ptr().cast(),
                size_bytes: blob.data.len(),
            })
            .collect();
        Self::create(|program, error| unsafe {
            sys::anet_program_parse(
                text.as_ptr().cast(),
                text.len(),
                pointer(&files),
                files.len(),
                program,
                error,
            )
        })
    }

    /// Reads a `.mil` file; `@model_path` in it stands for the folder of the file.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = c_path(path.as_ref())?;
        Self::create(|program, error| unsafe {
            sys::anet_program_load(path.as_ptr(), program, error)
        })
    }

    fn create(
        make: impl FnOnce(*mut *mut sys::anet_program, *mut *mut sys::anet_error) -> sys::anet_status,
    ) -> Result<Self> {
        Ok(Program { handle: Handle::create(make)? })
    }

    /// The program as MIL text.
    pub fn text(&self) -> Result<&str> {
        let (mut text, mut length) = (ptr::null(), 0);
        call(|error| unsafe {
            sys::anet_program_get_text(self.as_ptr(), &mut text, &mut length, error)
        })?;
        // SAFETY: borrowed from the program, which is immutable.
        unsafe { counted_text(text, length) }
    }

    /// Names of its functions, in their order.
    #[must_use]
    pub fn functions(&self) -> Vec<&str> {
        let count = unsafe { sys::anet_program_function_count(self.as_ptr()) };
        (0..count)
            // SAFETY: borrowed from the program, which is immutable.
            .map(|index| unsafe {
                borrowed_text(sys::anet_program_function_name(self.as_ptr(), index))
            })
            .collect()
    }

    /// Ports of a function in declaration order; strides are those of contiguous tensors.
    /// `function` may be `None`: the first one.
    pub fn ports(&self, function: Option<&str>, direction: Direction) -> Result<Vec<Port>> {
        let function = OptionalText::new(function)?;
        let direction = direction.to_raw();
        let mut count = 0;
        call(|error| unsafe {
            let name = function.as_ptr();
            sys::anet_program_port_count(self.as_ptr(), name, direction, &mut count, error)
        })?;
        let port = |index| {
            Port::read(|port, error| unsafe {
                let name = function.as_ptr();
                sys::anet_program_get_port(self.as_ptr(), name, direction, index, port, error)
            })
        };
        (0..count).map(port).collect()
    }

    /// The vector-Jacobian product of a function: a program of two functions. `<function>` returns,
    /// after its own outputs, the taps. `<function>_backward` takes the forward inputs it reads, the
    /// taps, then one seed `d_<output>` for each seeded output; it returns `d_<input>` for each
    /// chosen input. `function` may be `None`: the first one.
    pub fn differentiate(
        &self,
        function: Option<&str>,
        options: &DifferentiateOptions,
    ) -> Result<Program> {
        let function = OptionalText::new(function)?;
        let inputs = c_strings(&options.inputs)?;
        let outputs = c_strings(&options.outputs)?;
        let input_names: Vec<_> = inputs.iter().map(|name| name.as_ptr()).collect();
        let output_names: Vec<_> = outputs.iter().map(|name| name.as_ptr()).collect();
        let mut raw = options.raw();
        raw.inputs = pointer(&input_names);
        raw.input_count = input_names.len();
        raw.outputs = pointer(&output_names);
        raw.output_count = output_names.len();
        Self::create(|program, error| unsafe {
            sys::anet_program_differentiate(self.as_ptr(), function.as_ptr(), &raw, program, error)
        })
    }

    /// A program whose products run on 8-bit activations and weights. `samples` are sets of inputs in
    /// port order, one after another, on which `device` runs the function to see how large its
    /// activations are. `function` may be `None`: the first one.
    pub fn quantize(
        &self,
        device: &Device,
        function: Option<&str>,
        samples: &[&Buffer],
        options: &ProgramQuantizeOptions,
    ) -> Result<Program> {
        let function = OptionalText::new(function)?;
        let samples: Vec<_> = samples.iter().map(|buffer| buffer.as_ptr()).collect();
        let raw = options.raw();
        Self::create(|program, error| unsafe {
            sys::anet_program_quantize(
                device.as_ptr(),
                self.as_ptr(),
                function.as_ptr(),
                pointer(&samples),
                samples.len(),
                &raw,
                program,
                error,
            )
        })
    }

    pub(crate) fn as_ptr(&self) -> *mut sys::anet_program {
        self.handle.as_ptr()
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Program").field("functions", &self.functions()).finish()
    }
}
