//! client - NAT gateway - server: three namespaces, two veth pairs, masquerade for both families.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::harness::namespace::{Namespace, unique};
use crate::harness::tool::must;

pub const CLIENT4: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
pub const SERVER4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
pub const GATEWAY_OUTSIDE4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
pub const CLIENT6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x77, 0, 0, 0, 0, 0, 2);
pub const SERVER6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x192, 0, 0, 0, 0, 0, 2);

const COUNT: &str = "net/netfilter/nf_conntrack_count";

const NAT: &str = "table inet nat {
  chain post { type nat hook postrouting priority srcnat; oifname \"g1\" masquerade; }
}";

/// The three hosts. Only the gateway tracks connections.
#[derive(Debug)]
pub struct Topology {
    pub client: Namespace,
    pub gateway: Namespace,
    pub server: Namespace,
}

/// IPv4 or IPv6.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Family {
    V4,
    V6,
}

impl Family {
    pub fn client(self) -> IpAddr {
        if self == Family::V4 { CLIENT4.into() } else { CLIENT6.into() }
    }

    pub fn server(self) -> IpAddr {
        if self == Family::V4 { SERVER4.into() } else { SERVER6.into() }
    }
}

impl Topology {
    /// Builds it. `tcp_loose` is 0 in the gateway, so that a flow whose entry went cannot come back unseen.
    pub fn new() -> Self {
        let name = unique();
        let [client, gateway, server] = ["c", "g", "s"].map(|role| Namespace::new(&format!("{name}-{role}")));
        let (c, g, s) = (&client.name, &gateway.name, &server.name);
        let pairs = format!(
            "link add name c0 netns {c} type veth peer name g0 netns {g}\n\
             link add name g1 netns {g} type veth peer name s0 netns {s}\n"
        );
        must("ip", &["-batch", "-"], &pairs);
        let side = |ns: &str, commands: &str| must("ip", &["-n", ns, "-batch", "-"], commands);
        side(
            g,
            "addr add 10.77.0.1/24 dev g0\naddr add fd00:77::1/64 dev g0 nodad\n\
             addr add 192.0.2.1/24 dev g1\naddr add fd00:192::1/64 dev g1 nodad\n\
             link set g0 up\nlink set g1 up\n",
        );
        side(c, &end("c0", "10.77.0.2/24", "fd00:77::2/64", "10.77.0.1", "fd00:77::1"));
        side(s, &end("s0", "192.0.2.2/24", "fd00:192::2/64", "192.0.2.1", "fd00:192::1"));
        for name in ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"] {
            gateway.set_sysctl(name, 1);
        }
        gateway.must("nft", &["-f", "-"], NAT);
        gateway.set_sysctl("net/netfilter/nf_conntrack_tcp_loose", 0);
        Topology { client, gateway, server }
    }

    /// Entries in the gateway's table, as the kernel counts them.
    pub fn count(&self) -> u64 {
        self.gateway.sysctl_number(COUNT)
    }
}

fn end(device: &str, v4: &str, v6: &str, via4: &str, via6: &str) -> String {
    format!(
        "addr add {v4} dev {device}\naddr add {v6} dev {device} nodad\nlink set {device} up\n\
         route add default via {via4}\nroute add ::/0 via {via6}\n"
    )
}
