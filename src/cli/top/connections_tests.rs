use super::*;
use crate::core::model::{L4, Status, TCP, Tuple, UDP};

fn connection(protocol: u8, port: u16, to: u8, left: u32, idle_seconds: Option<u32>) -> Connection {
    let l4 = L4::Ports { source: port, destination: 443 };
    let address = |n| IpAddr::from([192, 0, 2, n]);
    let original = Tuple { source: address(1), destination: address(to), protocol, l4 };
    let entry = Entry {
        original,
        id: port.into(),
        status: Status(Status::SEEN_REPLY),
        timeout_seconds: Some(left),
        ..Entry::default()
    };
    Connection::new(&entry, &Verdict { idle_seconds, exact: true, protocol, ..Verdict::default() })
}

fn read(order: &Order) -> Read {
    let mut rows = vec![
        connection(UDP, 1001, 9, 100, Some(20)),
        connection(UDP, 1002, 8, 50, None),
        connection(TCP, 1003, 7, 431_000, Some(1000)),
    ];
    order.sort(&mut rows);
    Read { of: order.clone(), total: 3, rows, seconds: 0.004 }
}

fn ports(connections: &Connections) -> Vec<String> {
    connections.rows().iter().map(Connection::port).collect()
}

#[test]
fn they_are_sorted_in_each_order_and_what_is_not_known_comes_last() {
    let mut connections = Connections::new(("192.0.2.1".into(), Some(0)));
    connections.take(read(&connections.order()));
    assert_eq!(ports(&connections), ["1003", "1001", "1002"]);
    assert_eq!(connections.reverse(), Ask::Connections);
    assert_eq!(ports(&connections), ["1001", "1003", "1002"]);
    connections.reverse();
    connections.sort_by_next();
    assert_eq!(ports(&connections), ["1003", "1001", "1002"]);
    connections.sort_by_next();
    assert_eq!(ports(&connections), ["1003", "1002", "1001"]);
    connections.reverse();
    assert_eq!(ports(&connections), ["1001", "1002", "1003"]);
}

#[test]
fn the_cursor_stays_on_its_connection_and_in_the_list() {
    let mut connections = Connections::new(("192.0.2.1".into(), Some(0)));
    connections.take(read(&connections.order()));
    connections.walk(KeyCode::End);
    assert_eq!(connections.selected().map(Connection::port), Some("1002".into()));
    let mut again = read(&connections.order());
    again.rows.remove(0);
    connections.take(again);
    assert_eq!((connections.cursor.selected, ports(&connections).len()), (1, 2));
    connections.take(Read { rows: vec![], total: 0, ..read(&connections.order()) });
    assert_eq!((connections.cursor.selected, connections.selected()), (0, None));
}

#[test]
fn what_is_shown_of_one_is_what_list_prints() {
    let shown = connection(TCP, 1003, 7, 431_000, Some(1000));
    assert_eq!((shown.protocol.as_str(), shown.state, shown.to.as_str()), ("tcp", "-", "192.0.2.7:443"));
    assert_eq!((shown.left().as_str(), shown.idle().as_str()), ("4d23h", "16m40s"));
    assert!(shown.details.contains("192.0.2.1:1003") && shown.details.contains("idle 16m40s"), "{shown:?}");
    let unknown = connection(UDP, 1002, 8, 50, None);
    assert_eq!((unknown.idle().as_str(), unknown.state), ("-", "replied"));
}

#[test]
fn no_more_are_kept_than_anybody_scrolls_through() {
    let order = Order::default();
    let mut rows: Vec<Connection> = (0..2000).map(|n| connection(TCP, n, 7, 10, Some(n.into()))).collect();
    order.sort(&mut rows);
    assert_eq!((rows.len(), rows[0].port().as_str()), (MOST_ROWS, "1999"));
}
