//! Disks, their health, arrays and volumes.

use crate::{closed, schema, text::Label};

/// Most disks, and most mapped devices: more than a machine without a storage network has.
pub const MAX_DEVICES: usize = 64;

/// Most partitions of one disk; a partition table of the usual kind (GPT) has room for twice as many.
pub const MAX_PARTITIONS: usize = 64;

/// Most arrays, and most pools.
pub const MAX_ARRAYS: usize = 32;

/// Most members of one array.
pub const MAX_MEMBERS: usize = 64;

schema! {
    /// Disks, their health, arrays and volumes.
    #[derive(Default)]
    pub struct Storage {
        /// Block devices that are a piece of hardware, or pose as one; at most [`MAX_DEVICES`].
        nested devices: Vec<BlockDevice>,
        /// Devices that the kernel makes of others: volumes, encryption, multipath; at most [`MAX_DEVICES`].
        nested mapped: Vec<MappedDevice>,
        /// Software RAID; at most [`MAX_ARRAYS`].
        nested arrays: Vec<RaidArray>,
        /// ZFS pools; at most [`MAX_ARRAYS`].
        nested pools: Vec<Pool>,
        /// Devices of mounted btrfs file systems; at most [`MAX_DEVICES`].
        nested btrfs: Vec<BtrfsDevice>,
    }

    /// A block device with hardware behind it.
    pub struct BlockDevice {
        /// Kernel name, such as `nvme0n1`.
        technical name: Label,
        /// Size.
        technical size_kib: u64,
        /// Whether it has turning platters; absent if the kernel does not say.
        technical rotational: Option<bool>,
        /// Whether its medium can be taken out.
        technical removable: bool,
        /// Whether it refuses to be written.
        technical read_only: bool,
        /// Vendor and model; blank if unknown.
        technical model: Label,
        /// Version of its firmware; blank if unknown.
        technical firmware: Label,
        /// Serial number; blank if unknown.
        identifier serial: Label,
        /// World-wide name; blank if unknown.
        identifier wwn: Label,
        /// What it is divided into, in the order of the disk; at most [`MAX_PARTITIONS`].
        nested partitions: Vec<Partition>,
        /// How it is, as it says itself; absent if it was not told.
        nested health: Option<Health>,
    }

    /// A part of a disk.
    pub struct Partition {
        /// Kernel name, such as `nvme0n1p2`.
        technical name: Label,
        /// Its number.
        technical number: u32,
        /// Where it starts.
        technical start_kib: u64,
        /// Size.
        technical size_kib: u64,
        /// Whether it refuses to be written.
        technical read_only: bool,
    }

    /// What a disk tells about itself. Figures that it does not have are absent.
    pub struct Health {
        /// Who asked it.
        technical told_by: HealthSource,
        /// The disk's own verdict: whether it is fine. Absent if it gives none.
        technical passed: Option<bool>,
        /// Temperature in tenths of a degree Celsius.
        technical temperature_deci_celsius: Option<i32>,
        /// Hours in operation.
        technical power_on_hours: Option<u64>,
        /// What only an NVMe device tells.
        nested nvme: Option<NvmeHealth>,
        /// What only an ATA disk tells.
        nested ata: Option<AtaHealth>,
    }

    /// SMART / Health Information log of an NVMe device (NVM Express Base Specification, log page 02h).
    #[derive(Default)]
    pub struct NvmeHealth {
        /// Every bit that is set in Critical Warning.
        technical critical_warnings: Vec<NvmeWarning>,
        /// Estimate of the life that is used up, in percent; more than 100 past what the maker promises, 255 at most.
        technical used_percent: Option<u8>,
        /// Spare capacity left, in percent.
        technical spare_percent: Option<u8>,
        /// Spare capacity under which the device warns, in percent.
        technical spare_threshold_percent: Option<u8>,
        /// Times that data was lost or found damaged.
        technical media_errors: Option<u64>,
        /// Times that power was cut without notice.
        technical unsafe_shutdowns: Option<u64>,
    }

    /// SMART attributes of an ATA disk whose raw values go before failures. Absent where the disk has no such attribute.
    #[derive(Default)]
    pub struct AtaHealth {
        /// 5: sectors that were replaced by spare ones.
        technical reallocated_sectors: Option<u64>,
        /// 187: errors that could not be corrected.
        technical reported_uncorrectable: Option<u64>,
        /// 188: commands that were given up.
        technical command_timeouts: Option<u64>,
        /// 197: sectors that wait to be replaced.
        technical pending_sectors: Option<u64>,
        /// 198: sectors that could not be read in the disk's own scans.
        technical offline_uncorrectable: Option<u64>,
    }

    /// A device of the device mapper.
    pub struct MappedDevice {
        /// Kernel name, such as `dm-0`.
        technical device: Label,
        /// The name that it was given, such as `vg0-home`.
        personal name: Label,
        /// What makes it.
        technical kind: MappedKind,
        /// Size.
        technical size_kib: u64,
        /// Whether requests to it are held back.
        technical suspended: bool,
        /// Kernel names of what it is made of; at most [`MAX_MEMBERS`].
        technical made_of: Vec<Label>,
    }

    /// A software RAID, as `/proc/mdstat` has it.
    pub struct RaidArray {
        /// Kernel name, such as `md0`.
        technical name: Label,
        /// Whether it runs.
        technical active: bool,
        /// Whether it can only be read.
        technical read_only: bool,
        /// Level, such as `raid1`; blank if it does not run.
        technical level: Label,
        /// Members that it wants; 0 where the level has no spare part in it, such as `raid0`.
        technical wanted_members: u32,
        /// Members that work.
        technical working_members: u32,
        /// Members; at most [`MAX_MEMBERS`].
        nested members: Vec<RaidMember>,
        /// What it does in the background.
        technical action: RaidAction,
        /// How far that is; absent if it has not begun or does nothing.
        technical progress_permille: Option<u16>,
    }

    /// A member of an array.
    pub struct RaidMember {
        /// Kernel name, such as `sda1`.
        technical device: Label,
        /// What it does in the array.
        technical role: MemberRole,
    }

    /// A ZFS pool.
    pub struct Pool {
        /// Its name.
        personal name: Label,
        /// Its state.
        technical state: PoolState,
    }

    /// A device of a btrfs file system, with what went wrong on it since that was last set to zero.
    pub struct BtrfsDevice {
        /// Id of the file system.
        identifier filesystem: Label,
        /// Number of the device in it.
        technical number: u64,
        /// Whether the device is gone.
        technical missing: bool,
        /// Failed writes.
        technical write_errors: u64,
        /// Failed reads.
        technical read_errors: u64,
        /// Failed flushes.
        technical flush_errors: u64,
        /// Blocks whose checksum was wrong.
        technical corruption_errors: u64,
        /// Blocks that were older than they had to be.
        technical generation_errors: u64,
    }
}

