//! What happens, said by `log` or `defmt`, or by nobody: the macros take what both understand.

macro_rules! debug {
    ($($argument:expr),+ $(,)?) => {{
        #[cfg(feature = "log")]
        ::log::debug!($($argument),+);
        #[cfg(feature = "defmt")]
        ::defmt::debug!($($argument),+);
        #[cfg(not(any(feature = "log", feature = "defmt")))]
        let _ = ($(&$argument),+);
    }};
}

macro_rules! info {
    ($($argument:expr),+ $(,)?) => {{
        #[cfg(feature = "log")]
        ::log::info!($($argument),+);
        #[cfg(feature = "defmt")]
        ::defmt::info!($($argument),+);
        #[cfg(not(any(feature = "log", feature = "defmt")))]
        let _ = ($(&$argument),+);
    }};
}
