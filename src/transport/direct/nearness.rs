//! How near an address is: what a stranger announces must not lead into the user's own machine or network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nostr::RelayUrl;
use tokio_tungstenite::tungstenite::http::Uri;

/// How near an address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Nearness {
    /// Somewhere on the internet.
    Far,
    /// In a network that is not part of it, or of no single machine.
    Network,
    /// This machine.
    Machine,
}

impl Nearness {
    /// Where an address is (RFC 6890, RFC 4193, RFC 4291).
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => of_v4(address),
            IpAddr::V6(address) => of_v6(address),
        }
    }

    /// How near the nearest of these relays is, as far as their URLs say. Whoever uses relays of this machine, or of this
    /// network, may be led there by what they list.
    pub fn of_relays(relays: &[RelayUrl]) -> Self {
        relays.iter().map(of_relay).max().unwrap_or(Self::Far)
    }
}

fn of_relay(url: &RelayUrl) -> Nearness {
    let host = url.as_str().parse().ok().and_then(|uri: Uri| Some(bare_host(uri.host()?).to_owned()));
    match host {
        Some(host) if host == "localhost" => Nearness::Machine,
        Some(host) => host.parse().map_or(Nearness::Far, Nearness::of),
        None => Nearness::Far,
    }
}

/// A host without the brackets around an IPv6 address.
pub(super) fn bare_host(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

fn of_v4(address: Ipv4Addr) -> Nearness {
    let [first, second, ..] = address.octets();
    // "This network", and what providers of access share among their customers.
    let is_shared = first == 100 && (64..128).contains(&second);
    if address.is_loopback() || first == 0 {
        Nearness::Machine
    } else if address.is_private() || address.is_link_local() || is_shared || first >= 224 {
        Nearness::Network
    } else {
        Nearness::Far
    }
}

fn of_v6(address: Ipv6Addr) -> Nearness {
    let [first, second, rest @ ..] = address.segments();
    // An address of version 4 in one of version 6, and one behind a translator (RFC 6052).
    let is_translated = (first, second) == (0x64, 0xff9b) && rest[..4] == [0; 4];
    let inner = address.to_ipv4_mapped().or_else(|| {
        let [.., a, b, c, d] = address.octets();
        is_translated.then(|| Ipv4Addr::new(a, b, c, d))
    });
    match inner {
        Some(inner) => of_v4(inner),
        None if address.is_loopback() || address.is_unspecified() => Nearness::Machine,
        None if address.is_unique_local() || address.is_unicast_link_local() || address.is_multicast() => {
            Nearness::Network
        }
        None => Nearness::Far,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_from_those_of_this_machine_and_its_networks() {
        for (nearness, addresses) in [
            (Nearness::Machine, &["127.0.0.1", "127.9.9.9", "0.0.0.0", "::1", "::", "::ffff:127.0.0.1"][..]),
            (Nearness::Machine, &["64:ff9b::7f00:1"]),
            (Nearness::Network, &["10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1"]),
            (Nearness::Network, &["224.0.0.1", "255.255.255.255", "fe80::1", "fd00::1", "ff02::1"]),
            (Nearness::Network, &["::ffff:10.0.0.1", "64:ff9b::a00:1"]),
            (Nearness::Far, &["203.0.113.7", "100.128.0.1", "172.32.0.1", "2001:db8::1", "::ffff:8.8.8.8"]),
        ] {
            for address in addresses {
                assert_eq!(Nearness::of(address.parse().unwrap()), nearness, "{address}");
            }
        }
    }

    #[test]
    fn relays_say_by_their_urls_how_near_they_are() {
        let nearness = |urls: &[&str]| {
            let urls: Vec<_> = urls.iter().map(|url| RelayUrl::parse(url).unwrap()).collect();
            Nearness::of_relays(&urls)
        };
        assert_eq!(nearness(&[]), Nearness::Far);
        assert_eq!(nearness(&["wss://relay.example", "wss://203.0.113.7"]), Nearness::Far);
        assert_eq!(nearness(&["wss://relay.example", "ws://192.168.1.2:7777"]), Nearness::Network);
        assert_eq!(nearness(&["ws://[fd00::1]:7777/path"]), Nearness::Network);
        for near in ["ws://127.0.0.1:7777", "ws://127.1", "ws://localhost:1", "ws://[::1]:7777"] {
            assert_eq!(nearness(&[near, "ws://10.0.0.1"]), Nearness::Machine, "{near}");
        }
    }
}
