//! Units of systemd as the manager puts them together: drop-ins, lists that an empty assignment empties, what starts
//! what.

use super::formats::{Command, unit};
use crate::core::model::FileLine;

/// A directive of a unit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Directive {
    /// The section without its brackets.
    pub section: String,
    /// The name before `=`.
    pub name: String,
    /// Text behind `=`.
    pub value: String,
    /// Its line, with the lines that it continues over.
    pub at: FileLine,
}

/// The directives of the joined lines of a file, in order.
pub fn directives(lines: &[FileLine]) -> Vec<Directive> {
    let mut section = "";
    let mut found = Vec::new();
    for line in lines {
        if let Some(name) = line.text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name;
        } else if let Some((name, value)) = line.text.split_once('=') {
            let (name, value) = (name.trim().to_owned(), value.trim().to_owned());
            found.push(Directive { section: section.to_owned(), name, value, at: line.clone() });
        }
    }
    found
}

/// A unit with its drop-ins.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Unit {
    /// Name of the unit, such as `x.service`.
    pub name: String,
    /// Those of the fragment, then of its drop-ins.
    pub directives: Vec<Directive>,
}

/// Commands of a service in the order in which they run.
const COMMANDS: [&str; 4] = ["ExecCondition", "ExecStartPre", "ExecStart", "ExecStartPost"];

impl Unit {
    /// The commands that its start runs.
    pub fn commands(&self) -> Vec<Command> {
        let lists = COMMANDS.iter().flat_map(|name| self.list("Service", name));
        lists.flat_map(|directive| unit::of_value(&directive.at, &directive.value)).collect()
    }

    /// The values of a list; an empty assignment empties it.
    pub fn list(&self, section: &str, name: &str) -> Vec<&Directive> {
        let mut list = Vec::new();
        for directive in self.directives.iter().filter(|d| d.section == section && d.name == name) {
            match directive.value.is_empty() {
                true => list.clear(),
                false => list.push(directive),
            }
        }
        list
    }

    /// Words of a list in the section Unit.
    pub fn words(&self, name: &str) -> impl Iterator<Item = &str> {
        self.list("Unit", name).into_iter().flat_map(|directive| directive.value.split_whitespace())
    }

    /// Units that start with it.
    pub fn starts(&self) -> Vec<String> {
        let wanted = ["Wants", "Requires", "BindsTo", "Upholds"].iter().flat_map(|name| self.words(name));
        let mut started: Vec<String> = wanted.map(str::to_owned).collect();
        let (stem, kind) = self.name.rsplit_once('.').unwrap_or((&self.name, ""));
        let section = match kind {
            "timer" => "Timer",
            "path" => "Path",
            "socket" => "Socket",
            _ => return started,
        };
        let named = |name| self.list(section, name).last().map(|directive| directive.value.clone());
        let accepts =
            named("Accept").is_some_and(|value| matches!(value.as_str(), "yes" | "true" | "on" | "1"));
        started.push(match section {
            "Socket" if accepts => format!("{stem}@.service"),
            "Socket" => named("Service").unwrap_or_else(|| format!("{stem}.service")),
            _ => named("Unit").unwrap_or_else(|| format!("{stem}.service")),
        });
        started
    }

    /// It starts before another.
    pub fn is_before(&self, other: &str) -> bool {
        self.words("Before").any(|name| name == other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, text: &str) -> Unit {
        let lines = (1..).zip(text.lines()).map(|(line, text)| FileLine {
            path: "/x".into(),
            line,
            last: line,
            text: text.into(),
            ..FileLine::default()
        });
        let directives = directives(&lines.collect::<Vec<_>>());
        Unit { name: name.into(), directives }
    }

    #[test]
    fn an_empty_assignment_empties_a_list() {
        let text = "[Unit]\nAfter=a.service\n[Service]\nExecStart=/bin/x one\nExecStart=\nExecStart=-/bin/y\n\
                    ExecStartPre=/bin/z\n";
        let unit = of("x.service", text);
        let commands: Vec<_> = unit.commands().iter().map(|command| command.words.join(" ")).collect();
        assert_eq!(commands, ["/bin/z", "/bin/y"]);
        assert_eq!(unit.words("After").collect::<Vec<_>>(), ["a.service"]);
    }

    #[test]
    fn a_timer_starts_its_service() {
        let of = |name: &str, text: &str| of(name, text).starts();
        assert_eq!(of("x.timer", "[Timer]\nOnCalendar=daily\n"), ["x.service"]);
        assert_eq!(of("x.timer", "[Timer]\nUnit=y.service\n"), ["y.service"]);
        assert_eq!(of("x.service", "[Unit]\nWants=a.service b.service\n"), ["a.service", "b.service"]);
    }
}
