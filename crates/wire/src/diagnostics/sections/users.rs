//! Who is logged in.

use crate::{closed, schema, text::Label, time::WallTime};

/// Most names, and most kinds of sessions.
pub const MAX_NAMES: usize = 32;

schema! {
    /// Who is logged in. Counts; names only where names may leave.
    #[derive(Default)]
    pub struct Users {
        /// Sessions by what they are, most first; absent if the machine has no session manager. At most [`MAX_NAMES`] kinds.
        nested sessions: Option<Vec<SessionCount>>,
        /// Different users with a session.
        technical users: Option<u32>,
        /// Names of users with a session, each once; at most [`MAX_NAMES`].
        personal names: Vec<Label>,
        /// Entries of people in the list of who is logged in (`utmp`).
        technical logged_in: Option<u32>,
        /// Those of them that came over a network.
        technical logged_in_remotely: Option<u32>,
        /// What the record of logins (`wtmp`) has.
        nested history: Option<LoginHistory>,
        /// What the record of failed logins (`btmp`) has.
        nested failures: Option<LoginHistory>,
    }

    /// How many sessions there are of one kind.
    #[derive(Copy)]
    pub struct SessionCount {
        /// What it is for.
        technical class: SessionClass,
        /// What it runs on.
        technical kind: SessionKind,
        /// What it does.
        technical state: SessionState,
        /// Whether it came over a network.
        technical remote: bool,
        /// Whether its screen is locked.
        technical locked: bool,
        /// How many.
        technical count: u32,
    }

    /// Counts of a record of logins. Old entries may have been rotated away.
    #[derive(Copy, Default)]
    pub struct LoginHistory {
        /// Logins.
        technical logins: u32,
        /// Those that came over a network.
        technical remote: u32,
        /// Starts of the machine.
        technical boots: u32,
        /// Time of the oldest entry that was counted.
        technical since: Option<WallTime>,
        /// Time of the newest login.
        technical latest: Option<WallTime>,
    }
}

closed! {
    /// What a session is for; sd_session_get_class(3).
    pub enum SessionClass {
        /// A person's session.
        User = "user",
        /// The login screen.
        Greeter = "greeter",
        /// The lock screen.
        LockScreen = "lock_screen",
        /// Work without a person, such as a timer's.
        Background = "background",
        /// The user's own service manager.
        Manager = "manager",
        /// Something else.
        Other = "other",
    }

    /// What a session runs on; sd_session_get_type(3).
    pub enum SessionKind {
        /// A terminal.
        Terminal = "tty",
        /// An X server.
        X11 = "x11",
        /// A Wayland compositor.
        Wayland = "wayland",
        /// Nothing in particular, such as a file transfer.
        Unspecified = "unspecified",
        /// Something else.
        Other = "other",
    }

    /// What a session does; sd_session_get_state(3).
    pub enum SessionState {
        /// It is in front.
        Active = "active",
        /// It is there, with another in front.
        Online = "online",
        /// It is ending.
        Closing = "closing",
        /// Something else, such as just being opened.
        Other = "other",
    }
}
