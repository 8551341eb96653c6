use super::*;
use crate::core::model::Header;

const SOCKET: &str = "/run/ctctl/host.sock";

fn host(inode: u64) -> Netns {
    Netns { name: Some("host".into()), inode }
}

fn plan(inode: u64) -> PlanDocument {
    PlanDocument {
        header: Header { schema: 1, taken_at: "2026-11-21T02:49:52Z".into(), netns: host(inode) },
        level: Default::default(),
        reasons: Vec::new(),
        actions: Vec::new(),
        classes: None,
        unclassed: None,
        unproven: None,
        classes_age_seconds: None,
        classes_before_act: false,
        scan: false,
        waiting: Vec::new(),
    }
}

#[test]
fn the_agent_of_this_namespace_is_heard_and_the_kernel_left_alone() {
    let heard = check_namespace(Path::new(SOCKET), &host(1), Ok(plan(1)));
    let (document, without) = or_else(heard, || panic!("not asked")).expect("the agent's");
    assert_eq!((document, without), (plan(1), None));
}

#[test]
fn the_agent_of_another_namespace_is_never_shown() {
    let mut other = plan(2);
    other.header.netns.name = Some("blue".into());
    let heard = check_namespace(Path::new(SOCKET), &host(1), Ok(other));
    let (document, without) = or_else(heard, || Ok(plan(1))).expect("the kernel's");
    assert_eq!(document, plan(1));
    let notice = without.as_ref().and_then(NoAnswer::notice);
    let text = "the agent on /run/ctctl/host.sock watches another namespace (blue); reading without it";
    assert_eq!(notice.as_deref(), Some(text));
    let error = without.expect("a reason").into_error();
    assert_eq!(error.exit, Exit::Unreachable);
    assert_eq!(error.hint.as_deref(), Some("name its namespace: --netns blue"));
}

#[test]
fn an_agent_that_fails_is_named_and_the_kernel_read() {
    let heard = check_namespace(Path::new(SOCKET), &host(1), Err(Error::unreachable("agent", "timed out")));
    let (_, without) = or_else::<PlanDocument>(heard, || Ok(plan(1))).expect("the kernel's");
    let notice = without.and_then(|w| w.notice()).expect("said");
    assert!(notice.contains("does not answer: agent: timed out"), "{notice}");
}

#[test]
fn where_both_fail_both_are_named() {
    let without = NoAnswer::from_connect(Path::new(SOCKET), ConnectError::NotPermitted("/run/x.sock".into()));
    let failed = || Err(Error::unreachable("conntrack dump", "Operation not permitted"));
    let error = or_else::<PlanDocument>(Err(without), failed).expect_err("both");
    assert_eq!(error.exit, Exit::Unreachable);
    let both =
        "conntrack dump: Operation not permitted (no permission to ask the agent on /run/ctctl/host.sock)";
    assert_eq!(error.to_string(), both);
    assert!(error.hint.expect("a hint").contains("socket_group"));
}

#[test]
fn an_answer_that_is_no_stays_one_without_an_agent() {
    let without = NoAnswer::from_connect(Path::new(SOCKET), ConnectError::NoAgent("/run/x.sock".into()));
    let failed = || Err(Error::no("revert", "the baseline was set aside"));
    let error = or_else::<PlanDocument>(Err(without), failed).expect_err("no");
    assert_eq!(error.exit, Exit::No);
    assert_eq!(error.to_string(), "revert: the baseline was set aside (no agent on /run/ctctl/host.sock)");
}

#[test]
fn no_agent_is_no_news_on_standard_error() {
    let without = NoAnswer::from_connect(Path::new(SOCKET), ConnectError::NoAgent("/run/x.sock".into()));
    assert_eq!(without.notice(), None);
    assert_eq!(NoAnswer::Direct.notice(), None);
}
