//! One line of `conntrack -L` (also `-o extended`, `-o id`) or of /proc/net/nf_conntrack.
//!
//! The forms are those of `ct_seq_show` (net/netfilter/nf_conntrack_standalone.c) and of libnetfilter_conntrack's
//! `__snprintf_conntrack_default`: words, of which `src=` opens a direction. Both write `use=` behind all that counts
//! here: a line without it was cut short.

use std::net::IpAddr;

use crate::model::{Entry, L4, Status, TcpInfo, TcpState, Tuple, protocol_number};

/// Why a line is no entry.
pub type Broken = &'static str;

/// One direction as it is read.
#[derive(Clone, Copy, Default)]
struct Direction {
    source: Option<IpAddr>,
    destination: Option<IpAddr>,
    source_port: Option<u16>,
    destination_port: Option<u16>,
    kind: Option<u8>,
    code: Option<u8>,
    id: Option<u16>,
}

impl Direction {
    fn tuple(&self, protocol: u8) -> Result<Tuple, Broken> {
        let (Some(source), Some(destination)) = (self.source, self.destination) else {
            return Err("a direction without both addresses");
        };
        if source.is_ipv4() != destination.is_ipv4() {
            return Err("a direction of two families");
        }
        let l4 = match (self.source_port, self.destination_port, self.kind, self.code) {
            (Some(source), Some(destination), ..) => L4::Ports { source, destination },
            (_, _, Some(kind), Some(code)) => L4::Icmp { kind, code, id: self.id.unwrap_or(0) },
            _ => L4::None,
        };
        Ok(Tuple { source, destination, protocol, l4 })
    }
}

/// The entry that a line shows; nothing for an empty line and for conntrack(8)'s own last words.
///
/// # Errors
/// Why it is none.
pub fn entry(line: &str) -> Result<Option<Entry>, Broken> {
    let line = line.trim();
    if line.is_empty() || (line.starts_with("conntrack v") && line.ends_with("have been shown.")) {
        return Ok(None);
    }
    let mut words = line.split_ascii_whitespace().peekable();
    // The layer 3 protocol and its number, which addresses tell as well.
    if words.next_if(|word| matches!(*word, "ipv4" | "ipv6" | "unknown")).is_some() {
        let number = words.next().filter(|number| number.parse::<u8>().is_ok());
        let Some(number) = number else { return Err("no protocol number") };
        // `unknown` is a layer 4 protocol too, and then this was its number.
        if words.peek().is_some_and(|word| word.bytes().all(|byte| byte.is_ascii_digit())) {
            return fields(number.parse().map_err(|_| "no protocol number")?, words).map(Some);
        }
    }
    let name = words.next().ok_or("no protocol")?;
    let number = words.next().and_then(|number| number.parse::<u8>().ok()).ok_or("no protocol number")?;
    if protocol_number(name).is_some_and(|known| known != number) {
        return Err("a protocol with another's number");
    }
    fields(number, words).map(Some)
}

fn fields<'a>(protocol: u8, words: impl Iterator<Item = &'a str>) -> Result<Entry, Broken> {
    let mut entry = Entry { status: Status(Status::CONFIRMED | Status::SEEN_REPLY), ..Entry::default() };
    let (mut directions, mut seen) = ([Direction::default(); 2], 0);
    let (mut after_code, mut whole) = (false, false);
    for word in words {
        let was_after_code = std::mem::take(&mut after_code);
        let Some((name, value)) = word.split_once('=') else {
            bare(word, seen, &mut entry);
            continue;
        };
        if name == "src" {
            seen += 1;
        }
        let direction = directions.get_mut(usize::max(seen, 1) - 1).ok_or("more than two directions")?;
        match name {
            "src" => direction.source = Some(address(value)?),
            "dst" => direction.destination = Some(address(value)?),
            "sport" | "srckey" => direction.source_port = Some(number(value)?),
            "dport" | "dstkey" => direction.destination_port = Some(number(value)?),
            "type" => direction.kind = Some(number(value)?),
            "code" => (direction.code, after_code) = (Some(number(value)?), true),
            // ICMP's own stands behind its code; `-o id` gives the entry's last.
            "id" if was_after_code => direction.id = Some(number(value)?),
            "id" => entry.id = number(value)?,
            "packets" => entry.packets = Some(entry.packets.unwrap_or(0).saturating_add(number(value)?)),
            "mark" => entry.mark = number(value)?,
            "zone" => entry.zone = number(value)?,
            "zone-orig" => (entry.zone, entry.reply_zone) = (number(value)?, Some(0)),
            "zone-reply" => entry.reply_zone = Some(number(value)?),
            "helper" => entry.helper = true,
            "use" => whole = true,
            _ => {}
        }
    }
    entry.original = directions[0].tuple(protocol)?;
    entry.reply = if seen > 1 { Some(directions[1].tuple(protocol)?) } else { None };
    match whole {
        true => Ok(entry),
        false => Err("cut short: no use= stands at its end"),
    }
}

/// A word without a value: the time left, a state, a flag.
fn bare(word: &str, seen: usize, entry: &mut Entry) {
    match word {
        "[ASSURED]" => entry.status.0 |= Status::ASSURED,
        "[UNREPLIED]" => entry.status.0 &= !Status::SEEN_REPLY,
        "[OFFLOAD]" => entry.status.0 |= Status::OFFLOAD,
        "[HW_OFFLOAD]" => entry.status.0 |= Status::HW_OFFLOAD,
        _ if seen > 0 => {}
        _ => match (word.parse::<u32>(), state(word)) {
            (Ok(left), _) => entry.timeout_seconds = Some(left),
            (_, Some(state)) => entry.tcp = Some(TcpInfo { state, flags_original: 0, flags_reply: 0 }),
            // SCTP's and DCCP's states are not needed.
            _ => {}
        },
    }
}

/// `tcp_conntrack_names` of the kernel.
fn state(word: &str) -> Option<TcpState> {
    Some(match word {
        "NONE" => TcpState::None,
        "SYN_SENT" => TcpState::SynSent,
        "SYN_RECV" => TcpState::SynRecv,
        "ESTABLISHED" => TcpState::Established,
        "FIN_WAIT" => TcpState::FinWait,
        "CLOSE_WAIT" => TcpState::CloseWait,
        "LAST_ACK" => TcpState::LastAck,
        "TIME_WAIT" => TcpState::TimeWait,
        "CLOSE" => TcpState::Close,
        "SYN_SENT2" => TcpState::SynSent2,
        _ => return None,
    })
}

fn address(value: &str) -> Result<IpAddr, Broken> {
    value.parse().map_err(|_| "not an address")
}

/// Decimal, or hexadecimal behind `0x` (GRE's keys).
fn number<N: TryFrom<u64>>(value: &str) -> Result<N, Broken> {
    let parsed = match value.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => value.parse::<u64>(),
    };
    parsed.ok().and_then(|value| N::try_from(value).ok()).ok_or("not a number, or too large")
}

#[cfg(test)]
#[path = "line_tests.rs"]
mod tests;
