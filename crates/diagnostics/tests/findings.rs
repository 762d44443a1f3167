//! Stories of machines, replayed at a clock of their own: what is found, and what is not.
//!
//! A story is a file in `fixtures/findings`. It begins with the machine of `desktop.json` and changes it from one stretch of time to the
//! next: see `findings/replay.rs`. `cargo run -p diagnostics --example record_facts` makes one of the machine that it runs on.

#[path = "findings/replay.rs"]
mod replay;

use std::{collections::BTreeSet, fs};

use replay::{FOLDER, Story};
use wire::diagnostics::findings::{Check, Severity};

/// What is a warning at worst, or only a hint: the damage shows elsewhere, or there is none yet.
const NEVER_CRITICAL: [Check; 6] = [
    Check::InterfaceErrors,
    Check::Interception,
    Check::FailedUnit,
    Check::SecurityUpdates,
    Check::ThermalThrottling,
    Check::LevelShift,
];

macro_rules! stories {
    ($($name:ident,)*) => {
        const STORIES: &[&str] = &[$(stringify!($name)),*];

        $(#[test]
        fn $name() {
            Story::named(stringify!($name)).replay();
        })*

        #[test]
        fn every_story_is_told() {
            let told = ["desktop"].iter().chain(STORIES).map(|name| format!("{name}.json")).collect::<BTreeSet<_>>();
            let files = fs::read_dir(FOLDER).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
            assert_eq!(files.collect::<BTreeSet<_>>(), told);
        }
    };
}

#[test]
fn every_check_fails_in_a_story_and_as_badly_as_it_can() {
    let failed = STORIES.iter().flat_map(|name| Story::named(name).failures()).collect::<BTreeSet<_>>();
    let worst =
        |check: Check| failed.iter().filter(|(failed, _)| *failed == check).map(|(_, severity)| *severity).max();
    let never = Check::ALL.iter().filter(|check| worst(**check).is_none()).collect::<Vec<_>>();
    assert!(never.is_empty(), "these fail in no story: {never:?}");
    let mild = Check::ALL.iter().copied().filter(|check| worst(*check) != Some(Severity::Critical));
    assert_eq!(mild.collect::<Vec<_>>(), NEVER_CRITICAL, "these are critical in no story");
}

stories! {
    healthy_desktop_has_no_failure,
    container_without_sensors_says_unknown_not_pass,
    a_full_disk,
    a_disk_that_fills_up,
    a_dying_nvme,
    an_old_disk_with_pending_sectors,
    a_mirror_that_lost_a_member,
    swap_storm,
    noisy_neighbour_steal,
    a_program_at_full_speed_that_comes_to_rest,
    a_root_that_turned_read_only,
    a_root_that_found_errors,
    a_service_that_restarts_over_and_over,
    a_service_that_was_killed_long_ago,
    a_lossy_link,
    somebody_answers_in_the_relays_name,
    at_the_edge_of_the_wireless,
    a_wrong_clock,
    neglected_updates_and_certificates,
    tables_that_fill_up,
    a_turning_disk_behind_a_backup,
    a_virtual_disk_with_a_long_queue,
    a_program_that_starts_itself_over_and_over,
    a_proxy_that_closes_nothing,
    a_home_that_does_not_answer,
    a_port_that_loses_a_fifth,
    name_servers_that_fall_silent,
    a_manager_that_reaches_what_the_relays_name_does_not,
    a_program_that_crashes_again_and_again,
    an_exporter_that_leaks,
    a_memory_module_that_breaks,
    a_server_that_runs_out_of_memory_as_it_starts,
    a_service_that_nobody_looked_at_was_killed,
    a_service_that_ran_into_its_own_limit,
    a_recorded_virtual_machine,
}
