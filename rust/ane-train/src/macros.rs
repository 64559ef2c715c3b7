//! What the enumerations, options and results of this crate have in common.

/// An enumeration of the library's numbers. A number that this version does not name is kept.
macro_rules! enumeration {
    ($(#[$doc:meta])* pub enum $name:ident: $raw:ty {
        $($(#[$variant_doc:meta])* $variant:ident = $number:expr,)+
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
            /// A number that this version of the crate has no name for.
            Unknown(i32),
        }

        impl $name {
            #[allow(dead_code)] // some only go in, some only come out
            pub(crate) fn from_raw(number: $raw) -> Self {
                match number {
                    $(number if number == $number => Self::$variant,)+
                    number => Self::Unknown(number),
                }
            }

            #[allow(dead_code)]
            pub(crate) fn to_raw(self) -> $raw {
                match self {
                    $(Self::$variant => $number,)+
                    Self::Unknown(number) => number,
                }
            }
        }

        impl $crate::macros::FromRaw<$raw> for $name {
            fn from_raw(number: $raw) -> Self {
                Self::from_raw(number)
            }
        }

        impl $crate::macros::ToRaw<$raw> for $name {
            fn to_raw(&self) -> $raw {
                (*self).to_raw()
            }
        }
    };
}

/// The first constant of an enumeration of options is its default, 0.
macro_rules! default_is_first {
    ($($name:ident),+) => {
        $(impl Default for $name {
            fn default() -> Self {
                Self::from_raw(0)
            }
        })+
    };
}

/// The library's field of the same name, or of the other one.
macro_rules! raw_field {
    ($raw:ident.$field:ident) => {
        $raw.$field
    };
    ($raw:ident.$field:ident $raw_field:ident) => {
        $raw.$raw_field
    };
}

/// A struct of options: every field can be read and set, and has a setter that returns the options,
/// so that they can be chained. Fields after `text` are strings; `raw` fills the others in.
macro_rules! options {
    ($(#[$doc:meta])* pub struct $name:ident: $raw:ty {
        $($(#[$field_doc:meta])* $field:ident $(= $raw_field:ident)?: $type:ty,)*
    } $(text { $($(#[$text_doc:meta])* $text:ident,)+ })?
      $(other { $($(#[$other_doc:meta])* $other:ident: $other_type:ty,)+ })?) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default)]
        #[non_exhaustive]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
            $($($(#[$text_doc])* pub $text: Option<String>,)+)?
            $($($(#[$other_doc])* pub $other: $other_type,)+)?
        }

        impl $name {
            /// All defaults.
            #[must_use]
            pub fn new() -> Self {
                Self::default()
            }

            $($(#[$field_doc])*
            #[must_use]
            pub fn $field(mut self, $field: $type) -> Self {
                self.$field = $field;
                self
            })*

            $($($(#[$text_doc])*
            #[must_use]
            pub fn $text(mut self, $text: impl Into<String>) -> Self {
                self.$text = Some($text.into());
                self
            })+)?

            /// The plain fields; those that point somewhere are still NULL.
            pub(crate) fn raw(&self) -> $raw {
                #[allow(unused_mut)]
                let mut raw = <$raw>::default();
                $(*(&mut raw_field!(raw.$field $($raw_field)?)) = $crate::macros::ToRaw::to_raw(&self.$field);)*
                raw
            }

            /// The plain fields; the others are none.
            #[allow(dead_code, unused_variables)] // most options only go in
            pub(crate) fn from_raw(raw: &$raw) -> Self {
                #[allow(clippy::needless_update)] // not needless when there are other fields
                Self {
                    $($field: $crate::macros::FromRaw::from_raw(raw_field!(raw.$field $($raw_field)?)),)*
                    ..Self::default()
                }
            }
        }
    };
}

/// A struct of results, copied from one of the library's. Fields after `text` are strings; each says
/// which field of the library's it comes from. Fields after `parts` are structs of results that are read
/// from the same struct.
macro_rules! results {
    ($(#[$doc:meta])* pub struct $name:ident: $($raw:ty),+ {
        $($(#[$field_doc:meta])* $field:ident: $type:ty,)+
    } $(text { $($(#[$text_doc:meta])* $text:ident = $raw_text:ident,)+ })?
      $(parts { $($(#[$part_doc:meta])* $part:ident: $part_type:ty,)+ })?) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        pub struct $name {
            $($($(#[$text_doc])* pub $text: String,)+)?
            $($(#[$field_doc])* pub $field: $type,)+
            $($($(#[$part_doc])* pub $part: $part_type,)+)?
        }

        results!(@read $name, [$($raw),+], [$($($text = $raw_text),+)?], [$($field),+],
                 [$($($part),+)?]);
    };
    (@read $name:ident, [$first:ty $(, $raw:ty)*], $texts:tt, $fields:tt, $parts:tt) => {
        results!(@read_one $name, $first, $texts, $fields, $parts);
        $(results!(@read_one $name, $raw, $texts, $fields, $parts);)*
    };
    (@read_one $name:ident, $raw:ty, [$($text:ident = $raw_text:ident),*], [$($field:ident),*],
     [$($part:ident),*]) => {
        impl $crate::macros::ReadRaw<$raw> for $name {
            #[allow(unused_unsafe)]
            unsafe fn read_raw(raw: &$raw) -> Self {
                Self {
                    // SAFETY: as promised by the caller.
                    $($text: unsafe { $crate::text::owned_text(raw.$raw_text) },)*
                    $($field: $crate::macros::FromRaw::from_raw(raw.$field),)*
                    $($part: unsafe { $crate::macros::ReadRaw::read_raw(raw) },)*
                }
            }
        }
    };
}

/// Results that are copied from a struct of the library's.
pub(crate) trait ReadRaw<Raw>: Sized {
    /// # Safety
    /// `raw` is as the library filled it in, and its texts are still there.
    unsafe fn read_raw(raw: &Raw) -> Self;
}

/// A value as the library has it.
pub(crate) trait ToRaw<Raw> {
    fn to_raw(&self) -> Raw;
}

/// A value of the library's as this crate has it.
pub(crate) trait FromRaw<Raw> {
    fn from_raw(raw: Raw) -> Self;
}

impl ToRaw<i32> for bool {
    fn to_raw(&self) -> i32 {
        i32::from(*self)
    }
}

impl FromRaw<i32> for bool {
    fn from_raw(raw: i32) -> Self {
        raw != 0
    }
}

macro_rules! same {
    ($($type:ty),+) => {
        $(impl ToRaw<$type> for $type {
            fn to_raw(&self) -> $type {
                *self
            }
        }

        impl FromRaw<$type> for $type {
            fn from_raw(raw: $type) -> Self {
                raw
            }
        })+
    };
}
same!(i32, u32, i64, u64, usize, f64);
