//! What of a sample somebody looks at, and how fast the machine keeps up with it.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::schema::Technical;
use crate::{closed, schema};

closed! {
    /// A part of a sample that is collected and sent only while somebody looks at it.
    pub enum Panel {
        /// Totals of the machine, memory and pressure: always there.
        Overview = "overview",
        /// Each logical processor.
        Cores = "cores",
        /// Block devices.
        Disks = "disks",
        /// Mounted file systems.
        Filesystems = "filesystems",
        /// Network interfaces.
        Networks = "networks",
        /// Temperatures, fans and power.
        Temperatures = "temperatures",
        /// Processes.
        Processes = "processes",
    }

    /// What the processes that are listed have most of.
    #[derive(Default)]
    pub enum ProcessOrder {
        /// Processor time, then memory.
        #[default]
        Cpu = "cpu",
        /// Resident memory.
        Memory = "memory",
        /// Bytes read from and written to disks.
        Io = "io",
    }

    /// Why samples come at the pace that they do.
    #[derive(Default)]
    pub enum PaceReason {
        /// As often as they were asked for.
        #[default]
        AsAsked = "as_asked",
        /// There are many processes: all of them are looked at less often, those that are listed as often as asked.
        ManyProcesses = "many_processes",
        /// More wants to run than there are processors: all processes are looked at less often.
        Load = "load",
        /// Programs wait for processors: everything is measured less often.
        CpuPressure = "cpu_pressure",
        /// The agent itself takes too much processor time: everything is measured less often.
        OwnCpu = "own_cpu",
    }
}

/// A set of panels. The overview is in every set.
///
/// On the wire a byte with one bit for each [`Panel`], the first the least significant. A byte with any other bit, or
/// without the overview, is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Panels(u8);

impl Panels {
    /// The overview alone.
    pub const OVERVIEW: Self = Self(1);

    /// Every panel.
    pub const ALL: Self = Self((1 << Panel::ALL.len()) - 1);

    /// This set and `panel`.
    #[must_use]
    pub const fn with(self, panel: Panel) -> Self {
        Self(self.0 | 1 << panel as u8)
    }

    /// This set without `panel`; the overview stays.
    #[must_use]
    pub const fn without(self, panel: Panel) -> Self {
        Self(self.0 & !(1 << panel as u8) | Self::OVERVIEW.0)
    }

    /// Whether `panel` is in it.
    pub const fn contains(self, panel: Panel) -> bool {
        self.0 >> panel as u8 & 1 == 1
    }

    /// What is in this set, in `other`, or in both.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether everything of `other` is in it.
    pub const fn covers(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Its panels, in the order of the list.
    pub fn iter(self) -> impl Iterator<Item = Panel> {
        Panel::ALL.iter().copied().filter(move |panel| self.contains(*panel))
    }

    /// The set as it is on the wire.
    pub(super) const fn bits(self) -> u8 {
        self.0
    }

    /// `None` for a byte that is no set.
    pub(super) const fn from_bits(bits: u8) -> Option<Self> {
        if bits & !Self::ALL.0 != 0 || bits & Self::OVERVIEW.0 == 0 {
            return None;
        }
        Some(Self(bits))
    }
}

/// Everything.
impl Default for Panels {
    fn default() -> Self {
        Self::ALL
    }
}

impl FromIterator<Panel> for Panels {
    fn from_iter<I: IntoIterator<Item = Panel>>(panels: I) -> Self {
        panels.into_iter().fold(Self::OVERVIEW, Self::with)
    }
}

impl Technical for Panels {}

impl Serialize for Panels {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(self.0)
    }
}

impl<'de> Deserialize<'de> for Panels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_bits(u8::deserialize(deserializer)?).ok_or_else(|| D::Error::custom("a panel that there is not"))
    }
}

schema! {
    /// What somebody looks at.
    #[derive(Copy, Default)]
    pub struct View {
        /// Which tables.
        technical panels: Panels,
        /// Which processes come first.
        technical processes_by: ProcessOrder,
    }

    /// How often the machine is measured, and why not more often.
    #[derive(Copy, Default)]
    pub struct Pace {
        /// Milliseconds from one sample to the next.
        technical sample_ms: u32,
        /// Milliseconds from one look at all processes to the next; at least the ones above.
        technical processes_ms: u32,
        /// Why.
        technical reason: PaceReason,
    }
}

impl From<Panels> for View {
    fn from(panels: Panels) -> Self {
        Self { panels, ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{self, Message};

    impl Message for Panels {
        const MAX_BYTES: usize = 1;
    }

    #[test]
    fn every_set_has_the_overview() {
        let chosen = [Panel::Disks, Panel::Cores].into_iter().collect::<Panels>();
        assert_eq!(chosen.iter().collect::<Vec<_>>(), [Panel::Overview, Panel::Cores, Panel::Disks]);
        assert_eq!(Panels::OVERVIEW.without(Panel::Overview), Panels::OVERVIEW);
        assert_eq!(chosen.without(Panel::Disks).without(Panel::Cores), Panels::OVERVIEW);
        assert_eq!(Panel::ALL.iter().copied().collect::<Panels>(), Panels::ALL);
        let disks = Panels::OVERVIEW.with(Panel::Disks);
        assert_eq!(Panels::OVERVIEW.with(Panel::Cores).or(disks), chosen);
        assert!(chosen.covers(disks) && chosen.covers(chosen) && !disks.covers(chosen));
    }

    #[test]
    fn a_byte_with_a_bit_that_means_nothing_or_without_the_overview_is_refused() {
        for byte in 0..=u8::MAX {
            match codec::decode::<Panels>(&[byte]) {
                Ok(panels) => assert_eq!(codec::encode(&panels).unwrap(), [byte]),
                Err(_) => assert!(byte & 1 == 0 || byte >= 1 << Panel::ALL.len(), "{byte}"),
            }
        }
    }
}
