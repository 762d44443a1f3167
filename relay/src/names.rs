//! Names of reasons in JSON events and metrics. They are part of the interface: never change one.

use broker::{Goodbye, LocatorEnd, Request};
use wire::control::{ChannelEnd, ChannelOrigin, Refusal};

/// For what `wire` or `broker` has learnt and this crate has not.
const OTHER: &str = "other";

pub(crate) fn refusal(reason: Refusal) -> &'static str {
    match reason {
        Refusal::NobodyWaiting => "nobody_waiting",
        Refusal::Busy => "busy",
        Refusal::TooManyAttempts => "too_many_attempts",
        Refusal::Full => "full",
        Refusal::Draining => "draining",
        Refusal::Unexpected => "unexpected",
        _ => OTHER,
    }
}

pub(crate) fn locator_end(why: LocatorEnd) -> &'static str {
    match why {
        LocatorEnd::Lapsed => "lapsed",
        LocatorEnd::Released => "released",
        LocatorEnd::Replaced => "replaced",
        LocatorEnd::Exhausted => "exhausted",
        LocatorEnd::AgentGone => "agent_gone",
        _ => OTHER,
    }
}

pub(crate) fn request(request: Request) -> &'static str {
    match request {
        Request::AllocateLocator => "allocate_locator",
        Request::ReleaseLocator => "release_locator",
        Request::Attach => "attach",
        Request::Rejoin => "rejoin",
        Request::CloseChannel => "close_channel",
        Request::Observe => "observe",
        Request::FindReflector => "find_reflector",
        Request::Sleep => "sleep",
        Request::Awake => "awake",
        Request::Unknown | _ => OTHER,
    }
}

pub(crate) fn channel_end(reason: ChannelEnd) -> &'static str {
    match reason {
        ChannelEnd::Closed => "closed",
        ChannelEnd::PeerGone => "peer_gone",
        ChannelEnd::Idle => "idle",
        ChannelEnd::Draining => "draining",
        _ => OTHER,
    }
}

pub(crate) fn origin(origin: ChannelOrigin) -> &'static str {
    match origin {
        ChannelOrigin::Attach => "attach",
        ChannelOrigin::Rejoin => "rejoin",
    }
}

pub(crate) fn goodbye(why: Goodbye) -> &'static str {
    match why {
        Goodbye::Flooding => "flooding",
        Goodbye::Draining => "draining",
        Goodbye::Superseded => "superseded",
        _ => OTHER,
    }
}
