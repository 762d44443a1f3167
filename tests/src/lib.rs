//! Stories from one end to the other: the real relay, the real agent with a person at a real terminal or page, the real technician's program.
//!
//! One file a kind of story. Nobody is mocked: questions are answered by typing the word that stands on the screen, or on the page.

#![cfg(test)]

mod apart;
mod asleep;
mod browser;
mod codes;
mod corpus;
mod diag;
mod direct;
mod doctor;
mod faults;
mod full_disk;
mod hostile_agent;
mod hostile_relay;
mod hostile_technician;
mod inspections;
mod lab;
mod logs;
mod netcheck;
mod probes;
mod runs;
mod session;
mod sleeping;
mod tcp;
mod waiting;
mod world;
