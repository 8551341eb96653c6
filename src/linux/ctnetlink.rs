//! Tells whether the module that answers for the table, `nf_conntrack_netlink`, is there, and is still the one that
//! was there before. Unloading it gives a subscriber no error, only silence; a subscription outlives that, and what
//! happens until the module is back is told by no event.

use std::os::unix::fs::MetadataExt;

use super::root::Root;

/// Change of the module since the last look.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// Nothing, as far as can be seen: where it is built in it shows nowhere.
    None,
    /// It was there once, and is not there now.
    Gone,
    /// It is another instance: it was unloaded meanwhile, and loaded.
    Reloaded,
}

/// Looks at the module's directory in sysfs, whose inode is a new one each time that the module is loaded (kernfs gives
/// them out in order).
#[derive(Debug, Default)]
pub struct Ctnetlink {
    root: Root,
    seen: Option<u64>,
}

impl Ctnetlink {
    #[cfg(test)]
    fn at(root: Root) -> Self {
        Ctnetlink { root, seen: None }
    }

    fn instance(&self) -> Option<u64> {
        let path = self.root.join("sys/module/nf_conntrack_netlink");
        std::fs::metadata(path).ok().map(|directory| directory.ino())
    }

    /// It shows as loaded right now.
    pub fn is_loaded(&self) -> bool {
        self.instance().is_some()
    }

    /// Looks once: one stat(2).
    pub fn look(&mut self) -> Change {
        let now = self.instance();
        match (self.seen, now) {
            (Some(_), None) => Change::Gone,
            (Some(before), Some(now)) if before != now => {
                self.seen = Some(now);
                Change::Reloaded
            }
            (_, now) => {
                self.seen = now;
                Change::None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::root::fixture::Tree;
    use super::*;

    const REFCNT: &str = "sys/module/nf_conntrack_netlink/refcnt";

    #[test]
    fn a_module_that_was_unloaded_is_gone_until_it_is_loaded_again() {
        let tree = Tree::new(&[(REFCNT, "1")]);
        let directory = tree.root().join("sys/module/nf_conntrack_netlink");
        let mut ctnetlink = Ctnetlink::at(tree.root());
        assert_eq!([ctnetlink.look(), ctnetlink.look()], [Change::None, Change::None]);
        // Kept, so that its inode is not given to the next.
        std::fs::rename(&directory, tree.root().join("away")).expect("rename");
        assert_eq!([ctnetlink.look(), ctnetlink.look()], [Change::Gone, Change::Gone]);
        tree.put(REFCNT, "1");
        assert_eq!([ctnetlink.look(), ctnetlink.look()], [Change::Reloaded, Change::None]);
    }

    #[test]
    fn what_shows_nowhere_is_built_in_or_not_loaded_yet() {
        let tree = Tree::new(&[("sys/module/nf_conntrack/refcnt", "1")]);
        let mut ctnetlink = Ctnetlink::at(tree.root());
        assert_eq!(ctnetlink.look(), Change::None);
        tree.put(REFCNT, "1");
        assert_eq!(ctnetlink.look(), Change::None, "loaded for the first question");
    }
}
