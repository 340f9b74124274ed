//! Restricts where a webhook may be: host names are resolved, the addresses are checked, and the connection uses
//! exactly these addresses.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::dns::Name;
use tower::Service;

/// Which addresses a webhook may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Addresses of the public internet.
    Public,
    /// Public addresses and private networks. Link-local addresses are never allowed: the metadata services of clouds
    /// use them.
    Private,
    /// Loopback addresses only.
    Loopback,
}

impl Reach {
    pub(super) fn allows(self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        match self {
            Self::Public => is_public(ip),
            Self::Private => is_public(ip) || is_private(ip),
            Self::Loopback => ip.is_loopback(),
        }
    }
}

/// Returns whether the special-purpose registries (RFC 6890) do not list the address.
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let special = ip.is_loopback()
        || ip.is_private()
        || ip.is_link_local()
        || ip.is_documentation()
        || a == 0
        || (a == 100 && (64..128).contains(&b))
        || (a, b, c) == (192, 0, 0)
        || (a, b, c) == (192, 88, 99)
        || (a == 198 && (18..20).contains(&b))
        || a >= 224;
    !special
}

/// Global unicast, without addresses that embed an IPv4 address, and without those for documentation and protocols.
fn is_public_v6(ip: Ipv6Addr) -> bool {
    match ip.segments() {
        [0x2001, second, ..] => second >= 0x200 && second != 0xdb8,
        [0x2002, ..] | [0x3fff, 0..0x1000, ..] => false,
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            // Alibaba's metadata service has an address in the carrier range.
            let carrier = a == 100 && (64..128).contains(&b) && ip != Ipv4Addr::new(100, 100, 100, 200);
            ip.is_loopback() || ip.is_private() || carrier
        }
        // Amazon's metadata service has a unique local address.
        IpAddr::V6(ip) => {
            ip.is_loopback() || (ip.is_unique_local() && ip != Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254))
        }
    }
}

/// Resolves names, and returns only allowed addresses.
#[derive(Debug, Clone)]
pub(super) struct Resolver(pub(super) Reach);

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let reach = self.0;
        Box::pin(async move {
            let found: Vec<_> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let allowed: Vec<_> = found.into_iter().filter(|address| reach.allows(address.ip())).collect();
            if allowed.is_empty() {
                return Err(io::Error::other("its name leads to an address that may not be connected to"));
            }
            Ok(allowed.into_iter())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_are_allowed_by_default() {
        let of = |ip: &str| {
            let ip = ip.parse().unwrap();
            [Reach::Public, Reach::Private, Reach::Loopback].map(|reach| reach.allows(ip))
        };
        for ip in ["1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "::ffff:8.8.8.8"] {
            assert_eq!(of(ip), [true, true, false], "{ip}");
        }
        for ip in ["10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "fd12::1", "::ffff:10.0.0.1"] {
            assert_eq!(of(ip), [false, true, false], "{ip}");
        }
        for ip in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(of(ip), [false, true, true], "{ip}");
        }
        for ip in [
            "0.0.0.0",
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "fe80::1",
            "fd00:ec2::254",
            "100.100.100.200",
            "224.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
            "192.0.2.1",
            "::",
            "ff02::1",
            "64:ff9b::a00:1",
            "2002:a00:1::",
            "2001::1",
            "2001:db8::1",
        ] {
            assert_eq!(of(ip), [false; 3], "{ip}");
        }
    }

    #[tokio::test]
    async fn a_name_for_loopback_is_rejected() {
        let name = |text: &str| text.parse::<Name>().unwrap();
        let error = Resolver(Reach::Public).call(name("localhost")).await.unwrap_err();
        assert!(error.to_string().contains("may not be connected to"), "{error}");
        assert!(Resolver(Reach::Loopback).call(name("localhost")).await.unwrap().count() > 0);
    }
}
