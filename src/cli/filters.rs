//! FILTERS on the command line, which `list`, `events`, `flush`, `top-sources` and `top` share.

use std::ffi::OsStr;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

use super::value::{self, BadValue};
use crate::core::model::{
    Family, Filter, Filters, Mark, MarkFault, TcpState, Wanted, network, protocol_name, protocol_names,
    protocol_number,
};

/// Filters of a command line; each `--not` is joined to the filter that follows it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FilterArguments(pub Filters);

/// Heading of the filters in the help.
pub const HEADING: &str = "Filters (all must match; repeated values of one are alternatives)";
const NOT: &str = "not";
const NETWORK_HINT: &str = "write an address or a network: 10.0.0.1, 10.0.0.0/8, 2001:db8::/32";
const MARK_HINT: &str = "write a value, with a mask if only some bits count: 7, 0x1/0xff";

/// Returns every filter: its long and short option, its value, and the condition that it becomes.
fn arguments() -> Vec<Arg> {
    vec![
        net("source", "source of the original direction: who opened the connection", Wanted::Source)
            .short('s'),
        net("destination", "destination as the client addressed it, before DNAT", Wanted::Destination)
            .short('d'),
        number("sport", "PORT", "source port of the original direction", Wanted::SourcePort),
        number("dport", "PORT", "destination port of the original direction", Wanted::DestinationPort),
        net("reply-source", "who answers: the server, after DNAT", Wanted::ReplySource),
        net("reply-destination", "who is answered: the source, after SNAT", Wanted::ReplyDestination),
        net("nat-source", "the source is translated, to this", Wanted::NatSource),
        number("nat-port", "PORT", "the source is translated, to this port", Wanted::NatPort),
        valued("proto", "NAME|NUMBER", "protocol by name or number", PROTOCOLS).short('p'),
        valued("state", "NAME", "state of a TCP connection", STATES),
        flag("unreplied", "no packet of the reply direction was seen"),
        flag("assured", "ASSURED: the kernel's early drop leaves it alone"),
        valued(
            "idle-over",
            "DURATION",
            "idle for certain for so long or longer (90, 90s, 10m, 2h, 1d)",
            idle_over,
        ),
        valued("mark", "VALUE[/MASK]", "mark, decimal or hexadecimal", mark).short('m'),
        number("zone", "N", "zone of both directions; 0, the default, if one alone has a zone", Wanted::Zone)
            .short('w'),
        number(
            "source-zone",
            "N",
            "zone of the original direction, as the source is counted in",
            Wanted::SourceZone,
        ),
        valued("family", "FAMILY", "address family", FAMILIES).short('f'),
    ]
}

fn valued<P>(name: &'static str, value: &'static str, help: &'static str, parser: P) -> Arg
where
    P: TypedValueParser<Value = Wanted>,
{
    let argument = Arg::new(name).long(name).value_name(value).help(help).value_parser(parser);
    argument.action(ArgAction::Append).allow_hyphen_values(true)
}

fn net(name: &'static str, help: &'static str, wanted: fn(ipnet::IpNet) -> Wanted) -> Arg {
    let parse = move |text: &str| {
        let bad = || BadValue { why: "not an address or a network".into(), hint: NETWORK_HINT };
        network(text).map(wanted).ok_or_else(bad)
    };
    valued(name, "CIDR", help, parse)
}

fn number(name: &'static str, value: &'static str, help: &'static str, wanted: fn(u16) -> Wanted) -> Arg {
    let parse = move |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let bad = || BadValue {
            why: "not a number of 16 bits".into(),
            hint: "write a whole number from 0 to 65535",
        };
        digits.then(|| text.parse().ok()).flatten().map(wanted).ok_or_else(bad)
    };
    valued(name, value, help, parse)
}

/// Builds a filter without a value. It is declared as an option whose value is never written, so that each use of it
/// has an index on the command line.
fn flag(name: &'static str, help: &'static str) -> Arg {
    let wanted = if name == "assured" { Wanted::Assured } else { Wanted::Unreplied };
    let parse = move |_: &str| Ok::<_, BadValue>(wanted);
    Arg::new(name)
        .long(name)
        .help(help)
        .value_parser(parse)
        .action(ArgAction::Append)
        .num_args(0)
        .default_missing_value("")
}

fn idle_over(text: &str) -> Result<Wanted, BadValue> {
    value::duration(text).map(|seconds| Wanted::IdleOver(u32::try_from(seconds).unwrap_or(u32::MAX)))
}

