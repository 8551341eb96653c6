//! Fixes that put a line into force which set nothing until then: each is tried on a copy of the facts first. What it
//! would be found for, as it then counts, is said, and the line becomes a comment instead.

use std::collections::BTreeMap;

use super::cure::{MODULES_FILE, SYSCTL_FILE, key};
use super::facts::{BootModule, Facts, Files};
use super::{lines, order, services, size, timeouts, value, writers};
use crate::core::model::{AppliedBy, FileLine, Finding, SysctlFile, SysctlLine};

/// More lines of one tree are not tried: they become comments.
const MOST: usize = 64;
/// Nor are those of a tree with more lines than this: each trial goes through all of them.
const MOST_LINES: usize = 4096;

/// The facts as they are after the fixes that were given so far.
pub struct Trial<'a> {
    facts: &'a Facts,
    after: Option<Facts>,
    before: Option<BTreeMap<(String, String), usize>>,
    left: usize,
}

impl<'a> Trial<'a> {
    /// Without any fix yet.
    pub fn new(facts: &'a Facts) -> Trial<'a> {
        let lines =
            facts.files.iter().flat_map(|files| &files.sysctl).map(|file| file.lines.len()).sum::<usize>();
        let left = if lines <= MOST_LINES { MOST } else { 0 };
        Trial { facts, after: None, before: None, left }
    }

    /// The fix that has a line set a name, where nothing is wrong with that; else what would be wrong, and a comment.
    pub fn assign(&mut self, file: &SysctlFile, line: &SysctlLine, name: &str, value: &str) -> Vec<String> {
        let facts = self.facts;
        let comment = facts.comment_out(&file.path, line);
        let number = value::read(name, value).number();
        let mut fix = Vec::new();
        let (number, value) = match number.and_then(|number| facts.lowers_max(name, number)) {
            Some((now, warning)) => {
                fix.push(warning);
                (Some(now), now.to_string())
            }
            None => (number, value.to_owned()),
        };
        let Some(number) = number else { return vec![comment] };
        let changed = |files: &mut Files| {
            let file = files.sysctl.iter_mut().find(|f| f.path == file.path && f.listed_as == file.listed_as);
            let found = file.and_then(|file| file.lines.iter_mut().find(|other| other.line == line.line));
            if let Some(found) = found {
                found.key = format!("net/netfilter/nf_conntrack_{name}");
                found.value = Some(value.clone());
            }
        };
        match self.attempt(changed, Some((name, number))) {
            Ok(early) => {
                fix.push(facts.replace(&file.path, line, &format!("{} = {value}", key(name))));
                if facts.runtime.as_ref().is_some_and(|here| here.first && here.number(name) != Some(number))
                {
                    fix.extend(facts.now(name, number));
                }
                fix.extend(early);
                fix
            }
            Err(why) => vec![format!("# with {} = {value} in force: {why}", key(name)), comment],
        }
    }

    /// Applies `fix` if all of a file may count from now on; if not, comments take the place of its lines.
    pub fn apply(&mut self, file: &SysctlFile, fix: Vec<String>) -> Vec<String> {
        let facts = self.facts;
        let (path, listed_as) = (file.path.clone(), file.listed_as.clone());
        let changed = |files: &mut Files| {
            let found = files.sysctl.iter_mut().find(|f| f.path == path && f.listed_as == listed_as);
            if let Some(found) = found {
                found.applied_by = AppliedBy::Boot;
            }
        };
        // A file that nothing reads was not looked at yet.
        let unread = match file.applied_by {
            AppliedBy::Nobody => found_in(facts, file),
            _ => None,
        };
        let applied = unread.map_or_else(|| self.attempt(changed, None), Err);
        match applied {
            Ok(early) => fix.into_iter().chain(early).collect(),
            Err(why) => {
                let ours = file.lines.iter().filter(|line| line.conntrack_name().is_some());
                let comments = ours.map(|line| facts.comment_out(&file.path, line));
                [format!("# with its lines in force: {why}")].into_iter().chain(comments).collect()
            }
        }
    }

    /// Takes a change where nothing is found for it; gives what loads the module early, if that is all that was
    /// missing.
    ///
    /// # Errors
    /// The first that is found.
    fn attempt(
        &mut self,
        change: impl FnOnce(&mut Files),
        now: Option<(&str, u64)>,
    ) -> Result<Vec<String>, String> {
        self.left = self.left.checked_sub(1).ok_or("there are too many such lines to try each")?;
        let mut candidate = self.after.as_ref().unwrap_or(self.facts).clone();
        let before = self.before.get_or_insert_with(|| titles(&candidate)).clone();
        let files = candidate.files.as_mut().ok_or("no files")?;
        change(files);
        if let (Some((name, number)), Some(runtime)) = (now, candidate.runtime.as_mut())
            && runtime.first
            && runtime.values.contains_key(name)
        {
            runtime.values.insert(name.to_owned(), number.to_string());
        }
        let mut early = Vec::new();
        if is_late(&candidate) && !is_late(self.after.as_ref().unwrap_or(self.facts)) {
            let at = FileLine { path: MODULES_FILE.into(), ..FileLine::default() };
            let module = BootModule { name: "nf_conntrack".into(), at, obeys_blacklist: false };
            if let Some(files) = candidate.files.as_mut() {
                early = order::load_early(self.facts, files);
                files.modules.push(module);
            }
        }
        let after = titles(&candidate);
        let new = after.iter().find(|(title, count)| **count > before.get(*title).copied().unwrap_or(0));
        if let Some(((_, title), _)) = new {
            return Err(title.clone());
        }
        (self.after, self.before) = (Some(candidate), Some(after));
        Ok(early)
    }
}

/// Values that scripts write, each tried as if a file of sysctls set it.
pub struct Written<'a> {
    facts: &'a Facts,
    tried: Option<Tried>,
    left: usize,
}

