//! Fields of an entry in a line of text, whichever form the line has.

use std::net::IpAddr;

use crate::core::model::{Entry, L4, Status, TCP, TcpInfo, TcpState, Tuple, UDP};

/// Reason why a line is no entry.
pub type NoEntryReason = &'static str;

/// Reason why a line of `conntrack -E` is no entry.
pub(super) const EVENT: NoEntryReason = "an event (conntrack -E) and no entry of a table (conntrack -L)";
/// Reason why a line that ends too early is no entry.
pub(super) const CUT: NoEntryReason = "cut short";

/// An entry as a text shows it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct ShownEntry {
    /// The entry; a value that the text does not contain is not set.
    pub entry: Entry,
    /// True if the text shows that the entry is or is not ASSURED: `[OFFLOAD]` stands in the place of `[ASSURED]`.
    pub assured_told: bool,
    /// True if the text shows that the entry had or had no reply.
    pub reply_told: bool,
}

/// Values of one direction, as far as they were read.
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
    fn tuple(&self, protocol: u8) -> Result<Tuple, NoEntryReason> {
        let (Some(source), Some(destination)) = (self.source, self.destination) else {
            return Err("a direction without both addresses");
        };
        if source.is_ipv4() != destination.is_ipv4() {
            return Err("a direction of two families");
        }
        let l4 = match (self.source_port, self.destination_port, self.kind, self.code) {
            (Some(source), Some(destination), ..) => L4::Ports { source, destination },
            // If no tracker of SCTP or GRE is loaded, /proc shows no ports.
            _ if protocol == TCP || protocol == UDP => return Err("a direction without both ports"),
            (_, _, Some(kind), Some(code)) => L4::Icmp { kind, code, id: self.id.unwrap_or(0) },
            _ => L4::None,
        };
        Ok(Tuple { source, destination, protocol, l4 })
    }
}

/// Collects the fields of one entry.
pub(super) struct Fields {
    entry: Entry,
    directions: [Direction; 2],
    assured_told: bool,
    reply_told: bool,
}

impl Fields {
    /// Starts with an entry that is not ASSURED and had a reply, until a line says otherwise.
    pub(super) fn new() -> Fields {
        let status = Status(Status::CONFIRMED | Status::SEEN_REPLY);
        let entry = Entry { status, ..Entry::default() };
        Fields { entry, directions: Default::default(), assured_told: true, reply_told: true }
    }

    /// Reads a field of a direction, 0 being the original. Returns false if the name is no such field.
    ///
    /// # Errors
    /// The value is impossible for the field, or the field is there twice.
    pub(super) fn of_direction(
        &mut self,
        which: usize,
        name: &str,
        value: &str,
    ) -> Result<bool, NoEntryReason> {
        let direction = self.directions.get_mut(which).ok_or("more than two directions")?;
        match name {
            "src" => once(&mut direction.source, address(value)?)?,
            "dst" => once(&mut direction.destination, address(value)?)?,
            "sport" | "srckey" => once(&mut direction.source_port, number(value)?)?,
            "dport" | "dstkey" => once(&mut direction.destination_port, number(value)?)?,
            "type" => once(&mut direction.kind, number(value)?)?,
            "code" => once(&mut direction.code, number(value)?)?,
            // ICMP's id has a name of its own here, because the entry's id is `id` too.
            "icmp-id" => once(&mut direction.id, number(value)?)?,
            "packets" => {
                let both = self.entry.packets.unwrap_or(0);
                self.entry.packets = Some(both.saturating_add(number(value)?));
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Reads a field of the entry; unknown fields are ignored.
    ///
    /// # Errors
    /// The value is impossible for the field.
    pub(super) fn of_entry(&mut self, name: &str, value: &str) -> Result<(), NoEntryReason> {
        let entry = &mut self.entry;
        match name {
            "id" => entry.id = number(value)?,
            "mark" => entry.mark = number(value)?,
            "zone" => entry.zone = number(value)?,
            "zone-orig" => {
                (entry.zone, entry.reply_zone) = (number(value)?, Some(entry.reply_zone.unwrap_or(0)))
            }
            "zone-reply" => entry.reply_zone = Some(number(value)?),
            "helper" => entry.helper = true,
            "use" => drop(number::<u32>(value)?),
            _ => {}
        }
        Ok(())
    }

    /// Takes the seconds left. Kernels before 4.7 print a negative number for an expired entry, and 2.4 a huge one.
    pub(super) fn time_left(&mut self, seconds: i128) {
        self.entry.timeout_seconds = match u32::try_from(seconds) {
            Ok(seconds) => Some(seconds),
            Err(_) => (seconds < 0).then_some(0),
        };
    }

    /// Reads a state. SCTP and DCCP have states too, some with names of TCP's; they are ignored.
    ///
    /// # Errors
    /// TCP has no such state.
    pub(super) fn state(&mut self, protocol: u8, word: &str) -> Result<(), NoEntryReason> {
        if protocol == TCP {
            let state = state(word).ok_or("a state that TCP does not have")?;
            self.entry.tcp = Some(TcpInfo { state, flags_original: 0, flags_reply: 0 });
        }
        Ok(())
    }

    pub(super) fn set(&mut self, flag: u32, yes: bool) {
        match yes {
            true => self.entry.status.0 |= flag,
            false => self.entry.status.0 &= !flag,
        }
    }

    /// Marks an entry that goes through a flowtable: the text then does not show if it is ASSURED.
    pub(super) fn offloaded(&mut self, flag: u32) {
        self.set(flag, true);
        self.assured_told = false;
    }

    /// Marks the form as one that shows no status.
    pub(super) fn without_status(&mut self) {
        (self.assured_told, self.reply_told) = (false, false);
    }

    /// Builds the entry once all fields were read.
    ///
    /// # Errors
    /// A field is missing, or the directions do not fit together.
    pub(super) fn finish(mut self, protocol: u8) -> Result<ShownEntry, NoEntryReason> {
        let [original, reply] = self.directions.map(|direction| direction.tuple(protocol));
        let (original, reply) = (original?, reply?);
        if original.source.is_ipv4() != reply.source.is_ipv4() {
            return Err("two directions of two families");
        }
        (self.entry.original, self.entry.reply) = (original, Some(reply));
        Ok(ShownEntry { entry: self.entry, assured_told: self.assured_told, reply_told: self.reply_told })
    }
}

fn once<T>(field: &mut Option<T>, value: T) -> Result<(), NoEntryReason> {
    match field.replace(value) {
        None => Ok(()),
        Some(_) => Err("a field that stands twice: two lines in one"),
    }
}

/// Returns the state of a name in the kernel's `tcp_conntrack_names`. The state that is SYN_SENT2 since 2.6.31 was
/// LISTEN before, which no entry had.
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
        "LISTEN" => TcpState::Unknown(9),
        _ => return None,
    })
}

fn address(value: &str) -> Result<IpAddr, NoEntryReason> {
    value.parse().map_err(|_| "not an address")
}

/// Reads a decimal number, or a hexadecimal one after `0x` (GRE's keys).
pub(super) fn number<N: TryFrom<u64>>(value: &str) -> Result<N, NoEntryReason> {
    let digits = |radix: u32, text: &str| match text.bytes().all(|byte| char::from(byte).is_digit(radix)) {
        true => u64::from_str_radix(text, radix).ok(),
        false => None,
    };
    let parsed = value.strip_prefix("0x").map_or_else(|| digits(10, value), |hex| digits(16, hex));
    parsed.and_then(|value| N::try_from(value).ok()).ok_or("not a number, or too large")
}
