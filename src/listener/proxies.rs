//! The client's address of a connection: the peer's own, or the one that a trusted proxy names.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use http::header::HeaderName;
use http::{HeaderMap, HeaderValue};
use ipnet::IpNet;

/// The trusted proxies, and the header in which they name their client.
#[derive(Debug, Clone)]
pub struct Proxies {
    /// The networks that the proxies connect from.
    pub trusted: Vec<IpNet>,
    /// The header: one address, or a list to which each proxy appends the address of its peer. Default `X-Forwarded-For`.
    pub header: HeaderName,
}

impl Default for Proxies {
    fn default() -> Self {
        Self { trusted: Vec::new(), header: HeaderName::from_static("x-forwarded-for") }
    }
}

impl Proxies {
    /// Whether `addr` is the address of a trusted proxy.
    pub fn trust(&self, addr: IpAddr) -> bool {
        let addr = addr.to_canonical();
        self.trusted.iter().any(|net| net.contains(&addr))
    }

    /// Returns the client of a request that came from `peer`; `None` when a trusted proxy does not name it.
    ///
    /// The list is read from the right, where the nearest proxy has written. Everything to the left of the first address that
    /// is not a trusted proxy may be forged.
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

    /// Returns the address whose limit a connection from `peer` counts against; `None` when it counts against no limit.
    ///
    /// When no proxies are configured, a peer on this machine or in a private network may be one. Its clients would share one
    /// limit and lock each other out, so it is not limited.
    pub(super) fn limited_address(&self, peer: IpAddr) -> Option<IpAddr> {
        let peer = peer.to_canonical();
        let may_be_proxy = self.trust(peer) || (self.trusted.is_empty() && is_private(peer));
        (!may_be_proxy).then(|| network(peer))
    }
}

fn address(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?.trim();
    let addr = text.parse::<IpAddr>().or_else(|_| text.parse::<SocketAddr>().map(|addr| addr.ip()));
    addr.ok().map(|addr| addr.to_canonical())
}

fn is_private(addr: IpAddr) -> bool {
    match addr {
        // Carriers and private networks of clouds use 100.64.0.0/10 (RFC 6598).
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            v4.is_loopback() || v4.is_private() || v4.is_link_local() || (a == 100 && (64..128).contains(&b))
        }
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

/// Returns the network of one customer: the IPv4 address itself, or the /64 of an IPv6 address.
pub(super) fn network(addr: IpAddr) -> IpAddr {
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
    fn only_trusted_proxies_name_the_client() {
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
    fn a_possible_proxy_has_no_limit_of_its_own() {
        let limited_address = |trusted: &[&str], peer: &str| {
            proxies(trusted).limited_address(peer.parse().unwrap()).map(|addr| addr.to_string()).unwrap_or_default()
        };
        for near in
            ["127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.1.1", "100.64.0.1", "::1", "fd00::1"]
        {
            assert_eq!(limited_address(&[], near), "", "{near}");
        }
        assert_eq!(limited_address(&["10.0.0.0/8"], "10.1.2.3"), "");
        assert_eq!(limited_address(&["10.0.0.0/8"], "127.0.0.1"), "127.0.0.1");
        assert_eq!(limited_address(&[], "203.0.113.9"), "203.0.113.9");
        assert_eq!(limited_address(&[], "::ffff:203.0.113.9"), "203.0.113.9");
        assert_eq!(limited_address(&[], "2001:db8:1:2:3::4"), "2001:db8:1:2::");
    }

    proptest! {
        #[test]
        fn an_untrusted_peer_cannot_name_a_client(value in "\\PC{0,40}") {
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
