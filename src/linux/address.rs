//! The gateway's own addresses, and the ports by which it is administered.

use std::collections::{BTreeSet, HashSet};
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

use super::root::Root;

/// Addresses of every interface of the calling thread's network namespace (getifaddrs(3)).
pub fn own_addresses() -> io::Result<HashSet<IpAddr>> {
    let addresses = nix::ifaddrs::getifaddrs().map_err(io::Error::from)?;
    Ok(addresses
        .filter_map(|i| {
            let address = i.address?;
            let v4 = address.as_sockaddr_in().map(|a| IpAddr::V4(a.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|a| IpAddr::V6(a.ip())))
        })
        .collect())
}

/// Ports on which sshd may be reached: 22, those of `Port` and `ListenAddress` in sshd_config(5) and its `.d`
/// directory, and the server's port in `$SSH_CONNECTION`. In rising order.
pub fn ssh_ports() -> Vec<u16> {
    ssh_ports_at(&Root::default(), std::env::var("SSH_CONNECTION").ok().as_deref())
}

fn ssh_ports_at(root: &Root, connection: Option<&str>) -> Vec<u16> {
    let mut files = vec![root.join("etc/ssh/sshd_config")];
    if let Ok(entries) = std::fs::read_dir(root.join("etc/ssh/sshd_config.d")) {
        let paths = entries.flatten().map(|e| e.path());
        files.extend(paths.filter(|p: &PathBuf| p.extension().is_some_and(|e| e == "conf")));
    }
    let mut ports = BTreeSet::from([22]);
    for file in files {
        ports.extend(std::fs::read_to_string(file).unwrap_or_default().lines().filter_map(port_of_line));
    }
    // "client-address client-port server-address server-port", ssh(1).
    ports.extend(connection.and_then(|c| c.split_whitespace().nth(3)).and_then(port));
    ports.into_iter().collect()
}

fn port(text: &str) -> Option<u16> {
    text.parse().ok().filter(|p| *p != 0)
}

/// The port that a line of sshd_config sets: keywords know no case, and `=` may stand for the space.
fn port_of_line(line: &str) -> Option<u16> {
    let line = line.split('#').next().unwrap_or_default();
    let mut words = line.split(|c: char| c.is_whitespace() || c == '=' || c == '"').filter(|w| !w.is_empty());
    let (keyword, value) = (words.next()?, words.next()?);
    if keyword.eq_ignore_ascii_case("port") {
        return port(value);
    }
    if !keyword.eq_ignore_ascii_case("listenaddress") {
        return None;
    }
    // A bare IPv6 address has colons and no port; with a port it stands in brackets.
    let (host, number) = value.rsplit_once(':')?;
    let bare_v6 = host.contains(':') && !host.ends_with(']');
    if bare_v6 { None } else { port(number) }
}

#[cfg(test)]
mod tests {
    use super::super::root::fixture::Tree;
    use super::*;

    #[test]
    fn ports_come_from_both_places_and_the_session() {
        let tree = Tree::new(&[
            (
                "etc/ssh/sshd_config",
                "#Port 1\nPort 2222 # admin\n  port=2200\nPermitRootLogin no\nPort 0\nPort x\n",
            ),
            ("etc/ssh/sshd_config.d/10-gw.conf", "PORT \"2022\"\nListenAddress [2001:db8::1]:2023\n"),
            ("etc/ssh/sshd_config.d/old.bak", "Port 9\n"),
            ("etc/ssh/sshd_config.d/addr.conf", "ListenAddress 2001:db8::77\nListenAddress 10.0.0.1:2024\n"),
        ]);
        let session = Some("192.0.2.7 50000 10.0.0.1 2025");
        assert_eq!(ssh_ports_at(&tree.root(), session), [22, 2022, 2023, 2024, 2025, 2200, 2222]);
        assert_eq!(ssh_ports_at(&Tree::new(&[]).root(), Some("broken")), [22]);
    }

    #[test]
    fn own_addresses_are_those_that_can_be_bound() {
        let own = own_addresses().expect("getifaddrs");
        assert!(own.iter().all(|a| !a.is_unspecified()));
        for address in own.iter().filter(|a| a.is_ipv4()) {
            std::net::UdpSocket::bind((*address, 0)).expect("an own address can be bound");
        }
    }
}