/// The facts with one line more, and what is found without it.
struct Tried {
    candidate: Facts,
    before: Vec<(String, String)>,
}

impl<'a> Written<'a> {
    /// More values than this are kept as they are, untried.
    const MOST: usize = 100;

    /// None is tried yet.
    pub fn new(facts: &'a Facts) -> Written<'a> {
        Written { facts, tried: None, left: Self::MOST }
    }

    /// Checks that nothing more is found once a file of sysctls sets `name` to `value`.
    ///
    /// # Errors
    /// The title of the first finding.
    pub fn holds(&mut self, name: &str, value: u64) -> Result<(), String> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(()) };
        self.left = left;
        let tried = self.tried.get_or_insert_with(|| Tried::new(self.facts));
        let files = tried.candidate.files.as_mut();
        let line = files.and_then(|files| files.sysctl.last_mut()).and_then(|file| file.lines.last_mut());
        let Some(line) = line else { return Ok(()) };
        line.key = format!("net/netfilter/nf_conntrack_{name}");
        line.value = Some(value.to_string());
        let more = Tried::found(&tried.candidate).into_iter().find(|found| !tried.before.contains(found));
        more.map_or(Ok(()), |(_, title)| Err(title))
    }
}

impl Tried {
    fn new(facts: &Facts) -> Tried {
        let mut candidate = facts.clone();
        if let Some(files) = candidate.files.as_mut() {
            files.keep_what_counts();
            files.sysctl.push(SysctlFile {
                path: SYSCTL_FILE.into(),
                listed_as: SYSCTL_FILE.into(),
                applied_by: AppliedBy::Again,
                lines_total: 1,
                comments: 0,
                lines: vec![SysctlLine {
                    line: 1,
                    last: 1,
                    text: String::new(),
                    key: String::new(),
                    value: None,
                    may_fail: false,
                    physical: Vec::new(),
                }],
            });
        }
        let before = Tried::found(&candidate);
        Tried { candidate, before }
    }

    fn found(facts: &Facts) -> Vec<(String, String)> {
        let found = size::check(facts).into_iter().chain(timeouts::check(facts));
        found.map(|finding| (finding.id, finding.title)).collect()
    }
}

/// Title of the first finding on the lines of a file once it is read.
fn found_in(facts: &Facts, file: &SysctlFile) -> Option<String> {
    let mut candidate = facts.clone();
    let files = candidate.files.as_mut()?;
    files.sysctl.retain(|other| other.path == file.path && other.listed_as == file.listed_as);
    files.sysctl.iter_mut().for_each(|other| other.applied_by = AppliedBy::Boot);
    lines::check(&candidate).into_iter().next().map(|finding| finding.title)
}

/// Title of the first finding on a line of modprobe.d, as another text or under another name; `None` where all is
/// well.
pub fn modprobe(facts: &Facts, line: &FileLine, path: &str, text: &str) -> Option<String> {
    let mut candidate = facts.clone();
    let files = candidate.files.as_mut()?;
    let found = files.modprobe.iter_mut().find(|other| other.path == line.path && other.line == line.line)?;
    (found.path, found.text) = (path.to_owned(), text.to_owned());
    let before = titles(facts);
    let after = titles(&candidate);
    let new = after.into_iter().find(|(title, count)| *count > before.get(title).copied().unwrap_or(0));
    new.map(|((_, title), _)| title)
}

fn is_late(facts: &Facts) -> bool {
    facts.files.as_ref().is_some_and(|files| order::before_module(facts, files).is_some())
}

/// Everything that is found but for what single lines say, by id and title.
fn titles(facts: &Facts) -> BTreeMap<(String, String), usize> {
    let checks: [fn(&Facts) -> Vec<Finding>; 4] =
        [services::check, writers::check, size::check, timeouts::check];
    let Some(files) = &facts.files else { return BTreeMap::new() };
    let mut found: Vec<Finding> = checks.iter().flat_map(|check| check(facts)).collect();
    found.extend(order::conflicts(facts, files));
    found.extend(order::unread(facts, files));
    found.extend(order::before_module(facts, files));
    let mut titles = BTreeMap::new();
    for finding in found {
        *titles.entry((finding.id, finding.title)).or_default() += 1;
    }
    titles
}
