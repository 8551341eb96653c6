//! Names of IP protocols, as iptables, nft and conntrack write them.

/// Names with their numbers (IANA, Assigned Internet Protocol Numbers); the first of a number is the one shown.
const NAMES: &[(&str, u8)] = &[
    ("tcp", 6),
    ("udp", 17),
    ("icmp", 1),
    ("icmpv6", 58),
    ("ipv6-icmp", 58),
    ("sctp", 132),
    ("gre", 47),
    ("dccp", 33),
    ("udplite", 136),
    ("esp", 50),
    ("ah", 51),
    ("ipip", 4),
    ("ipencap", 4),
    ("ipv6", 41),
    ("igmp", 2),
    ("ospf", 89),
    ("pim", 103),
    ("ipcomp", 108),
    ("comp", 108),
    ("vrrp", 112),
    ("l2tp", 115),
];

/// The name of a protocol, where it has one here.
pub fn protocol_name(number: u8) -> Option<&'static str> {
    NAMES.iter().find(|(_, known)| *known == number).map(|(name, _)| *name)
}

/// The number of a protocol by its name (in any case), or by its number.
pub fn protocol_number(text: &str) -> Option<u8> {
    let named = NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)).map(|(_, number)| *number);
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    named.or_else(|| digits.then(|| text.parse().ok()).flatten())
}

/// Every name that [`protocol_number`] knows.
pub fn protocol_names() -> impl Iterator<Item = &'static str> {
    NAMES.iter().map(|(name, _)| *name)
}
