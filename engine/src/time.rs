use core::time::Duration;

/// A point in time as the driver tells it: milliseconds since an epoch of the driver's choice.
///
/// The engine has no clock. Every call that depends on time takes an `Instant`, and they must not go
/// backwards within one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The driver's epoch.
    pub const ZERO: Self = Self(0);

    /// `millis` milliseconds after the driver's epoch.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the driver's epoch.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Time since `earlier`; zero if `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// This instant plus `duration`, rounded down to milliseconds.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(millis))
    }

    /// This instant plus `span`.
    #[must_use]
    pub(crate) const fn plus(self, span: Millis) -> Self {
        Self(self.0.saturating_add(span.0 as u64))
    }

    /// An instant that does not come. As a word for "none" it is less code than an `Option`, where the earliest of some is looked
    /// for.
    pub(crate) const NEVER: Self = Self(u64::MAX);

    /// The same, but for [`NEVER`](Self::NEVER).
    pub(crate) fn if_ever(self) -> Option<Self> {
        (self != Self::NEVER).then_some(self)
    }

    /// This instant plus `span`, where a span of zero means that there is none.
    #[must_use]
    pub(crate) const fn plus_unless_zero(self, span: Millis) -> Self {
        if span.is_zero() { Self::NEVER } else { self.plus(span) }
    }

    /// Time since `earlier`; zero if `earlier` is later.
    pub(crate) fn span_since(self, earlier: Self) -> Millis {
        Millis(u32::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(u32::MAX))
    }
}

/// A time that a session keeps, in a quarter of the memory of a [`Duration`], and added without a multiplication of 128
/// bits: whole milliseconds, at most 49 days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Millis(u32);

impl Millis {
    /// `duration`, rounded down; what is longer than 49 days is cut.
    pub(crate) const fn of(duration: Duration) -> Self {
        let seconds = duration.as_secs();
        if seconds >= (u32::MAX / 1000) as u64 {
            return Self(u32::MAX);
        }
        Self(seconds as u32 * 1000 + duration.subsec_millis())
    }

    pub(crate) const fn is_zero(self) -> bool {
        self.0 == 0
    }

    pub(crate) const fn duration(self) -> Duration {
        Duration::from_millis(self.0 as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_has_whole_milliseconds_and_no_more_than_49_days_of_them() {
        for (duration, millis) in [
            (Duration::ZERO, 0),
            (Duration::from_micros(999), 0),
            (Duration::from_micros(1_500_999), 1500),
            (Duration::from_millis(4_294_966_999), 4_294_966_999),
            (Duration::from_secs(4_294_967), u32::MAX),
            (Duration::MAX, u32::MAX),
        ] {
            assert_eq!(Millis::of(duration), Millis(millis), "{duration:?}");
        }
    }
}
