//! Parts of a script that run when something stops: an arm `stop)` of `case`, a function `stop()`. At a boot they do
//! not run.

/// Patterns of `case` that name the stop of a service or of an interface.
const PATTERNS: [&str; 6] = ["stop", "down", "pre-down", "post-down", "vpn-down", "remove"];

/// Place in a script, as far as it tells whether a boot runs what stands there.
#[derive(Default)]
pub(super) struct Stops {
    /// For each open `case` whether the arm is one of [`PATTERNS`].
    cases: Vec<bool>,
    /// Patterns in front of the one that ends an arm's list.
    patterns: Vec<String>,
    /// A function whose body has not begun.
    named: Option<String>,
    /// For each open function the compound commands around it, and whether it stops something.
    functions: Vec<(usize, bool)>,
    /// Open `if` and `case`, each by its number, with the number of the branch.
    branches: Vec<(u32, u32)>,
    /// Numbers that were given to them.
    opened: u32,
}

impl Stops {
    /// Takes the first word of a command, with the number of compound commands that are open then.
    pub(super) fn word(&mut self, word: &str, compounds: usize) {
        match word {
            "if" | "case" => {
                self.opened += 1;
                self.branches.push((self.opened, 0));
            }
            "elif" | "else" => self.next_branch(),
            "fi" | "esac" => drop(self.branches.pop()),
            _ => {}
        }
        match word {
            "case" => self.cases.push(false),
            "esac" => drop(self.cases.pop()),
            "{" => {
                if let Some(name) = self.named.take() {
                    self.functions.push((compounds, name.contains("stop") || name == "down"));
                }
            }
            // What closes it is counted already.
            "}" if self.functions.last().is_some_and(|(before, _)| *before > compounds) => {
                self.functions.pop();
            }
            _ => {}
        }
    }

    fn next_branch(&mut self) {
        if let Some((_, at)) = self.branches.last_mut() {
            *at += 1;
        }
    }

    /// Takes an operator, with the words of the command in front of it.
    pub(super) fn operator(&mut self, operator: &str, words: &[String]) {
        match (operator, words) {
            ("(", [name]) => self.named = Some(name.clone()),
            ("|", [.., pattern]) if !self.cases.is_empty() => self.patterns.push(pattern.clone()),
            (")", [.., pattern]) => {
                let patterns = std::mem::take(&mut self.patterns);
                let stops = |pattern: &String| PATTERNS.contains(&pattern.as_str());
                let all = patterns.iter().chain([pattern]).all(stops);
                if let Some(arm) = self.cases.last_mut() {
                    *arm = all;
                }
            }
            (";;", _) => {
                self.cases.last_mut().into_iter().for_each(|arm| *arm = false);
                self.next_branch();
            }
            _ => {}
        }
        if !matches!(operator, "|" | "(") {
            self.patterns.clear();
        }
    }

    /// True where a boot does not run a command, and the branches in which it stands.
    pub(super) fn now(&self) -> (bool, Vec<(u32, u32)>) {
        let stops = self.cases.contains(&true) || self.functions.iter().any(|(_, stops)| *stops);
        (stops, self.branches.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::super::commands;

    #[test]
    fn arms_and_functions_that_stop_are_told_apart() {
        let script = "a\ncase \"$1\" in\n start|restart) b ;;\n stop) c; d ;;\n down|stop) if x; then e; fi ;;\n *) f ;;\nesac\ng\n\
                      stop() {\n  h\n  if x; then i; fi\n}\nstart() {\n  j\n}\nstop_service()\n{\n  k | x\n}\nl\ncase $2 in up) m;; down) n;; esac; o\n";
        let stopped = commands("/x", script).into_iter().filter(|command| command.at_stop);
        let words: String = stopped
            .map(|command| command.words.concat())
            .filter(|word| word.len() == 1 && word != "x")
            .collect();
        assert_eq!(words, "cdehikn");
    }
}
