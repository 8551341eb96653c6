//! Whether any entry was ever expected by another, against the kernel's own FTP helper and what comes over netlink.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;

use ctctl::linux::socket::Netlink;
use ctctl::linux::table;

use super::live::{create, dump, kinds};
use super::namespace::{inside, nft};

const FTP: &str = "table ip t {
  ct helper ftp { type \"ftp\" protocol tcp; }
  chain o { type filter hook output priority filter; tcp dport 21 ct helper set \"ftp\"; ct state new; }
}";

fn loopback() {
    let up = Command::new("ip").args(["link", "set", "lo", "up"]).status().expect("ip(8)");
    assert!(up.success(), "ip link set lo up");
}

/// A control connection, and its transfer once the server has said where.
#[test]
fn a_transfer_that_its_control_connection_expected_is_noticed() {
    inside(|| {
        loopback();
        if !nft(FTP) {
            return;
        }
        let mut netlink = Netlink::open().expect("netlink");
        let mut never = || table::never_expected(&mut netlink).expect("statistics");
        let control = TcpListener::bind("127.0.0.1:21").expect("a namespace of its own");
        let data = TcpListener::bind("127.0.0.1:5001").expect("a namespace of its own");
        let client = TcpStream::connect("127.0.0.1:21").expect("loopback");
        let (mut server, _) = control.accept().expect("a connection");
        let _other = TcpStream::connect("127.0.0.1:5001").expect("loopback");
        assert!(never(), "nobody expects anything");
        let mut lines = BufReader::new(&client);
        // The helper reads what begins after an end of line that it has seen (`find_nl_seq`). 19 * 256 + 137 = 5001.
        for line in ["220 Ready\r\n", "227 Entering Passive Mode (127,0,0,1,19,137)\r\n"] {
            server.write_all(line.as_bytes()).expect("written");
            lines.read_line(&mut String::new()).expect("read");
        }
        assert!(never(), "what is expected has not come");
        let _transfer = TcpStream::connect(data.local_addr().expect("bound")).expect("loopback");
        assert!(!never(), "it came");
        let mut netlink = Netlink::open().expect("netlink");
        let children: Vec<_> = dump(&mut netlink).into_iter().filter_map(|entry| entry.master).collect();
        assert_eq!(children.len(), 1, "{children:?}");
        assert_eq!(children[0].destination_port(), Some(21));
    });
}

/// Whoever creates entries may name any master.
#[test]
fn what_comes_over_netlink_may_have_been_expected() {
    inside(|| {
        let mut netlink = Netlink::open().expect("netlink");
        assert!(table::never_expected(&mut netlink).expect("statistics"), "an empty table");
        let (entry, zone_in) = kinds()[0];
        create(&mut netlink, &entry, zone_in);
        assert!(!table::never_expected(&mut netlink).expect("statistics"));
    });
}
