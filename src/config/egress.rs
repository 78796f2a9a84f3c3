//! `[egress]`: connections that the gateway makes for a request other than to providers, as written
//! and as checked.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::base::{Diagnostics, member_path};

/// Connections that the gateway makes for a request other than to providers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Egress {
    /// Images at `https` URLs are fetched for providers that accept image bytes only.
    pub fetch_pictures: bool,
    /// Hosts that may be reached in addition to public addresses.
    allowed: Vec<AllowedHost>,
}

/// Connections that the gateway makes for a request other than to providers.
#[derive(Debug, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct EgressSettings {
    /// Fetch images that a request references by `https` URL, for providers that accept image bytes
    /// only (Amazon Bedrock; Gemini if the media type is unknown). If off, such a request is
    /// rejected with 400. If on, clients make the gateway connect to hosts of their choice: to
    /// public addresses, and to those in `allow_hosts`. Redirects are not followed. Limits: 8 MiB
    /// per image, 15 seconds for all images of a request.
    fetch_pictures: bool,
    /// Hosts that may be reached in addition to public addresses: a name, `name:port`, `*.suffix`,
    /// an IP address, or a network such as `10.1.0.0/16`. A listed name may resolve to any address.
    allow_hosts: Vec<String>,
}

impl EgressSettings {
    /// The checked settings, without invalid entries.
    pub(super) fn check(self, path: &str, diagnostics: &mut Diagnostics) -> Egress {
        let path = member_path(path, "allow_hosts");
        let mut allowed = Vec::with_capacity(self.allow_hosts.len());
        for (index, text) in self.allow_hosts.iter().enumerate() {
            match AllowedHost::parse(text) {
                Some(entry) => allowed.push(entry),
                None => {
                    let path = format!("{path}[{index}]");
                    let quoted = diagnostics.quote(&path, text);
                    let message = format!("expected a host, an address or a network, got {quoted}");
                    let hint = "as in `pictures.internal`, `*.corp.example`, `10.1.0.0/16`";
                    diagnostics.add(&path, message, hint);
                }
            }
        }
        Egress { fetch_pictures: self.fetch_pictures, allowed }
    }
}

impl Egress {
    /// True if a connection to `address`, resolved from `host`, is allowed.
    #[must_use]
    pub fn allows(&self, host: &str, port: u16, address: IpAddr) -> bool {
        is_public(address) || self.allowed.iter().any(|entry| entry.holds(host, port, address))
    }
}

/// An entry of `allow_hosts`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum AllowedHost {
    Name {
        name: String,
        port: Option<u16>,
    },
    /// Any name with this suffix, which includes the leading dot.
    Suffix {
        suffix: String,
        port: Option<u16>,
    },
    Network {
        address: IpAddr,
        bits: u8,
    },
}

