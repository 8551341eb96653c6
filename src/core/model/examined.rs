//! Facts that `doctor` read: lines of files, counters, messages, rules.

/// Program that applies a file of sysctls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AppliedBy {
    /// The boot, and `sysctl --system`.
    Boot,
    /// `sysctl --system` and `sysctl -p` by hand, never the boot.
    HandOnly,
    /// Nobody: its name does not end in `.conf`.
    Nobody,
    /// A unit or a script that runs at boot, behind the boot's own.
    Again,
    /// ufw, whenever it starts or reloads.
    Ufw,
}

impl SysctlProgram {
    /// It sets each name that a pattern stands for.
    pub fn knows_patterns(self) -> bool {
        matches!(self, SysctlProgram::Systemd | SysctlProgram::Procps)
    }
}

/// A file of sysctls.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SysctlFile {
    /// Below the root, links resolved.
    pub path: String,
    /// By which it is found: the same, or a link to it.
    pub listed_as: String,
    /// Program that applies it.
    pub applied_by: AppliedBy,
    /// Lines in all.
    pub lines_total: u32,
    /// Comments among them.
    pub comments: u32,
    /// Lines that are neither empty nor comments.
    pub lines: Vec<SysctlLine>,
}

/// A line that is neither empty nor a comment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SysctlLine {
    /// Number of the line, from 1.
    pub line: u32,
    /// The last line of the file that it continues over; the same as `line` where it does not.
    pub last: u32,
    /// As it stands there, continuation lines joined, without space around it.
    pub text: String,
    /// Its lines as they stand there, where it continues over several; else nothing.
    pub physical: Vec<String>,
    /// The path below /proc/sys that it names, `-` and separators understood; a pattern stays one.
    pub key: String,
    /// Text behind `=`; `None` without one.
    pub value: Option<String>,
    /// It begins with `-`: that it may fail is meant.
    pub may_fail: bool,
}

impl SysctlLine {
    /// The name after `nf_conntrack_`, for both places of max. A key that is none of these has none.
    pub fn conntrack_name(&self) -> Option<&str> {
        match self.key.as_str() {
            "net/nf_conntrack_max" => Some("max"),
            key => key.strip_prefix("net/netfilter/nf_conntrack_"),
        }
    }
}

/// A line of another file, with where it stands.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FileLine {
    /// Below the root.
    pub path: String,
    /// Number of the line, from 1.
    pub line: u32,
    /// The last line of the file that it continues over; the same as `line` where it does not.
    pub last: u32,
    /// Continuation lines joined, without space around it.
    pub text: String,
    /// Its lines as they stand there, where it continues over several; else nothing.
    pub physical: Vec<String>,
}

/// A program that reads files of sysctls. Each has its own grammar.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum SysctlProgram {
    /// The program systemd-sysctl.
    #[default]
    Systemd,
    /// `sysctl` of procps 4.
    Procps,
    /// `sysctl` of procps 3, which knows no patterns.
    OldProcps,
    /// `sysctl` of busybox.
    Busybox,
}

/// Columns of the per-CPU statistics, summed (`struct ip_conntrack_stat`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Statistics {
    /// Tuples that NAT found taken.
    pub found: u64,
    /// Entries that could not be inserted: taken by another, or a chain that is too long.
    pub insert_failed: u64,
    /// Packets dropped: the table is full, or an insert failed.
    pub drop: u64,
    /// Entries shed for others.
    pub early_drop: u64,
    /// Collisions that were resolved without loss.
    pub clash_resolve: u64,
}

/// A message of the kernel.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct KernelMessage {
    /// The file, /dev/kmsg or a log.
    pub path: String,
    /// From 1; nothing in /dev/kmsg.
    pub line: Option<u32>,
    /// Seconds since boot, where the record tells.
    pub at_seconds: Option<f64>,
    /// The time as RFC 3339 in UTC.
    pub at: Option<String>,
    /// Text of the message.
    pub text: String,
}

/// A rule of nftables that has to do with connection tracking, or that decides about packets.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Rule {
    /// `inet`, `ip`, …
    pub family: &'static str,
    /// Name of its table.
    pub table: String,
    /// Name of its chain.
    pub chain: String,
    /// Number by which nft(8) knows it.
    pub handle: u64,
    /// Expressions and extensions of x_tables that make the kernel track (`ct`, `masq`, `conntrack`).
    pub tracks_by: Vec<String>,
    /// One of them translates, offloads, marks or limits: tracking is what the rule is for.
    pub needs: bool,
    /// It drops, rejects, or looks a verdict up.
    pub refuses: bool,
    /// It logs, counts, marks or remembers what it matches.
    pub acts: bool,
    /// It changes what it matches, or where that goes: a header field, an option of TCP, the interface or socket.
    pub writes: bool,
}

/// The ruleset of nftables in one namespace.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Ruleset {
    /// Rules of all tables.
    pub rules: Vec<Rule>,
    /// A base chain has policy drop.
    pub policy_drop: bool,
}
