//! The directory below which the kernel's files are looked for.

use std::path::{Path, PathBuf};

/// The directory that holds `proc`, `sys`, `run` and `etc`: `/`, or a tree of fixtures.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Root(pub PathBuf);

impl Default for Root {
    fn default() -> Self {
        Root(PathBuf::from("/"))
    }
}

impl Root {
    /// A path below it; `path` is relative.
    pub fn join(&self, path: impl AsRef<Path>) -> PathBuf {
        self.0.join(path)
    }

    /// The text of a file below it, empty where it cannot be read.
    pub(super) fn text(&self, path: &str) -> String {
        std::fs::read_to_string(self.join(path)).unwrap_or_default()
    }
}

/// A tree of fixtures.
#[cfg(test)]
pub(super) mod fixture {
    use super::Root;

    /// True for root of the first user namespace, which may make network namespaces; says so if not.
    pub fn host_root() -> bool {
        let map = Root::default().text("proc/self/uid_map");
        let whole = map.split_whitespace().eq(["0", "0", "4294967295"]);
        let root = whole && nix::unistd::geteuid().is_root();
        if !root {
            eprintln!("SKIPPED: this needs root of the first user namespace");
        }
        root
    }

    /// A temporary root; the tree goes with it.
    pub struct Tree(tempfile::TempDir);

    impl Tree {
        /// One file for each pair of path and content.
        pub fn new(files: &[(&str, &str)]) -> Tree {
            let tree = Tree(tempfile::tempdir().expect("temporary directory"));
            files.iter().for_each(|(path, text)| tree.put(path, text));
            tree
        }

        /// Writes one file.
        pub fn put(&self, path: &str, text: &str) {
            let path = self.0.path().join(path);
            std::fs::create_dir_all(path.parent().expect("parent")).expect("directory");
            std::fs::write(path, text).expect("file");
        }

        /// A hard link: two names of one inode.
        pub fn link(&self, from: &str, to: &str) {
            let to = self.0.path().join(to);
            std::fs::create_dir_all(to.parent().expect("parent")).expect("directory");
            std::fs::hard_link(self.0.path().join(from), to).expect("link");
        }

        /// Removes one file.
        pub fn remove(&self, path: &str) {
            std::fs::remove_file(self.0.path().join(path)).expect("remove");
        }

        /// The tree as a root for the functions that read files.
        pub fn root(&self) -> Root {
            Root(self.0.path().to_path_buf())
        }
    }
}
