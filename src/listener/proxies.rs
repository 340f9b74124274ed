//! Whose connection it is: the peer's own, or that of the client whom a trusted proxy speaks for.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use http::header::HeaderName;
use http::{HeaderMap, HeaderValue};
use ipnet::IpNet;

/// The proxies that are believed, and the header in which they say who their client is.
#[derive(Debug, Clone)]
pub struct Proxies {
    /// Where they connect from.
    pub trusted: Vec<IpNet>,
    /// One address, or a list that each proxy appends the address it saw to. Default `X-Forwarded-For`.
    pub header: HeaderName,
}

impl Default for Proxies {
    fn default() -> Self {
        Self { trusted: Vec::new(), header: HeaderName::from_static("x-forwarded-for") }
    }
}

impl Proxies {
    /// Whether connections from `addr` are a proxy's.
    pub fn trust(&self, addr: IpAddr) -> bool {
        let addr = addr.to_canonical();
        self.trusted.iter().any(|net| net.contains(&addr))
    }

    /// The client of a request that came from `peer`; `None` when a trusted proxy does not say.
    ///
    /// Read from the right, where the proxy next to us wrote: whatever stands further left than the first address that is
    /// no proxy of ours may have been sent by anybody.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> Option<IpAddr> {
        if !self.trust(peer) {
            return Some(peer.to_canonical());
        }
        let values: Vec<&HeaderValue> = headers.get_all(&self.header).iter().collect();
        let mut client = None;
        for entry in values.into_iter().rev().flat_map(|value| value.as_bytes().rsplit(|byte| *byte == b',')) {
            let addr = address(entry)?;
            client = Some(addr);
            if !self.trust(addr) {
                break;
            }
        }
        client
    }

    /// Under which address a connection straight from `peer` counts; `None` when nobody's limit concerns it.
    ///
    /// As long as no proxy is named, what comes from this machine or a private network may be one: to count its clients
    /// as one would lock them out.
    pub(super) fn counted(&self, peer: IpAddr) -> Option<IpAddr> {
        let peer = peer.to_canonical();
        let may_be_proxy = self.trust(peer) || (self.trusted.is_empty() && is_near(peer));
        (!may_be_proxy).then(|| site(peer))
    }
}

fn address(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?.trim();
    let addr = text.parse::<IpAddr>().or_else(|_| text.parse::<SocketAddr>().map(|addr| addr.ip()));
    addr.ok().map(|addr| addr.to_canonical())
}

fn is_near(addr: IpAddr) -> bool {
    match addr {
        // 100.64.0.0/10 is what carriers and private networks of clouds use (RFC 6598).
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            v4.is_loopback() || v4.is_private() || v4.is_link_local() || (a == 100 && (64..128).contains(&b))
        }
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

/// What one customer has: an IPv4 address, or a /64 of IPv6.
pub(super) fn site(addr: IpAddr) -> IpAddr {
    match addr {
        IpAddr::V4(_) => addr,
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn proxies(trusted: &[&str]) -> Proxies {
        Proxies { trusted: trusted.iter().map(|net| net.parse().unwrap()).collect(), ..Proxies::default() }
    }

    fn headers(values: &[&str]) -> HeaderMap {
        let named = values.iter().map(|value| (HeaderName::from_static("x-forwarded-for"), value.parse().unwrap()));
        named.collect()
    }

    #[test]
    fn only_a_trusted_proxy_is_believed_and_from_the_right() {
        let trusting = proxies(&["10.0.0.0/8", "2001:db8::/32"]);
        for (peer, sent, client) in [
            ("203.0.113.9", &["1.1.1.1"][..], Some("203.0.113.9")),
            ("10.0.0.1", &["1.1.1.1"], Some("1.1.1.1")),
            ("::ffff:10.0.0.1", &["1.1.1.1"], Some("1.1.1.1")),
            ("2001:db8::1", &["[2001:4860::1]:443"], Some("2001:4860::1")),
            ("10.0.0.1", &["9.9.9.9, 1.1.1.1"], Some("1.1.1.1")),
            ("10.0.0.1", &["9.9.9.9, 1.1.1.1, 10.0.0.2"], Some("1.1.1.1")),
            ("10.0.0.1", &["9.9.9.9", "1.1.1.1:5000", "10.0.0.2"], Some("1.1.1.1")),
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], Some("10.0.0.3")),
            ("10.0.0.1", &["1.1.1.1, unknown"], None),
            ("10.0.0.1", &[""], None),
            ("10.0.0.1", &[], None),
        ] {
            let found = trusting.client(peer.parse().unwrap(), &headers(sent));
            assert_eq!(found, client.map(|addr| addr.parse().unwrap()), "{peer} {sent:?}");
        }
    }

    #[test]
    fn what_may_be_a_proxy_counts_for_nobody_until_the_proxies_are_named() {
        let counted = |trusted: &[&str], peer: &str| {
            proxies(trusted).counted(peer.parse().unwrap()).map(|addr| addr.to_string()).unwrap_or_default()
        };
        for near in
            ["127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.1.1", "100.64.0.1", "::1", "fd00::1"]
        {
            assert_eq!(counted(&[], near), "", "{near}");
        }
        assert_eq!(counted(&["10.0.0.0/8"], "10.1.2.3"), "");
        assert_eq!(counted(&["10.0.0.0/8"], "127.0.0.1"), "127.0.0.1");
        assert_eq!(counted(&[], "203.0.113.9"), "203.0.113.9");
        assert_eq!(counted(&[], "::ffff:203.0.113.9"), "203.0.113.9");
        assert_eq!(counted(&[], "2001:db8:1:2:3::4"), "2001:db8:1:2::");
    }

    proptest! {
        #[test]
        fn no_header_names_somebody_for_a_stranger(value in "\\PC{0,40}") {
            let mut headers = HeaderMap::new();
            if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
                headers.insert("x-forwarded-for", value);
            }
            let stranger: IpAddr = "203.0.113.9".parse().unwrap();
            prop_assert_eq!(proxies(&["10.0.0.0/8"]).client(stranger, &headers), Some(stranger));
            proxies(&["10.0.0.0/8"]).client("10.0.0.1".parse().unwrap(), &headers);
        }
    }
}
