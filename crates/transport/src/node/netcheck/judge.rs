//! What follows from the answers. Pure functions over them.

use std::time::Duration;

use super::{Family, FamilyObservations, FoundMapping, MappingProtocol, Observations, ReflectorAnswer, UdpAnswer};
use crate::node::{
    CarrierChoice,
    connect::{STAGGER, UDP_PATIENCE},
};

/// What this network does to the addresses of packets (RFC 4787 section 4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nat {
    /// Nothing: the relay sees an address of this machine.
    None,
    /// One address outside for one socket, whoever it sends to: others can be told it. As far as the ports of one relay show; a translator
    /// that differs by address alone looks the same.
    EndpointIndependent,
    /// Another address outside for each that it sends to ("symmetric"): nobody can be told it beforehand.
    EndpointDependent,
    /// It cannot be known.
    Unknown(Unclear),
}

/// Why something cannot be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unclear {
    /// The relay has no address of this family.
    NoAddress,
    /// The relay is not reached by UDP.
    NoUdp,
    /// The relay did not say from where packets come.
    NotTold,
    /// The relay has no second port.
    NotOffered,
    /// Nothing comes back from the relay's second port.
    Silent {
        /// That UDP port.
        port: u16,
    },
}

/// Whether packets will find a way from one machine to the other without the relay, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direct {
    /// Nothing translates addresses.
    Untranslated(Family),
    /// The router forwards ports when it is asked to.
    Mapped(MappingProtocol),
    /// Others can be told the address outside.
    Independent(Family),
    /// Only to one who can be reached by everybody.
    Dependent,
    /// No UDP leaves this network.
    NoUdp,
    /// It cannot be known.
    Unknown(Unclear),
}

/// How likely something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Likelihood {
    /// Unless the other side's network is in the way.
    Likely,
    /// Only if the other side's network is open.
    Unlikely,
    /// It cannot be known.
    Unknown,
}

impl Direct {
    /// How likely that makes it.
    pub fn likelihood(self) -> Likelihood {
        match self {
            Self::Untranslated(_) | Self::Mapped(_) | Self::Independent(_) => Likelihood::Likely,
            Self::Dependent | Self::NoUdp => Likelihood::Unlikely,
            Self::Unknown(_) => Likelihood::Unknown,
        }
    }
}

/// By what packets travel to the relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// UDP.
    Udp,
    /// TCP, through the proxy if there is one.
    Tcp,
}

impl FamilyObservations {
    /// The relay's answer by UDP.
    pub fn by_udp(&self) -> Option<&UdpAnswer> {
        self.udp.as_ref()?.as_ref().ok()
    }

    /// What this network does to addresses.
    pub fn nat(&self) -> Nat {
        let answer = match &self.udp {
            None => return Nat::Unknown(Unclear::NoAddress),
            Some(Err(_)) => return Nat::Unknown(Unclear::NoUdp),
            Some(Ok(answer)) => answer,
        };
        let Some(seen_as) = answer.seen_as else { return Nat::Unknown(Unclear::NotTold) };
        match answer.reflector {
            ReflectorAnswer::Answers { seen_as: there, .. } if there != seen_as => Nat::EndpointDependent,
            _ if self.own.contains(&seen_as.ip()) => Nat::None,
            ReflectorAnswer::Answers { .. } => Nat::EndpointIndependent,
            ReflectorAnswer::NotOffered => Nat::Unknown(Unclear::NotOffered),
            ReflectorAnswer::Silent { port } => Nat::Unknown(Unclear::Silent { port }),
        }
    }

    /// Largest UDP payload that passes to the relay and back, in bytes.
    ///
    /// # Errors
    ///
    /// Why it cannot be known.
    pub fn largest_payload(&self) -> Result<u16, Unclear> {
        match &self.udp {
            None => Err(Unclear::NoAddress),
            Some(Err(_)) => Err(Unclear::NoUdp),
            Some(Ok(UdpAnswer { reflector, .. })) => match *reflector {
                ReflectorAnswer::Answers { largest, .. } => Ok(largest),
                ReflectorAnswer::NotOffered => Err(Unclear::NotOffered),
                ReflectorAnswer::Silent { port } => Err(Unclear::Silent { port }),
            },
        }
    }
}

impl Observations {
    /// What was found out over one family.
    pub fn family(&self, family: Family) -> &FamilyObservations {
        match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        }
    }

    /// Whether a direct path is likely, and why: the best reason that there is.
    pub fn direct(&self) -> Direct {
        let nats = Family::BOTH.map(|family| (family, self.family(family).nat()));
        let of = |wanted: Nat| nats.into_iter().find(|(_, nat)| *nat == wanted).map(|(family, _)| family);
        let mapped = self.mappings.iter().flatten().find(|mapping| mapping.leads_in());
        let v4 = self.v4.nat();
        if v4 == Nat::None {
            Direct::Untranslated(Family::V4)
        } else if let Some(FoundMapping { protocol, .. }) = mapped.filter(|_| self.v4.by_udp().is_some()) {
            Direct::Mapped(*protocol)
        } else if v4 == Nat::EndpointIndependent {
            Direct::Independent(Family::V4)
        } else if let Some(family) = of(Nat::None) {
            Direct::Untranslated(family)
        } else if let Some(family) = of(Nat::EndpointIndependent) {
            Direct::Independent(family)
        } else if of(Nat::EndpointDependent).is_some() {
            Direct::Dependent
        } else if self.udp_time().is_none() {
            Direct::NoUdp
        } else {
            let unclear = nats.into_iter().find_map(|(family, nat)| match nat {
                Nat::Unknown(unclear) => self.family(family).by_udp().map(|_| unclear),
                Nat::None | Nat::EndpointIndependent | Nat::EndpointDependent => None,
            });
            Direct::Unknown(unclear.unwrap_or(Unclear::NotTold))
        }
    }

    /// By what a program that is told `choice` would reach the relay; `None`: not at all.
    pub fn way(&self, choice: CarrierChoice) -> Option<Way> {
        let udp = self.udp_time().filter(|_| choice != CarrierChoice::Tcp);
        let tcp = self.tcp_time().filter(|_| choice != CarrierChoice::Udp);
        match (udp, tcp) {
            (None, None) => None,
            (Some(_), None) => Some(Way::Udp),
            (None, Some(_)) => Some(Way::Tcp),
            // UDP has a head start, and some patience beyond it.
            (Some(udp), Some(tcp)) if udp <= STAGGER + tcp.max(UDP_PATIENCE) => Some(Way::Udp),
            (Some(_), Some(_)) => Some(Way::Tcp),
        }
    }

    /// The shortest handshake over UDP.
    fn udp_time(&self) -> Option<Duration> {
        Family::BOTH.into_iter().filter_map(|family| Some(self.family(family).by_udp()?.handshake)).min()
    }

    /// The shortest handshake over TCP.
    fn tcp_time(&self) -> Option<Duration> {
        let direct = Family::BOTH.into_iter().filter_map(|family| self.family(family).tcp.as_ref());
        let by_proxy = self.proxy.iter().map(|(_, answer)| answer);
        direct.chain(by_proxy).filter_map(|answer| Some(answer.as_ref().ok()?.handshake)).min()
    }
}

#[cfg(test)]
mod tests;