closed! {
    /// Who asked a disk how it is.
    pub enum HealthSource {
        /// The UDisks2 service, over the system's message bus.
        Udisks = "udisks2",
        /// The program of smartmontools.
        Smartctl = "smartctl",
    }

    /// A bit of Critical Warning in the NVMe health log.
    pub enum NvmeWarning {
        /// Bit 0: spare capacity fell below its threshold.
        Spare = "spare",
        /// Bit 1: a temperature is over or under its threshold.
        Temperature = "temperature",
        /// Bit 2: the device became unreliable.
        Degraded = "degraded",
        /// Bit 3: all of it became read-only.
        ReadOnly = "read_only",
        /// Bit 4: the backup of its volatile memory failed.
        VolatileMemory = "volatile_memory",
        /// Bit 5: its persistent memory region became read-only or unreliable.
        PersistentMemory = "persistent_memory",
    }

    /// What makes a mapped device.
    pub enum MappedKind {
        /// A logical volume (LVM).
        Lvm = "lvm",
        /// Encryption: LUKS, plain dm-crypt, or another format that cryptsetup knows.
        Crypt = "crypt",
        /// Content that is checked against known digests.
        Verity = "verity",
        /// Blocks with checksums.
        Integrity = "integrity",
        /// Several ways to one disk.
        Multipath = "multipath",
        /// A partition of another mapped device.
        Partition = "partition",
        /// RAID of a mainboard.
        FirmwareRaid = "firmware_raid",
        /// Deduplication and compression.
        Vdo = "vdo",
        /// Something else.
        Other = "other",
    }

    /// What an array does in the background.
    pub enum RaidAction {
        /// Nothing.
        Idle = "idle",
        /// It makes its members equal after a crash or at first.
        Resync = "resync",
        /// It fills a new member.
        Recovery = "recovery",
        /// It changes its shape.
        Reshape = "reshape",
        /// It compares its members.
        Check = "check",
    }

    /// What a member does in an array.
    pub enum MemberRole {
        /// It holds data.
        Active = "active",
        /// It waits for another to fail.
        Spare = "spare",
        /// It failed.
        Failed = "failed",
        /// It holds the journal.
        Journal = "journal",
        /// It is about to take the place of another.
        Replacement = "replacement",
    }

    /// State of a ZFS pool.
    pub enum PoolState {
        /// All is well.
        Online = "online",
        /// A part is missing or failed, and the pool works without.
        Degraded = "degraded",
        /// It cannot be used.
        Faulted = "faulted",
        /// Switched off.
        Offline = "offline",
        /// Its devices are gone.
        Unavailable = "unavailable",
        /// A device was taken out.
        Removed = "removed",
        /// All requests wait because of failures.
        Suspended = "suspended",
        /// Something that this version does not know.
        Other = "other",
    }
}
