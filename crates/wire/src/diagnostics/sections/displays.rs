//! Screens, graphics, sound, cameras, Bluetooth.

use crate::{closed, schema, text::Label};

/// Most graphics cards.
pub const MAX_CARDS: usize = 16;

/// Most connectors for screens.
pub const MAX_CONNECTORS: usize = 64;

/// Most sessions.
pub const MAX_SESSIONS: usize = 32;

/// Most sound cards: the kernel has no more.
pub const MAX_SOUND: usize = 32;

/// Most cameras.
pub const MAX_CAMERAS: usize = 32;

/// Most Bluetooth adapters.
pub const MAX_ADAPTERS: usize = 16;

schema! {
    /// Screens, graphics, sound, cameras, Bluetooth.
    #[derive(Default)]
    pub struct Displays {
        /// Graphics cards; at most [`MAX_CARDS`].
        nested cards: Vec<GraphicsCard>,
        /// Connectors for screens; at most [`MAX_CONNECTORS`].
        nested connectors: Vec<Connector>,
        /// Sessions of users; at most [`MAX_SESSIONS`].
        nested sessions: Vec<DesktopSession>,
        /// Sound cards; at most [`MAX_SOUND`].
        nested sound: Vec<SoundCard>,
        /// Cameras and the like; at most [`MAX_CAMERAS`].
        nested cameras: Vec<Camera>,
        /// Bluetooth adapters; at most [`MAX_ADAPTERS`].
        nested bluetooth: Vec<BluetoothAdapter>,
    }

    /// A graphics card.
    #[derive(Default)]
    pub struct GraphicsCard {
        /// The kernel's name for it, such as `card0`.
        technical name: Label,
        /// Driver that runs it; blank if none does.
        technical driver: Label,
        /// Number of its maker; 0 if it is not a PCI device.
        technical vendor_id: u16,
        /// Its maker's number for the model.
        technical device_id: u16,
        /// Whether the machine started with it.
        technical primary: bool,
        /// Its own memory, in KiB; absent if the driver does not say.
        technical memory_kib: Option<u64>,
        /// What of it is in use.
        technical memory_used_kib: Option<u64>,
    }

    /// A connector for a screen.
    #[derive(Default)]
    pub struct Connector {
        /// Card and connector, such as `card0-HDMI-A-1`.
        technical name: Label,
        /// Whether a screen is connected.
        technical state: ConnectorState,
        /// Whether it shows something.
        technical enabled: bool,
        /// Whether the screen is on, in the kernel's word, such as `On`; blank if unknown.
        technical power: Label,
        /// The mode that the screen prefers, such as `2560x1440`; blank if it has none.
        technical preferred_mode: Label,
        /// Modes in all.
        technical modes: u16,
        /// The screen, as it describes itself.
        nested monitor: Option<Monitor>,
    }

    /// A screen, as its EDID describes it.
    #[derive(Default)]
    pub struct Monitor {
        /// Maker: three letters that PNP gave out, such as `DEL`.
        technical vendor: Label,
        /// Its maker's number for the model.
        technical product: u16,
        /// Year that it was made in, or of the model; 0 if unknown.
        technical year: u16,
        /// Width of the picture in millimetres; 0 if unknown.
        technical width_mm: u16,
        /// Height of the picture.
        technical height_mm: u16,
        /// Width of the picture in pixels; 0 if unknown.
        technical width_pixels: u16,
        /// Height of the picture.
        technical height_pixels: u16,
        /// Its name.
        personal name: Label,
        /// Its serial number.
        identifier serial: Label,
    }

    /// A session of a user, without the user.
    pub struct DesktopSession {
        /// How it is shown, such as `wayland`.
        technical kind: Label,
        /// What it is for, such as `user` or `greeter`.
        technical class: Label,
        /// The desktop, such as `GNOME`; blank if it does not say.
        technical desktop: Label,
        /// Seat that it is at; blank if none.
        technical seat: Label,
        /// Whether it is in front.
        technical active: bool,
        /// Whether it comes from another machine.
        technical remote: bool,
        /// Whether its screen is locked.
        technical locked: bool,
    }

    /// A sound card.
    #[derive(Default)]
    pub struct SoundCard {
        /// Its number.
        technical index: u32,
        /// Its short name, such as `PCH`.
        technical id: Label,
        /// Driver that runs it, such as `HDA-Intel`.
        technical driver: Label,
        /// Its name.
        personal name: Label,
        /// Outputs.
        technical outputs: u16,
        /// Inputs.
        technical inputs: u16,
        /// Those of both that a program uses now.
        technical running: u16,
    }

    /// A camera or another source of pictures.
    pub struct Camera {
        /// The kernel's name for it, such as `video0`.
        technical device: Label,
        /// Its name.
        personal name: Label,
        /// Driver that runs it; blank if unknown.
        technical driver: Label,
    }

    /// A Bluetooth adapter.
    #[derive(Default)]
    pub struct BluetoothAdapter {
        /// The kernel's name for it, such as `hci0`.
        technical device: Label,
        /// The name under which others see it.
        personal name: Label,
        /// Its address.
        identifier address: Label,
        /// Whether it is switched on; absent if unknown.
        technical powered: Option<bool>,
        /// What keeps it off.
        technical blocked: Blocked,
        /// Devices that it knows; absent if unknown.
        technical paired: Option<u32>,
        /// Devices that are connected.
        technical connected: u32,
    }
}

closed! {
    /// Whether a screen is connected.
    pub enum ConnectorState {
        /// One is.
        Connected = "connected",
        /// None is.
        Disconnected = "disconnected",
        /// The connector cannot tell.
        Unknown = "unknown",
    }

    /// What keeps a radio off.
    pub enum Blocked {
        /// Nothing.
        No = "no",
        /// A setting.
        Setting = "setting",
        /// A switch or the firmware.
        Switch = "switch",
        /// Nobody tells.
        Unknown = "unknown",
    }
}

impl Default for ConnectorState {
    /// What is not told.
    fn default() -> Self {
        Self::Unknown
    }
}

impl Default for Blocked {
    /// What is not told.
    fn default() -> Self {
        Self::Unknown
    }
}
