//! What an error says, written once: for people as `Display`, for a device's log as `defmt::Format`.
//!
//! A device must be able to say what was found and expected, but the code that turns numbers into text is larger
//! than what it would print. With the feature `defmt` a device sends the message's number and its values; the text
//! stays in the ELF on the host, where it is put together.

/// Implements `Display`, and `defmt::Format` with the caller's feature `defmt`, for a `Copy` error: for each pattern
/// the text and what goes into it, as for [`write!`]. Placeholders that both know are `{}`, `{:?}` and `{:08x}`.
#[doc(hidden)]
#[macro_export]
macro_rules! messages {
    ($error:ty { $($(#[$attribute:meta])* $pattern:pat => ($text:literal $(, $value:expr)* $(,)?)),+ $(,)? }) => {
        impl core::fmt::Display for $error {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                match *self {
                    $($(#[$attribute])* $pattern => write!(f, $text $(, $value)*),)+
                }
            }
        }

        #[cfg(feature = "defmt")]
        impl defmt::Format for $error {
            fn format(&self, f: defmt::Formatter<'_>) {
                match *self {
                    $($(#[$attribute])* $pattern => defmt::write!(f, $text $(, $value)*),)+
                }
            }
        }
    };
}
