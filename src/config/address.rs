//! Where a provider is, judged from its address alone.
//!
//! Owns: the reading of `baseurl`, and what counts as the gateway's own host, as the tailnet, and as private.
//! In: text or an IP address. Out: an [`Upstream`] or a plain reason. Must not know: providers, DNS.

use http::Uri;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An address that was understood.
#[derive(Debug)]
pub(crate) struct Upstream {
    /// Scheme, authority and path prefix without a trailing slash.
    pub(crate) base: Uri,
    /// The host's kind.
    pub(crate) place: Place,
    /// Whether it is plain HTTP.
    pub(crate) plain: bool,
    /// Whether it holds a part that stands for something to be filled in, as in `100.x.x.x`.
    pub(crate) placeholder: bool,
}

/// Where a host is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The gateway's own host, its link, or a cloud's metadata service.
    Local,
    /// A tailnet address or name.
    Tailnet,
    /// A private address, or a name without a public suffix.
    Private,
    /// Anywhere else.
    Public,
}

/// Whether an address is the gateway's own host, its link, or a cloud's metadata service.
///
/// A name can lead to such an address, too: whoever connects over the host's network asks this about what the name
/// resolved to.
pub fn is_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            ip.is_loopback()
                || ip.is_unspecified()
                || ip.is_link_local()
                // "This network" (0/8) reaches the host itself; the other two are metadata services.
                || ip.octets()[0] == 0
                || ip == Ipv4Addr::new(100, 100, 100, 200)
                || ip == Ipv4Addr::new(192, 0, 0, 192)
        }
        IpAddr::V6(ip) => {
            ip.is_loopback()
                || ip.is_unspecified()
                || ip.is_unicast_link_local()
                || ip == Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)
                || embedded(ip).is_some_and(|ip| is_local(ip.into()))
        }
    }
}

/// Whether an address belongs to a tailnet.
pub fn is_tailnet(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => matches!(ip.octets(), [100, 64..=127, _, _]),
        IpAddr::V6(ip) => {
            ip.segments()[..3] == [0xfd7a, 0x115c, 0xa1e0]
                || embedded(ip).is_some_and(|ip| is_tailnet(ip.into()))
        }
    }
}

/// The IPv4 address within a mapped, compatible or translated (NAT64) one.
fn embedded(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let segments = ip.segments();
    let translated = segments[..6] == [0x64, 0xff9b, 0, 0, 0, 0];
    let compatible = segments[..6] == [0; 6];
    ip.to_ipv4_mapped().or_else(|| {
        let [.., a, b, c, d] = ip.octets();
        (translated || compatible).then_some(Ipv4Addr::new(a, b, c, d))
    })
}

/// Reads a `baseurl`; the reason never repeats the text, which may hold a password.
pub(crate) fn read(text: &str) -> Result<Upstream, &'static str> {
    let text = text.trim();
    if text.contains(['#', '?']) {
        return Err("it must end with the path, without query or fragment");
    }
    let uri: Uri = text.parse().map_err(|_| "it is not a URL")?;
    let plain = match uri.scheme_str() {
        Some("http") => true,
        Some("https") => false,
        _ => return Err("it must begin with http:// or https://"),
    };
    let authority = uri.authority().ok_or("it has no host")?;
    if authority.as_str().contains('@') {
        return Err("it must not hold a user name or password; use apikey");
    }
    let host = authority.host();
    let tail = &authority.as_str()[host.len()..];
    if !tail.is_empty() && authority.port_u16().is_none_or(|port| port == 0) {
        return Err("its port is not a number between 1 and 65535");
    }
    let (place, placeholder) = place(host)?;
    let path = uri.path().trim_end_matches('/');
    let base = Uri::builder()
        .scheme(if plain { "http" } else { "https" })
        .authority(authority.clone())
        .path_and_query(if path.is_empty() { "/" } else { path })
        .build()
        .map_err(|_| "it is not a URL")?;
    Ok(Upstream {
        base,
        place,
        plain,
        placeholder,
    })
}

/// Names that lead to the own host or to a metadata service, besides `localhost`.
const LOCAL_NAMES: [&str; 5] = [
    "ip6-localhost",
    "ip6-loopback",
    "localhost.localdomain",
    "metadata",
    "metadata.google.internal",
];

