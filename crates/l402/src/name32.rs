//! What public names of 32 bytes have in common.

/// Implements a public name of 32 bytes: its bytes, and 64 hexadecimal digits as its text.
macro_rules! name_of_32_bytes {
    ($name:ident, $what:literal) => {
        impl $name {
            #[doc = concat!("Wraps the 32 bytes of ", $what, ".")]
            #[must_use]
            pub const fn new(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// Returns the 32 bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        /// Writes 64 lower-case hexadecimal digits.
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&crate::encoding::to_hex(&self.0))
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl std::str::FromStr for $name {
            type Err = crate::encoding::HexError;

            /// Reads exactly 64 hexadecimal digits of either case.
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                crate::encoding::hex_32(text.as_bytes()).map(Self)
            }
        }
    };
}

pub(crate) use name_of_32_bytes;
