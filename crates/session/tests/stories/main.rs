//! Both ends of a session, told as stories.

mod asked_inspections;
mod desk;
mod diagnostics;
mod direct;
mod ending;
mod first_question;
mod hostile_technician;
mod inspections;
mod runs;
#[path = "../../../consent/tests/stories/scene.rs"]
#[expect(dead_code, reason = "the consent core's stories need more of it than these")]
mod scene;
mod technician;
