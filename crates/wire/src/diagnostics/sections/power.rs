//! Batteries, fans, power, throttling.

use crate::{closed, schema, text::Label};

/// Most batteries, those of mice and the like among them.
pub const MAX_BATTERIES: usize = 32;

/// Most chargers and other supplies.
pub const MAX_SUPPLIES: usize = 32;

/// Most fans, and most meters of power.
pub const MAX_SENSORS: usize = 64;

/// Most devices that cool or slow down.
pub const MAX_COOLING: usize = 128;

/// Most groups of processors with the same rules for their frequency.
pub const MAX_FREQUENCIES: usize = 64;

schema! {
    /// Batteries, fans, power, throttling.
    #[derive(Default)]
    pub struct Power {
        /// Batteries; at most [`MAX_BATTERIES`].
        nested batteries: Vec<Battery>,
        /// What the machine can be fed by; at most [`MAX_SUPPLIES`].
        nested supplies: Vec<Supply>,
        /// Fans; at most [`MAX_SENSORS`].
        nested fans: Vec<Fan>,
        /// What is drawn, by whatever measures it; at most [`MAX_SENSORS`].
        nested meters: Vec<Meter>,
        /// How often processors were slowed down for their heat; absent where it is not counted.
        nested throttling: Option<Throttling>,
        /// What cools, and what is slowed down instead; at most [`MAX_COOLING`].
        nested cooling: Vec<Cooling>,
        /// How the frequency of the processors is chosen; at most [`MAX_FREQUENCIES`].
        nested frequencies: Vec<Frequency>,
        /// Whether processors may go beyond their nominal frequency; absent if unknown.
        technical boost: Option<bool>,
        /// What the machine is set to, such as `balanced`; blank if unknown.
        technical profile: Label,
        /// Why it does not reach full power, such as `lap-detected`; blank if it does.
        technical degraded: Label,
    }

    /// A battery.
    #[derive(Default)]
    pub struct Battery {
        /// The kernel's name for it, such as `BAT0`.
        technical name: Label,
        /// Whether the machine runs on it; else it is that of a mouse or the like.
        technical runs_machine: bool,
        /// What it does.
        technical state: BatteryState,
        /// How full it is; absent if it does not say.
        technical charge_permille: Option<u16>,
        /// The kernel's word for how full it is, such as `Low`, for one that knows no better; blank if none.
        technical level: Label,
        /// Energy in it, in thousandths of a watt-hour.
        technical energy_mwh: Option<u64>,
        /// Energy in it when it is full.
        technical full_mwh: Option<u64>,
        /// Energy that it was made for.
        technical design_mwh: Option<u64>,
        /// Times that it was charged.
        technical cycles: Option<u32>,
        /// What is drawn from it or put into it, in thousandths of a watt.
        technical power_mw: Option<u64>,
        /// Voltage in thousandths of a volt.
        technical voltage_mv: Option<u64>,
        /// Temperature in tenths of a degree Celsius.
        technical deci_celsius: Option<i32>,
        /// At what charge it stops charging, in percent, if that is limited.
        technical charge_limit_percent: Option<u8>,
        /// Its chemistry, such as `Li-ion`; blank if unknown.
        technical technology: Label,
        /// Whether it says that it is worn or ill, such as `Good`; blank if it does not say.
        technical health: Label,
        /// Its maker.
        technical vendor: Label,
        /// Its model.
        technical model: Label,
        /// Its serial number.
        identifier serial: Label,
    }

    /// Something that feeds the machine.
    pub struct Supply {
        /// The kernel's name for it, such as `AC`.
        technical name: Label,
        /// Kind, such as `Mains` or `USB`.
        technical kind: Label,
        /// Whether it feeds the machine now; absent if unknown.
        technical online: Option<bool>,
    }

    /// A fan.
    pub struct Fan {
        /// Chip that drives it, and which fan.
        technical label: Label,
        /// Turns in a minute.
        technical rpm: u32,
        /// Whether the chip says that it is broken.
        technical fault: bool,
    }

    /// Something that measures power.
    pub struct Meter {
        /// What is measured, such as `package-0`.
        technical label: Label,
        /// What is drawn, in thousandths of a watt.
        technical power_mw: u64,
    }

    /// How often processors were slowed down for their heat, since the machine started.
    #[derive(Copy, Default)]
    pub struct Throttling {
        /// Times, all cores together.
        technical core_events: u64,
        /// Times that a whole processor was slowed down, at the worst one.
        technical package_events: u64,
        /// How long the worst core was slowed down, in milliseconds; absent where it is not measured.
        technical worst_core_ms: Option<u64>,
        /// How long the worst processor was slowed down.
        technical worst_package_ms: Option<u64>,
    }

    /// Something that cools, or that is slowed down to stay cool.
    pub struct Cooling {
        /// Kind, such as `Processor` or `Fan`.
        technical kind: Label,
        /// How much it cools now; 0 is not at all.
        technical level: u32,
        /// How much it could.
        technical max_level: u32,
    }

    /// Processors whose frequency is chosen by the same rules.
    #[derive(Default)]
    pub struct Frequency {
        /// How many processors.
        technical processors: u16,
        /// Driver, such as `intel_pstate`.
        technical driver: Label,
        /// Rule, such as `powersave`.
        technical governor: Label,
        /// Preference between speed and energy, such as `balance_performance`; blank where there is none.
        technical preference: Label,
        /// Lowest frequency that they are allowed.
        technical min_mhz: u32,
        /// Highest frequency that they are allowed.
        technical max_mhz: u32,
        /// Highest frequency that they are made for.
        technical hardware_max_mhz: u32,
        /// Frequency of the slowest of them now; absent if unknown.
        technical slowest_mhz: Option<u32>,
        /// Frequency of the fastest of them now.
        technical fastest_mhz: Option<u32>,
    }
}

closed! {
    /// What a battery does.
    pub enum BatteryState {
        /// It fills.
        Charging = "charging",
        /// It is used.
        Discharging = "discharging",
        /// It is not charged although it could be: it is full enough, or too hot.
        NotCharging = "not_charging",
        /// It is full.
        Full = "full",
        /// It does not say.
        Unknown = "unknown",
    }
}

impl Default for BatteryState {
    /// What is not told.
    fn default() -> Self {
        Self::Unknown
    }
}
