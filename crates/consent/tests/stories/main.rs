//! What a person's answers allow, told as stories, and checked against a naive model.

mod absence;
mod answering;
mod asking;
mod fatigue;
mod grants;
mod inspections;
mod layers;
mod model;
mod scene;
mod unverified;
