use super::*;

fn row(now: u32, each: Silence) -> UnclassedRow {
    let mut seen = Unclassed::empty("close-wait", Timeout::named("tcp_timeout_close_wait"));
    seen.add(each, 900);
    seen.row(Some(now), 960)
}

/// As two looks at an entry that was silent for 900 s of an hour tell it: the first 22 s after ctctl first looked.
fn presumed() -> Silence {
    Silence { certain: Some(22), exact: false, likely: Some(900), left: Some(2700) }
}

fn certain() -> Silence {
    Silence { certain: Some(900), exact: true, ..presumed() }
}

#[test]
fn a_timeout_above_the_kernels_is_named_with_its_remedy() {
    let said = row(3600, certain()).sentence();
    let expected = "900 of 960 entries are TCP in CLOSE_WAIT, of no class: no flush by class takes them; \
                    tcp_timeout_close_wait is 3600 s, 60 times the kernel's own 60 s (kube-proxy sets it to an \
                    hour); 900 of them have for certain been idle for longer than 60 s";
    assert_eq!(said, expected);
    let remedy = row(3600, certain()).remedy().expect("one");
    assert!(remedy.contains("nf_conntrack_tcp_timeout_close_wait to 60 "), "{remedy}");
    let flush = "`ctctl flush --state close-wait --idle-over 10m` takes the 900 that are proven idle";
    assert!(remedy.contains(flush), "{remedy}");
    let brief = row(3600, certain()).brief_remedy().expect("one");
    assert_eq!(brief, "set it to 60; `ctctl flush --state close-wait --idle-over 10m`");
}

#[test]
fn what_is_presumed_of_silence_is_not_said_to_be_certain() {
    let row = row(3600, presumed());
    assert_eq!((row.over_default, row.over_default_certain, row.long_idle), (900, 0, 0));
    let said = row.sentence();
    let expected = "; 900 of them have presumably been idle for longer than 60 s, if their timeout was never set \
                    otherwise: certain is their silence since ctctl first looked in this boot, 22 s before this scan";
    assert!(said.ends_with(expected) && !said.contains("for certain"), "{said}");
    let remedy = row.remedy().expect("one");
    let when =
        "`ctctl flush --state close-wait --idle-over 10m` takes none of them before 9m38s after this scan";
    assert!(remedy.contains(when), "{remedy}");
    let brief = row.brief_remedy().expect("one");
    assert_eq!(brief, "set it to 60; none is idle for 10m for certain until 9m38s after the scan");
}

#[test]
fn a_timeout_that_was_set_back_is_for_packets_to_come() {
    let with = row(60, certain());
    let said = with.sentence();
    let expected = "; tcp_timeout_close_wait is 60 s, for packets to come: 900 of them were given more before and keep \
                    the time left until a packet comes, the longest 2700 s; 900 of them have for certain been idle \
                    for longer than 60 s";
    assert!(said.ends_with(expected), "{said}");
    let flush =
        "`ctctl flush --state close-wait --idle-over 10m` takes the 900 that are proven idle for so long";
    assert_eq!(with.remedy().as_deref(), Some(flush));
    assert_eq!(
        with.brief(),
        "900 TCP in CLOSE_WAIT: tcp_timeout_close_wait is 60 s, but they have up to 2700 s left"
    );
    let nobody_knows = row(60, Silence { left: Some(2700), ..Silence::default() });
    assert!(nobody_knows.remedy().is_some_and(|said| said.contains("is not known")));
    let soon = row(60, Silence { left: Some(310), ..presumed() });
    assert!(soon.remedy().is_some_and(|said| said.contains("end by themselves within 310 s")));
}

#[test]
fn under_the_kernels_own_timeout_they_end_by_themselves() {
    // Data in flight has 300 s in any state.
    let own = row(60, Silence { left: Some(290), ..Silence::default() });
    assert_eq!((own.remedy(), own.brief_remedy()), (None, None));
    let said = own.sentence();
    assert!(
        said.ends_with("tcp_timeout_close_wait is 60 s: they end so long after their last packet"),
        "{said}"
    );
    let unknown = Unclassed { entries: 1, ..Unclassed::empty("unknown", None) }.row(None, 7);
    assert_eq!(
        (unknown.sentence().as_str(), unknown.remedy()),
        ("1 of 7 entries is TCP in UNKNOWN, of no class: no flush by class takes them", None)
    );
}
