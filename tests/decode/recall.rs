//! Entries asked for by their identity, and deleted on a thread of their own.

use std::time::Instant;

use ctctl::core::model::{Candidate, Class, Entry, L4, Tuple};
use ctctl::linux::deleter::{Deleted, Deleter};
use ctctl::linux::deleting::{Deleting, Going};
use ctctl::linux::socket::Netlink;
use ctctl::linux::table::{self, Walk};

use crate::live::{create, dump, kinds, same};
use crate::namespace::inside;

fn recall(netlink: &mut Netlink, candidates: &[Candidate]) -> (usize, Vec<Entry>) {
    let mut entries = Vec::new();
    let asked = table::recall(netlink, candidates, |chunk| {
        entries.extend(chunk.entries().map(|entry| entry.expect("readable")));
        true
    });
    (asked.expect("answers"), entries)
}

#[test]
fn what_is_asked_for_is_answered_as_a_dump_would_show_it() {
    inside(|| {
        let mut netlink = Netlink::open().expect("netlink");
        kinds().iter().for_each(|(entry, zone_in)| create(&mut netlink, entry, *zone_in));
        let table = dump(&mut netlink);
        let gone = Candidate { zone: 999, ..Candidate::new(Class::Other, &table[0]) };
        // More than go into one send, with one that is not there among them.
        let mut candidates: Vec<Candidate> =
            (0..300).map(|i| Candidate::new(Class::Other, &table[i % table.len()])).collect();
        candidates.insert(150, gone);
        let (asked, answered) = recall(&mut netlink, &candidates);
        assert_eq!((asked, answered.len()), (301, 300));
        for (i, entry) in answered.iter().enumerate() {
            assert!(same(entry, &table[i % table.len()]), "{entry:?}");
        }
        // What the kernel would not understand is not asked for, and takes nothing with it.
        let unreadable = Candidate { id: 0, ..candidates[0] };
        let (asked, answered) = recall(&mut netlink, &[unreadable, candidates[1]]);
        assert_eq!((asked, answered.len()), (2, 1));
        assert!(same(&answered[0], &table[1]));
        assert_eq!(recall(&mut netlink, &[]).1, []);
    });
}

#[test]
fn a_walk_that_was_left_goes_on_where_it_was() {
    inside(|| {
        let mut netlink = Netlink::open().expect("netlink");
        let (kind, zone_in) = kinds().remove(0);
        let ports = |n: u16| L4::Ports { source: n, destination: 53 };
        for n in 1..=2000 {
            let turned = |tuple: Tuple, l4| Tuple { l4, ..tuple };
            let reply = kind.reply.map(|reply| turned(reply, L4::Ports { source: 53, destination: n }));
            create(
                &mut netlink,
                &Entry { original: turned(kind.original, ports(n)), reply, ..kind },
                zone_in,
            );
        }
        let table = dump(&mut netlink);
        let (mut walk, mut seen, mut parts) = (Walk::begin().expect("a walk"), Vec::new(), 0);
        loop {
            let at_end = walk.go_on(|chunk| {
                seen.extend(chunk.entries().map(|entry| entry.expect("readable")));
                // Whatever else is asked meanwhile is another socket's.
                assert_eq!(recall(&mut netlink, &[Candidate::new(Class::Other, &table[0])]).1.len(), 1);
                false
            });
            parts += 1;
            if at_end.expect("a chunk") {
                break;
            }
        }
        assert!(parts > 10, "{parts} parts");
        assert_eq!(seen.len(), 2000);
        assert!(table.iter().zip(&seen).all(|(one, other)| same(one, other)), "in the order of a dump");
    });
}

#[test]
fn a_recall_ends_where_it_is_told_to() {
    inside(|| {
        let mut netlink = Netlink::open().expect("netlink");
        kinds().iter().for_each(|(entry, zone_in)| create(&mut netlink, entry, *zone_in));
        let table = dump(&mut netlink);
        let candidates: Vec<Candidate> =
            (0..1000).map(|i| Candidate::new(Class::Other, &table[i % table.len()])).collect();
        let mut chunks = 0;
        let asked = table::recall(&mut netlink, &candidates, |_| {
            chunks += 1;
            chunks < 2
        });
        let asked = asked.expect("answers");
        assert!(chunks == 2 && asked < candidates.len(), "{chunks} chunks, {asked} asked");
        // Nothing is left over for the next question.
        assert_eq!(dump(&mut netlink).len(), table.len());
    });
}

#[test]
fn deletes_on_a_thread_are_told_of_in_order_and_hit_what_they_name() {
    inside(|| {
        let mut netlink = Netlink::open().expect("netlink");
        kinds().iter().for_each(|(entry, zone_in)| create(&mut netlink, entry, *zone_in));
        let table = dump(&mut netlink);
        let mut deleting = Deleting::start(Deleter::open().expect("netlink"), || false).expect("a thread");
        assert!(deleting.told(true).is_none(), "nothing was begun");
        let (stay, go) = table.split_at(3);
        // The second batch finds nothing any more, the third is empty.
        for batch in [go, go, &[]] {
            let going = |entry: &Entry| Going { entry: *entry, class: None, seen: Instant::now() };
            deleting.begin(batch.iter().map(going).collect(), true).expect("begun");
        }
        let told: Vec<Deleted> = (0..3).map(|_| deleting.told(true).expect("one").expect("sent")).collect();
        let n = go.len() as u64;
        assert_eq!((told[0].gone(), told[1].already_gone, told[2]), (n, n, Deleted::default()));
        assert!(deleting.told(true).is_none());
        let left = dump(&mut netlink);
        assert!(left.len() == stay.len() && left.iter().all(|e| stay.iter().any(|s| same(e, s))));
    });
}
