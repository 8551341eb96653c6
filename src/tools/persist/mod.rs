//! Makes today's values hold at boot, by three files, in the order in which they are read there. modules-load.d loads
//! the module (systemd-modules-load.service), modprobe.d sizes its table as it is loaded, and sysctl.d follows
//! (systemd-sysctl.service): a value for a module that is not loaded is not set at all.

mod boot;
mod change;
#[cfg(test)]
mod tests;
mod text;
mod today;

use std::path::{Path, PathBuf};

use crate::core::model::{Header, PersistDocument};
use crate::error::{Error, Result};
use crate::linux::clock;
use crate::linux::netns::Namespace;
use crate::linux::root::Root;
use boot::Tree;
use change::Change;
use today::Today;

/// Options and paths of one call.
#[derive(Clone, Debug)]
pub struct Order {
    /// Root of the tree that the files are in: `/`, or a mounted image.
    pub root: PathBuf,
    /// True to show the changes and write nothing.
    pub dry_run: bool,
    /// True if the operator named the namespace: this machine's own files may not be for its values.
    pub named: bool,
    /// Directory of the state of this namespace's agent.
    pub state_dir: PathBuf,
    /// Directory in which the owner of max and buckets keeps the values that it found.
    pub host_dir: PathBuf,
    /// True if the agent should keep `nf_conntrack_events` at 1.
    pub events: bool,
}

/// Returns the changes, and writes them unless it is a dry run.
///
/// # Errors
/// Exit 1 if a file that is not ctctl's is in the way, 2 if the root is no directory, 3 if values cannot be read or
/// files cannot be written.
pub fn run(namespace: &Namespace, order: &Order) -> Result<PersistDocument> {
    let root = order.root.canonicalize().ok().filter(|root| root.is_dir()).ok_or_else(|| {
        let why = format!("{} is no directory that can be entered", order.root.display());
        Error::usage("persist", why).hint("--root names a mounted image, such as /mnt")
    })?;
    if order.named && !namespace.is_first() && root == Path::new("/") {
        let why = format!("this machine's files are not for network namespace {}", namespace.netns().key());
        return Err(Error::usage("persist", why)
            .hint("leave --netns out, or say with --root whose files they are (a container's)"));
    }
    namespace.enter()?;
    let kernel = Root::default();
    let today = Today::read(&kernel, namespace, order)?;
    let mut document = prepare(&root, &today)?;
    document.0.header.netns = namespace.netns().clone();
    document.0.dry_run = order.dry_run;
    if !order.dry_run {
        for change in &document.1 {
            change.write()?;
        }
    }
    Ok(document.0)
}

/// Returns the document and the changes to write.
fn prepare(root: &Path, today: &Today) -> Result<(PersistDocument, Vec<Change>)> {
    let tree = Tree::read(root);
    if !today.host && ["max", "buckets"].into_iter().any(|name| tree.persisted(name)) {
        let why = format!("{} holds the values of a host, and these are another namespace's", root.display());
        return Err(Error::usage("persist", why)
            .hint("run it in the first network namespace, or name another tree with --root"));
    }
    let values = today.worth_writing(|name| tree.names(name));
    let mut changes = Vec::new();
    for (path, text) in text::files(&values, today) {
        changes.push(Change::find(root, path, text)?);
    }
    if today.built_in {
        changes.extend(Change::removing(root, text::MODPROBE)?);
    }
    let header = Header { schema: 1, taken_at: clock::now_rfc3339(), netns: Default::default() };
    let document = PersistDocument {
        header,
        dry_run: true,
        root: root.display().to_string(),
        overridden: tree.overriding(&values, today.host),
        notes: today.notes(&values),
        files: changes.iter().map(Change::row).collect(),
        values,
    };
    Ok((document, changes))
}
