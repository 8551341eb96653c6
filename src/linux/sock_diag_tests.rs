use std::collections::HashSet;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};

use proptest::prelude::*;

use super::super::attribute::Messages;
use super::*;

fn pair(tuple: &Tuple) -> (SocketAddr, SocketAddr) {
    let (local, remote) = (tuple.source_port().unwrap(), tuple.destination_port().unwrap());
    (SocketAddr::new(tuple.source, local), SocketAddr::new(tuple.destination, remote))
}

/// The sockets of this very namespace.
fn asked(protocol: u8) -> HashSet<(SocketAddr, SocketAddr)> {
    let mut found = HashSet::new();
    let mut netlink = Netlink::open_sock_diag().expect("sock_diag");
    connected(&mut netlink, protocol, |tuple| found.extend([pair(tuple)])).expect("a dump");
    found
}

fn message(payload: &[u8]) -> Message<'_> {
    Message { kind: SOCK_DIAG_BY_FAMILY, flags: 2, sequence: 1, port: 0, payload }
}

#[test]
fn a_connected_tcp_socket_is_told_by_both_its_ends_and_one_that_listens_is_not() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let client = TcpStream::connect(listener.local_addr().unwrap()).expect("connect");
    let (server, _) = listener.accept().expect("accept");
    let found = asked(TCP);
    let (near, far) = (client.local_addr().unwrap(), client.peer_addr().unwrap());
    assert!(found.contains(&(near, far)) && found.contains(&(far, near)));
    assert_eq!(found.iter().filter(|(local, _)| *local == far).count(), 1, "the listener has no peer");
    drop((client, server));
    assert!(!asked(TCP).contains(&(near, far)), "TIME_WAIT and CLOSE belong to nobody");
}

#[test]
fn an_ipv6_socket_that_speaks_ipv4_is_told_as_one_of_ipv4() {
    let Ok(listener) = TcpListener::bind("[::]:0") else { return };
    let port = listener.local_addr().unwrap().port();
    let client = TcpStream::connect(("127.0.0.1", port)).expect("connect");
    let (server, mapped) = listener.accept().expect("accept");
    assert!(mapped.is_ipv6(), "the socket itself sees a mapped address");
    assert!(asked(TCP).contains(&(client.peer_addr().unwrap(), client.local_addr().unwrap())));
    drop(server);
}

#[test]
fn udp_is_told_once_it_is_connected() {
    let one = UdpSocket::bind("127.0.0.1:0").expect("bind");
    let two = UdpSocket::bind("127.0.0.1:0").expect("bind");
    one.connect(two.local_addr().unwrap()).expect("connect");
    let found = asked(UDP);
    assert!(found.contains(&(one.local_addr().unwrap(), two.local_addr().unwrap())));
    assert!(!found.iter().any(|(local, _)| *local == two.local_addr().unwrap()));
}

#[test]
fn a_protocol_that_has_no_sockets_is_an_error_and_not_an_empty_answer() {
    let mut netlink = Netlink::open_sock_diag().expect("sock_diag");
    assert!(connected(&mut netlink, 254, |_| ()).is_err());
}

#[test]
fn half_a_socket_is_an_error() {
    let whole = [2u8; ANSWER];
    assert!(socket(&message(&whole), TCP).unwrap().is_some());
    for length in 0..ANSWER {
        assert!(socket(&message(&whole[..length]), TCP).is_err(), "{length}");
    }
    assert!(socket(&Message { kind: 3, ..message(&whole) }, TCP).unwrap().is_none());
}

#[test]
fn the_request_is_one_message_of_its_announced_length() {
    for (family, protocol) in FAMILIES.into_iter().zip(PROTOCOLS) {
        let bytes = request(family, protocol, 7);
        let messages: Vec<_> = Messages(&bytes).map(Result::unwrap).collect();
        assert_eq!((messages.len(), messages[0].payload.len()), (1, REQUEST));
        assert_eq!(messages[0].payload[..2], [family, protocol]);
    }
    assert_eq!(states(UDP), 1 << 1);
    assert_eq!(states(TCP) & (1 << TIME_WAIT | 1 << CLOSE | 1 << LISTEN | 1), 0);
    assert_ne!(states(TCP) & (1 << ESTABLISHED | 1 << NEW_SYN_RECV | 1 << 8), 0);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_answer_is_read_or_refused(kind in any::<u16>(), payload in prop::collection::vec(any::<u8>(), 0..100)) {
        for kind in [kind, SOCK_DIAG_BY_FAMILY] {
            if let Ok(Some(tuple)) = socket(&Message { kind, ..message(&payload) }, TCP) {
                prop_assert!(tuple.destination_port().is_some_and(|port| port > 0));
                prop_assert_eq!(tuple.source.is_ipv4(), tuple.destination.is_ipv4());
            }
        }
    }
}
