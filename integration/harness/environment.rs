//! What this machine allows the suite: everything as root, a namespace of its own as an ordinary user, or nothing.

use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::harness::namespace::{Namespace, unique};
use crate::harness::tool::{find, tool};

/// Set for the second run of the suite, inside a user namespace.
const INSIDE: &str = "CTCTL_INTEGRATION_INSIDE";

const MAX: &str = "/proc/sys/net/netfilter/nf_conntrack_max";

/// Each needed program and Debian's package of it.
const TOOLS: [(&str, &str); 7] = [
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("conntrack", "conntrack"),
    ("unshare", "util-linux"),
    ("setpriv", "util-linux"),
    ("sysctl", "procps"),
    ("tmux", "tmux"),
];

/// What a test needs beyond namespaces.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Need {
    /// To write nf_conntrack_max, which only the first namespace can.
    HostWide,
    /// Another uid to change to.
    SecondUser,
    /// An agent that believes the host to be up for long: idleness longer than that is no proof.
    Age,
    /// conntrackd, which few hosts have.
    Conntrackd,
    /// File systems that this process answers for, or does not.
    Fuse,
}

/// Why something cannot be run here; `Ok` where it can.
pub type Allowed = Result<(), String>;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Environment {
    /// Whether any test can run.
    pub namespaces: Allowed,
    host_wide: Allowed,
    second_user: Allowed,
    age: Allowed,
    conntrackd: Allowed,
    fuse: Allowed,
}

impl Environment {
    pub fn allows(&self, needs: &[Need]) -> Allowed {
        self.namespaces.clone()?;
        needs.iter().try_for_each(|need| match need {
            Need::HostWide => self.host_wide.clone(),
            Need::SecondUser => self.second_user.clone(),
            Need::Age => self.age.clone(),
            Need::Conntrackd => self.conntrackd.clone(),
            Need::Fuse => self.fuse.clone(),
        })
    }

    /// Finds out by trying.
    pub fn probe() -> Self {
        let inside = std::env::var_os(INSIDE).is_some();
        let ordinary = |what: &str| Err(format!("{what} needs root: run the suite with sudo"));
        Environment {
            namespaces: tools().and_then(|()| namespaces()),
            host_wide: if inside {
                ordinary("nf_conntrack_max is one value for the host, and writing it")
            } else {
                host_wide()
            },
            second_user: if inside { ordinary("changing to another user") } else { Ok(()) },
            age: age(),
            conntrackd: conntrackd(),
            fuse: fuse(),
        }
    }

    fn nothing(reason: String) -> Self {
        let no = || Err(reason.clone());
        Environment {
            namespaces: no(),
            host_wide: no(),
            second_user: no(),
            age: no(),
            conntrackd: no(),
            fuse: no(),
        }
    }
}

fn tools() -> Allowed {
    match TOOLS.iter().find(|(name, _)| find(name).is_none()) {
        None => Ok(()),
        Some((name, package)) => Err(format!("{name} is missing: apt-get install {package}")),
    }
}

fn namespaces() -> Allowed {
    std::panic::catch_unwind(|| drop(Namespace::new(&format!("{}-probe", unique())))).map_err(|_| {
        "network namespaces cannot be made: run as root with CAP_SYS_ADMIN and CAP_NET_ADMIN".into()
    })
}

fn host_wide() -> Allowed {
    // Its own value: nothing changes, and another namespace than the first is refused all the same.
    std::fs::read_to_string(MAX).and_then(|value| std::fs::write(MAX, value)).map_err(|error| {
        format!("nf_conntrack_max cannot be written ({error}): run as root in the first network namespace")
    })
}

fn age() -> Allowed {
    let tried = tool("unshare").args(["--time", "--boottime", "1000000", "--fork", "true"]).output();
    match tried {
        Ok(output) if output.status.success() => Ok(()),
        _ => {
            Err("the agent cannot be aged: a kernel with CONFIG_TIME_NS (5.6) and util-linux 2.36 are needed"
                .into())
        }
    }
}

fn conntrackd() -> Allowed {
    find("conntrackd").map(drop).ok_or_else(|| "conntrackd is missing: apt-get install conntrackd".into())
}

fn fuse() -> Allowed {
    let opened = std::fs::OpenOptions::new().read(true).write(true).open("/dev/fuse");
    opened.map(drop).map_err(|error| format!("/dev/fuse: {error}: modprobe fuse"))
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Where root is not ours, runs the whole suite again inside a user namespace, with a /run of its own for
/// `ip netns`. Comes back where the suite runs as it is, with what it may.
pub fn settle() -> Environment {
    if is_root() {
        let environment = Environment::probe();
        if environment.namespaces.is_ok() || std::env::var_os(INSIDE).is_some() {
            return environment;
        }
    }
    if let Err(reason) = tools() {
        return Environment::nothing(reason);
    }
    let user = ["--user", "--map-root-user", "--net", "--mount"];
    let script = "mount -t tmpfs tmpfs /run && exec \"$0\" \"$@\"";
    let within = |program: Command| {
        let mut command = tool("unshare");
        command.args(user).args(["sh", "-c", script]).arg(program.get_program()).args(program.get_args());
        command
    };
    let tried = within(Command::new("true")).output();
    if !tried.is_ok_and(|output| output.status.success()) {
        let how = "run as root, or allow user namespaces: sysctl -w kernel.unprivileged_userns_clone=1 \
                   kernel.apparmor_restrict_unprivileged_userns=0 user.max_user_namespaces=15000";
        return Environment::nothing(format!("neither root nor an unprivileged user namespace: {how}"));
    }
    let mut again = Command::new(std::env::current_exe().expect("the suite's own path"));
    again.args(std::env::args_os().skip(1));
    // In place of this process, so that signals reach the suite itself.
    let error = within(again).env(INSIDE, "1").exec();
    Environment::nothing(format!("the suite could not be run again: {error}"))
}
