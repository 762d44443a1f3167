//! What each section of a report has. Lists are bounded by their collectors; what is left out is counted in the section's sources.

pub mod certificates;
pub mod changes;
pub mod clock;
pub mod crashes;
pub mod displays;
pub mod errors;
pub mod groups;
pub mod hardware;
pub mod ladder;
pub mod logs;
pub mod network;
pub mod power;
pub mod printers;
pub mod probes;
pub mod process;
pub mod processes;
pub mod security;
pub mod services;
pub mod storage;
pub mod system;
pub mod updates;
pub mod users;
