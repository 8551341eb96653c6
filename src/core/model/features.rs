//! Features of the running kernel that decide which base timeouts an entry can have.

/// Features of the kernel and of the namespace that the sysctls of conntrack do not tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Features {
    /// Values of `nf_flowtable_tcp_timeout` that were seen, in seconds; none where the kernel lacks the sysctl.
    pub flowtable_tcp_seconds: Vec<u32>,
    /// Values of `nf_flowtable_udp_timeout` that were seen, in seconds; none where the kernel lacks the sysctl.
    pub flowtable_udp_seconds: Vec<u32>,
    /// A flow may be in a flowtable, or may have been in one: a flowtable is listed, was listed in this boot, an entry
    /// in one was seen, or the code of `nf_flow_table` is in the kernel.
    pub flowtables_possible: bool,
    /// UDP becomes ASSURED only by a packet that sets the stream's timeout (Linux 5.16, `nf_conntrack_udp_packet`).
    /// Before that the first answer makes it ASSURED, with `udp_timeout`.
    pub assured_udp_is_stream: bool,
}

impl Default for Features {
    /// A kernel since 5.16 without flowtables.
    fn default() -> Self {
        Features {
            flowtable_tcp_seconds: Vec::new(),
            flowtable_udp_seconds: Vec::new(),
            flowtables_possible: false,
            assured_udp_is_stream: true,
        }
    }
}

impl Features {
    /// True if the kernel of a release (`uname -r`) makes UDP ASSURED only as a stream. What cannot be read counts as
    /// an old kernel.
    pub fn assured_udp_is_stream(release: &str) -> bool {
        let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse::<u32>());
        let (major, minor) = (numbers.next().and_then(Result::ok), numbers.next().and_then(Result::ok));
        major.zip(minor).is_some_and(|version| version >= (5, 16))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assured_udp_is_a_stream_since_linux_5_16() {
        for (release, stream) in [
            ("6.18.44-fc-v857", true),
            ("7.0", true),
            ("5.16.0", true),
            ("5.15.2-200.fc35", false),
            ("5.10.0-28-amd64", false),
            ("4.19.0", false),
            ("", false),
            ("unknown", false),
        ] {
            assert_eq!(Features::assured_udp_is_stream(release), stream, "{release}");
        }
    }
}
