//! Which HTTP proxy leads out of this network.

use std::{fmt, net::IpAddr, sync::Arc};

use hyper::{Uri, header::HeaderValue};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};

/// Port of a proxy that is named without one.
const PROXY_PORT: u16 = 80;

/// The HTTP proxies through which TCP leaves this network, and which places are reached without one.
///
/// `Debug` shows no passwords.
#[derive(Clone)]
pub struct Proxies {
    rules: Option<Arc<Matcher>>,
}

impl Proxies {
    /// None: everything is reached directly.
    pub fn none() -> Self {
        Self { rules: None }
    }

    /// As the environment says: `HTTPS_PROXY`, else `ALL_PROXY`, but not for what `NO_PROXY` lists (names with their subdomains,
    /// addresses, networks such as 10.0.0.0/8, or `*`). Their names may be written small.
    pub fn from_environment() -> Self {
        Self { rules: Some(Arc::new(Matcher::from_env())) }
    }

    /// As if the environment had these values of `HTTPS_PROXY` and `NO_PROXY`.
    pub fn new(https_proxy: &str, no_proxy: &str) -> Self {
        let rules = Matcher::builder().https(https_proxy.to_owned()).no(no_proxy.to_owned()).build();
        Self { rules: Some(Arc::new(rules)) }
    }

    /// The proxy that leads to a host. This machine itself is never reached through one.
    pub(crate) fn to(&self, host: &str, port: u16) -> Option<Proxy> {
        let address = host.parse::<IpAddr>();
        if host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback()) {
            return None;
        }
        let destination = format!("https://{}/", authority(host, port)).parse::<Uri>().ok()?;
        self.rules.as_ref()?.intercept(&destination).map(Proxy)
    }
}

impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Proxies").field(&self.rules).finish()
    }
}

/// A proxy for one destination.
pub(crate) struct Proxy(Intercept);

impl Proxy {
    /// Whether it is of the kind that is spoken here.
    pub(crate) fn is_http(&self) -> bool {
        self.0.uri().scheme_str() == Some("http")
    }

    pub(crate) fn host(&self) -> &str {
        let host = self.0.uri().host().unwrap_or_default();
        host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
    }

    pub(crate) fn port(&self) -> u16 {
        self.0.uri().port_u16().unwrap_or(PROXY_PORT)
    }

    /// Name and password, as the proxy wants them (RFC 7617).
    pub(crate) fn credentials(&self) -> Option<&HeaderValue> {
        self.0.basic_auth()
    }

    /// For people: without name and password.
    pub(crate) fn shown(&self) -> String {
        let scheme = self.0.uri().scheme_str().filter(|scheme| *scheme != "http");
        let scheme = scheme.map(|scheme| format!("{scheme}://")).unwrap_or_default();
        format!("{scheme}{}", authority(self.host(), self.port()))
    }
}

/// Host and port as a URI has them.
pub(crate) fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by(proxies: &Proxies, host: &str) -> Option<String> {
        proxies.to(host, 4433).map(|proxy| proxy.shown())
    }

    #[test]
    fn what_no_proxy_lists_is_reached_directly() {
        let proxies = Proxies::new("http://proxy.example:3128", "intern.example,10.0.0.0/8,2001:db8::/32");
        let proxy = Some("proxy.example:3128".to_owned());
        assert_eq!(by(&proxies, "relay.example"), proxy);
        assert_eq!(by(&proxies, "11.0.0.1"), proxy);
        assert_eq!(by(&proxies, "2001:db9::1"), proxy);
        for direct in ["intern.example", "a.intern.example", "10.1.2.3", "2001:db8::1", "localhost", "127.0.0.1", "::1"]
        {
            assert_eq!(by(&proxies, direct), None, "{direct}");
        }
        assert_eq!(by(&Proxies::new("http://proxy.example:3128", "*"), "relay.example"), None);
        assert_eq!(by(&Proxies::none(), "relay.example"), None);
    }

    #[test]
    fn a_proxy_may_be_named_shortly_and_its_password_is_shown_to_it_alone() {
        let proxies = Proxies::new("http://ana:p%40ss%20word@[2001:db8::9]", "");
        let proxy = proxies.to("relay.example", 4433).unwrap();
        assert!(proxy.is_http());
        assert_eq!((proxy.host(), proxy.port()), ("2001:db8::9", 80));
        assert_eq!(proxy.credentials().unwrap(), "Basic YW5hOnBAc3Mgd29yZA==");
        assert_eq!(proxy.shown(), "[2001:db8::9]:80");
        for shown in [format!("{proxies:?}"), format!("{:?}", proxy.credentials())] {
            assert!(!shown.contains("p@ss") && !shown.contains("YW5h") && !shown.contains("p%40"), "{shown}");
        }

        let short = Proxies::new("proxy.example:3128", "").to("relay.example", 4433).unwrap();
        assert!(short.is_http() && short.shown() == "proxy.example:3128" && short.credentials().is_none());
        let socks = Proxies::new("socks5://proxy.example:1080", "").to("relay.example", 4433).unwrap();
        assert!(!socks.is_http());
        assert_eq!(socks.shown(), "socks5://proxy.example:1080");
    }
}
