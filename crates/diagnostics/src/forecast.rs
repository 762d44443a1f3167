//! What will happen if things go on as they do: trends, shifts, and how sure one can be of them.
//!
//! Nothing here reads a clock or a file, and no input makes it panic. Predictors answer with a range, or with why there is none.

pub mod backtest;
mod cluster;
mod level;
mod past;
mod predict;
mod season;
mod trend;

pub use cluster::{MAX_MODELS, Model, Vote};
pub use level::{Cusum, Ewma, LevelShift, Shift, Side, Spikes};
pub use predict::{Foreseen, Growth, NoForecast, battery_health, disk_full, disk_wear, memory_leak};
pub use season::{Seasonal, Usual};
pub use trend::{MAX_POINTS, Point, Spread, Trend, lows, thinned};

#[cfg(test)]
mod tests;