impl AllowedHost {
    fn parse(text: &str) -> Option<Self> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Some(Self::Network { address, bits: width(address) });
        }
        if let Some((address, bits)) = text.split_once('/') {
            let address: IpAddr = address.parse().ok()?;
            let bits = bits.parse().ok().filter(|bits| *bits <= width(address))?;
            return Some(Self::Network { address, bits });
        }
        let (name, port) = match text.split_once(':') {
            Some((name, port)) => (name, Some(port.parse().ok()?)),
            None => (text, None),
        };
        let bare = name.strip_prefix("*.").unwrap_or(name);
        let is_label = |label: &str| {
            let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
            (1..=63).contains(&label.len()) && label.bytes().all(is_inner)
        };
        if bare.len() > 253 || !bare.split('.').all(is_label) {
            return None;
        }
        let lower = name.to_ascii_lowercase();
        Some(match lower.strip_prefix('*') {
            Some(suffix) => Self::Suffix { suffix: suffix.to_owned(), port },
            None => Self::Name { name: lower, port },
        })
    }

    fn holds(&self, host: &str, port: u16, address: IpAddr) -> bool {
        let fits = |wanted: &Option<u16>| wanted.is_none_or(|wanted| wanted == port);
        match self {
            Self::Name { name, port } => host.eq_ignore_ascii_case(name) && fits(port),
            Self::Suffix { suffix, port } => {
                host.to_ascii_lowercase().ends_with(suffix.as_str()) && fits(port)
            }
            Self::Network { address: network, bits } => is_within(address, *network, *bits),
        }
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// True if the first `bits` bits of two addresses of one family are equal.
fn is_within(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    match (address, network) {
        (IpAddr::V4(one), IpAddr::V4(other)) => {
            let differ = one.to_bits() ^ other.to_bits();
            differ.checked_shr(32 - u32::from(bits)).unwrap_or(0) == 0
        }
        (IpAddr::V6(one), IpAddr::V6(other)) => {
            let differ = one.to_bits() ^ other.to_bits();
            differ.checked_shr(128 - u32::from(bits)).unwrap_or(0) == 0
        }
        _ => false,
    }
}

/// True for a globally reachable address (IANA's special-purpose address registries), except for
/// Azure's platform address, which is in a public range.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    const RESERVED: [(Ipv4Addr, u8); 16] = [
        (Ipv4Addr::new(0, 0, 0, 0), 8),
        (Ipv4Addr::new(10, 0, 0, 0), 8),
        (Ipv4Addr::new(100, 64, 0, 0), 10),
        (Ipv4Addr::new(127, 0, 0, 0), 8),
        (Ipv4Addr::new(168, 63, 129, 16), 32),
        (Ipv4Addr::new(169, 254, 0, 0), 16),
        (Ipv4Addr::new(172, 16, 0, 0), 12),
        (Ipv4Addr::new(192, 0, 0, 0), 24),
        (Ipv4Addr::new(192, 0, 2, 0), 24),
        (Ipv4Addr::new(192, 88, 99, 0), 24),
        (Ipv4Addr::new(192, 168, 0, 0), 16),
        (Ipv4Addr::new(198, 18, 0, 0), 15),
        (Ipv4Addr::new(198, 51, 100, 0), 24),
        (Ipv4Addr::new(203, 0, 113, 0), 24),
        (Ipv4Addr::new(224, 0, 0, 0), 4),
        (Ipv4Addr::new(240, 0, 0, 0), 4),
    ];
    !RESERVED.iter().any(|(network, bits)| is_within(address.into(), (*network).into(), *bits))
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let bytes = address.octets();
    let [.., a, b, c, d] = bytes;
    let last = Ipv4Addr::new(a, b, c, d);
    match address.segments() {
        // IPv4 embedded in IPv6: mapped, translated (RFC 6052), and 6to4.
        [0, 0, 0, 0, 0, 0xffff, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => is_public_v4(last),
        [0x2002, high, low, ..] => {
            let [a, b] = high.to_be_bytes();
            let [c, d] = low.to_be_bytes();
            is_public_v4(Ipv4Addr::new(a, b, c, d))
        }
        // IETF protocol assignments, including Teredo, and documentation addresses.
        [0x2001, second, ..] if second < 0x200 || second == 0xdb8 => false,
        [0x3fff, second, ..] if second < 0x1000 => false,
        [first, ..] => (0x2000..0x4000).contains(&first),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn special_purpose_addresses_are_not_public() {
        for text in [
            "8.8.8.8",
            "1.1.1.1",
            "172.15.255.255",
            "172.32.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "169.253.0.1",
            "192.167.255.255",
            "223.255.255.255",
            "2606:4700::1111",
            "2001:4860:4860::8888",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
            "2002:808:808::1",
        ] {
            assert!(is_public(address(text)), "{text}");
        }
        for text in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "100.100.100.200",
            "127.0.0.1",
            "127.255.255.255",
            "168.63.129.16",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.168.1.1",
            "198.18.0.1",
            "203.0.113.7",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "2002:7f00:1::1",
            "2002:a9fe:a9fe::",
            "2001::1",
            "2001:db8::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "100::1",
        ] {
            assert!(!is_public(address(text)), "{text}");
        }
    }

    #[test]
    fn allowed_hosts_are_matched() {
        let egress = |entries: &[&str]| {
            let allow_hosts = entries.iter().map(|text| (*text).to_owned()).collect();
            let mut diagnostics = Diagnostics::default();
            let written = EgressSettings { fetch_pictures: true, allow_hosts };
            (written.check("egress", &mut diagnostics), diagnostics.is_empty())
        };
        for (entry, host, port, ip, expected) in [
            ("10.1.0.0/16", "a", 443, "10.1.2.3", true),
            ("10.1.0.0/16", "a", 443, "10.2.2.3", false),
            ("10.1.0.0/16", "a", 443, "::ffff:10.1.2.3", false),
            ("0.0.0.0/0", "a", 443, "127.0.0.1", true),
            ("127.0.0.1", "a", 443, "127.0.0.1", true),
            ("127.0.0.1", "a", 443, "127.0.0.2", false),
            ("fd00::/8", "a", 443, "fd12::1", true),
            ("::1", "a", 443, "::1", true),
            ("Pictures.internal", "pictures.INTERNAL", 443, "10.0.0.1", true),
            ("pictures.internal", "x.pictures.internal", 443, "10.0.0.1", false),
            ("pictures.internal:8443", "pictures.internal", 443, "10.0.0.1", false),
            ("pictures.internal:8443", "pictures.internal", 8443, "10.0.0.1", true),
            ("*.corp.example", "a.corp.example", 443, "10.0.0.1", true),
            ("*.corp.example", "corp.example", 443, "10.0.0.1", false),
            ("*.corp.example", "acorp.example", 443, "10.0.0.1", false),
        ] {
            let (found, is_sound) = egress(&[entry]);
            assert!(is_sound, "{entry}");
            assert_eq!(found.allows(host, port, address(ip)), expected, "{entry} {host} {ip}");
        }
        assert!(egress(&[]).0.allows("a", 443, address("8.8.8.8")));
        for entry in ["", "https://a", "a/b", "10.0.0.0/33", "*", "*.", "a b", "a:port", "a:70000"]
        {
            assert!(!egress(&[entry]).1, "{entry}");
        }
    }
}
