//! Files below a root, as a process chrooted there would find them: links never lead out of it, nothing but regular
//! files of a bounded size is read, and what could not be read is remembered.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use super::root::Root;

/// Bytes of a file of settings at most; a longer file is none.
pub const LONGEST_BYTES: u64 = 1 << 20;
/// As the kernel's own bound (MAXSYMLINKS).
const MOST_LINKS: u32 = 40;
/// More files in one directory are not looked at.
const MOST_FILES: usize = 4096;

/// A file that was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Text {
    /// Below the root, with `/` in front, links resolved.
    pub path: String,
    /// Its text; bytes that are no UTF-8 are replaced.
    pub text: String,
}

/// A tree of files.
pub struct Image {
    root: Root,
    unreadable: RefCell<BTreeMap<String, String>>,
}

impl Image {
    /// The tree below a root.
    pub fn new(root: Root) -> Image {
        Image { root, unreadable: RefCell::default() }
    }

    /// Files that are there and could not be read, each with the reason.
    pub fn unreadable(&self) -> BTreeMap<String, String> {
        self.unreadable.borrow().clone()
    }

    /// The text of a file; nothing where there is none. What cannot be read is remembered.
    pub fn read(&self, path: &str) -> Option<Text> {
        self.remember(path, |real| {
            let file = open_regular(&self.root.join(real))?;
            let length = file.metadata()?.len();
            if length > LONGEST_BYTES {
                return Err(io::Error::other(format!("{length} bytes are no list of settings")));
            }
            let mut bytes = Vec::new();
            file.take(LONGEST_BYTES).read_to_end(&mut bytes)?;
            Ok(bytes)
        })
    }

    /// Reads a file that may as well be a program: one that is too long is passed over.
    pub fn read_script(&self, path: &str) -> Option<Text> {
        let real = self.resolve(path).ok()?;
        let short = self.root.join(real).symlink_metadata().is_ok_and(|m| m.len() <= LONGEST_BYTES);
        if short { self.read(path) } else { None }
    }

    /// The end of a file, from the first whole line of its last `most` bytes, and the number of that line.
    pub fn tail(&self, path: &str, most: u64) -> Option<(Text, u32)> {
        let mut first = 1;
        let text = self.remember(path, |real| {
            let mut file = open_regular(&self.root.join(real))?;
            let skipped = file.metadata()?.len().saturating_sub(most);
            first = 1 + newlines(&mut file, skipped)?;
            file.seek(SeekFrom::Start(skipped))?;
            let mut bytes = Vec::new();
            file.take(most).read_to_end(&mut bytes)?;
            if skipped > 0 {
                let line = bytes.iter().position(|b| *b == b'\n').map_or(bytes.len(), |at| at + 1);
                bytes.drain(..line);
                first += 1;
            }
            Ok(bytes)
        })?;
        Some((text, first))
    }

    fn remember(&self, path: &str, read: impl FnOnce(&Path) -> io::Result<Vec<u8>>) -> Option<Text> {
        let found = self.resolve(path).and_then(|real| read(&real).map(|bytes| (real, bytes)));
        match found {
            Ok((real, bytes)) => {
                Some(Text { path: shown(&real), text: String::from_utf8_lossy(&bytes).into_owned() })
            }
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => None,
            // A directory or a device of that name is no file, and /dev/null is the way to say so.
            Err(error) if error.kind() == ErrorKind::InvalidInput => None,
            Err(error) => {
                self.unreadable.borrow_mut().insert(shown(Path::new(path)), error.to_string());
                None
            }
        }
    }

    /// Names in a directory, sorted; none where there is no such directory.
    pub fn list(&self, directory: &str) -> Vec<String> {
        let listed = self.resolve(directory).and_then(|real| std::fs::read_dir(self.root.join(real)));
        let mut names: Vec<String> = match listed {
            Ok(entries) => {
                let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
                names.take(MOST_FILES).collect()
            }
            Err(error) => {
                if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) {
                    self.unreadable.borrow_mut().insert(shown(Path::new(directory)), error.to_string());
                }
                Vec::new()
            }
        };
        names.sort();
        names
    }

    /// True if there is a file or directory of this name; links are followed.
    pub fn exists(&self, path: &str) -> bool {
        self.resolve(path).is_ok_and(|real| self.root.join(real).symlink_metadata().is_ok())
    }

    /// True if a file may be executed by somebody.
    pub fn runs(&self, path: &str) -> bool {
        let metadata = self.resolve(path).and_then(|real| self.root.join(real).symlink_metadata());
        metadata.is_ok_and(|metadata| metadata.permissions().mode() & 0o111 != 0)
    }

    /// True if there is a file, a directory or a link of this name; the link may lead nowhere.
    pub fn listed(&self, path: &str) -> bool {
        let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
        self.resolve(directory).is_ok_and(|real| self.root.join(real).join(name).symlink_metadata().is_ok())
    }

    /// The path below the root after all links, with `/` in front; nothing where nothing is there.
    pub fn real(&self, path: &str) -> Option<String> {
        let real = self.resolve(path).ok()?;
        self.root.join(&real).symlink_metadata().is_ok().then(|| shown(&real))
    }

    /// The path below the root, relative, after all links.
    fn resolve(&self, path: &str) -> io::Result<PathBuf> {
        let mut todo: Vec<PathBuf> = parts(Path::new(path));
        let (mut real, mut links) = (PathBuf::new(), 0);
        while let Some(part) = todo.pop() {
            if part.as_os_str() == ".." {
                real.pop();
                continue;
            }
            real.push(&part);
            let here = self.root.join(&real);
            let metadata = here.symlink_metadata()?;
            if !metadata.is_symlink() {
                continue;
            }
            links += 1;
            if links > MOST_LINKS {
                return Err(io::Error::other("too many levels of symbolic links"));
            }
            let target = std::fs::read_link(&here)?;
            real.pop();
            if target.is_absolute() {
                real.clear();
            }
            todo.extend(parts(&target));
        }
        Ok(real)
    }
}

