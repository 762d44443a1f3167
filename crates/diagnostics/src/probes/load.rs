//! What round trips under load mean for a person. They are measured where the load is made, which is not here.

use std::time::Duration;

use wire::diagnostics::sections::probes::{Grade, LoadFound, LoadWay};

use super::echo::permille;

/// Fewest round trips of each kind that say anything.
const FEWEST: usize = 5;

/// Round trips, in microseconds, and what was sent meanwhile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Load {
    /// Without load.
    pub idle_us: Vec<u32>,
    /// With load.
    pub loaded_us: Vec<u32>,
    /// By which way both went.
    pub way: LoadWay,
    /// Bytes of the load.
    pub bytes: u64,
    /// How long they were sent.
    pub sent: Duration,
}

/// Sums up what was measured; `None` of too few round trips.
///
/// Round trips per minute are those of the IETF's draft on responsiveness under working conditions (`draft-ietf-ippm-responsiveness`);
/// grades are by how much the middle round trip grows.
pub fn grade(load: &Load) -> Option<LoadFound> {
    let Load { idle_us, loaded_us, way, bytes, sent } = load;
    if idle_us.len().min(loaded_us.len()) < FEWEST {
        return None;
    }
    let middle = |trips: &[u32]| {
        let mut sorted = trips.to_vec();
        sorted.sort_unstable();
        permille(&sorted, 500)
    };
    let (idle_us, loaded) = (middle(idle_us), middle(loaded_us));
    let sum = loaded_us.iter().map(|trip| u64::from(*trip)).sum::<u64>();
    let mean = sum / u64::try_from(loaded_us.len()).unwrap_or(u64::MAX);
    let grade = match loaded.saturating_sub(idle_us) / 1000 {
        0..30 => Grade::A,
        30..60 => Grade::B,
        60..200 => Grade::C,
        200..400 => Grade::D,
        400.. => Grade::F,
    };
    let per_minute = u32::try_from(60_000_000 / mean.max(1)).unwrap_or(u32::MAX);
    let sent_ms = u32::try_from(sent.as_millis()).unwrap_or(u32::MAX);
    Some(LoadFound { idle_us, loaded_us: loaded, per_minute, grade, way: *way, bytes: *bytes, sent_ms })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grade(idle_us: &[u32], loaded_us: &[u32]) -> Option<LoadFound> {
        let (idle_us, loaded_us) = (idle_us.to_vec(), loaded_us.to_vec());
        super::grade(&Load { idle_us, loaded_us, way: LoadWay::Relay, bytes: 1, sent: Duration::from_secs(1) })
    }

    #[test]
    fn a_line_that_fills_its_buffers_gets_a_bad_grade() {
        let idle = [20_000; 5];
        let grades =
            [25_000, 50_000, 80_000, 219_999, 220_000, 420_000].map(|us| grade(&idle, &[us; 5]).unwrap().grade);
        assert_eq!(grades, [Grade::A, Grade::B, Grade::C, Grade::C, Grade::D, Grade::F]);
        let found = grade(&idle, &[100_000; 6]).unwrap();
        assert_eq!((found.per_minute, found.idle_us, found.loaded_us), (600, 20_000, 100_000));
    }

    #[test]
    fn too_few_round_trips_say_nothing_and_impossible_ones_break_nothing() {
        assert_eq!(grade(&[1; 4], &[1; 100]), None);
        assert_eq!(grade(&[u32::MAX; 5], &[0; 5]).unwrap().grade, Grade::A);
        assert_eq!(grade(&[0; 5], &[u32::MAX; 5]).unwrap().grade, Grade::F);
    }
}
