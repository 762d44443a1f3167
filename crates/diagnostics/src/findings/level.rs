//! Where a figure stands against the thresholds of a check.

use wire::diagnostics::findings::Severity;

/// Where something stands: how bad it is to begin with, and how bad it may stay once it was.
///
/// Netdata's `$this > (($status >= $WARNING) ? (75) : (85))` as two values: over 85 raises, over 75 keeps. What raises also keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Level {
    raised: Option<Severity>,
    kept: Option<Severity>,
}

/// Two thresholds of one severity.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Band {
    /// How bad it is beyond `raise`.
    pub(crate) severity: Severity,
    /// Beyond this it fails.
    pub(crate) raise: i64,
    /// Once it failed, it does so until it is no longer beyond this.
    pub(crate) clear: i64,
}

/// A [`Band`] in short: beyond `raise` it is a warning, until it is within `clear`.
pub(crate) const fn warning(raise: i64, clear: i64) -> Band {
    Band { severity: Severity::Warning, raise, clear }
}

/// As [`warning`], critical.
pub(crate) const fn critical(raise: i64, clear: i64) -> Band {
    Band { severity: Severity::Critical, raise, clear }
}

impl Level {
    /// Nothing wrong.
    pub(crate) const FINE: Self = Self { raised: None, kept: None };

    /// As bad as `severity`, without a band: a state and not a figure.
    pub(crate) const fn is(severity: Severity) -> Self {
        Self { raised: Some(severity), kept: Some(severity) }
    }

    /// As bad as `severity` if `wrong`.
    pub(crate) fn if_so(wrong: bool, severity: Severity) -> Self {
        if wrong { Self::is(severity) } else { Self::FINE }
    }

    /// Of a figure that is bad when it is high.
    pub(crate) fn above(value: i64, bands: &[Band]) -> Self {
        let over = |threshold: fn(&Band) -> i64| {
            bands.iter().filter(|band| value > threshold(band)).map(|band| band.severity).max()
        };
        let raised = over(|band| band.raise);
        Self { raised, kept: over(|band| band.clear.min(band.raise)).max(raised) }
    }

    /// Of a figure that is bad when it is low.
    pub(crate) fn below(value: i64, bands: &[Band]) -> Self {
        let under = |threshold: fn(&Band) -> i64| {
            bands.iter().filter(|band| value < threshold(band)).map(|band| band.severity).max()
        };
        let raised = under(|band| band.raise);
        Self { raised, kept: under(|band| band.clear.max(band.raise)).max(raised) }
    }

    /// As bad as the better of the two: both have to be bad.
    pub(crate) fn and(self, other: Self) -> Self {
        Self { raised: self.raised.min(other.raised), kept: self.kept.min(other.kept) }
    }

    /// As bad as the worse of the two: one is enough.
    pub(crate) fn or(self, other: Self) -> Self {
        Self { raised: self.raised.max(other.raised), kept: self.kept.max(other.kept) }
    }

    /// How bad it is to begin with.
    pub(crate) fn raised(self) -> Option<Severity> {
        self.raised
    }

    /// How bad it may stay.
    pub(crate) fn kept(self) -> Option<Severity> {
        self.kept
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Netdata's `10min_cpu_usage`.
    const CPU: [Band; 2] = [warning(850, 750), critical(950, 850)];

    #[test]
    fn a_figure_in_the_band_raises_nothing_and_keeps_what_was() {
        let at = |value| {
            let level = Level::above(value, &CPU);
            (level.raised(), level.kept())
        };
        assert_eq!(at(750), (None, None));
        assert_eq!(at(751), (None, Some(Severity::Warning)));
        assert_eq!(at(851), (Some(Severity::Warning), Some(Severity::Critical)));
        assert_eq!(at(951), (Some(Severity::Critical), Some(Severity::Critical)));
    }

    #[test]
    fn little_is_as_bad_as_much_the_other_way_round() {
        let level = Level::below(12, &[warning(10, 15)]);
        assert_eq!((level.raised(), level.kept()), (None, Some(Severity::Warning)));
        assert_eq!(Level::below(9, &[warning(10, 15)]), Level::is(Severity::Warning));
        assert_eq!(Level::below(15, &[warning(10, 15)]), Level::FINE);
    }

    #[test]
    fn a_full_disk_is_critical_only_if_little_is_left_as_well() {
        let share = |used| Level::above(used, &[critical(980, 900)]);
        let left = |gib| Level::below(gib, &[critical(5, 6)]);
        assert_eq!(share(990).and(left(900)), Level::FINE);
        assert_eq!(share(990).and(left(2)), Level::is(Severity::Critical));
        assert_eq!(share(950).and(left(2)).kept(), Some(Severity::Critical));
    }

    proptest! {
        #[test]
        fn more_is_never_better(a in -2000_i64..2000, b in -2000_i64..2000) {
            let (low, high) = (Level::above(a.min(b), &CPU), Level::above(a.max(b), &CPU));
            prop_assert!(low.raised() <= high.raised() && low.kept() <= high.kept());
        }

        #[test]
        fn what_raises_keeps_whatever_the_thresholds(value in any::<i64>(), raise in any::<i64>(), clear in any::<i64>()) {
            for level in [Level::above(value, &[warning(raise, clear)]), Level::below(value, &[warning(raise, clear)])] {
                prop_assert!(level.raised() <= level.kept());
                let both = level.and(Level::above(value, &CPU)).or(Level::below(value, &CPU));
                prop_assert!(both.raised() <= both.kept());
            }
        }
    }
}
