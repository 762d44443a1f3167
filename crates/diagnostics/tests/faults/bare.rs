//! A machine that has little: no sensors, no message bus, no service manager.

use diagnostics::{Sources, Survey};
use wire::{
    diagnostics::report::{Coverage, Outcome, SectionId},
    time::WallTime,
};

use crate::{
    SECTION_LIMIT, Watched,
    isolated::{isolated, mount},
};

#[test]
fn a_machine_without_sensors_bus_and_service_manager_says_of_each_section_what_is_missing() {
    isolated(|| {
        mount(&["-t", "tmpfs", "-o", "ro", "nothing", "/sys"]);
        mount(&["-t", "tmpfs", "-o", "ro", "nothing", "/run"]);
        let mut watched = Watched::begin();
        let sample = watched.after(1000);
        assert!(sample.temperatures.is_empty() && sample.fans.is_empty() && sample.power.is_empty());
        assert!(!sample.processes.is_empty() && sample.memory.total_kib > 0, "what there is is measured");

        // The ladder asks the network, which is another story.
        let asked = SectionId::ALL.iter().copied().filter(|section| *section != SectionId::Ladder).collect::<Vec<_>>();
        let reports = Survey::new(Sources::default()).read(&asked, SECTION_LIMIT, WallTime(0));
        assert_eq!(reports.len(), asked.len());
        for report in reports {
            let section = report.section;
            assert_eq!(report.content.is_none(), report.outcome == Outcome::Unavailable, "{report:?}");
            assert_ne!(report.outcome, Outcome::TimedOut, "{section:?}");
            let incomplete = report.sources.iter().filter(|source| source.coverage != Coverage::Read);
            assert!(incomplete.clone().all(|source| !source.reason.is_blank()), "{report:?}");
            assert!(report.outcome == Outcome::Complete || incomplete.count() > 0, "{report:?}");
        }
    });
}
