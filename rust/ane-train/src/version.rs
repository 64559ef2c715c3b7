//! Which library is loaded.

use ane_train_sys as sys;

use crate::text::borrowed_text;

/// The version of the library that is loaded: "0.1.0".
#[must_use]
pub fn version() -> &'static str {
    // SAFETY: borrowed for ever.
    unsafe { borrowed_text(sys::anet_version_string()) }
}

/// The same as a number: 10000 * major + 100 * minor + patch.
#[must_use]
pub fn version_number() -> u32 {
    // SAFETY: any thread, no arguments.
    unsafe { sys::anet_version_number() }
}

/// One line: version, compiler, devices built in.
#[must_use]
pub fn build_info() -> &'static str {
    // SAFETY: borrowed for ever.
    unsafe { borrowed_text(sys::anet_build_info()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_is_of_the_version_that_the_bindings_were_made_from() {
        assert_eq!(version_number(), sys::ANET_VERSION_NUMBER as u32);
        let (major, minor) = (sys::ANET_VERSION_MAJOR, sys::ANET_VERSION_MINOR);
        assert_eq!(version(), format!("{major}.{minor}.{}", sys::ANET_VERSION_PATCH));
        assert!(build_info().contains(version()));
    }
}
