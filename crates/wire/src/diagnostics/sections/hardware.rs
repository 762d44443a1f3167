//! Firmware, processors, memory modules, PCI and USB devices.

use crate::{
    closed, schema,
    text::{Label, Sentence},
};

/// Most known weaknesses of the processor that are listed.
pub const MAX_WEAKNESSES: usize = 64;

/// Most slots for memory that are listed: two processors with 16 channels of two slots.
pub const MAX_SLOTS: usize = 64;

/// Most memory modules with counters of errors.
pub const MAX_MODULES: usize = 64;

/// Most PCI devices that are listed.
pub const MAX_PCI: usize = 256;

/// Most USB devices that are listed: as many as one bus has addresses.
pub const MAX_USB: usize = 127;

/// Most devices with firmware that are listed.
pub const MAX_FIRMWARE: usize = 64;

schema! {
    /// Firmware, processors, memory modules, PCI and USB devices.
    #[derive(Default)]
    pub struct Hardware {
        /// The machine and its board; absent where the firmware does not tell.
        nested board: Option<Board>,
        /// The processors.
        nested processor: Processor,
        /// Known weaknesses of the processor, and what is done about them; at most [`MAX_WEAKNESSES`].
        nested weaknesses: Vec<Weakness>,
        /// Slots for memory; at most [`MAX_SLOTS`].
        nested slots: Vec<MemorySlot>,
        /// How memory is protected against errors, such as `single-bit ECC` or `none`; blank if unknown.
        technical memory_protection: Label,
        /// Memory with counters of errors; at most [`MAX_MODULES`].
        nested memory_errors: Vec<MemoryErrors>,
        /// Memory that the kernel does not use any more because it is defective, in KiB.
        technical corrupted_kib: Option<u64>,
        /// PCI devices; at most [`MAX_PCI`].
        nested pci: Vec<PciDevice>,
        /// USB devices; at most [`MAX_USB`].
        nested usb: Vec<UsbDevice>,
        /// Devices with firmware that can be managed; at most [`MAX_FIRMWARE`].
        nested firmware: Vec<Firmware>,
    }

    /// What the firmware tells of the machine. Blank where it was never filled in.
    #[derive(Default)]
    pub struct Board {
        /// Maker of the machine.
        technical vendor: Label,
        /// Its model.
        technical product: Label,
        /// Version of the model; some makers put its name in shops here.
        technical version: Label,
        /// Serial number of the machine.
        identifier serial: Label,
        /// UUID of the machine.
        identifier uuid: Label,
        /// Maker of the board.
        technical board_vendor: Label,
        /// Model of the board.
        technical board: Label,
        /// Serial number of the board.
        identifier board_serial: Label,
        /// Kind of case, such as `Laptop`.
        technical chassis: Label,
        /// Serial number of the case.
        identifier chassis_serial: Label,
        /// Number that the owner put on it.
        identifier asset_tag: Label,
        /// Maker of the firmware.
        technical firmware_vendor: Label,
        /// Version of the firmware.
        technical firmware_version: Label,
        /// Day of the firmware, as its maker writes it.
        technical firmware_date: Label,
    }

    /// The processors.
    #[derive(Default)]
    pub struct Processor {
        /// Model.
        technical model: Label,
        /// Sockets in use; 0 if unknown.
        technical sockets: u16,
        /// Cores in all; 0 if unknown.
        technical cores: u16,
        /// Threads in all.
        technical threads: u16,
        /// Processors that are switched off, such as `2-3`; blank if none is.
        technical offline: Label,
        /// Revision of the microcode; blank if unknown.
        technical microcode: Label,
        /// Those of its features that decide what can run on it.
        technical features: Vec<Label>,
    }

    /// A known weakness of the processor.
    pub struct Weakness {
        /// The kernel's name for it, such as `spectre_v2`.
        technical name: Label,
        /// Whether it is open.
        technical state: WeaknessState,
        /// The kernel's words.
        technical detail: Sentence,
    }

    /// A slot for memory.
    #[derive(Default)]
    pub struct MemorySlot {
        /// Where it is, as printed on the board.
        technical locator: Label,
        /// Size of the module in it, in MiB; 0 if it is empty, absent if unknown.
        technical size_mib: Option<u64>,
        /// Kind, such as `DDR4`; blank if unknown.
        technical kind: Label,
        /// Form, such as `SODIMM`; blank if unknown.
        technical form: Label,
        /// What the module can do, in millions of transfers a second; 0 if unknown.
        technical speed_mt_s: u32,
        /// What it does.
        technical configured_mt_s: u32,
        /// Maker of the module.
        technical vendor: Label,
        /// Its model.
        technical part: Label,
        /// Its serial number.
        identifier serial: Label,
    }

    /// Counters of errors of memory, since they were last set back.
    pub struct MemoryErrors {
        /// Which, as labelled by the driver, such as `CPU_SrcID#0_MC#0_Chan#0_DIMM#0`. Errors that belong to no module stand under the
        /// name of the controller.
        technical label: Label,
        /// Errors that were corrected.
        technical corrected: u64,
        /// Errors that were not.
        technical uncorrected: u64,
    }

    /// A PCI device.
    #[derive(Default)]
    pub struct PciDevice {
        /// Where it is, such as `0000:00:02.0`.
        technical address: Label,
        /// What it is, such as `display controller`.
        technical class: Label,
        /// Class, subclass and interface, as in the PCI code and ID assignment specification.
        technical class_code: u32,
        /// Number of its maker.
        technical vendor_id: u16,
        /// Its maker's number for the model.
        technical device_id: u16,
        /// Who built it in.
        technical subsystem_vendor_id: u16,
        /// Their number for it.
        technical subsystem_id: u16,
        /// Driver that runs it; blank if none does.
        technical driver: Label,
        /// Its link, if it is a PCI Express device.
        nested link: Option<PciLink>,
    }

    /// A PCI Express link.
    #[derive(Copy, Default)]
    pub struct PciLink {
        /// Lanes in use.
        technical lanes: u16,
        /// Lanes that the device has.
        technical max_lanes: u16,
        /// Speed, in thousandths of a billion transfers a second.
        technical mt_s: u32,
        /// Speed that the device is capable of.
        technical max_mt_s: u32,
        /// Errors that were corrected since the machine started; absent where they are not counted.
        technical corrected_errors: Option<u64>,
        /// Errors that were not.
        technical uncorrected_errors: Option<u64>,
    }

    /// A USB device.
    #[derive(Default)]
    pub struct UsbDevice {
        /// Where it is plugged in, such as `1-2.3`.
        technical port: Label,
        /// What it is, such as `human interface`.
        technical class: Label,
        /// Number of its maker.
        technical vendor_id: u16,
        /// Its maker's number for the model.
        technical product_id: u16,
        /// Its maker, in its own words.
        technical vendor: Label,
        /// The model, in its own words.
        technical product: Label,
        /// Its serial number.
        identifier serial: Label,
        /// Speed of its link in thousands of bits a second.
        technical speed_kbit_s: u64,
        /// Drivers that run its functions.
        technical drivers: Vec<Label>,
    }

    /// A device with firmware that can be managed.
    pub struct Firmware {
        /// The device.
        technical name: Label,
        /// Its maker.
        technical vendor: Label,
        /// Version of its firmware.
        technical version: Label,
        /// Whether its firmware can be replaced from the running system.
        technical updatable: bool,
        /// Whether new firmware waits for a restart.
        technical needs_reboot: bool,
    }
}

closed! {
    /// Whether a weakness of the processor is open.
    pub enum WeaknessState {
        /// The processor does not have it.
        NotAffected = "not_affected",
        /// Something is done about it.
        Mitigated = "mitigated",
        /// It is open.
        Vulnerable = "vulnerable",
        /// The kernel does not know.
        Unknown = "unknown",
    }
}