/// Judges a host; also says whether it is a placeholder.
fn place(host: &str) -> Result<(Place, bool), &'static str> {
    let ip = match host.strip_prefix('[') {
        Some(inner) => {
            let inner = inner
                .strip_suffix(']')
                .ok_or("its host is not an address")?;
            Some(
                inner
                    .parse::<Ipv6Addr>()
                    .map_err(|_| "its host is not an address")?
                    .into(),
            )
        }
        None => host.parse::<Ipv4Addr>().ok().map(IpAddr::from),
    };
    if let Some(ip) = ip {
        let place = match ip {
            _ if is_local(ip) => Place::Local,
            _ if is_tailnet(ip) => Place::Tailnet,
            IpAddr::V4(ip) if ip.is_private() => Place::Private,
            IpAddr::V6(ip) if ip.is_unique_local() => Place::Private,
            _ => Place::Public,
        };
        return Ok((place, false));
    }
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    let labels: Vec<&str> = name.split('.').collect();
    let last = labels.last().copied().unwrap_or_default();
    if labels.iter().any(|label| label.is_empty()) {
        return Err("its host has an empty part");
    }
    // System resolvers read 127.1, 0x7f000001 and 2130706433 as addresses.
    let hexadecimal = last
        .strip_prefix("0x")
        .is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    if hexadecimal || last.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("its host ends in a number, but is not an IPv4 address");
    }
    let crossed = labels
        .iter()
        .filter(|label| label.bytes().all(|byte| byte == b'x'));
    let placeholder = crossed.count() >= 2 || labels.iter().any(|label| label.starts_with("your-"));
    let place = match last {
        "localhost" => Place::Local,
        _ if LOCAL_NAMES.contains(&name.as_str()) => Place::Local,
        _ if name.ends_with(".ts.net") => Place::Tailnet,
        "local" | "lan" | "internal" => Place::Private,
        _ if labels.len() == 1 || name.ends_with(".home.arpa") => Place::Private,
        _ => Place::Public,
    };
    Ok((place, placeholder))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place_of(text: &str) -> Place {
        read(text).unwrap().place
    }

    #[test]
    fn every_way_to_the_own_host_is_local() {
        for text in [
            "http://127.0.0.1:8080",
            "http://127.9.9.9",
            "http://localhost",
            "http://LOCALHOST.:80",
            "http://a.localhost",
            "http://0.0.0.0",
            "http://0.1.2.3",
            "http://[::1]:80",
            "http://[::]",
            "http://[::ffff:127.0.0.1]",
            "http://[::127.0.0.1]",
            "http://[64:ff9b::7f00:1]",
            "http://[fe80::1]",
            "http://169.254.169.254/latest",
            "http://[fd00:ec2::254]",
            "http://metadata.google.internal",
            "http://100.100.100.200",
        ] {
            assert_eq!(place_of(text), Place::Local, "{text}");
        }
    }

    #[test]
    fn other_places() {
        for (text, place) in [
            ("https://api.openai.com", Place::Public),
            ("http://100.99.98.31:8080", Place::Tailnet),
            ("http://[fd7a:115c:a1e0::1]", Place::Tailnet),
            ("http://llm.tail1234.ts.net", Place::Tailnet),
            ("http://100.128.0.1", Place::Public),
            ("http://10.0.0.1", Place::Private),
            ("http://[fd00::1]", Place::Private),
            ("http://llm-box:8080", Place::Private),
        ] {
            assert_eq!(place_of(text), place, "{text}");
        }
        assert!(read("http://100.x.x.x:8080").unwrap().placeholder);
    }

    #[test]
    fn what_cannot_be_an_address_is_refused() {
        for text in [
            "",
            "api.openai.com",
            "ftp://x.example",
            "https://",
            "https://user:pass@x.example",
            "https://x.example:99999",
            "https://x.example:0",
            "https://x.example/?key=1",
            "https://x.example/#a",
            "http://127.1",
            "http://2130706433",
            "http://0x7f000001",
            "http://a..b",
            "http://[::1",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_base_has_no_trailing_slash() {
        for (text, path) in [
            ("https://openrouter.ai/api/", "/api"),
            ("https://api.openai.com", "/"),
            ("https://api.openai.com/", "/"),
            ("https://api.z.ai/api/anthropic", "/api/anthropic"),
        ] {
            assert_eq!(read(text).unwrap().base.path(), path);
        }
    }
}
