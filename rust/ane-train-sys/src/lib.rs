//! The C ABI of `libane_train`: one name for each name of `ane_train.h` and `ane_train_apple.h`, which
//! are the reference. The crate `ane-train` is the way to use it from Rust.
#![allow(non_camel_case_types)]

/// For structs that begin with `struct_size`: zeros, which are the defaults, and the size.
macro_rules! sized {
    ($name:ident) => {
        impl Default for $name {
            fn default() -> Self {
                // SAFETY: all fields are numbers, pointers, optional functions or such structs, for
                // which zeros are values.
                let mut value: Self = unsafe { std::mem::zeroed() };
                value.struct_size = std::mem::size_of::<Self>() as u32;
                value
            }
        }
    };
}

mod bindings;

pub use bindings::*;