fn mark(text: &str) -> Result<Wanted, BadValue> {
    let bad = |why: String| BadValue { why, hint: MARK_HINT };
    Mark::parse(text).map(Wanted::Mark).map_err(|fault| match fault {
        MarkFault::NotAMark => bad("not a mark".into()),
        MarkFault::NoMask => bad("under the mask 0 every entry matches".into()),
        MarkFault::Outside(meant) => bad(format!("bits outside the mask; under it this would mean {meant}")),
    })
}

/// Parser of a value that is a name; for an unknown name clap suggests the nearest one.
#[derive(Clone)]
struct Named {
    read: fn(&str) -> Option<Wanted>,
    names: fn() -> Vec<&'static str>,
    /// Hint about the numbers that are accepted; `None` where only names are.
    numbers: Option<&'static str>,
}

/// TCP states in lower case with `-`. The spelling of `conntrack`, upper case with `_`, is read too.
const STATES: Named = Named {
    read: |text| {
        let name = text.to_ascii_lowercase().replace('_', "-");
        TcpState::ALL.into_iter().find(|state| state.name() == name).map(Wanted::State)
    },
    names: || TcpState::ALL.map(TcpState::name).into(),
    numbers: None,
};

const FAMILIES: Named = Named {
    read: |text| match text.to_ascii_lowercase().as_str() {
        "ipv4" | "inet" | "4" => Some(Wanted::Family(Family::Ipv4)),
        "ipv6" | "inet6" | "6" => Some(Wanted::Family(Family::Ipv6)),
        _ => None,
    },
    names: || vec!["ipv4", "ipv6"],
    numbers: None,
};

const PROTOCOLS: Named = Named {
    read: |text| protocol_number(text).map(Wanted::Protocol),
    // A protocol's second name is not offered.
    names: || {
        protocol_names().filter(|name| protocol_number(name).and_then(protocol_name) == Some(name)).collect()
    },
    numbers: Some("write a name such as tcp, or a number from 0 to 255"),
};

impl TypedValueParser for Named {
    type Value = Wanted;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, text: &OsStr) -> Result<Wanted, clap::Error> {
        let Some(wanted) = text.to_str().and_then(self.read) else {
            let number = text.to_str().is_some_and(|text| text.parse::<i128>().is_ok());
            if let (Some(hint), true) = (self.numbers, number) {
                let refuse = move |_: &str| Err(BadValue { why: "no such number".into(), hint });
                return refuse.parse_ref(command, arg, text);
            }
            let refused = PossibleValuesParser::new((self.names)()).parse_ref(command, arg, text);
            return Err(refused.err().unwrap_or_else(|| misplaced("no such name")));
        };
        Ok(wanted)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new((self.names)().into_iter().map(PossibleValue::new)))
    }
}

impl Args for FilterArguments {
    fn augment_args(command: Command) -> Command {
        let not = Arg::new(NOT)
            .long(NOT)
            .help("negates the filter that follows; several negated values exclude each of them")
            .value_parser(|_: &str| Ok::<_, BadValue>(()))
            .action(ArgAction::Append)
            .num_args(0)
            .default_missing_value("");
        let all = arguments().into_iter().chain([not]);
        command.args(all.map(|argument| argument.help_heading(HEADING)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for FilterArguments {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut placed: Vec<(usize, Option<Wanted>)> = Vec::new();
        for argument in arguments() {
            let id = argument.get_id().as_str();
            let places = matches.indices_of(id).into_iter().flatten();
            let wanted = matches.get_many::<Wanted>(id).into_iter().flatten();
            placed.extend(places.zip(wanted.map(|wanted| Some(*wanted))));
        }
        placed.extend(matches.indices_of(NOT).into_iter().flatten().map(|place| (place, None)));
        placed.sort_by_key(|(place, _)| *place);
        let (mut filters, mut negated) = (Vec::with_capacity(placed.len()), false);
        for (_, wanted) in placed {
            match wanted {
                Some(wanted) => filters.push(Filter { negated: std::mem::take(&mut negated), wanted }),
                None if negated => return Err(misplaced("'--not' stands twice before one filter")),
                None => negated = true,
            }
        }
        match negated {
            true => Err(misplaced("no filter follows '--not'")),
            false => Ok(FilterArguments(Filters::new(filters))),
        }
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn misplaced(why: &str) -> clap::Error {
    clap::Error::raw(ErrorKind::ValueValidation, format!("{why}\n\n"))
}

#[cfg(test)]
#[path = "filters_tests.rs"]
mod tests;