/// The components of a path, the last one first.
fn parts(path: &Path) -> Vec<PathBuf> {
    let named = |part: Component<'_>| match part {
        Component::Normal(name) => Some(PathBuf::from(name)),
        Component::ParentDir => Some(PathBuf::from("..")),
        _ => None,
    };
    let mut parts: Vec<PathBuf> = path.components().filter_map(named).collect();
    parts.reverse();
    parts
}

fn shown(path: &Path) -> String {
    Path::new("/").join(path).display().to_string()
}

/// O_NONBLOCK: opening a FIFO would wait for a writer. `InvalidInput` for what is no regular file.
fn open_regular(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::new(ErrorKind::InvalidInput, "not a regular file")),
    }
}

/// Lines that end within the first `length` bytes.
fn newlines(file: &mut File, length: u64) -> io::Result<u32> {
    let mut found: u32 = 0;
    let mut room = [0; 64 * 1024];
    let mut before = file.by_ref().take(length);
    loop {
        match before.read(&mut room)? {
            0 => return Ok(found),
            n => {
                let ends = room[..n].iter().filter(|b| **b == b'\n').count();
                found = found.saturating_add(ends.try_into().unwrap_or(u32::MAX));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::root::fixture::Tree;
    use super::*;
    use std::os::unix::fs::symlink;

    fn image(tree: &Tree) -> Image {
        Image::new(tree.root())
    }

    #[test]
    fn links_stay_inside_the_root() {
        let tree = Tree::new(&[("etc/sysctl.conf", "a = 1\n"), ("etc/sysctl.d/x", "")]);
        let at = |path: &str| tree.root().join(path);
        symlink("/etc/sysctl.conf", at("etc/sysctl.d/absolute.conf")).expect("link");
        symlink("../sysctl.conf", at("etc/sysctl.d/relative.conf")).expect("link");
        symlink("../../../../../../etc/sysctl.conf", at("etc/sysctl.d/above.conf")).expect("link");
        symlink("/etc/sysctl.d", at("sysctl.d")).expect("link");
        let image = image(&tree);
        for name in ["absolute", "relative", "above"] {
            let read = image.read(&format!("sysctl.d/{name}.conf")).expect(name);
            assert_eq!((read.path.as_str(), read.text.as_str()), ("/etc/sysctl.conf", "a = 1\n"), "{name}");
        }
        symlink("/etc/passwd", at("etc/outside")).expect("link");
        assert_eq!(image.read("etc/outside"), None, "the host's file is not the image's");
        assert!(image.listed("etc/outside") && !image.exists("etc/outside"));
        assert!(image.unreadable().is_empty());
    }

    #[test]
    fn what_cannot_be_read_is_remembered_and_nothing_hangs() {
        let tree = Tree::new(&[("etc/latin", "")]);
        let at = |path: &str| tree.root().join(path);
        std::fs::write(at("etc/latin"), b"# gr\xfc\xdfe\na = 1\n").expect("file");
        symlink("loop", at("etc/loop")).expect("link");
        File::create(at("etc/huge")).and_then(|f| f.set_len(LONGEST_BYTES + 1)).expect("file");
        std::fs::create_dir(at("etc/directory.conf")).expect("directory");
        nix::unistd::mkfifo(&at("etc/fifo"), nix::sys::stat::Mode::S_IRUSR).expect("fifo");
        symlink("/dev/null", at("etc/masked")).expect("link");
        let image = image(&tree);
        assert!(image.read("etc/latin").expect("read").text.ends_with("a = 1\n"));
        for path in ["loop", "huge", "directory.conf", "fifo", "masked", "none", "latin/x"] {
            assert_eq!(image.read(&format!("etc/{path}")), None, "{path}");
        }
        assert_eq!(image.unreadable().keys().collect::<Vec<_>>(), ["/etc/huge", "/etc/loop"]);
    }

    #[test]
    fn a_tail_begins_with_a_whole_line_and_knows_its_number() {
        let tree = Tree::new(&[("log", "one\ntwo\nthree\nfour\n")]);
        let image = image(&tree);
        let tail = |most| image.tail("log", most).map(|(text, line)| (text.text, line)).expect("a tail");
        assert_eq!(tail(100), ("one\ntwo\nthree\nfour\n".into(), 1));
        assert_eq!(tail(7), ("four\n".into(), 4));
        assert_eq!(tail(2), (String::new(), 5));
    }
}
