//! The scenarios that come with the program.

/// A scenario that comes with the program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shipped {
    /// Name of the scenario.
    pub name: &'static str,
    /// Scenario in TOML.
    pub text: &'static str,
}

macro_rules! shipped {
    ($($name:literal),+ $(,)?) => {
        &[$(Shipped { name: $name, text: include_str!(concat!("scenarios/", $name, ".toml")) }),+]
    };
}

/// All of them.
pub const SHIPPED: &[Shipped] = shipped![
    "slow-leak",
    "port-scan",
    "assured-flood",
    "botnet",
    "flash-crowd",
    "dns-resolver",
    "memory-squeeze",
    "firewall-restart",
    "failover",
    "hundred-million",
];
